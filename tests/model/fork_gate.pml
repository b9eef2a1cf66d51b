/*
 * Threads take locks while others fork: the gate, the words that threads sleep on, deferred frees.
 *
 * mirrors src/core/lock.c: lock_take word_try_take word_take word_give mbi_lock_release
 * mirrors src/core/lock.c: gate_wait gate_close mbi_lock_close_gate mbi_lock_open_gate
 * mirrors src/core/lock.c: mbi_lock_is_closed mbi_lock_set_patient is_closer
 * mirrors src/core/lock.c: [LOCK-TAKE] [LOCK-GIVE] [LOCK-LOOK] [GATE-LOOK] [GATE-CLOSE] [GATE-OPEN]
 * mirrors src/core/left_behind.h: left_behind_push left_behind_take left_behind_give_back
 * mirrors src/core/left_behind.h: [LEFT-PUSH] [LEFT-TAKE]
 * mirrors src/core/pool_defer.c: mbi_pool_free_direct free_or_defer mbi_pools_free_deferred
 * mirrors src/tcache/thread_exit.c: thread_give_up take_back mbi_thread_take_back
 * mirrors src/tcache/fork.c: fork_prepare fork_parent
 *
 * Shown: at the moment of the copy no thread is inside a critical section, that is, has a word and
 * was not refused (nobody_inside); one at most is at any time (one_inside), also while the thread
 * that forks goes past the words; of two forks one waits for the other (one_copies); every deferred
 * free is taken in the end (all_freed); nobody sleeps or waits for ever (no invalid end state),
 * though fork, with the gate closed, takes a foreign lock whose owner may be asking for ours, and
 * though each sleeper is woken by nobody but who the code says.
 *
 * Abstracted
 *   Two locks of the table, OUTER before INNER. A thread takes INNER in OUTER, or frees a slot, for
 *   which INNER is its pool's lock; either while it has the foreign lock or not; TURNS times. The
 *   patient thread is one that starts the library or sets a handler. A cache that a thread leaves
 *   behind at its end is a deferred slot.
 *   The foreign lock is any of the C library's: a thread that waits for it does so for ever, unless
 *   it is given back.
 *   mbi_os_wait sleeps if the word is as expected, in one step, and nobody wakes it for no reason:
 *   what goes well so also goes well with a kernel that does. A wake-up of one takes any sleeper.
 *   A deferred slot is a number on the stack, which is taken as a whole. The child has one thread.
 *   Signal handlers are not here: tests/concurrent/fork_signal.c.
 *   Orders: the four of lock.h, and those of the list of deferred frees, are sequentially
 *   consistent, and so a step each here. A weaker order lets a thread's load come before others see
 *   its own read-modify-write, and no more than that between the two threads and two words of each
 *   pair: the EARLY and LATE switches make just that step early. Release and acquire, by which the
 *   next holder and the copy see what was done under a lock, are left to ThreadSanitizer.
 *
 * Switches: USERS, TURNS, FORKERS, NO_PATIENT. INNER_FIRST: fork looks at the inner lock first.
 * These break it: LOOK_EARLY (a thread looks at the gate before it takes the word), WORDS_EARLY
 * (fork looks at the words before it closes the gate), PUSH_LATE (who defers a free looks at the
 * gate before the slot is on the list), DRAIN_EARLY (who opens the gate takes the deferred before),
 * NO_LOOK (the gate is not looked at), NO_WAIT (fork does not wait for a word), REFUSED_GOES_ON,
 * REFUSED_WAITS (all are patient), NESTED_REFUSED_WAITS (who has a lock is refused another, and
 * waits), FORK_HOLDS (fork keeps the words until it opens), NO_LOOK_AGAIN (who deferred a free does
 * not look whether the gate is open by now), NO_THIRD_LOOK (nor when the same happens to what was
 * taken from the list), NO_DRAIN (who opens the gate does not look for the deferred), NO_WAKE (who
 * gives a lock back wakes nobody), NO_WAKE_GATE, WAKE_ONE_AT_GATE, AWAITED_FORGOTTEN (who has slept
 * takes the word as if nobody else did), OPEN_BY_ALL (a fork does not wait for another).
 *
 * variant one_user          holds                          -DUSERS=1
 * variant two_users         holds                          -DNO_PATIENT
 * variant two_forks         holds                          -DUSERS=1 -DFORKERS=2 -DNO_PATIENT
 * variant forks_and_patient holds                          -DUSERS=0 -DFORKERS=2
 * variant innermost_first   holds                          -DINNER_FIRST -DUSERS=1
 * variant look_early        fails nobody_inside|one_inside -DLOOK_EARLY -DUSERS=1 -DNO_PATIENT
 * variant words_early       fails nobody_inside|one_inside -DWORDS_EARLY -DUSERS=1 -DNO_PATIENT
 * variant no_look           fails nobody_inside|one_inside -DNO_LOOK -DUSERS=1 -DNO_PATIENT
 * variant no_wait           fails nobody_inside|one_inside -DNO_WAIT -DUSERS=1 -DNO_PATIENT
 * variant refused_goes_on   fails nobody_inside|one_inside -DREFUSED_GOES_ON -DUSERS=1
 * variant open_by_all       fails nobody_inside|one_copies -DOPEN_BY_ALL -DFORKERS=2 -DUSERS=0
 * variant refused_waits     fails invalid.end.state        -DREFUSED_WAITS -DUSERS=1 -DNO_PATIENT
 * variant nested_waits      fails invalid.end.state        -DNESTED_REFUSED_WAITS -DUSERS=1
 * variant fork_holds        fails invalid.end.state        -DFORK_HOLDS -DUSERS=1 -DNO_PATIENT
 * variant no_wake           fails invalid.end.state        -DNO_WAKE -DNO_PATIENT
 * variant no_wake_gate      fails invalid.end.state        -DNO_WAKE_GATE -DUSERS=0
 * variant wake_one_at_gate  fails invalid.end.state        -DWAKE_ONE_AT_GATE -DFORKERS=2 -DUSERS=0
 * variant awaited_forgotten fails invalid.end.state        -DAWAITED_FORGOTTEN
 * variant no_look_again     fails all_freed                -DNO_LOOK_AGAIN -DUSERS=1 -DNO_PATIENT
 * variant no_third_look     fails all_freed                -DNO_THIRD_LOOK -DUSERS=1 -DFORKERS=2
 * variant no_drain          fails all_freed                -DNO_DRAIN -DUSERS=1 -DNO_PATIENT
 * variant push_late         fails all_freed                -DPUSH_LATE -DUSERS=1 -DNO_PATIENT
 * variant drain_early       fails all_freed                -DDRAIN_EARLY -DUSERS=1 -DNO_PATIENT
 * deep    all               holds
 * deep    all_two_forks     holds                          -DUSERS=1 -DFORKERS=2
 * deep    two_turns         holds                          -DTURNS=2 -DNO_PATIENT -DUSERS=1
 * deep    three_users       holds                          -DUSERS=3 -DNO_PATIENT
 * deep    two_and_two       holds                          -DUSERS=2 -DFORKERS=2 -DNO_PATIENT
 */
#ifndef USERS
#define USERS 2
#endif
#ifndef TURNS
#define TURNS 1
#endif
#ifndef FORKERS
#define FORKERS 1
#endif
#ifdef NO_PATIENT
#define PATIENTS 0
#else
#define PATIENTS 1
#endif
#define THREADS (USERS + PATIENTS + FORKERS)
#define NOBODY THREADS

#ifdef REFUSED_WAITS
#define WAITS_AT_GATE true
#else
#define WAITS_AT_GATE false
#endif
#ifdef NESTED_REFUSED_WAITS
#define PASSES_WHEN_NESTED false
#else
#define PASSES_WHEN_NESTED true
#endif

#define OUTER 0
#define INNER 1
#define GATE 2
#define AWAKE 3
/* 0: free, or open; 1: taken, or closed; 2: and somebody may sleep. */
byte word[3];
byte asleep[THREADS]; /* at which word */
byte deferred;        /* how many slots are on the list */
bool foreign_taken;

/* Ghosts. */
bool nobody_inside = true;
bool one_inside = true;
bool one_copies = true;
bool all_freed = true;
byte inside[2]; /* who is in the critical section */
byte copying = NOBODY;
byte ended;

inline enter(me, name)
{
    one_inside = inside[name] == NOBODY;
    assert(one_inside);
    inside[name] = me
}

inline leave(name)
{
    inside[name] = NOBODY
}

/* mbi_os_wait */
inline sleep_while(me, name, expected)
{
    atomic {
        if
        :: word[name] == expected -> asleep[me] = name
        :: else
        fi
    }
    asleep[me] == AWAKE
}

/* mbi_os_wake: the first sleeper behind any thread, and so any of them. */
inline wake_one(name)
{
    atomic {
        do
        :: i < THREADS - 1 -> i++
        :: break
        od;
        do
        :: tried < THREADS && asleep[i] != name -> i = (i + 1) % THREADS; tried++
        :: tried < THREADS && asleep[i] == name -> asleep[i] = AWAKE; break
        :: tried == THREADS -> break
        od;
        i = 0;
        tried = 0
    }
}

inline wake_all(name)
{
    d_step {
        for (i : 0 .. THREADS - 1) {
            asleep[i] = (asleep[i] == name -> AWAKE : asleep[i])
        }
        i = 0
    }
}

inline word_take(me, name)
{
    if
    :: atomic { word[name] == 0 -> word[name] = 1 } /* word_try_take */
    :: word[name] != 0 ->
       do
       :: atomic {
              if
              :: word[name] == 0 -> word[name] = 2; break
              :: else -> word[name] = 2
              fi
          }
          sleep_while(me, name, 2)
#ifdef AWAITED_FORGOTTEN
          ;
          if
          :: atomic { word[name] == 0 -> word[name] = 1; break }
          :: word[name] != 0
          fi
#endif
       od
    fi
}

inline word_give(name)
{
#ifdef NO_WAKE
    word[name] = 0
#else
    d_step { was = word[name]; word[name] = 0 }
    if
    :: atomic { was == 2 -> was = 0 }
       wake_one(name)
    :: atomic { was != 2 -> was = 0 }
    fi
#endif
}

inline gate_wait(me)
{
    do
    :: atomic {
           if
           :: word[GATE] == 0 -> break
           :: word[GATE] != 0 -> word[GATE] = 2
           fi
       }
       sleep_while(me, GATE, 2)
    od
}

/* lock_take: `got` tells whether the thread is inside. */
inline take(me, name, passes, patient)
{
    do
    ::
#ifdef LOOK_EARLY
       look = word[GATE];
#endif
       word_take(me, name);
       atomic {
#ifndef LOOK_EARLY
           look = word[GATE];
#endif
#ifdef NO_LOOK
           look = 0;
#endif
           if
           :: passes || look == 0 -> enter(me, name); got = true; look = 0; break
           :: else -> look = 0
           fi
#ifdef REFUSED_GOES_ON
           ;
           enter(me, name); got = true; break
#endif
       }
       word_give(name);
       if
       :: patient -> gate_wait(me)
       :: else -> break
       fi
    od
}

inline give(name)
{
    atomic { leave(name); got = false }
    word_give(name)
}

/* left_behind_push */
inline defer_free()
{
    deferred++
}

/* left_behind_give_back, of the deferred frees. */
inline free_deferred(me)
{
    do
    :: atomic { count = count + deferred; deferred = 0 }
       do
       :: count > 0 ->
          take(me, INNER, false, WAITS_AT_GATE);
          if
          :: got -> give(INNER)
          :: else -> atomic { defer_free(); again = true }
          fi;
          count--
       :: count == 0 -> break
       od;
#ifndef NO_THIRD_LOOK
       if
       :: atomic { again && word[GATE] == 0 -> again = false }
       :: atomic { !again || word[GATE] != 0 -> again = false; break }
       fi
#else
       again = false;
       break
#endif
    od
}

/* mbi_pool_free_direct. */
inline free_slot(me)
{
    take(me, INNER, false, WAITS_AT_GATE);
    if
    :: got -> give(INNER)
    :: else ->
#ifdef PUSH_LATE
       look = word[GATE];
#endif
       defer_free();
#ifndef NO_LOOK_AGAIN
       atomic {
#ifndef PUSH_LATE
           look = word[GATE];
#endif
           open = look == 0;
           look = 0
       }
       if
       :: open -> open = false; free_deferred(me)
       :: else
       fi
#endif
    fi
}

inline use_nested(me, patient)
{
    take(me, OUTER, false, patient);
    if
    :: got ->
       got = false;
       take(me, INNER, PASSES_WHEN_NESTED, WAITS_AT_GATE || !PASSES_WHEN_NESTED);
       give(INNER);
       give(OUTER)
    :: else /* refused: does without */
    fi
}

inline end_thread()
{
    atomic {
        ended++;
        all_freed = ended < THREADS || deferred == 0;
        assert(all_freed)
    }
}

proctype user(byte me)
{
    byte turns = TURNS;
    byte i;
    byte tried;
    byte was;
    byte look;
    byte count;
    bool got;
    bool again;
    bool open;
    bool has_foreign;

    do
    :: turns > 0 ->
       if
       :: atomic { !foreign_taken -> foreign_taken = true; has_foreign = true }
       :: true
       fi;
       if
       :: free_slot(me)
       :: use_nested(me, WAITS_AT_GATE)
       fi;
       if
       :: atomic { has_foreign -> has_foreign = false; foreign_taken = false }
       :: !has_foreign
       fi;
       turns--
    :: turns == 0 -> break
    od;
    end_thread()
}

proctype patient(byte me)
{
    byte i;
    byte tried;
    byte was;
    byte look;
    bool got;

    use_nested(me, true);
    end_thread()
}

inline close_gate(me)
{
    do
    :: atomic {
           if
#ifdef OPEN_BY_ALL
           :: word[GATE] != 2 -> word[GATE] = 1; break
#else
           :: word[GATE] == 0 -> word[GATE] = 1; break
#endif
           :: else
           fi
       }
       gate_wait(me)
    od
}

inline await_word(me, name)
{
#ifndef NO_WAIT
    if
    :: word[name] != 0 ->
       word_take(me, name)
#ifndef FORK_HOLDS
       ;
       word_give(name)
#endif
    :: word[name] == 0
#ifdef FORK_HOLDS
       -> word_take(me, name)
#endif
    fi
#else
    skip
#endif
}

inline await_words(me)
{
#ifdef INNER_FIRST
    await_word(me, INNER);
    await_word(me, OUTER)
#else
    await_word(me, OUTER);
    await_word(me, INNER)
#endif
}

inline open_gate()
{
    d_step { was = word[GATE]; word[GATE] = 0 }
#ifdef NO_WAKE_GATE
    was = 0;
#endif
    if
    :: atomic { was == 2 -> was = 0 }
#ifdef WAKE_ONE_AT_GATE
       wake_one(GATE)
#else
       wake_all(GATE)
#endif
    :: atomic { was != 2 -> was = 0 }
    fi
}

proctype forker(byte me)
{
    byte i;
    byte tried;
    byte was;
    byte look;
    byte count;
    bool got;
    bool again;

#ifdef WORDS_EARLY
    await_words(me);
    close_gate(me);
#else
    close_gate(me);
    await_words(me);
#endif
    atomic { enter(me, INNER) } /* it passes the words: handlers registered before ours allocate */
    leave(INNER);
    atomic { !foreign_taken -> foreign_taken = true }
    atomic {
        nobody_inside = inside[OUTER] == NOBODY && inside[INNER] == NOBODY;
        assert(nobody_inside);
        one_copies = copying == NOBODY;
        assert(one_copies);
        copying = me
    }
    atomic { copying = NOBODY; foreign_taken = false }
#ifdef FORK_HOLDS
    word_give(INNER);
    word_give(OUTER);
#endif
#ifdef DRAIN_EARLY
    atomic { count = deferred; deferred = 0 }
    open_gate();
    do
    :: count > 0 ->
       take(me, INNER, false, false);
       if
       :: got -> give(INNER)
       :: else -> defer_free()
       fi;
       count--
    :: count == 0 -> break
    od;
#else
    open_gate();
#ifndef NO_DRAIN
    free_deferred(me);
#endif
#endif
    end_thread()
}

init {
    byte n;
    atomic {
        inside[OUTER] = NOBODY;
        inside[INNER] = NOBODY;
        for (n : 0 .. THREADS - 1) {
            asleep[n] = AWAKE
        }
        for (n : 0 .. THREADS - 1) {
            if
            :: n < USERS -> run user(n)
            :: n >= USERS && n < USERS + PATIENTS -> run patient(n)
            :: n >= USERS + PATIENTS -> run forker(n)
            fi
        }
        n = 0
    }
}
