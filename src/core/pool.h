/*
 * pool: what the threads share of one size class: its spans and its central free list.
 *
 * Ladder: above region and batch_stack. Callers: the thread caches; statistics.
 *
 *   span   | colour | carved, in lanes | committed, not carved | mapped, not committed | ....... |
 *          ^start   ^map.first         ^carve_next             ^commit_end       ^extent.mapped_end
 *
 * Fresh slots come from one span until it is used up, and then from the next: the spans before it
 * are carved to their ends, and nothing is carved of those behind it. What lies in lanes (below)
 * counts as carved when a thread gets it, or when it is sorted; until then only addresses say so.
 *
 * For every pool, at rest:
 *   slots of its spans up to carve_next = carved + in lanes
 *   carved = live + in magazines + parked + in the centre + loose + sorted + orphaned + quarantined
 *
 * A pool is all zeros until the first slow path wants a slot of it, which lays it out under its
 * lock. So sizes that a process does not use cost it no memory, and no time where all pools are
 * gone through. A thread that may be the first calls pool_for_use.
 *
 * A batch and a full magazine of the pool have the same number of rounds, fixed for the process.
 * Fewer slots (a thread's last ones) wait on the loose list. What lies in the centre unused grows
 * old (core/pool_sort.h); aged and surplus batches count as the centre's.
 */
#ifndef MEMORYBUCKET_CORE_POOL_H
#define MEMORYBUCKET_CORE_POOL_H

#include "core/batch_stack.h"
#include "core/counters.h"
#include "core/free_map.h"
#include "core/left_behind.h"
#include "core/lock.h"
#include "core/processors.h"

/*
 * The central free list has a stack of batches for each of the process's processors
 * (core/processors.h). More than CENTRAL_STACKS processors share stacks; one thread alone uses one.
 * A thread pushes to the stack of its processor, whose caches hold the memory; it pops there first,
 * and then from the others, of which it moves some batches to its own (pool_pop_oldest).
 */
enum { CENTRAL_STACKS = 8 };
_Static_assert((CENTRAL_STACKS & (CENTRAL_STACKS - 1)) == 0, "chosen by a mask");

/* One span of a pool. All of it is under the pool's lock. */
struct span {
    struct free_map map;  /* where its slots are, and those that are sorted */
    struct extent extent; /* what of it is mapped */
    char *carve_next;
    char *touched_end; /* of what was carved for use; slots behind it only fill a page up */
    char *commit_end;
};

static inline size_t span_carved_slots(const struct span *span)
{
    return (size_t)(span->carve_next - span->map.first) / span->map.slot_bytes;
}

/* What is shared of one size class. */
struct pool {
    /* Constant once the pool is laid out, but for space.carved_end, which carving moves. */
    _Alignas(ISOLATION_BYTES) struct slot_space space;
    uint32_t slot_bytes;
    uint16_t rounds; /* per magazine and batch */
    uint8_t class;
    _Atomic bool pushed; /* any batch yet: until then no thread touches the stacks' pages */
    struct batch_stack *central; /* the first of pool_stack; any thread, by atomic operations */

    /*
     * Written under the pool's lock (core/lock.h): by carving, trim, and threads that leave loose
     * slots or exit. The atomic ones are read without. Refills read only the lines above.
     */
    _Alignas(ISOLATION_BYTES) struct span spans[SPAN_COUNT];
    enum span_name carving; /* the span that fresh slots are carved from */
    uint16_t slots_seen;    /* low bits of pool_reserved_slots when the batches grew older last */
    _Atomic bool is_still;  /* it was the same the time before */
    uint64_t loose;         /* a chain, shorter than a batch */
    /* Lists of batches, from one central stack each: their first slots' numbers. */
    uint32_t aged[CENTRAL_STACKS];
    uint32_t surplus[CENTRAL_STACKS];
    _Atomic uint64_t ordered; /* of the sorted slots; they count as the centre's (core/order.h) */
    uint64_t ordered_min;     /* the fewest since the batches grew older last */
    /*
     * The slot number from which on all that is fresh lies in huge pages that came whole; 0: none.
     * relaxed [FRESH-WHOLE]: a thread that reads an old value makes a system call in vain, or takes
     * a few page faults.
     */
    _Atomic uint32_t whole_from;
    _Atomic uint64_t carved;   /* slots */
    _Atomic uint64_t in_lanes; /* slots that are not carved yet */
    POOL_SLOT_COUNTERS(POOL_SLOT_FIELD)
    POOL_BYTE_COUNTERS(COUNTER_FIELD)
    POOL_EVENT_COUNTERS(COUNTER_FIELD)
    /*
     * Slots that threads gave back in shorter chains than batches, less those of batches made of
     * loose slots: threads gave back `rounds` for each flush, and these. May wrap around below 0.
     */
    _Atomic uint64_t returned_loose;
    struct transfer_counts departed; /* of ended threads, and under the lock */
};
_Static_assert(offsetof(struct pool, central) + sizeof(struct batch_stack *) <= LINE_BYTES,
               "what each transfer reads of the constants is one line");
_Static_assert(SIZE_CLASS_COUNT - 1 <= UINT8_MAX && CHAIN_ROUNDS_MAX <= UINT16_MAX,
               "so a class and a magazine's rounds fit their bytes");

/* Fresh slots side by side, not yet written, in the hands of the thread that got the run. */
struct fresh_run {
    char *first;
    size_t rounds;
};

/*
 * In pool_memory.c. The stacks and lanes stand apart: most pools never use them. And one
 * processor's stacks stand together, for all pools: a machine has fewer processors than there are
 * stacks, as a rule, and the others' pages are never touched.
 *
 * A lane is what is left of a block of which only threads on one processor get whole batches of
 * fresh slots. Side by side, two processors' batches would meet every 16 KiB, and a processor that
 * fetches memory ahead, past the end of a batch, would take lines away from the other: in ten
 * threads' rounds (bench/speed/seed.c) that cost up to half of the time. There are no lanes while
 * one stack is in use. Under the pool's lock.
 */
extern MBI_HIDDEN struct pool mbi_pools[SIZE_CLASS_COUNT]; /* by index */
extern MBI_HIDDEN struct batch_stack mbi_pool_stacks[CENTRAL_STACKS * SIZE_CLASS_COUNT];
struct pool_lanes {
    _Alignas(ISOLATION_BYTES) struct fresh_run of[CENTRAL_STACKS];
};
extern MBI_HIDDEN struct pool_lanes mbi_pool_lanes[SIZE_CLASS_COUNT];

/*
 * Classes of odd numbers come first: malloc uses no others up to 1,024 bytes
 * (core/size_class.h). So those of the drop-in lie side by side, on half of the pages.
 */
#define POOL_INDEX(class) ((class) / 2 + ((class) % 2 == 0 ? SIZE_CLASS_COUNT / 2 : 0))

MBI_HOT_INLINE struct pool *pool_at(size_t class)
{
    return &mbi_pools[POOL_INDEX(class)];
}

static inline unsigned pool_index(const struct pool *pool)
{
    return (unsigned)(pool - mbi_pools);
}

/* Of a pool that is laid out or not. */
static inline unsigned pool_class(const struct pool *pool)
{
    unsigned index = pool_index(pool);
    unsigned odd = SIZE_CLASS_COUNT / 2;
    return index < odd ? 2 * index + 1 : 2 * (index - odd);
}

/* One of the CENTRAL_STACKS of a pool that is laid out. */
MBI_HOT_INLINE struct batch_stack *pool_stack(const struct pool *pool, size_t processor)
{
    return pool->central + processor * SIZE_CLASS_COUNT;
}

static inline struct fresh_run *pool_lanes(const struct pool *pool)
{
    return mbi_pool_lanes[pool_index(pool)].of;
}

static inline size_t pool_batch_bytes(const struct pool *pool)
{
    return (size_t)pool->rounds * pool->slot_bytes;
}

enum { POOL_BITS = 64, POOL_WORDS = (SIZE_CLASS_COUNT + POOL_BITS - 1) / POOL_BITS };

/* What every slow path reads and few write, in a line of its own. */
struct pools_hints {
    /*
     * Whether decay has anything to do: from a push to a pool's centre until all of the centre has
     * been used or given back. A thread that misses a change sees it at the next batch.
     */
    _Alignas(ISOLATION_BYTES) _Atomic bool pending;
    /* The process publishes its statistics; insight/export.c writes it, now and then. */
    _Atomic bool exporting;
    _Atomic unsigned central_mask; /* the stacks in use, less one */
    /* The pools that are laid out, a bit each; set under the pool's lock, and never cleared. */
    _Atomic uint64_t laid_out[POOL_WORDS];
};
extern MBI_HIDDEN struct pools_hints mbi_pools_hints;

/* The bits of the class's word from the class's on. */
MBI_HOT_INLINE uint64_t pools_laid_out_from(size_t class)
{
    /* acquire [LAID-LOAD]: pairs with [LAID-STORE], so that the pools' constants are seen. */
    uint64_t word = atomic_load_explicit(&mbi_pools_hints.laid_out[class / POOL_BITS],
                                         memory_order_acquire);
    return word >> class % POOL_BITS;
}

MBI_HOT_INLINE bool pool_is_laid_out(size_t class)
{
    return (pools_laid_out_from(class) & 1U) != 0;
}

/* The first class from `class` on whose pool is laid out; SIZE_CLASS_COUNT when there is none. */
static inline size_t pools_next(size_t class)
{
    for (; class < SIZE_CLASS_COUNT; class = round_down(class, POOL_BITS) + POOL_BITS) {
        uint64_t bits = pools_laid_out_from(class);
        if (bits != 0) {
            return class + (size_t)__builtin_ctzll(bits);
        }
    }
    return SIZE_CLASS_COUNT;
}

/* Lays the pool out, unless another thread has done so first; false when its lock is refused. */
bool mbi_pool_lay_out(size_t class);

/*
 * The pool of a class, for a thread that wants slots of it and may be the first; NULL when the lock
 * is refused (core/lock.h): then the pool counts as exhausted. Once the library is up.
 */
MBI_HOT_INLINE struct pool *pool_for_use(size_t class)
{
    bool is_whole = MBI_LIKELY(pool_is_laid_out(class)) || mbi_pool_lay_out(class);
    return is_whole ? pool_at(class) : NULL;
}

MBI_HOT_INLINE bool pools_pending(void)
{
    return flag_is_set(&mbi_pools_hints.pending);
}

MBI_HOT_INLINE bool pools_exporting(void)
{
    return MBI_UNLIKELY(flag_is_set(&mbi_pools_hints.exporting));
}

static inline void pools_set_pending(bool pending)
{
    if (pending != pools_pending()) {
        flag_set(&mbi_pools_hints.pending, pending);
    }
}

/*
 * Threads run on so many processors from now on. relaxed [SPREAD]: the number of stacks in use only
 * grows, and any number is right: it says where to begin, and how far to look.
 */
void mbi_pools_spread(unsigned processors);

MBI_HOT_INLINE unsigned central_mask(void)
{
    return atomic_load_explicit(&mbi_pools_hints.central_mask,
                                memory_order_relaxed); /* [SPREAD] */
}

/*
 * The stack and the lane where the thread begins: the rank of its processor, masked. While one is
 * in use nothing has to be asked.
 */
static inline unsigned central_here(void)
{
    unsigned mask = central_mask();
    return mask != 0 ? processor_rank(mbi_os_processor()) & mask : 0;
}

/*
 * A transfer: one CAS, or up to 15 where a pop finds nothing on its processor's own stack; no lock.
 * Pop returns 0 if the centre is empty. The caller tells centre.h.
 */
uint64_t mbi_pool_pop_batch(struct pool *pool, struct transfer_counts *counts);
void mbi_pool_push_batch(struct pool *pool, uint64_t chain, struct transfer_counts *counts);

/*
 * Serve a thread when neither its cache nor the centre has slots; each takes the pool's lock:
 *
 *   mbi_pool_obtain      for a refill, and mb_alloc_batch   a chain, or else a run of fresh slots
 *   mbi_pool_take_up_to  for a refill in a crowded process, and for a thread without a cache
 *
 * Obtain gives free slots in *chain, at most a batch, if there are any: loose ones, an aged batch,
 * or up to `rounds_wanted` sorted ones. Otherwise up to `rounds_wanted` fresh ones, which start and
 * end on a cache line. Neither when the pool is exhausted, the limit is reached, the kernel gives
 * no memory, or the lock is refused.
 */
struct fresh_run mbi_pool_obtain(struct pool *pool, size_t rounds_wanted, uint64_t *chain);

/* All bytes that the pool committed, given back or not; and its slots, in lanes or carved. */
static inline uint64_t pool_committed_ever(const struct pool *pool)
{
    return counter_read(&pool->committed_bytes) + counter_read(&pool->released_bytes);
}

static inline uint64_t pool_reserved_slots(const struct pool *pool)
{
    return counter_read(&pool->carved) + counter_read(&pool->in_lanes);
}

/* Whether so many fresh slots would have the pool commit one more block: about, without a lock. */
static inline bool pool_needs_block(const struct pool *pool, size_t rounds)
{
    return (pool_reserved_slots(pool) + rounds) * pool->slot_bytes > pool_committed_ever(pool);
}

/*
 * For slots of whole cache lines: a fresh one, all zeros but for what a program wrote past its
 * objects. NULL where loose, aged or sorted slots wait, and where there are no fresh ones.
 */
struct slot *mbi_pool_take_zeroed(struct pool *pool);

/*
 * Looks at a fresh slot's first word: 0, but for what a program wrote past its objects. Aborts at a
 * link: then the slot was freed before it was given out, and is in some magazine.
 */
static inline void pool_expect_fresh(const struct pool *pool, uint64_t word)
{
    if (MBI_UNLIKELY(word != 0) && slot_space_has(&pool->space, chain_first(word))
        && chain_rounds(word) < pool->rounds) {
        mbi_slot_space_corrupted(&pool->space, word);
    }
}

/*
 * Brings the pages of slots side by side into memory in one call of the kernel, where these are
 * several: that costs half of a fault for each (bench/compare.sh --only burst: 561 -> 446 ns). Not
 * those of slots larger than a page, of which their owner may use a part only.
 */
void mbi_pool_populate(const void *first, size_t slot_bytes, size_t rounds);

/*
 * Writes to each page of a fresh run, and expects fresh words there. Called before anything reads
 * the run: a read maps the kernel's page of zeros, and the write then faults a second time. The run
 * may be empty.
 */
void mbi_pool_touch_run(const struct pool *pool, struct fresh_run run);

/* Links a run of fresh slots in address order, at least one. */
uint64_t mbi_pool_link_run(const struct pool *pool, struct fresh_run run);

/*
 * Takes a chain of fewer rounds than a batch; when the loose slots make up a whole batch it goes
 * to the centre. Under the lock, and walks at most a batch. False, and nothing done, when the lock
 * is refused.
 */
bool mbi_pool_return_loose(struct pool *pool, uint64_t chain);

/*
 * Cuts the last `rounds` off a chain of more, and returns them. The first ones stay in it in their
 * order, and their words count less: they are walked.
 */
MBI_COLD uint64_t mbi_pool_cut(const struct pool *pool, uint64_t *chain, uint32_t rounds);

/*
 * Keeps the first `rounds` of a chain of more, a batch at most, in their order; the others become
 * loose. All of it comes back, those others in front, when the lock is refused.
 */
uint64_t mbi_pool_keep_first(struct pool *pool, uint64_t chain, uint32_t rounds);

/*
 * Adds the counts of a cache that goes away, or the slots lost in one, to the pool's. Under the
 * registry's lock, or in a child's only thread.
 */
void mbi_pool_fold_counts(struct pool *pool, const struct transfer_counts *counts);
void mbi_pool_add_orphans(struct pool *pool, size_t slots);

/* Committed bytes of the pool that are in memory now. Holds the lock only to read the bounds. */
size_t mbi_pool_resident_bytes(struct pool *pool);

/*
 * A chain of up to `rounds` slots, at most a batch, for a thread that may hold no more: loose ones,
 * or of a batch, sorted, or fresh. 0 where obtain gives nothing. Walks them under the lock.
 */
uint64_t mbi_pool_take_up_to(struct pool *pool, size_t rounds);

/* Frees one slot under the lock; where that is refused the slot waits among the deferred frees. */
void mbi_pool_free_direct(struct pool *pool, struct slot *slot);

/* The kernel refused the calling thread a commit; out_of_memory.c clears it. */
extern MBI_HIDDEN _Thread_local bool mbi_pool_commit_refused
    __attribute__((tls_model("initial-exec")));

/*
 * Frees slots that were freed while a fork kept their pools' locks closed, or by a signal handler
 * that interrupted the lock's holder. Until then they count as live. Slow paths and statistics call
 * this for what handlers left (left_behind.h).
 */
void mbi_pools_free_deferred(void);
extern MBI_HIDDEN struct left_behind mbi_pools_deferred;

MBI_HOT_INLINE bool pools_have_deferred(void)
{
    return left_behind_has_any(&mbi_pools_deferred);
}

/* False when the lock is refused (core/lock.h): under the trim lock only to a signal handler. */
bool mbi_pool_lock(struct pool *pool);
void mbi_pool_unlock(struct pool *pool);

/*
 * Up to `rounds_wanted` fresh slots. The first call is for slots that only fill a page up. The
 * second is for slots that threads use: whole batches come from lanes, and where foreign memory
 * ends a span early it goes on in the next one. The third gives what is left of some lane, or of
 * the huge page that was taken last, which has_idle finds out without the lock.
 */
struct fresh_run mbi_pool_carve_locked(struct pool *pool, size_t rounds_wanted);
struct fresh_run mbi_pool_carve_for_use_locked(struct pool *pool, size_t rounds_wanted);
struct fresh_run mbi_pool_carve_idle_locked(struct pool *pool, size_t rounds_max);
bool mbi_pool_has_idle(const struct pool *pool);

void mbi_pool_set_loose_locked(struct pool *pool, uint64_t chain);

static inline unsigned pool_lock_name(const struct pool *pool)
{
    return LOCK_POOLS + pool_index(pool);
}

/* The span that fresh slots are carved from. Under the lock. */
static inline struct span *pool_carved_span(struct pool *pool)
{
    return &pool->spans[pool->carving];
}

/* The span of a slot's number. */
static inline struct span *pool_span_of(struct pool *pool, uint64_t number)
{
    return &pool->spans[slot_space_span(&pool->space, number)];
}

/*
 * Where an address in one of the pool's spans lies; *into becomes how far inside its slot. Foreign
 * memory may lie where the pool has mapped nothing. Takes the lock.
 */
enum pool_location { POOL_SLOT_START, POOL_SLOT_INSIDE, POOL_NOT_CARVED, POOL_NOT_MAPPED };
enum pool_location mbi_pool_locate(struct pool *pool, const void *address, size_t *into);

/* Adds the tiles of the pool's spans to the bins, by how full they are (core/free_map.h). */
void mbi_pool_count_occupancy(struct pool *pool, uint64_t bins[OCCUPANCY_BINS]);

/*
 * Walks everything that the pool holds and checks it: every slot in its span, aligned, linked
 * once; batches full; counts true; or all zeros, if it is not laid out. Only while no other thread
 * uses the pool; for tests. Returns the number of slots in the centre, or SIZE_MAX after a message
 * that names what is wrong.
 */
size_t mbi_pool_check(struct pool *pool);

#endif
