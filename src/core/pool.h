/*
 * pool: what the threads share of one size class: its span, its central free list, its blocks.
 *
 * Ladder: above region and batch_stack. Callers: the thread caches; statistics.
 *
 *   span   | colour | carved ............ | committed, not carved | reserved ............ |
 *          ^span    ^first slot           ^carve_next             ^commit_end             ^carve_end
 *
 * For every pool, at rest:
 *   carved = live + in magazines + in the centre + loose + orphaned
 *
 * A batch and a full magazine of the pool have the same number of rounds, fixed for the process.
 * Slots that do not make up a batch (a thread's last ones) wait on the loose list, at most one
 * batch less one.
 */
#ifndef MEMORYBUCKET_CORE_POOL_H
#define MEMORYBUCKET_CORE_POOL_H

#include "core/batch_stack.h"
#include "core/lock.h"

/* Transfers between threads and the centre, one record per thread cache and pool. */
struct transfer_counts {
    _Atomic uint64_t refills; /* batches popped */
    _Atomic uint64_t flushes; /* batches pushed */
    _Atomic uint64_t cas_retries;
};

static inline void transfer_counts_clear(struct transfer_counts *counts)
{
    counter_clear(&counts->refills);
    counter_clear(&counts->flushes);
    counter_clear(&counts->cas_retries);
}

/*
 * The central free list is one stack of batches for each processor, up to CENTRAL_STACKS, and then
 * for each few. A thread pushes to the one of the processor it runs on, and pops there first, so
 * that memory stays near the processor whose caches hold it; an empty stack sends it to the others.
 */
enum { CENTRAL_STACKS = 8 };
_Static_assert((CENTRAL_STACKS & (CENTRAL_STACKS - 1)) == 0, "chosen by a mask");

/* What is shared of one size class. */
struct pool {
    struct batch_stack central[CENTRAL_STACKS]; /* any thread, by atomic operations */

    /* Constant once the library is initialised. */
    struct slot_space space;
    size_t class;
    size_t slot_bytes;
    uint32_t rounds; /* per magazine and batch */
    unsigned central_mask; /* the stacks in use, less one */

    /*
     * Written under the lock, by whoever carves, leaves loose slots or exits; the atomic ones are
     * read without. In lines of its own: refills elsewhere read only the constants above.
     */
    _Alignas(ISOLATION_BYTES) struct lock lock;
    char *carve_next;
    char *commit_end;
    char *carve_end; /* end of the last whole slot of the tier in use */
    bool wide;       /* carving from the wide span */
    uint64_t loose;  /* a chain, shorter than a batch */
    _Atomic uint64_t loose_rounds;
    _Atomic uint64_t carved;   /* slots */
    _Atomic uint64_t orphaned; /* slots lost in other threads' caches by a fork */
    _Atomic uint64_t committed_bytes;
    _Atomic uint64_t mutex_acquisitions;
    struct transfer_counts departed; /* of threads that exited or have no cache */
};

/* Fresh slots, contiguous and not yet written, which belong to whoever got the run. */
struct slot_run {
    char *first;
    size_t rounds;
};

extern MBI_HIDDEN struct pool mbi_pools[SIZE_CLASS_COUNT];

/* Lays the pools out in the region. Called once, under the init lock. */
void mbi_pools_init(void);

/* One whole batch from or to the centre: one exchange, no lock. Pop returns 0 when empty. */
uint64_t mbi_pool_pop_batch(struct pool *pool, struct transfer_counts *counts);
void mbi_pool_push_batch(struct pool *pool, uint64_t chain, struct transfer_counts *counts);

/*
 * The slow source, under the pool's lock: the loose slots, as a chain in *loose, if there are any,
 * and otherwise up to `rounds_wanted` fresh ones, which start and end on a cache line. Neither when
 * the pool is exhausted or the kernel gives no memory.
 */
struct slot_run mbi_pool_obtain(struct pool *pool, size_t rounds_wanted, uint64_t *loose);

/* Links a run of fresh slots in address order, at least one. */
uint64_t mbi_pool_link_run(const struct pool *pool, struct slot_run run);

/*
 * Takes a chain of fewer rounds than a batch; when the loose slots make up a whole batch it goes
 * to the centre. Under the lock, and walks at most a batch.
 */
void mbi_pool_return_loose(struct pool *pool, uint64_t chain);

/* Adds the counts of a cache that is going away, or the slots lost in one, to the pool's. */
void mbi_pool_fold_counts(struct pool *pool, const struct transfer_counts *counts);
void mbi_pool_add_orphans(struct pool *pool, size_t slots);

/* Bytes of the pool's committed memory that are in memory now. Takes the lock to learn the bounds
 * only. */
size_t mbi_pool_resident_bytes(struct pool *pool);

/*
 * One slot for a thread that has no cache. Both take the lock. Alloc returns NULL as obtain does.
 */
struct slot *mbi_pool_alloc_direct(struct pool *pool);
void mbi_pool_free_direct(struct pool *pool, struct slot *slot);

/*
 * Walks everything that the pool holds and checks it: every slot in its span, aligned, linked
 * once; batches full; counts true. Only while no other thread uses the pool; for tests. Returns
 * the number of slots in the centre, or SIZE_MAX after a message that names what is wrong.
 */
size_t mbi_pool_check(struct pool *pool);

#endif
