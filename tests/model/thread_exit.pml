/*
 * Threads come and go while walkers walk: the registry's lists, its locks and its grace periods.
 *
 * mirrors src/tcache/thread_exit.c: thread_exit mbi_thread_start
 * mirrors src/tcache/registry.c: mbi_registry_take_cache mbi_registry_add publish
 * mirrors src/tcache/registry.c: mbi_registry_retire reclaim_retired_locked grace_period
 * mirrors src/tcache/registry.c: mbi_registry_walk walk_once mbi_registry_totals
 * mirrors src/tcache/registry.c: mbi_registry_lock_all mbi_registry_unlock_all
 *
 * Shown: no cache is taken anew while a walker looks at it (not_under_a_walkers_eyes), nor does a
 * walker come upon one that could be (no_reusable_found); a walk visits every cache that was listed
 * all the time (all_visited), and none twice (visited_once), so it comes to an end; never more than
 * RETIRE_MAX caches are retired (retired_bounded), so there is always one to take (some_reusable);
 * nobody waits for ever (no invalid end state). With liburcu, without it (a forked child), and
 * where membarrier may come to be refused at any time.
 *
 * Abstracted
 *   A cache is its place on the lists; what it counts is in counted_once.pml, what it holds goes
 *   back before mbi_registry_retire and is stack.pml's.
 *   A grace period ends when every read-side section that had begun before it has ended: that is
 *   liburcu's promise. There is at most one section at a time, as the walker lock makes sure.
 *   A hold of the registry lock is one step: nobody waits inside one, and walkers, who do not take
 *   it for the list, see at most one of its stores. (A new cache's own link is the other, which
 *   nobody can see, as nobody is at a reusable cache.)
 *   RETIRE_BATCH and RETIRE_MAX are scaled down. Instead of fresh mappings there are as many caches
 *   as can ever be needed. Of the reusable, the one that a walker looks at is taken first, if there
 *   is such a one: the worst choice. The others do not differ.
 *   Each thread lives LIVES times, each walker walks WALKS times: so that whoever waits for ever is
 *   found, also while others go on.
 *   One more thread takes all locks, as fork does. The child has one thread: nothing runs at the
 *   same time as mbi_registry_reset_in_child.
 *
 * Switches: THREADS, LIVES, WALKERS, WALKS, RETIRE_BATCH, RETIRE_MAX; WITHOUT_RCU, REFUSED. These
 * break it: NO_GRACE, REUSE_AT_ONCE (no retire list), LOOK_THEN_ADD (the bound is looked at in one
 * hold of the lock and used in another), GRACE_UNDER_LOCK (the wait keeps the registry lock),
 * WALK_UNLOCKED (walkers without the walker lock, where it is all there is), UNLINK_CUTS (a removed
 * cache forgets what is behind it). IGNORE_TAKEN, IGNORE_REUSABLE and IGNORE_TWICE leave the checks
 * not_under_a_walkers_eyes, no_reusable_found and visited_once out, to see an error go further.
 *
 * variant with_rcu         holds
 * variant without_rcu      holds                           -DWITHOUT_RCU
 * variant refused          holds                           -DREFUSED
 * variant no_grace         fails not_under_a_walkers_eyes  -DNO_GRACE -DIGNORE_REUSABLE
 * variant reuse_at_once    fails not_under_a_walkers_eyes  -DREUSE_AT_ONCE -DIGNORE_REUSABLE
 * variant no_grace_child   fails not_under_a_walkers_eyes  -DNO_GRACE -DWITHOUT_RCU -DIGNORE_REUSABLE
 * variant walk_unlocked    fails not_under_a_walkers_eyes  -DWALK_UNLOCKED -DWITHOUT_RCU -DIGNORE_REUSABLE
 * variant visited_twice    fails visited_once              -DREUSE_AT_ONCE -DIGNORE_TAKEN -DIGNORE_REUSABLE
 * variant reusable_found   fails no_reusable_found         -DNO_GRACE -DIGNORE_TAKEN -DIGNORE_TWICE
 * variant unlink_cuts      fails all_visited               -DUNLINK_CUTS
 * variant look_then_add    fails retired_bounded           -DLOOK_THEN_ADD
 * variant grace_under_lock fails invalid.end.state         -DGRACE_UNDER_LOCK -DWITHOUT_RCU
 * variant batches_of_two   holds                           -DRETIRE_BATCH=2
 * deep    three_threads    holds                           -DTHREADS=3 -DLIVES=1 -DRETIRE_MAX=2 -DREFUSED
 * deep    two_walkers      holds                           -DWALKERS=2 -DREFUSED
 * deep    three_lives      holds                           -DLIVES=3 -DREFUSED -DRETIRE_BATCH=2 -DRETIRE_MAX=3
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
#define BATCHED 3 /* retired, and waiting for the grace period of a reclaimer */
byte place[CACHES];

/* The list of active caches: removal leaves a cache's own links as they are, as RCU lists do. */
byte next[CACHES + 1];
byte caches_retired;

bool registry_lock;
bool walker_lock;
bool reclaim_lock;

/* liburcu: a section is open; and it was when the present grace period began. */
bool section_open;
bool section_is_old;

/* Ghosts. */
bool not_under_a_walkers_eyes = true;
bool no_reusable_found = true;
bool all_visited = true;
bool visited_once = true;
bool retired_bounded = true;
bool some_reusable = true;
byte watched = LIST_HEAD; /* the cache that the walker is at */
bool stays[CACHES];       /* listed since the walk began, and not visited yet */
bool visited[CACHES];     /* in this walk */

#define acquire(lock) atomic { !lock -> lock = true }
#define release(lock) lock = false

/* mbi_registry_take_cache, without the mapping of fresh ones. */
inline take_cache()
{
    atomic {
        !registry_lock;
        cache = 0;
        if
        :: watched != LIST_HEAD && place[watched] == REUSABLE -> cache = watched
        :: else ->
           do
           :: cache < CACHES && place[cache] != REUSABLE -> cache++
           :: else -> break
           od
        fi;
        some_reusable = cache < CACHES;
        assert(some_reusable);
        place[cache] = TAKEN;
        not_under_a_walkers_eyes = watched != cache;
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

inline grace_period()
{
#ifndef NO_GRACE
    if
#ifndef WITHOUT_RCU
    :: section_is_old = section_open; /* urcu_bp_synchronize_rcu begins, */
       !section_is_old                /* and ends */
#endif
#if defined(WITHOUT_RCU) || defined(REFUSED)
    :: acquire(walker_lock);
       release(walker_lock)
#endif
    fi
#else
    skip
#endif
}

/* Marks all caches in one place as being in another: a list changes hands as a whole. */
inline move_all(from, to)
{
    for (moved : 0 .. CACHES - 1) {
        place[moved] = (place[moved] == from -> to : place[moved])
    }
    moved = 0
}

inline reclaim_retired()
{
    do
    :: atomic {
           !registry_lock;
           count = caches_retired;
           if
           :: count >= RETIRE_BATCH -> move_all(RETIRED, BATCHED)
           :: else -> count = 0; break
           fi;
#ifdef GRACE_UNDER_LOCK
           registry_lock = true
#endif
       }
       grace_period();
       atomic {
#ifdef GRACE_UNDER_LOCK
           registry_lock = false;
#endif
           !registry_lock;
           move_all(BATCHED, REUSABLE);
           caches_retired = caches_retired - count;
           count = 0
       }
    od
}

inline wait_for_room()
{
    acquire(reclaim_lock);
    reclaim_retired();
    release(reclaim_lock)
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
    stays[cache] = false
}

/* mbi_registry_retire. */
inline retire()
{
#ifdef LOOK_THEN_ADD
    do
    :: caches_retired >= RETIRE_MAX -> wait_for_room()
    :: caches_retired < RETIRE_MAX -> break
    od;
#endif
    do
#ifndef LOOK_THEN_ADD
    :: caches_retired >= RETIRE_MAX -> wait_for_room()
#endif
    :: atomic {
#ifndef LOOK_THEN_ADD
           caches_retired < RETIRE_MAX && !registry_lock;
#endif
           unlink();
#ifdef REUSE_AT_ONCE
           place[cache] = REUSABLE;
#else
           place[cache] = RETIRED;
           caches_retired++;
           retired_bounded = caches_retired <= RETIRE_MAX;
           assert(retired_bounded);
           enough = caches_retired >= RETIRE_BATCH;
#endif
           break
       }
    od;
    if
    :: atomic { enough && !reclaim_lock -> reclaim_lock = true }
       reclaim_retired();
       release(reclaim_lock)
    :: !enough || reclaim_lock
    fi;
    enough = false
}

/* mbi_thread_start and thread_exit, LIVES times. */
proctype thread()
{
    byte lives = LIVES;
    byte cache;
    byte before;
    byte count;
    byte moved;
    bool enough;

    do
    :: lives > 0 ->
       take_cache();
       add();
       retire();
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

/* mbi_registry_walk: one turn of it; `before` takes the registry lock. */
proctype walker()
{
    byte walks = WALKS;
    byte at;
    byte i;

    do
    :: walks > 0 ->
#ifndef WALK_UNLOCKED
       acquire(walker_lock);
#endif
       !registry_lock; /* mbi_registry_totals */
#ifndef WITHOUT_RCU
       section_open = true; /* urcu_bp_read_lock */
#endif
       atomic {
           at = next[LIST_HEAD];
           watched = at;
           i = at;
           do /* what is listed at this moment */
           :: i != LIST_HEAD -> stays[i] = true; i = next[i]
           :: else -> break
           od;
           i = 0;
           find_no_reusable()
       }
       do
       :: atomic {
              at != LIST_HEAD ->
              stays[at] = false;
              visited_once = !visited[at];
#ifndef IGNORE_TWICE
              assert(visited_once);
#endif
              visited[at] = true
          }
          atomic {
              at = next[at];
              watched = at;
              find_no_reusable()
          }
       :: atomic { at == LIST_HEAD -> break }
       od;
       atomic {
           for (i : 0 .. CACHES - 1) {
               all_visited = all_visited && !stays[i];
               visited[i] = false
           }
           assert(all_visited);
           i = 0;
           at = 0
       }
#ifndef WITHOUT_RCU
       atomic { section_open = false; section_is_old = false } /* urcu_bp_read_unlock */
#endif
#ifndef WALK_UNLOCKED
       release(walker_lock);
#endif
       walks--
    :: walks == 0 -> break
    od
}

/* mbi_registry_lock_all, mbi_registry_unlock_all. */
proctype forker()
{
    acquire(reclaim_lock);
    acquire(walker_lock);
    acquire(registry_lock);
    release(registry_lock);
    release(walker_lock);
    release(reclaim_lock)
}

init {
    byte n;
    atomic {
        next[LIST_HEAD] = LIST_HEAD;
        for (n : 1 .. THREADS) {
            run thread()
        }
        for (n : 1 .. WALKERS) {
            run walker()
        }
        run forker();
        n = 0
    }
}
