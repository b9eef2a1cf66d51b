/*
 * base: what every file of the library needs.
 *
 * Ladder: the lowest rung; includes only C and POSIX headers.
 * Callers: every module.
 */
#ifndef MEMORYBUCKET_CORE_BASE_H
#define MEMORYBUCKET_CORE_BASE_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MBI_LIKELY(x) __builtin_expect(!!(x), 1)
#define MBI_UNLIKELY(x) __builtin_expect(!!(x), 0)

#if defined(__SANITIZE_THREAD__)
#define MBI_THREAD_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MBI_THREAD_SANITIZED 1
#endif
#endif

/*
 * ThreadSanitizer does not look into an MBI_UNSEEN_BY_TSAN function; its comment says why. The
 * other two tell the tool of an order that liburcu makes. In other builds they do nothing.
 */
#ifdef MBI_THREAD_SANITIZED
#include <sanitizer/tsan_interface.h>
#define MBI_UNSEEN_BY_TSAN static __attribute__((noinline, unused, no_sanitize("thread")))
#define MBI_TSAN_PUBLISHES(address) __tsan_release(address)
#define MBI_TSAN_SEES_PUBLISHED(address) __tsan_acquire(address)
#else
#define MBI_UNSEEN_BY_TSAN static inline
#define MBI_TSAN_PUBLISHES(address) ((void)0)
#define MBI_TSAN_SEES_PUBLISHED(address) ((void)0)
#endif

/* A slow path: kept out of line so that the fast path ends in a tail call to it. */
#define MBI_COLD __attribute__((noinline, cold))
/* Unlike the rest of its file the shared libraries have the function where hardly any process runs
 * anything (sections.ld). */
#define MBI_SELDOM __attribute__((noinline, cold, section(".text.seldom")))
/* Stands at declarations, so that no access goes through the GOT. */
#define MBI_HIDDEN __attribute__((visibility("hidden")))
#define MBI_HOT_INLINE static inline __attribute__((always_inline))

/* A cache line of x86-64 and most aarch64 cores; 128, as some have longer ones or prefetch two. */
enum { LINE_BYTES = 64, ISOLATION_BYTES = 128 };

/*
 * A counter with one writer at a time (its owner, or the holder of its lock) and any number of
 * readers. relaxed [COUNT]: a statistic orders nothing; one writer makes load + store enough.
 * Readers see a recent value, and the exact one where something orders them after the writer.
 */
MBI_HOT_INLINE void counter_add(_Atomic uint64_t *counter, uint64_t amount)
{
    uint64_t old = atomic_load_explicit(counter, memory_order_relaxed); /* [COUNT] */
    atomic_store_explicit(counter, old + amount, memory_order_relaxed); /* [COUNT] */
}

static inline void counter_subtract(_Atomic uint64_t *counter, uint64_t amount)
{
    uint64_t old = atomic_load_explicit(counter, memory_order_relaxed); /* [COUNT] */
    atomic_store_explicit(counter, old - amount, memory_order_relaxed); /* [COUNT] */
}

/* Flags work alike: a thread that misses a change sees it later. */
MBI_HOT_INLINE bool flag_is_set(const _Atomic bool *flag)
{
    return atomic_load_explicit(flag, memory_order_relaxed); /* [FLAG] */
}

MBI_HOT_INLINE void flag_set(_Atomic bool *flag, bool value)
{
    atomic_store_explicit(flag, value, memory_order_relaxed); /* [FLAG] */
}

static inline void counter_clear(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, 0, memory_order_relaxed); /* [COUNT] */
}

MBI_HOT_INLINE uint64_t counter_read(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed); /* [COUNT] */
}

MBI_HOT_INLINE bool is_power_of_two(size_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

MBI_HOT_INLINE size_t size_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

MBI_HOT_INLINE size_t size_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* How much `a` is above `b`; 0 when it is not. */
MBI_HOT_INLINE size_t size_above(size_t a, size_t b)
{
    return a > b ? a - b : 0;
}

MBI_HOT_INLINE size_t round_up(size_t value, size_t power_of_two)
{
    assert(is_power_of_two(power_of_two));
    return (value + power_of_two - 1) & ~(power_of_two - 1);
}

MBI_HOT_INLINE size_t round_down(size_t value, size_t power_of_two)
{
    return value & ~(power_of_two - 1);
}

/* Reads the number at *text, and moves *text behind it; false without digits or with too many. */
bool mbi_read_number(const char **text, uint64_t *number);

/*
 * Writes "memorybucket: ", the text and a newline to stderr, with one write(2). Text beyond about
 * 250 bytes is cut. Knows %s, also with a precision in digits, %d, %u, %zu, %p and %#lx. May be
 * called inside malloc: it needs little stack.
 */
void mbi_message(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
