/*
 * lists: the same batches in three central free lists, lock-free and behind two locks.
 *
 * Each batch carries its owner's mark; 0 is no thread. Callers: central_list, the one file
 * that includes this: the lists are static, so that each loop has its transfer inlined.
 */
#ifndef MEMORYBUCKET_BENCH_LISTS_H
#define MEMORYBUCKET_BENCH_LISTS_H

#include "core/batch_stack.h"
#include "report.h"

#include <pthread.h>
#include <string.h>

enum { SLOT_BYTES = 64, BATCHES = 64, ROUNDS_MAX = 256 };

/* PRIVATE is no list: threads keep their batch. */
enum list { TAGGED, MUTEX, SPINLOCK, PRIVATE, LISTS };
static const char *const list_names[LISTS] = { "tagged", "mutex", "spinlock", "private" };

/* Slot number 0 is no slot, so batch 0 begins one slot in. */
static _Alignas(ISOLATION_BYTES) char memory[(BATCHES * ROUNDS_MAX + 1) * SLOT_BYTES];
static const struct slot_space space = {
    .start = { memory }, .units = { sizeof memory / 8 }, .carved_end = sizeof memory / 8
};

static struct batch_stack tagged;

/* The lock and what it protects share a line, as suits a lock that is taken for so short. */
static struct {
    _Alignas(ISOLATION_BYTES) pthread_mutex_t lock;
    uint64_t head;
} mutex = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct {
    _Alignas(ISOLATION_BYTES) _Atomic uint32_t taken;
    uint64_t head;
} spinlock;

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

MBI_HOT_INLINE uint64_t *list_lock(enum list list, uint64_t *retries)
{
    if (list == MUTEX) {
        if (pthread_mutex_trylock(&mutex.lock) != 0) {
            ++*retries;
            pthread_mutex_lock(&mutex.lock);
        }
        return &mutex.head;
    }
    /* acquire: pairs with the release in list_unlock; relaxed while waiting, it only waits. */
    while (atomic_exchange_explicit(&spinlock.taken, 1, memory_order_acquire) != 0) {
        ++*retries;
        while (atomic_load_explicit(&spinlock.taken, memory_order_relaxed) != 0) {
            relax();
        }
    }
    return &spinlock.head;
}

MBI_HOT_INLINE void list_unlock(enum list list)
{
    if (list == MUTEX) {
        pthread_mutex_unlock(&mutex.lock);
    } else {
        atomic_store_explicit(&spinlock.taken, 0, memory_order_release);
    }
}

/* 0 when the list is empty. */
MBI_HOT_INLINE uint64_t list_pop(enum list list, uint32_t rounds, uint64_t *retries)
{
    if (list == TAGGED) {
            return batch_stack_pop(&tagged, &space, rounds, retries);
    }
    uint64_t *head = list_lock(list, retries);
    uint64_t number = *head;
    struct slot *first = slot_space_slot(&space, number);
    uint64_t packed = 0;
    if (number != 0) {
        packed = batch_read_packed(first);
        *head = packed >> SLOT_NUMBER_BITS;
    }
    list_unlock(list);
    return number != 0 ? batch_unpack(&space, first, packed, rounds) : 0;
}

MBI_HOT_INLINE void list_push(enum list list, uint64_t chain, uint64_t *retries)
{
    if (list == TAGGED) {
        batch_stack_push(&tagged, &space, chain, retries);
        return;
    }
    /* The reads of the chain come before the lock is taken. */
    struct slot *first = chain_first(chain);
    uint64_t first_number = slot_space_number(&space, first);
    uint64_t second_number = slot_space_number(&space, chain_first(first->rest));
    uint64_t *head = list_lock(list, retries);
    batch_write_packed(first, *head << SLOT_NUMBER_BITS | second_number);
    *head = first_number;
    list_unlock(list);
}

static char *batch_base(size_t batch, uint32_t rounds)
{
    return memory + (batch * rounds + 1) * SLOT_BYTES;
}

static size_t batch_of(uint64_t chain, uint32_t rounds)
{
    assert(rounds > 0);
    return ((size_t)((char *)chain_first(chain) - memory) / SLOT_BYTES - 1) / rounds;
}

/* In the second word of a batch's lowest slot, a line that the owner touches in any case. */
static _Atomic uint64_t *batch_mark(uint64_t chain, uint32_t rounds)
{
    return (_Atomic uint64_t *)(void *)(batch_base(batch_of(chain, rounds), rounds) + 8);
}

static uint64_t batch_make(size_t batch, uint32_t rounds)
{
    uint64_t chain = 0;
    for (uint32_t i = rounds; i-- > 0;) {
        char *slot = batch_base(batch, rounds) + i * SLOT_BYTES;
        chain = chain_push(chain, (struct slot *)(void *)slot);
    }
    atomic_store_explicit(batch_mark(chain, rounds), 0, memory_order_relaxed); /* one thread yet */
    return chain;
}

/* Each batch is there once, with all its slots, each once; leaves the list empty. */
static void check_and_empty(enum list list, uint32_t rounds)
{
    static bool seen[BATCHES * ROUNDS_MAX];
    memset(seen, 0, sizeof seen);
    uint64_t retries = 0;
    size_t slots = 0;
    for (uint64_t chain; (chain = list_pop(list, rounds, &retries)) != 0;) {
        size_t batch = batch_of(chain, rounds);
        uint64_t mark = atomic_load_explicit(batch_mark(chain, rounds), memory_order_relaxed);
        for (; chain != 0; chain = chain_first(chain)->rest, slots++) {
            size_t slot = (size_t)((char *)chain_first(chain) - memory) / SLOT_BYTES - 1;
            if (mark != 0 || slot / rounds != batch || seen[slot]) {
                report_die("%s: batch %zu is not as it was", list_names[list], batch);
            }
            seen[slot] = true;
        }
    }
    if (slots != (size_t)BATCHES * rounds) {
        report_die("%s: %zu slots of %zu are left", list_names[list], slots,
                   (size_t)BATCHES * rounds);
    }
}

#endif
