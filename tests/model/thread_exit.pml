/*
 * Threads come and go while walkers walk: the registry's lists, the count of walks, grace periods.
 *
 * mirrors src/tcache/thread_exit.c: thread_exit mbi_thread_start
 * mirrors src/tcache/registry.c: mbi_registry_add publish mbi_registry_walk walk_once
 * mirrors src/tcache/registry.c: mbi_registry_retire mbi_registry_try_retire retire_locked
 * mirrors src/tcache/vacant.c: mbi_vacant_take mbi_vacant_retire_locked mbi_vacant_make_room_locked
 * mirrors src/tcache/vacant.c: reuse_retired_locked begin_reclaim grace_period end_reclaim
 * mirrors src/tcache/vacant.c: mbi_vacant_wait_for_room mbi_vacant_begin_walk mbi_vacant_end_walk
 * mirrors src/tcache/vacant.c: walks_under_way [WALK-BEGIN] [WALK-END] [WALK-LOOK]
 *
 * Shown: no cache is taken anew while a walker looks at it (not_under_a_walkers_eyes), nor does a
 * walker come upon one that could be (no_reusable_found); a walk visits every cache that was listed
 * all the time (all_visited), and none twice (visited_once), so it comes to an end; never more than
 * RETIRE_MAX caches are retired (retired_bounded), so there is always one to take (some_reusable);
 * nobody waits for ever (no invalid end state), and no lock is held while liburcu waits, so that a
 * program which forks in a read-side section of its own gets on. With liburcu, without it (a forked
 * child), where membarrier may come to be refused at any time, and where a walk may find no memory to
 * register with liburcu.
 *
 * Abstracted
 *   A cache is its place on the lists; what it counts is in counted_once.pml, what it holds goes
 *   back before mbi_registry_retire and is stack.pml's.
 *   A grace period ends when every read-side section that had begun before it has ended: that is
 *   liburcu's promise.
 *   Under the registry lock the looks at the count of walks and the stores that walkers see are
 *   steps of their own; all else there is one with them. (A new cache's own link is another store,
 *   which nobody can see, as nobody is at a reusable cache.)
 *   The count of walks has one order, and each change of it is a step. With a weaker order a walk
 *   could read the list before it is counted or after it has left, and the look at the count could
 *   come before the cache is off the list: COUNTED_LATE, LEFT_EARLY and LOOK_EARLY do just that.
 *   Who sleeps for a while and looks again waits here until there is something to find: so that
 *   whoever waits in vain is found. That walks which begin all the time leave those a moment which
 *   wait for room is so not shown.
 *   RETIRE_BATCH and RETIRE_MAX are scaled down. Instead of fresh mappings there are as many caches
 *   as can ever be needed. Of the reusable, one that a walker looks at is taken first, if there is
 *   such a one: the worst choice. The others do not differ.
 *   Each thread lives LIVES times, each walker walks WALKS times: so that whoever waits for ever is
 *   found, also while others go on. A walk is one turn of it.
 *   Nobody is refused the lock for a fork: who exits leaves its cache to who opens the gate, as frees
 *   are left (fork_gate.pml), and who begins does without a cache. The child has one thread: nothing runs at the same time as
 *   mbi_registry_reset_in_child.
 *
 * Switches: THREADS, LIVES, WALKERS, WALKS, RETIRE_BATCH, RETIRE_MAX; NO_FORKER, WITHOUT_RCU, REFUSED,
 * NO_MEMORY.
 * These break it: NO_GRACE, REFUSED_IS_OVER (where liburcu cannot be asked, that is taken for a grace
 * period), NOT_COUNTED (walks are not), NOT_LOOKED (nor is their number looked at), COUNTED_LATE,
 * LEFT_EARLY, LOOK_EARLY, TWO_RECLAIM (who reclaims does not look whether another one does),
 * LOOK_THEN_ADD (the bound is looked at in one hold of the lock and used in another),
 * GRACE_UNDER_LOCK (the wait keeps the registry lock), WAITING_STAYS (what was not reclaimed is not
 * put back), UNLINK_CUTS (a removed cache forgets what is behind it), SAID_LATE (a walk without liburcu
 * is counted as one after it has read the list), NOT_HEARD (a grace period counts whatever walks
 * without liburcu there are). IGNORE_TAKEN, IGNORE_REUSABLE
 * and IGNORE_TWICE leave the checks not_under_a_walkers_eyes, no_reusable_found and visited_once
 * out, to see an error go further.
 *
 * variant with_rcu         holds
 * variant without_rcu      holds                           -DWITHOUT_RCU
 * variant refused          holds                           -DLIVES=1 -DREFUSED
 * variant no_memory        holds                           -DLIVES=1 -DNO_MEMORY
 * variant batches_of_two   holds                           -DRETIRE_BATCH=2 -DNO_FORKER
 * variant two_walks        holds                           -DWALKERS=2 -DLIVES=1 -DREFUSED -DNO_FORKER
 * variant no_grace         fails not_under_a_walkers_eyes  -DNO_GRACE -DIGNORE_REUSABLE
 * variant refused_is_over  fails not_under_a_walkers_eyes  -DREFUSED_IS_OVER -DREFUSED -DIGNORE_REUSABLE
 * variant not_counted      fails not_under_a_walkers_eyes  -DNOT_COUNTED -DIGNORE_REUSABLE
 * variant not_looked       fails not_under_a_walkers_eyes  -DNOT_LOOKED -DIGNORE_REUSABLE
 * variant counted_late     fails not_under_a_walkers_eyes  -DCOUNTED_LATE -DIGNORE_REUSABLE
 * variant left_early       fails not_under_a_walkers_eyes  -DLEFT_EARLY -DIGNORE_REUSABLE
 * variant look_early       fails not_under_a_walkers_eyes  -DLOOK_EARLY -DIGNORE_REUSABLE
 * variant two_reclaim      fails not_under_a_walkers_eyes  -DTWO_RECLAIM -DIGNORE_REUSABLE
 * variant said_late        fails not_under_a_walkers_eyes  -DSAID_LATE -DNO_MEMORY -DIGNORE_REUSABLE -DLIVES=1
 * variant not_heard        fails not_under_a_walkers_eyes  -DNOT_HEARD -DNO_MEMORY -DIGNORE_REUSABLE -DLIVES=1
 * variant visited_twice    fails visited_once              -DNOT_COUNTED -DIGNORE_TAKEN -DIGNORE_REUSABLE
 * variant reusable_found   fails no_reusable_found         -DNO_GRACE -DIGNORE_TAKEN -DIGNORE_TWICE
 * variant unlink_cuts      fails all_visited               -DUNLINK_CUTS
 * variant look_then_add    fails retired_bounded           -DLOOK_THEN_ADD
 * variant grace_under_lock fails invalid.end.state         -DGRACE_UNDER_LOCK
 * variant waiting_stays    fails invalid.end.state         -DWAITING_STAYS -DREFUSED
 * deep    refused_lives    holds                           -DREFUSED
 * deep    batches_and_fork holds                           -DRETIRE_BATCH=2
 * deep    walks_and_fork   holds                           -DWALKERS=2 -DLIVES=1 -DREFUSED
 * deep    three_threads    holds                           -DTHREADS=3 -DLIVES=1 -DRETIRE_MAX=1 -DNO_FORKER
 * deep    three_in_child   holds                           -DTHREADS=3 -DLIVES=1 -DWITHOUT_RCU
 * deep    two_walkers      holds                           -DWALKERS=2 -DWALKS=2 -DTHREADS=1 -DREFUSED
 * deep    two_in_child     holds                           -DWALKERS=2 -DWITHOUT_RCU
 * deep    two_without      holds                           -DWALKERS=2 -DLIVES=1 -DNO_MEMORY
 * deep    two_walks_each   holds                           -DWALKS=2 -DREFUSED
 * deep    three_lives      holds                           -DLIVES=3 -DRETIRE_BATCH=2 -DRETIRE_MAX=3
 */
#ifndef THREADS
#define THREADS 2
#endif
#ifndef LIVES
#define LIVES 2
#endif
#ifndef WALKERS
#define WALKERS 1
#endif
#ifndef WALKS
#define WALKS 1
#endif
#ifndef RETIRE_BATCH
#define RETIRE_BATCH 1
#endif
#ifndef RETIRE_MAX
#define RETIRE_MAX 2
#endif

/* At most RETIRE_MAX are retired, and one is each thread's: no more are ever needed. */
#define CACHES (THREADS + RETIRE_MAX)
#define LIST_HEAD CACHES

#define REUSABLE 0
#define TAKEN 1 /* by its thread, active or on no list */
#define RETIRED 2
#define WAITING 3 /* retired, and waiting for the grace period of a reclaimer */
byte place[CACHES];

/* The list of active caches: removal leaves a cache's own links as they are, as RCU lists do. */
byte next[CACHES + 1];
byte caches_retired; /* those that wait included */
byte caches_waiting;

bool registry_lock;
byte walks;

/* liburcu: which sections are open, and were when a thread's present grace period began. */
#define READERS (WALKERS + 1) /* the last is the program's own */
bool section_open[READERS];
bool section_is_old[THREADS * READERS];
byte walks_without_rcu; /* of the walks: they found no memory to register their threads */

/* Ghosts. */
bool not_under_a_walkers_eyes = true;
bool no_reusable_found = true;
bool all_visited = true;
bool visited_once = true;
bool retired_bounded = true;
bool some_reusable = true;
byte watched[WALKERS];         /* the cache that a walker is at */
bool stays[WALKERS * CACHES];  /* listed since the walk began, and not visited yet */
bool visited[WALKERS * CACHES]; /* in this walk */

#define OF(walker, cache) ((walker) * CACHES + (cache))
#define acquire(lock) atomic { !lock -> lock = true }
#define release(lock) lock = false

/* Marks all caches in one place as being in another: a list changes hands as a whole. */
inline move_all(from, to)
{
    for (moved : 0 .. CACHES - 1) {
        place[moved] = (place[moved] == from -> to : place[moved])
    }
    moved = 0
}

#ifdef NOT_LOOKED
#define NOBODY_WALKS true
#else
#define NOBODY_WALKS (walks == 0)
#endif

/* reuse_retired_locked, in one step with the look. */
inline reuse_retired()
{
    if
    :: caches_retired > caches_waiting && NOBODY_WALKS ->
       move_all(RETIRED, REUSABLE);
       caches_retired = caches_waiting
    :: else
    fi
}

/* Of the reusable the worst one; CACHES when there is none. */
inline choose_reusable()
{
    cache = CACHES;
    for (i : 0 .. WALKERS - 1) {
        if
        :: watched[i] != LIST_HEAD && place[watched[i]] == REUSABLE -> cache = watched[i]
        :: else
        fi
    }
    for (i : 0 .. CACHES - 1) {
        cache = (cache == CACHES && place[i] == REUSABLE -> i : cache)
    }
    i = 0
}

/* mbi_vacant_take, without the mapping of fresh ones. */
inline take_cache()
{
    atomic {
        !registry_lock;
        choose_reusable();
        if
        :: cache == CACHES -> reuse_retired(); choose_reusable()
        :: else
        fi;
        some_reusable = cache < CACHES;
        assert(some_reusable);
        place[cache] = TAKEN;
        for (i : 0 .. WALKERS - 1) {
            not_under_a_walkers_eyes = not_under_a_walkers_eyes && watched[i] != cache
        }
        i = 0;
#ifndef IGNORE_TAKEN
        assert(not_under_a_walkers_eyes)
#endif
    }
}

/* mbi_registry_add: cds_list_add_rcu writes the new links before it publishes. */
inline add()
{
    atomic {
        !registry_lock;
        next[cache] = next[LIST_HEAD];
        next[LIST_HEAD] = cache
    }
}

/* `ended` is false where liburcu cannot be asked. */
inline grace_period(me)
{
    if
#ifndef WITHOUT_RCU
    :: d_step {
           for (i : 0 .. READERS - 1) {
               section_is_old[me * READERS + i] = section_open[i]
           }
           i = 0
       }
#ifndef NO_GRACE
       atomic {
           do
           :: i < READERS -> !section_is_old[me * READERS + i]; i++
           :: i == READERS -> i = 0; break
           od
       }
#endif
#ifdef NOT_HEARD
       ended = true
#else
       ended = walks_without_rcu == 0
#endif
#endif
#if defined(WITHOUT_RCU) || defined(REFUSED)
    :: true ->
#ifdef REFUSED_IS_OVER
       ended = true
#else
       ended = false
#endif
#endif
    fi
}

inline begin_reclaim()
{
    atomic {
        !registry_lock;
        reuse_retired();
        if
#ifdef TWO_RECLAIM
        :: caches_retired >= RETIRE_BATCH ->
#else
        :: caches_waiting == 0 && caches_retired >= RETIRE_BATCH ->
#endif
           move_all(RETIRED, WAITING);
           caches_waiting = caches_retired;
           begun = true;
#ifdef GRACE_UNDER_LOCK
           registry_lock = true
#endif
        :: else
        fi
    }
}

inline end_reclaim()
{
    atomic {
#ifdef GRACE_UNDER_LOCK
        registry_lock = false;
#endif
        !registry_lock;
        if
        :: ended ->
           move_all(WAITING, REUSABLE);
           caches_retired = caches_retired - caches_waiting;
           caches_waiting = 0
        :: else ->
#ifndef WAITING_STAYS
           move_all(WAITING, RETIRED);
           caches_waiting = 0
#endif
        fi;
        begun = false;
        ended = false
    }
}

/* Looking again finds something: room, a moment without walks, or something to reclaim. */
#define WORTH_A_LOOK                                                                               \
    (caches_retired < RETIRE_MAX || (walks == 0 && caches_waiting < caches_retired))

inline wait_for_room(me)
{
    begin_reclaim();
    grace_period(me);
    if
    :: begun && ended -> end_reclaim()
    :: begun && !ended -> end_reclaim(); WORTH_A_LOOK
    :: !begun && ended -> ended = false; WORTH_A_LOOK || caches_waiting == 0
    :: !begun && !ended -> WORTH_A_LOOK || caches_waiting == 0
    fi
}

/* cds_list_del_rcu: walkers read only `next`, so one store is all they see of it. */
inline unlink()
{
    before = LIST_HEAD;
    do
    :: next[before] != cache -> before = next[before]
    :: else -> break
    od;
    next[before] = next[cache];
#ifdef UNLINK_CUTS
    next[cache] = LIST_HEAD;
#endif
    before = 0;
    for (i : 0 .. WALKERS - 1) {
        stays[OF(i, cache)] = false
    }
    i = 0
}

inline note_retired()
{
    place[cache] = RETIRED;
    caches_retired++;
    retired_bounded = caches_retired <= RETIRE_MAX;
    assert(retired_bounded)
}

/* mbi_registry_retire. */
inline retire(me)
{
    do
    :: acquire(registry_lock);
       atomic { reuse_retired(); room = caches_retired < RETIRE_MAX }
#ifdef LOOK_THEN_ADD
       release(registry_lock);
#endif
       if
       :: room ->
#ifdef LOOK_THEN_ADD
          acquire(registry_lock);
#endif
#ifdef LOOK_EARLY
          /* The look at the count comes first, and what was then seen is acted upon. */
          room = NOBODY_WALKS;
          atomic {
              unlink();
              note_retired();
              if
              :: room -> move_all(RETIRED, REUSABLE); caches_retired = caches_waiting
              :: else
              fi
          }
#else
          atomic { unlink(); note_retired() }
          reuse_retired_step();
#endif
          atomic {
              enough = caches_retired >= RETIRE_BATCH;
              room = false;
              release(registry_lock);
              break
          }
       :: !room ->
#ifndef LOOK_THEN_ADD
          release(registry_lock);
#endif
          wait_for_room(me)
       fi
    od;
    if
    :: enough ->
       enough = false;
       begin_reclaim();
       if
       :: begun -> grace_period(me); end_reclaim()
       :: else
       fi
    :: else
    fi
}

inline reuse_retired_step()
{
    atomic { reuse_retired() }
}

/* mbi_thread_start and thread_exit, LIVES times. */
proctype thread(byte me)
{
    byte lives = LIVES;
    byte cache;
    byte before;
    byte moved;
    byte i;
    bool room;
    bool enough;
    bool begun;
    bool ended;

    do
    :: lives > 0 ->
       take_cache();
       add();
       retire(me);
       atomic { cache = 0; lives-- }
    :: lives == 0 -> break
    od
}

inline find_no_reusable()
{
#ifndef IGNORE_REUSABLE
    no_reusable_found = at == LIST_HEAD;
    no_reusable_found = no_reusable_found || place[at] != REUSABLE;
    assert(no_reusable_found)
#else
    skip
#endif
}

inline begin_walk()
{
    caches_retired < RETIRE_MAX || walks == 0;
#ifndef NOT_COUNTED
    atomic {
        walks++;
#ifndef SAID_LATE
        count_without_rcu()
#endif
    }
#endif
}

inline end_walk()
{
#ifdef NOT_COUNTED
    skip
#else
    atomic {
        walks--;
        walks_without_rcu = walks_without_rcu - (rcu -> 0 : 1)
    }
#endif
}

/* can_register, which a walk may find false at any time. */
inline choose_rcu()
{
#ifdef NO_MEMORY
    if
    :: rcu = true
    :: rcu = false
    fi
#else
    skip
#endif
}

inline count_without_rcu()
{
    walks_without_rcu = walks_without_rcu + (rcu -> 0 : 1)
}

/* urcu_bp_read_lock and _unlock */
inline open_section(reader)
{
#ifdef WITHOUT_RCU
    skip
#else
    section_open[reader] = rcu
#endif
}

inline close_section(reader)
{
#ifdef WITHOUT_RCU
    skip
#else
    d_step {
        section_open[reader] = false;
        for (i : 0 .. THREADS - 1) {
            section_is_old[i * READERS + reader] = false
        }
        i = 0
    }
#endif
}

/* mbi_registry_walk: one turn of it. */
proctype walker(byte me)
{
    bool rcu = true;
    byte left = WALKS;
    byte at;
    byte i;

    do
    :: left > 0 ->
       choose_rcu();
#ifndef COUNTED_LATE
       begin_walk();
       open_section(me);
#endif
       atomic {
           at = next[LIST_HEAD];
           watched[me] = at;
           i = at;
           do /* what is listed at this moment */
           :: i != LIST_HEAD -> stays[OF(me, i)] = true; i = next[i]
           :: else -> break
           od;
           i = 0;
           find_no_reusable()
       }
#ifdef COUNTED_LATE
       begin_walk();
       open_section(me);
#endif
#ifdef SAID_LATE
       count_without_rcu();
#endif
#ifdef LEFT_EARLY
       end_walk();
#endif
       do
       :: atomic {
              at != LIST_HEAD ->
              stays[OF(me, at)] = false;
              visited_once = !visited[OF(me, at)];
#ifndef IGNORE_TWICE
              assert(visited_once);
#endif
              visited[OF(me, at)] = true
          }
          atomic {
              at = next[at];
              watched[me] = at;
              find_no_reusable()
          }
       :: atomic { at == LIST_HEAD -> break }
       od;
       atomic {
           for (i : 0 .. CACHES - 1) {
               all_visited = all_visited && !stays[OF(me, i)];
               visited[OF(me, i)] = false
           }
           assert(all_visited);
           i = 0;
           at = 0
       }
       close_section(me);
#ifndef LEFT_EARLY
       end_walk();
#endif
       left--
    :: left == 0 -> break
    od
}

/* A program that forks in a read-side section of its own: fork waits until nobody has the lock. */
proctype forker()
{
    bool rcu = true;
    byte i;

    open_section(WALKERS);
    acquire(registry_lock);
    release(registry_lock);
    close_section(WALKERS)
}

init {
    byte n;
    atomic {
        next[LIST_HEAD] = LIST_HEAD;
        for (n : 0 .. WALKERS - 1) {
            watched[n] = LIST_HEAD;
            run walker(n)
        }
        for (n : 0 .. THREADS - 1) {
            run thread(n)
        }
#ifndef NO_FORKER
        run forker();
#endif
        n = 0
    }
}
