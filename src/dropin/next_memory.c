/*
 * dropin/next_memory: how much the C library's malloc keeps when it serves the large requests, and
 * when that goes back.
 *
 * Ladder: implements core/large.h, beside next.c, and reads the configuration.
 *
 * glibc gives the top of its heap back whenever a free leaves more than 128 KiB there. In a program
 * of its own, small objects hold the top in place. They are in our pools now, and so the heap would
 * shrink and grow with each large free: `git log -p` took 219,000 page faults. So glibc is told to
 * keep more, unless the user has told it something himself; what it keeps goes back when no large
 * objects came and went for a window, and with mb_trim.
 *
 * In the library's own form glibc's malloc is the program's, and its small objects are there: it is
 * left alone.
 */
#include "core/config.h"
#include "core/large.h"
#include "core/lock.h"
#include "core/os.h"
#include "dropin/next_symbol.h"

#include <errno.h>
#include <link.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/*
 * With any of these set glibc adapts its mmap threshold no more: it is what it would have grown to
 * at most, as a program that frees and allocates large buffers would suffer most from a lower one.
 * A larger pad makes no difference that was seen, but each thread's arena would commit it.
 */
enum {
    MIB = 1 << 20,
    TRIM_THRESHOLD_BYTES = 16 * MIB,
    TOP_PAD_BYTES = MIB,
    MMAP_THRESHOLD_BYTES = 32 * MIB,
};
/* What glibc keeps by itself at the top when it gives memory back. */
enum { KEEP_BYTES = 128 << 10 };

#define MILLISECOND_NS UINT64_C(1000000)
/* However short the window is, memory that is not used for this time is not needed now, not less. */
#define WINDOW_NS_MIN (100 * MILLISECOND_NS)
/* malloc_trim looks at every free chunk: it takes one part of so many of the time, at most. */
enum { TIME_PARTS = 100 };

typedef int mallopt_function(int, int);
typedef int malloc_trim_function(size_t);

/*
 * Written by threads that use large objects and by whoever gives memory back; times are of the
 * monotonic clock.
 * relaxed [NEXT-USED]: hints about time, and a function that can be called at any time.
 */
static struct {
    _Alignas(ISOLATION_BYTES) _Atomic uint64_t used_ns; /* large objects came and went */
    _Atomic uint64_t not_before_ns;                     /* memory goes back again */
    _Atomic(malloc_trim_function *) trim; /* NULL: the next allocator is not the C library's */
} next_memory;

struct large_hints mbi_large_hints;

static uint64_t time_read(_Atomic uint64_t *time)
{
    return atomic_load_explicit(time, memory_order_relaxed); /* [NEXT-USED] */
}

static void time_set(_Atomic uint64_t *time, uint64_t value)
{
    atomic_store_explicit(time, value, memory_order_relaxed); /* [NEXT-USED] */
}

static malloc_trim_function *trim_function(void)
{
    return atomic_load_explicit(&next_memory.trim, memory_order_relaxed); /* [NEXT-USED] */
}

static bool user_has_decided(void)
{
    static const char *const variables[] = { "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_",
                                             "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_" };
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        if (secure_getenv(variables[i]) != NULL) {
            return true;
        }
    }
    const char *tunables = secure_getenv("GLIBC_TUNABLES");
    return tunables != NULL && strstr(tunables, "glibc.malloc.") != NULL;
}

/* Not dladdr: that reads every symbol of the object, 25 microseconds each time in the C library's. */
struct two_functions {
    uintptr_t one;
    uintptr_t other;
};

static bool segment_has(const struct dl_phdr_info *object, size_t segment, uintptr_t address)
{
    const ElfW(Phdr) *header = &object->dlpi_phdr[segment];
    return header->p_type == PT_LOAD
           && address - (object->dlpi_addr + header->p_vaddr) < header->p_memsz;
}

/* 0 for objects that have none of the two, which goes on; then 2 when it has both, otherwise 1. */
static int count_functions(struct dl_phdr_info *object, size_t bytes, void *two_functions)
{
    (void)bytes;
    const struct two_functions *two = two_functions;
    int count = 0;
    for (size_t segment = 0; segment < object->dlpi_phnum; segment++) {
        count += segment_has(object, segment, two->one) + segment_has(object, segment, two->other);
    }
    return count;
}

/* Where two functions come from the same object; without one there is none. */
static bool in_same_object(void *one, void *other)
{
    struct two_functions two = { (uintptr_t)one, (uintptr_t)other };
    return one != NULL && other != NULL && dl_iterate_phdr(count_functions, &two) == 2;
}

static void tell(mallopt_function *set)
{
    (void)set(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES);
    (void)set(M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES);
    (void)set(M_TOP_PAD, TOP_PAD_BYTES);
}

/*
 * After the constructor that has the environment, and before other libraries' and the program's:
 * what they say to mallopt holds. Another allocator that was preloaded behind us has no mallopt of
 * glibc's kind, or one that does nothing.
 */
__attribute__((constructor(103))) static void next_memory_come_up(void)
{
    void *next_malloc = mbi_next_symbol("malloc");
    void *set = mbi_next_symbol("mallopt");
    void *trim = mbi_next_symbol("malloc_trim");
    if (!in_same_object(next_malloc, set) || !in_same_object(next_malloc, trim)) {
        return;
    }
    if (!user_has_decided()) {
        tell((mallopt_function *)(uintptr_t)set);
    }
    atomic_store_explicit(&next_memory.trim, (malloc_trim_function *)(uintptr_t)trim,
                          memory_order_relaxed); /* [NEXT-USED] */
}

/* A thread must not be cancelled in there: it would die with the C library's locks. */
static bool trim_now(malloc_trim_function *trim, size_t keep_bytes)
{
    int saved_errno = errno;
    int cancel_type = mbi_lock_defer_cancel();
    uint64_t begin_ns = mbi_os_clock_ns();
    bool gave = trim(keep_bytes) != 0;
    uint64_t end_ns = mbi_os_clock_ns();
    time_set(&next_memory.not_before_ns, end_ns + TIME_PARTS * (end_ns - begin_ns));
    mbi_lock_restore_cancel(cancel_type);
    errno = saved_errno;
    return gave;
}

bool mbi_large_give_back(void)
{
    malloc_trim_function *trim = trim_function();
    return trim != NULL && trim_now(trim, 0);
}

void mbi_large_note_use(void)
{
    if (trim_function() == NULL || mbi_config.decay_ms < 0) {
        return;
    }
    uint64_t now_ns = mbi_os_coarse_clock_ns();
    if (time_read(&next_memory.used_ns) != now_ns) {
        time_set(&next_memory.used_ns, now_ns);
    }
    if (!large_keeps()) {
        flag_set(&mbi_large_hints.keeps, true);
    }
}

static bool nobody_used_it_for_a_window(void)
{
    uint64_t window_ns = (uint64_t)mbi_config.decay_ms * MILLISECOND_NS;
    window_ns = window_ns > WINDOW_NS_MIN ? window_ns : WINDOW_NS_MIN;
    uint64_t now_ns = mbi_os_coarse_clock_ns();
    return now_ns >= time_read(&next_memory.used_ns) + window_ns
           && now_ns >= time_read(&next_memory.not_before_ns);
}

void mbi_large_decay(void)
{
    /* relaxed [NEXT-USED]: of those who come here at the same time one goes on. */
    if (large_keeps() && nobody_used_it_for_a_window()
        && atomic_exchange_explicit(&mbi_large_hints.keeps, false, memory_order_relaxed)) {
        (void)trim_now(trim_function(), KEEP_BYTES);
    }
}
