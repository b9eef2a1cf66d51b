/*
 * dropin/next_memory: how much free memory the C library's malloc keeps for large requests, and
 * when it gives that back.
 *
 * Ladder: implements core/large.h, beside next.c, and reads the configuration.
 *
 * glibc gives the top of its heap back whenever a free leaves more than 128 KiB there. Without the
 * drop-in small objects pin the top; with it they are in our pools, and the heap would shrink and
 * grow with each large free: `git log -p` took 197,000 page faults. So glibc is told to keep more,
 * unless the user has configured it. What it keeps goes back when no large objects came and went
 * for a window, or after some windows in which they did, and with mb_trim.
 *
 * The library leaves glibc's malloc alone: it is the program's, with its small objects.
 */
#include "dropin/next_memory.h"

#include "core/config.h"
#include "core/large.h"
#include "core/lock.h"
#include "core/os.h"
#include "dropin/names.h"

#include <errno.h>
#include <link.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/*
 * glibc maps what is as large as its mmap threshold, and gives it back when it is freed. By its own
 * rule the threshold rises to the size of each such object that is freed, and with it, to the
 * double, what it keeps at the top; a call of mallopt ends that rule. Ours is slower: a program
 * that frees one large object after the other, each once, would have them in its heap, where holes
 * stay between those that live. When BUFFERS_MAPPED were freed, or so many bytes that to get their
 * pages anew counts, the threshold rises beyond the least of them: then such sizes come again, and
 * their pages shall stay.
 *
 * The top is kept, and the heap grows by steps of a MiB, only when FREES_FIRST large objects were
 * freed: before, there is little to gain. A larger pad made no measurable difference, and each
 * thread's arena would commit it.
 */
enum {
    MMAP_THRESHOLD_BYTES = 128 << 10, /* glibc's at the start */
    MMAP_THRESHOLD_BYTES_MAX = 32 * MIB,
    MMAP_THRESHOLD_ROOM = 8, /* it rises by so small a part more */
    TRIM_THRESHOLD_BYTES = 16 * MIB,
    TOP_PAD_BYTES = MIB,
    BUFFERS_MAPPED = 8,
    BUFFERS_MAPPED_BYTES = 64 * MIB,
    FREES_FIRST = 64,
};
/* What glibc by default keeps at the top when it gives memory back. */
enum { KEEP_BYTES = 128 << 10 };

#define MILLISECOND_NS UINT64_C(1000000)
/* Memory counts as unused after a window, but not before this time has passed. */
#define WINDOW_NS_MIN (100 * MILLISECOND_NS)
/*
 * While large objects come and go, all that is free goes back once in so many windows: a few of
 * them may need little of what many left behind. Fewer would have more of it come back at once.
 */
enum { WINDOWS_IN_USE = 10 };
/* malloc_trim looks at every free chunk, so it may take at most one part in so many of the time. */
enum { TIME_PARTS = 100 };

typedef void free_function(void *);
typedef size_t malloc_usable_size_function(void *);
typedef int mallopt_function(int, int);
typedef int malloc_trim_function(size_t);

/*
 * Written by threads that use large objects and by threads that give memory back. Times are those
 * of the monotonic clock.
 * relaxed [NEXT-USED]: hints about time.
 */
static struct {
    _Alignas(ISOLATION_BYTES) _Atomic uint64_t used_ns; /* when large objects last came and went */
    _Atomic uint64_t since_ns; /* when the first of them came after memory had gone back */
    _Atomic uint64_t not_before_ns; /* the earliest time at which memory may go back again */
    /* [FOUND] Written once, by the constructor. 0: the next allocator is not the C library's. */
    _Atomic uintptr_t trim; /* malloc_trim */
    _Atomic uintptr_t mallopt;
    _Atomic uintptr_t free;
    _Atomic uintptr_t malloc_usable_size;
    /* [NEXT-USED] Set by the constructor; the program's mallopt clears it. */
    _Atomic bool decides;
} next_memory;

/*
 * What free_watching counts.
 * relaxed [NEXT-USED]: of what two threads count at the same time a part may be lost.
 */
static struct {
    _Alignas(ISOLATION_BYTES) _Atomic size_t threshold_bytes; /* what glibc was told last */
    _Atomic size_t least_bytes; /* of the buffers, which are at least as large as that */
    _Atomic size_t buffers;     /* freed since the threshold rose */
    _Atomic size_t bytes;       /* the same in bytes */
    _Atomic size_t frees;       /* up to FREES_FIRST */
} watched = { .threshold_bytes = MMAP_THRESHOLD_BYTES, .least_bytes = SIZE_MAX };

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
    return FOUND(malloc_trim_function, next_memory.trim);
}

bool mbi_next_is_c_library(void)
{
    return trim_function() != NULL;
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

enum { FREE, MALLOC_USABLE_SIZE, MALLOPT, MALLOC_TRIM, FUNCTIONS };

/*
 * For dl_iterate_phdr, which a result of 1 ends: whether all of the functions lie in the object.
 * Other ways to tell cost more. dladdr reads every symbol, 25 microseconds a call. dlopen allocates
 * a handle: 17 page faults more in a process that does nothing else.
 */
static int holds_all(struct dl_phdr_info *object, size_t bytes, void *functions)
{
    (void)bytes;
    int held = 0;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        for (int which = 0; segment->p_type == PT_LOAD && which < FUNCTIONS; which++) {
            uintptr_t function = ((const uintptr_t *)functions)[which];
            held += function - (object->dlpi_addr + segment->p_vaddr) < segment->p_memsz;
        }
    }
    return held == FUNCTIONS;
}

static size_t count_read(_Atomic size_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed); /* [NEXT-USED] */
}

static void count_set(_Atomic size_t *count, size_t value)
{
    atomic_store_explicit(count, value, memory_order_relaxed); /* [NEXT-USED] */
}

static void tell(int parameter, size_t bytes)
{
    (void)FOUND(mallopt_function, next_memory.mallopt)(parameter, (int)bytes);
}

/* The top of a heap keeps twice what may be freed there at once. */
static MBI_COLD void keep_top(void)
{
    size_t threshold_bytes = count_read(&watched.threshold_bytes);
    count_set(&watched.frees, FREES_FIRST);
    tell(M_TOP_PAD, TOP_PAD_BYTES);
    tell(M_TRIM_THRESHOLD, size_max(TRIM_THRESHOLD_BYTES, 2 * threshold_bytes));
}

/*
 * Ends free_watching: nothing is left to look for. Before the constructor nothing was. relaxed
 * [NEXT]: a thread that does not see it yet looks at some more frees.
 */
static MBI_COLD void stop_watching(void)
{
    free_function *next = FOUND(free_function, next_memory.free);
    if (next != NULL) {
        atomic_store_explicit(&mbi_next.free, next, memory_order_relaxed); /* [NEXT] */
    }
}

static MBI_COLD void raise_threshold(size_t least_bytes)
{
    size_t threshold_bytes = least_bytes + least_bytes / MMAP_THRESHOLD_ROOM;
    threshold_bytes = size_min(threshold_bytes, MMAP_THRESHOLD_BYTES_MAX);
    if (threshold_bytes <= count_read(&watched.threshold_bytes)) { /* another thread was here */
        return;
    }
    count_set(&watched.threshold_bytes, threshold_bytes);
    tell(M_MMAP_THRESHOLD, threshold_bytes);
    keep_top();
    if (threshold_bytes == MMAP_THRESHOLD_BYTES_MAX) {
        stop_watching();
    }
}

/* An object is freed that is as large as the threshold, and so mapped, as a rule. */
static void note_buffer(size_t size_bytes)
{
    size_t least_bytes = size_min(count_read(&watched.least_bytes), size_bytes);
    size_t buffers = count_read(&watched.buffers) + 1;
    size_t bytes = count_read(&watched.bytes) + size_bytes;
    bool again = buffers >= BUFFERS_MAPPED || bytes >= BUFFERS_MAPPED_BYTES;
    count_set(&watched.least_bytes, again ? SIZE_MAX : least_bytes);
    count_set(&watched.buffers, again ? 0 : buffers);
    count_set(&watched.bytes, again ? 0 : bytes);
    if (again) {
        raise_threshold(least_bytes);
    }
}

/* Stands in for the next free, until it has nothing more to tell glibc, or may not. */
static void free_watching(void *pointer)
{
    size_t size_bytes = FOUND(malloc_usable_size_function, next_memory.malloc_usable_size)(pointer);
    size_t frees = count_read(&watched.frees);
    if (MBI_UNLIKELY(size_bytes >= count_read(&watched.threshold_bytes))
        && size_bytes < MMAP_THRESHOLD_BYTES_MAX && flag_is_set(&next_memory.decides)) {
        note_buffer(size_bytes);
    }
    if (MBI_UNLIKELY(frees < FREES_FIRST) && flag_is_set(&next_memory.decides)) {
        count_set(&watched.frees, frees + 1);
        if (frees + 1 == FREES_FIRST) {
            keep_top();
        }
    }
    FOUND(free_function, next_memory.free)(pointer);
}

/* The C library's; but what the program says of its heap holds from here on. */
EXPORT int mallopt(int parameter, int value)
{
    if (parameter == M_TRIM_THRESHOLD || parameter == M_TOP_PAD || parameter == M_MMAP_THRESHOLD
        || parameter == M_MMAP_MAX) {
        flag_set(&next_memory.decides, false);
        stop_watching();
    }
    mallopt_function *next = (mallopt_function *)mbi_next_symbol("mallopt");
    return next != NULL ? next(parameter, value) : 0;
}

/*
 * Runs after the constructor that reads the environment, and before those of other libraries and of
 * the program, so their calls of mallopt prevail. An allocator that was preloaded behind the
 * drop-in has no mallopt of its own, or one that does nothing.
 *
 * glibc's fork takes the locks of its malloc only if that was used before, and a thread may need it
 * for the first time while another one forks. mallopt counts as a use, and touches no heap.
 */
__attribute__((constructor(103))) static void next_memory_come_up(void)
{
    uintptr_t functions[] = {
        [FREE] = mbi_next_symbol("free"),
        [MALLOC_USABLE_SIZE] = mbi_next_symbol("malloc_usable_size"),
        [MALLOPT] = mbi_next_symbol("mallopt"),
        [MALLOC_TRIM] = mbi_next_symbol("malloc_trim"),
    };
    bool is_glibc = dl_iterate_phdr(holds_all, functions) != 0;
    if (is_glibc) {
        found_set(&next_memory.free, functions[FREE]);
        found_set(&next_memory.malloc_usable_size, functions[MALLOC_USABLE_SIZE]);
        found_set(&next_memory.mallopt, functions[MALLOPT]);
        found_set(&next_memory.trim, functions[MALLOC_TRIM]);
    }
    if (is_glibc && !user_has_decided()) {
        tell(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES);
        flag_set(&next_memory.decides, true);
        atomic_store_explicit(&mbi_next.free, free_watching, memory_order_relaxed); /* [NEXT] */
    } else {
        mbi_large_free(mbi_large_alloc(POOL_BYTES_MAX + 1));
    }
}

/* Defers cancellation: a thread cancelled in malloc_trim would keep the C library's locks. */
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

static bool is_due(uint64_t now_ns)
{
    uint64_t window_ns = size_max((size_t)mbi_config.decay_ms * MILLISECOND_NS, WINDOW_NS_MIN);
    return now_ns >= time_read(&next_memory.not_before_ns)
           && (now_ns >= time_read(&next_memory.used_ns) + window_ns
               || now_ns >= time_read(&next_memory.since_ns) + WINDOWS_IN_USE * window_ns);
}

/* relaxed [NEXT-USED]: of several threads that come here at the same time one goes on. */
static void give_back_if_due(uint64_t now_ns)
{
    if (large_keeps() && is_due(now_ns)
        && atomic_exchange_explicit(&mbi_large_hints.keeps, false, memory_order_relaxed)) {
        (void)trim_now(trim_function(), KEEP_BYTES);
    }
}

void mbi_large_note_use(void)
{
    if (trim_function() == NULL || mbi_config.decay_ms < 0) {
        return;
    }
    uint64_t now_ns = mbi_os_coarse_clock_ns();
    if (time_read(&next_memory.used_ns) != now_ns) {
        time_set(&next_memory.used_ns, now_ns);
        give_back_if_due(now_ns);
    }
    if (!large_keeps()) {
        time_set(&next_memory.since_ns, now_ns);
        flag_set(&mbi_large_hints.keeps, true);
    }
}

void mbi_large_decay(void)
{
    give_back_if_due(mbi_os_coarse_clock_ns());
}
