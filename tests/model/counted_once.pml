/*
 * The registry's sequence lock: a walker adds up terms while departing caches are folded.
 *
 * mirrors src/tcache/registry.c: mbi_registry_walk walk_once mbi_registry_retire fold_counts
 * mirrors src/tcache/registry.c: [CHANGE-LOAD] [CHANGE-CHECK] [CHANGE-BEGIN] [CHANGE-END]
 *
 * Shown: a sum that the walker accepts counts what each cache had exactly once, be it in the cache
 * or in the totals (counted_once). With any one of the four orders weakened to relaxed, with the
 * check left out, or with an odd number accepted, this is not so.
 *
 * Abstracted
 *   CACHES caches with one unit each, which retire one after the other: the registry lock makes it
 *   so. Hence one process retires them all; the lock passes its view on.
 *   Totals, a cache's count and "is listed" are one relaxed location each. The walk takes the
 *   pool's and the registry's locks for some of these terms; without them there are more
 *   behaviours.
 *   The list is one bit a cache: thread_exit.pml follows its links. An address that the list gives
 *   is used after it is read; no other two reads of the walker have an order.
 *   New caches, which start with nothing: a sum is the same with and without one.
 *   A walk of WALK_TURNS_MAX turns is taken as it is; the model says nothing of that one.
 *
 * Weakened, [CHANGE-BEGIN] lets the fold's stores go before it, and [CHANGE-CHECK] lets reads of
 * the terms come after it: the two that views alone do not have (views.inc.pml), so the model makes
 * these steps in any order then.
 *
 * Switches: WEAK_LOAD, WEAK_CHECK, WEAK_BEGIN, WEAK_END, NO_CHECK, ODD_IS_FINE, CACHES, TURNS.
 *
 * variant orders      holds
 * variant weak_load   fails counted_once  -DWEAK_LOAD
 * variant weak_check  fails counted_once  -DWEAK_CHECK
 * variant weak_begin  fails counted_once  -DWEAK_BEGIN
 * variant weak_end    fails counted_once  -DWEAK_END
 * variant no_check    fails counted_once  -DNO_CHECK
 * variant odd_is_fine fails counted_once  -DODD_IS_FINE
 * deep    three_caches holds              -DCACHES=3 -DTURNS=3
 */
#ifndef CACHES
#define CACHES 2
#endif
#ifndef TURNS
#define TURNS 2
#endif
#ifdef WEAK_LOAD
#define LOAD_ACQUIRES 0
#else
#define LOAD_ACQUIRES 1
#endif
#ifdef WEAK_CHECK
#define CHECK_RELEASES 0
#else
#define CHECK_RELEASES 1
#endif
#ifdef WEAK_BEGIN
#define BEGIN_ACQUIRES 0
#else
#define BEGIN_ACQUIRES 1
#endif
#ifdef WEAK_END
#define END_RELEASES 0
#else
#define END_RELEASES 1
#endif

#define THREADS 2
#define WALKER 0
#define LEAVER 1

#define CHANGES SYNC
#define TOTALS 1
#define COUNT(cache) (2 + 2 * (cache))
#define LISTED(cache) (3 + 2 * (cache))
#define LOCATIONS (2 + 2 * CACHES)
#define MESSAGES (1 + 2 * CACHES + TURNS)
#include "views.inc.pml"

bool counted_once = true;

/* mbi_registry_retire, one cache after the other. */
proctype leaver()
{
    byte cache = 0;
    bool begun = false;
    bool folded = false;
    bool cleared = false;
    bool unlinked = false;

    do
    :: cache < CACHES ->
       do
       :: d_step { !begun ->
              update_sync(LEAVER, VALUE(CHANGES, latest[CHANGES]) + 1, BEGIN_ACQUIRES, 0);
              begun = true
          }
       :: d_step { !folded && (begun || !BEGIN_ACQUIRES) ->
              append(LEAVER, TOTALS, VALUE(TOTALS, latest[TOTALS]) + 1);
              folded = true
          }
       :: d_step { !cleared && (begun || !BEGIN_ACQUIRES) ->
              append(LEAVER, COUNT(cache), 0);
              cleared = true
          }
       :: d_step { !unlinked && (begun || !BEGIN_ACQUIRES) ->
              append(LEAVER, LISTED(cache), 0);
              unlinked = true
          }
       :: atomic { begun && folded && cleared && unlinked -> break }
       od;
       atomic {
           update_sync(LEAVER, VALUE(CHANGES, latest[CHANGES]) + 1, 0, END_RELEASES);
           begun = false;
           folded = false;
           cleared = false;
           unlinked = false;
           cache++
       }
    :: cache == CACHES -> break
    od
}

/* What the walker read of a cache. */
#define NOT_READ 0
#define IS_LISTED 1
#define IS_READ 2

/* mbi_registry_walk. */
proctype walker()
{
    byte turns = TURNS;
    byte seen;
    byte now;
    byte sum;
    byte term;
    bool totals_read;
    byte terms_left = 1 + CACHES;
    bool checked;
    byte progress[CACHES];
    byte cache;

    do
    :: turns > 0 ->
       load_sync(WALKER, seen, LOAD_ACQUIRES);
       do
       :: atomic { !totals_read ->
              load(WALKER, TOTALS, term);
              sum = sum + term;
              term = 0;
              totals_read = true;
              terms_left--
          }
       :: atomic {
              if
              :: progress[0] != IS_READ -> cache = 0
              :: CACHES > 1 && progress[1] != IS_READ -> cache = 1
              :: CACHES > 2 && progress[CACHES - 1] != IS_READ -> cache = CACHES - 1
              fi;
              if
              :: progress[cache] == NOT_READ ->
                 load(WALKER, LISTED(cache), term);
                 progress[cache] = (term -> IS_LISTED : IS_READ)
              :: progress[cache] == IS_LISTED ->
                 load(WALKER, COUNT(cache), term);
                 sum = sum + term;
                 progress[cache] = IS_READ
              fi;
              terms_left = terms_left - (progress[cache] == IS_READ -> 1 : 0);
              term = 0;
              cache = 0
          }
       :: d_step { !checked && (terms_left == 0 || !CHECK_RELEASES) ->
              now = VALUE(CHANGES, latest[CHANGES]);
              update_sync(WALKER, now, 0, CHECK_RELEASES);
              checked = true
          }
       :: atomic { checked && terms_left == 0 -> break }
       od;
       atomic {
#ifdef NO_CHECK
           now = seen;
#endif
           if
#ifdef ODD_IS_FINE
           :: now == seen ->
#else
           :: now == seen && seen % 2 == 0 ->
#endif
               counted_once = sum == CACHES;
               assert(counted_once)
           :: else
           fi;
           seen = 0;
           now = 0;
           sum = 0;
           totals_read = false;
           terms_left = 1 + CACHES;
           checked = false;
           for (cache : 0 .. CACHES - 1) {
               progress[cache] = NOT_READ
           }
           cache = 0;
           turns--
       }
    :: turns == 0 -> break
    od
}

init {
    byte i;
    atomic {
        for (i : 0 .. CACHES - 1) {
            VALUE(COUNT(i), 0) = 1;
            VALUE(LISTED(i), 0) = 1
        }
        i = 0;
        run leaver();
        run walker()
    }
}
