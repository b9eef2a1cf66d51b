/*
 * recorder: libmemorybucket-record.so, which mbrun --record preloads in front of the malloc in use.
 *
 * Ladder: above raw. Nothing of MemoryBucket itself is in it. It passes each call on to the next
 * malloc in link order, and writes down what it saw (raw.h). It prints nothing and allocates
 * nothing. Where mbrun falls behind, threads wait for it; where it stops, the program goes on.
 *
 * operator new and delete are not here: they call malloc and free, where they are the compiler's.
 * A child of fork is not recorded: in it, the page with `recording` is zeros.
 */
#include "trace/raw.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define COLD __attribute__((noinline, cold))
#define LIKELY(condition) __builtin_expect((condition), 1)
#define PER_THREAD _Thread_local __attribute__((tls_model("initial-exec")))

/* ---- the next malloc ---- */

static struct {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void *(*aligned_alloc)(size_t, size_t);
    void *(*memalign)(size_t, size_t);
    int (*posix_memalign)(void **, size_t, size_t);
    void *(*valloc)(size_t);
    void *(*pvalloc)(size_t);
    void (*free)(void *);
} next;
static atomic_bool found; /* `next` is whole */
static PER_THREAD bool is_finding;

/* What dlsym itself allocates; never freed. */
enum { BOOT_BYTES = 16 * 1024, BOOT_STEP = 16 };
static _Alignas(BOOT_STEP) char boot[BOOT_BYTES];
static atomic_size_t boot_used;

static void *boot_allocate(size_t bytes)
{
    size_t rounded = (bytes + 2 * BOOT_STEP - 1) & ~(size_t)(BOOT_STEP - 1); /* and never empty */
    /* relaxed [BOOT]: hands out disjoint ranges of untouched memory. */
    size_t at = bytes < BOOT_BYTES
                    ? atomic_fetch_add_explicit(&boot_used, rounded, memory_order_relaxed)
                    : BOOT_BYTES;
    if (at > BOOT_BYTES - BOOT_STEP || rounded > BOOT_BYTES - at) {
        errno = ENOMEM;
        return NULL;
    }
    return boot + at;
}

static bool is_boot(const void *pointer)
{
    return (uintptr_t)pointer - (uintptr_t)boot < BOOT_BYTES;
}

static COLD bool find_slow(void)
{
    if (is_finding) {
        return false;
    }
    is_finding = true;
#define FIND(name) *(void **)&next.name = dlsym(RTLD_NEXT, #name)
    FIND(malloc);
    FIND(calloc);
    FIND(realloc);
    FIND(aligned_alloc);
    FIND(memalign);
    FIND(posix_memalign);
    FIND(valloc);
    FIND(pvalloc);
    FIND(free);
#undef FIND
    is_finding = false;
    /* release [NEXT-STORE]: pairs with [NEXT-LOAD]. */
    atomic_store_explicit(&found, true, memory_order_release);
    return true;
}

/* False in a call that dlsym makes. */
static inline bool find(void)
{
    /* acquire [NEXT-LOAD]: pairs with [NEXT-STORE]. */
    return LIKELY(atomic_load_explicit(&found, memory_order_acquire)) || find_slow();
}

/* ---- where records go ---- */

/* A page of its own, which fork wipes. */
static struct {
    atomic_bool recording;
} off, *state = (void *)&off;

static struct raw_header *header;
static uint32_t clock_kind;
static uint32_t image;
static pthread_key_t key;

/* The calling thread's chunk; none at first, and after its end. */
static PER_THREAD struct {
    _Atomic uint64_t *next;
    _Atomic uint64_t *end; /* a long record fits while next < end */
    uint32_t slot;
} chunk;
static PER_THREAD uint64_t thread; /* its number, or 0 */
static PER_THREAD bool is_inside;  /* take_chunk */
static atomic_uint_least64_t threads;

/* For the whole process; what was written before is read. */
static COLD void stop(int error)
{
    /* relaxed [RECORDING]: a thread may write on as long as it has a chunk. */
    if (atomic_exchange_explicit(&state->recording, false, memory_order_relaxed) && error != 0) {
        header->error = error;
        /* release [STOP-STORE]: pairs with [STOP-LOAD], for the error. */
        atomic_store_explicit(&header->stopped, 1, memory_order_release);
    }
}

/* `next` moves on first: a signal handler that allocates writes behind this record. */
static inline void write_record(enum raw_kind kind, uint64_t time, uint64_t address, uint64_t size,
                                unsigned alignment_log)
{
    _Atomic uint64_t *record = chunk.next;
    bool is_long = kind == RAW_ALIGNED || !LIKELY(size < RAW_SIZE_LONG);
    chunk.next = record + (is_long ? RAW_LONG_WORDS : RAW_RECORD_WORDS);
    atomic_signal_fence(memory_order_seq_cst); /* [RECORD-STORE]: for the handler */
    if (is_long) {
        /* relaxed [RECORD-STORE]: the time below publishes both. */
        atomic_store_explicit(&record[2], size | (uint64_t)alignment_log << RAW_ALIGNMENT_SHIFT,
                              memory_order_relaxed);
    }
    uint64_t short_size = is_long ? (uint64_t)RAW_SIZE_LONG : size;
    atomic_store_explicit(&record[1], address | (uint64_t)kind << RAW_KIND_SHIFT
                                          | short_size << RAW_SIZE_SHIFT,
                          memory_order_relaxed);
    /* release [RECORD-STORE]: pairs with [RECORD-LOAD]. */
    atomic_store_explicit(&record[0], time | RAW_TIME_BIT, memory_order_release);
}

/* The thread's chunk is for mbrun alone now. */
static void leave_chunk(void)
{
    if (chunk.end != NULL) {
        chunk.next = chunk.end = NULL;
        /* relaxed [BACKLOG]: a bound, which may be passed by as many as there are threads. */
        atomic_fetch_add_explicit(&header->backlog, 1, memory_order_relaxed);
        /* release [CHUNK-STORE]: pairs with [CHUNK-LOAD]. */
        atomic_store_explicit(&header->slots[chunk.slot].state, RAW_DONE, memory_order_release);
    }
}

/* False where mbrun takes no more, or is there no more. */
static bool wait_for_reader(void)
{
    for (;;) {
        /* relaxed [BACKLOG]: raw_wait returns at once when one was read since. */
        uint32_t seen = atomic_load_explicit(&header->read, memory_order_relaxed);
        if (atomic_load_explicit(&header->stopped, memory_order_relaxed) != 0) { /* [BACKLOG] */
            return false;
        }
        if (atomic_load_explicit(&header->backlog, memory_order_relaxed) < RAW_BACKLOG_MAX) {
            return true; /* [BACKLOG] */
        }
        if (getppid() != header->recorder) {
            return false;
        }
        raw_wait(&header->read, seen, 50);
    }
}

/* A slot that is free, or RAW_CHUNKS where there is none. */
static uint32_t take_slot(void)
{
    /* acquire [SLOT-POP]: pairs with [SLOT-PUSH], for `next`, and that mbrun has read it. */
    uint64_t top = atomic_load_explicit(&header->free, memory_order_acquire);
    while ((uint32_t)top != 0 && (uint32_t)top <= RAW_CHUNKS) {
        uint32_t slot = (uint32_t)top - 1;
        /* relaxed [SLOT-POP]: what is no longer true, the count of changes tells. */
        uint64_t below = atomic_load_explicit(&header->slots[slot].next, memory_order_relaxed);
        uint64_t changed = ((top >> 32) + 1) << 32 | below;
        if (atomic_compare_exchange_weak_explicit(&header->free, &top, changed,
                                                  memory_order_acquire, memory_order_acquire)) {
            return slot; /* [SLOT-POP] */
        }
    }
    /* relaxed [BACKLOG]: hands out disjoint, untouched slots. */
    uint32_t fresh = atomic_load_explicit(&header->fresh, memory_order_relaxed);
    return fresh < RAW_CHUNKS
               ? atomic_fetch_add_explicit(&header->fresh, 1, memory_order_relaxed) /* [BACKLOG] */
               : RAW_CHUNKS;
}

/* A chunk for records from a time on, as the last one is full; false when there is none. */
static COLD bool take_chunk(uint64_t time)
{
    if (is_inside) {
        return false;
    }
    is_inside = true;
    int saved = errno;
    leave_chunk();
    uint32_t slot = wait_for_reader() ? take_slot() : RAW_CHUNKS;
    if (slot < RAW_CHUNKS) {
        if (thread == 0) {
            /* relaxed [BACKLOG]: only the number counts. */
            thread = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) + 1;
            pthread_setspecific(key, &thread);
        }
        _Atomic uint64_t *words = raw_chunk(header, slot);
        /* relaxed [CHUNK-STORE]: the state below publishes them. */
        uint32_t taken = atomic_fetch_add_explicit(&header->sequence, 1, memory_order_relaxed);
        atomic_store_explicit(&words[RAW_HEAD_THREAD], thread, memory_order_relaxed);
        atomic_store_explicit(&words[RAW_HEAD_SEQUENCE], taken, memory_order_relaxed);
        atomic_store_explicit(&words[RAW_HEAD_IMAGE], image, memory_order_relaxed);
        atomic_store_explicit(&words[RAW_HEAD_TAKEN], time, memory_order_relaxed);
        /* release [CHUNK-STORE]: pairs with [CHUNK-LOAD]. */
        atomic_store_explicit(&header->slots[slot].state, RAW_TAKEN, memory_order_release);
        chunk.slot = slot;
        chunk.next = words + RAW_CHUNK_HEAD;
        chunk.end = words + RAW_CHUNK_WORDS - RAW_LONG_WORDS;
        raw_wake(&header->sequence);
    } else {
        /* relaxed [BACKLOG]: mbrun's stop needs no error. */
        stop(atomic_load_explicit(&header->stopped, memory_order_relaxed) != 0 ? 0 : EAGAIN);
    }
    errno = saved;
    is_inside = false;
    return slot < RAW_CHUNKS;
}

static inline bool is_recording(void)
{
    /* relaxed [RECORDING]: see there. */
    return atomic_load_explicit(&state->recording, memory_order_relaxed);
}

static inline void record(enum raw_kind kind, uint64_t time, const void *pointer, uint64_t size,
                          unsigned alignment_log)
{
    if (LIKELY(chunk.next < chunk.end) || take_chunk(time)) {
        write_record(kind, time, (uintptr_t)pointer >> 3, size, alignment_log);
    }
}

/* After the allocation: see raw.h. */
static inline void *record_new(enum raw_kind kind, void *pointer, uint64_t size, size_t alignment)
{
    if (pointer != NULL && is_recording()) {
        unsigned log = alignment > 1 ? 64U - (unsigned)__builtin_clzl(alignment - 1) : 0;
        record(kind, raw_ticks(clock_kind), pointer, size, log);
    }
    return pointer;
}

/* Where another key's destructor still allocates, it does so as a new thread. */
static void thread_exits(void *unused)
{
    (void)unused;
    uint64_t time = raw_ticks(clock_kind);
    if (is_recording() && (chunk.next < chunk.end || take_chunk(time))) {
        write_record(RAW_EXIT, time, 0, 0, 0);
        leave_chunk();
    }
    thread = 0;
}

/* ---- malloc ---- */

EXPORT void *malloc(size_t size)
{
    return find() ? record_new(RAW_ALLOCATE, next.malloc(size), size, 0) : boot_allocate(size);
}

EXPORT void *calloc(size_t count, size_t size)
{
    if (!find()) {
        size_t bytes;
        return __builtin_mul_overflow(count, size, &bytes) ? NULL : boot_allocate(bytes);
    }
    return record_new(RAW_ZEROED, next.calloc(count, size), count * size, 0);
}

EXPORT void free(void *pointer)
{
    if (pointer == NULL || is_boot(pointer) || !find()) {
        return;
    }
    if (is_recording()) {
        record(RAW_FREE, raw_ticks(clock_kind), pointer, 0, 0);
    }
    next.free(pointer);
}

static void *boot_move(void *pointer, size_t size)
{
    void *moved = malloc(size);
    if (moved != NULL) {
        size_t most = (size_t)(boot + BOOT_BYTES - (char *)pointer);
        memcpy(moved, pointer, size < most ? size : most);
    }
    return moved;
}

EXPORT void *realloc(void *pointer, size_t size)
{
    if (pointer == NULL) {
        return malloc(size);
    }
    if (is_boot(pointer) || !find()) {
        return boot_move(pointer, size);
    }
    if (!is_recording()) {
        return next.realloc(pointer, size);
    }
    record(RAW_RESIZE_FROM, raw_ticks(clock_kind), pointer, 0, 0);
    void *moved = next.realloc(pointer, size);
    enum raw_kind kind = moved != NULL ? RAW_RESIZE_TO
                         : size == 0   ? RAW_RESIZE_FREED
                                       : RAW_RESIZE_FAILED;
    if (is_recording()) {
        record(kind, raw_ticks(clock_kind), moved != NULL ? moved : pointer, size, 0);
    }
    return moved;
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    return find() ? record_new(RAW_ALIGNED, next.aligned_alloc(alignment, size), size, alignment)
                  : NULL;
}

EXPORT void *memalign(size_t alignment, size_t size)
{
    return find() ? record_new(RAW_ALIGNED, next.memalign(alignment, size), size, alignment) : NULL;
}

EXPORT int posix_memalign(void **pointer, size_t alignment, size_t size)
{
    if (!find()) {
        return ENOMEM;
    }
    int error = next.posix_memalign(pointer, alignment, size);
    if (error == 0) {
        record_new(RAW_ALIGNED, *pointer, size, alignment);
    }
    return error;
}

EXPORT void *valloc(size_t size)
{
    size_t page = (size_t)getpagesize();
    return find() ? record_new(RAW_ALIGNED, next.valloc(size), size, page) : NULL;
}

EXPORT void *pvalloc(size_t size)
{
    size_t page = (size_t)getpagesize();
    size_t whole = (size + page - 1) & ~(page - 1);
    return find() ? record_new(RAW_ALIGNED, next.pvalloc(size), whole, page) : NULL;
}

/* ---- the beginning ---- */

/* The arguments, with spaces between. */
static void read_program(char *program, size_t bytes)
{
    int cmdline = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t length = cmdline < 0 ? 0 : read(cmdline, program, bytes - 1);
    if (cmdline >= 0) {
        close(cmdline);
    }
    length = length < 0 ? 0 : length;
    while (length > 0 && program[length - 1] == '\0') {
        length--;
    }
    for (ssize_t i = 0; i < length; i++) {
        program[i] = program[i] == '\0' ? ' ' : program[i];
    }
    program[length] = '\0';
}

/* The shared memory, when this process is the one to record. */
static struct raw_header *find_header(void)
{
    unsigned long long inode;
    int descriptor, process;
    struct stat status;
    const char *text = getenv(RAW_VARIABLE);
    if (text == NULL || sscanf(text, "%d %llu %d", &descriptor, &inode, &process) != 3
        || process != (int)getpid() || fstat(descriptor, &status) != 0 || status.st_ino != inode
        || status.st_size != (off_t)RAW_FILE_BYTES) {
        return NULL;
    }
    void *memory = mmap(NULL, RAW_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                        descriptor, 0);
    struct raw_header *found_header = memory != MAP_FAILED ? memory : NULL;
    return found_header != NULL && found_header->magic == RAW_MAGIC ? found_header : NULL;
}

/* The page that fork wipes: 0, or errno. */
static int prepare(void)
{
    size_t page = (size_t)getpagesize();
    void *wiped = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (wiped == MAP_FAILED || madvise(wiped, page, MADV_WIPEONFORK) != 0) {
        return errno;
    }
    (void)madvise(header, RAW_FILE_BYTES, MADV_DONTDUMP);
    state = wiped;
    return pthread_key_create(&key, thread_exits);
}

__attribute__((constructor)) static void begin(void)
{
    int saved = errno;
    header = find() ? find_header() : NULL;
    if (header != NULL) {
        clock_kind = header->clock;
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        header->start_ns = (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
        header->begin_ns = raw_monotonic_ns();
        header->begin_ticks = raw_ticks(clock_kind);
        read_program(header->program, sizeof header->program);
        header->error = prepare();
        /* release [STOP-STORE]: pairs with [STOP-LOAD], for all of the header above. */
        image = atomic_fetch_add_explicit(&header->images, 1, memory_order_release) + 1;
        if (header->error != 0) {
            /* release [STOP-STORE]: likewise. */
            atomic_store_explicit(&header->stopped, 1, memory_order_release);
        } else {
            /* relaxed [RECORDING]: before there are other threads, or late by as much as that. */
            atomic_store_explicit(&state->recording, true, memory_order_relaxed);
        }
    }
    errno = saved;
}
