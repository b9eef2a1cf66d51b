/*
 * What is made once and then used by all threads: the library's constants, and the next allocator.
 *
 * mirrors src/tcache/startup.c: mbi_startup startup_locked [READY-STORE] [READY-LOAD] [READY-AGAIN]
 * mirrors src/check/check.c: mbi_check_init [CHECKED-STORE]
 * mirrors src/tcache/checked.h: checked_is_on [CHECKED-LOAD]
 * mirrors src/check/stacks.c: mbi_stacks_warm_up mbi_stacks_take [WARM-STORE] [WARM-LOAD]
 * mirrors src/dropin/next.c: next_find next_find_all [NEXT-STORE] [NEXT-LOAD]
 * mirrors src/dropin/liburcu.c: mbi_epochs_load mbi_epochs_in_use [EPOCHS-DECIDE] [EPOCHS-LOOK]
 * mirrors src/core/copies.c: mbi_copies_publish calls_of [COPY-MAGIC] [COPY-READ]
 * mirrors src/insight/export_layout.h: export_set_magic export_has_magic [MAGIC-STORE] [MAGIC-LOAD]
 * mirrors src/dropin/names.h: found_address found_set [FOUND]
 *
 * Shown: whoever finds the library ready, or is told so by the lock, reads its constants without a
 * race (race_free), and they are made once (made_once). With -DNEXT: whoever finds `found` set
 * reads every function pointer whole (found_all), though several threads may search at the same
 * time. Checked mode is published as the library is, but within its publication: whoever finds it on
 * without having asked for the library's constants reads its own without a race, by the same steps.
 *
 * Abstracted
 *   The constants are one plain location, the rare functions one relaxed one: a release orders all
 *   that stands before it, so one of them stands for any.
 *   The init lock hands its last holder's view on, which is all that a lock is in this memory.
 *   A thread inside dlsym (`searching`) uses the boot arena and no pointer: it is not here.
 *
 * Switches: NEXT; WEAK_STORE, WEAK_LOAD; NO_LOOK_AGAIN leaves [READY-AGAIN] out; FOUND_FIRST sets
 * `found` before the functions.
 *
 * variant ready            holds
 * variant ready_weak_store fails race_free  -DWEAK_STORE
 * variant ready_weak_load  fails race_free  -DWEAK_LOAD
 * variant no_look_again    fails made_once  -DNO_LOOK_AGAIN
 * variant next             holds            -DNEXT
 * variant next_weak_store  fails found_all  -DNEXT -DWEAK_STORE
 * variant next_weak_load   fails found_all  -DNEXT -DWEAK_LOAD
 * variant found_first      fails found_all  -DNEXT -DFOUND_FIRST
 */
#ifdef WEAK_STORE
#define STORE_RELEASES 0
#else
#define STORE_RELEASES 1
#endif
#ifdef WEAK_LOAD
#define LOAD_ACQUIRES 0
#else
#define LOAD_ACQUIRES 1
#endif

#define THREADS 3
#define READY SYNC
#define MADE 1
#define LOCATIONS 2
#define MESSAGES 5
#include "views.inc.pml"

bool made_once = true;
bool found_all = true;
bool locked;
byte lock_view[LOCATIONS];

inline lock_init(me)
{
    atomic {
        !locked;
        locked = true;
        for (place : 0 .. LOCATIONS - 1) {
            VIEW(me, place) = LATER(lock_view[place], VIEW(me, place))
        }
        place = 0
    }
}

inline unlock_init(me)
{
    atomic {
        for (place : 0 .. LOCATIONS - 1) {
            lock_view[place] = VIEW(me, place)
        }
        place = 0;
        locked = false
    }
}

#ifdef NEXT

/* Threads store the same pointer, in any order: so one message is as good as another. */
inline find_others(me)
{
    d_step { append(me, MADE, 1) }
}

proctype user(byte me)
{
    byte seen;

    load_sync(me, seen, LOAD_ACQUIRES); /* [NEXT-LOAD] */
    if
    :: seen == 0 ->
#ifdef FOUND_FIRST
       store_sync(me, 1, STORE_RELEASES);
       find_others(me)
#else
       find_others(me);
       store_sync(me, 1, STORE_RELEASES) /* [NEXT-STORE] */
#endif
    :: else
    fi;
    load(me, MADE, seen); /* [FOUND] */
    found_all = seen == 1;
    assert(found_all)
}

#else

proctype user(byte me)
{
    byte seen;

    load_sync(me, seen, LOAD_ACQUIRES); /* [READY-LOAD] */
    if
    :: seen == 0 ->
       lock_init(me);
       load(me, READY, seen); /* [READY-AGAIN] */
#ifdef NO_LOOK_AGAIN
       seen = 0;
#endif
       if
       :: seen == 0 ->
          made_once = latest[MADE] == 0;
          assert(made_once);
          plain_write(me, MADE);
          store_sync(me, 1, STORE_RELEASES) /* [READY-STORE] */
       :: else
       fi;
       unlock_init(me)
    :: else
    fi;
    plain_read(me, MADE)
}

#endif

init {
    byte i;
    atomic {
        for (i : 0 .. THREADS - 1) {
            run user(i)
        }
        i = 0
    }
}
