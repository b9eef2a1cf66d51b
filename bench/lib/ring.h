/*
 * ring: hands pointers from one thread to one other, 64 at a time, so that what is measured is the
 * allocator and not the hand-over.
 *
 * The ends publish by release stores and learn by acquire loads; each keeps to a line of its own.
 */
#ifndef MEMORYBUCKET_BENCH_RING_H
#define MEMORYBUCKET_BENCH_RING_H

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

/*
 * 64 KiB of objects of 64 bytes: those under way between four pairs of threads fit a second-level
 * cache. With 8192 slots an allocator that did nothing took as long as the fastest real ones.
 */
enum { RING_SLOTS = 1024, RING_CHUNK = 64 };

struct ring {
    _Alignas(128) _Atomic uint64_t written;
    _Alignas(128) _Atomic uint64_t read;
    _Alignas(128) void *slots[RING_SLOTS];
};

/* Room for one chunk behind `from`; gives the core away while there is none. */
static inline void **ring_write_begin(struct ring *ring, uint64_t from)
{
    while (from - atomic_load_explicit(&ring->read, memory_order_acquire)
           > RING_SLOTS - RING_CHUNK) {
        sched_yield();
    }
    return &ring->slots[from % RING_SLOTS];
}

static inline void ring_write_end(struct ring *ring, uint64_t from)
{
    atomic_store_explicit(&ring->written, from + RING_CHUNK, memory_order_release);
}

static inline void **ring_read_begin(struct ring *ring, uint64_t from)
{
    while (atomic_load_explicit(&ring->written, memory_order_acquire) == from) {
        sched_yield();
    }
    return &ring->slots[from % RING_SLOTS];
}

static inline void ring_read_end(struct ring *ring, uint64_t from)
{
    atomic_store_explicit(&ring->read, from + RING_CHUNK, memory_order_release);
}

#endif
