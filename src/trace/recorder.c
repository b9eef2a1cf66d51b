/*
 * recorder: libmemorybucket-record.so, which mbrun --record preloads in front of the malloc in use.
 *
 * Ladder: above raw. Nothing of MemoryBucket itself is in it. It passes each call on to the next
 * malloc in link order, and writes down what it saw (raw.h). It prints nothing and allocates
 * nothing; where it cannot write any more it stops, and the program goes on.
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

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

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
static atomic_bool found; /* release and acquire: `next` is whole */
static PER_THREAD bool is_finding;

/* What dlsym itself allocates; never freed. */
enum { BOOT_BYTES = 16 * 1024, BOOT_STEP = 16 };
static _Alignas(BOOT_STEP) char boot[BOOT_BYTES];
static atomic_size_t boot_used;

static void *boot_allocate(size_t bytes)
{
    size_t rounded = (bytes + 2 * BOOT_STEP - 1) & ~(size_t)(BOOT_STEP - 1); /* and never empty */
    size_t at = bytes < BOOT_BYTES ? atomic_fetch_add(&boot_used, rounded) : BOOT_BYTES;
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
    atomic_store_explicit(&found, true, memory_order_release);
    return true;
}

/* False in a call that dlsym makes. */
static inline bool find(void)
{
    return LIKELY(atomic_load_explicit(&found, memory_order_acquire)) || find_slow();
}

/* ---- where records go ---- */

/* A page of its own, which fork wipes. All threads stop together. */
static struct {
    atomic_bool recording;
} off, *state = (void *)&off;

static struct raw_header *header;
static char *file; /* all of it, mapped */
static uint32_t clock_kind;
static pthread_key_t key;

/* The calling thread's chunk; empty at first. */
static PER_THREAD struct chunk {
    uint64_t *next;
    uint64_t *end; /* a long record fits while next < end */
} chunk;
static PER_THREAD uint64_t thread;
static PER_THREAD bool is_inside; /* of slow paths */
static atomic_uint_least64_t threads;

/* Of threads that ended. Those that do not fit stay unused. */
enum { PARKED_MAX = 256 };
static pthread_mutex_t parked_lock = PTHREAD_MUTEX_INITIALIZER;
static struct chunk parked[PARKED_MAX];
static size_t parked_count;

static COLD void stop(int error)
{
    if (atomic_exchange(&state->recording, false)) {
        header->stop_error = error;
        atomic_store(&header->stop_ticks, raw_ticks(clock_kind));
    }
}

/* `next` moves on first: a signal handler that allocates writes behind this record. */
static void write_record(enum raw_kind kind, uint64_t time, uint64_t address, uint64_t size,
                         unsigned alignment_log)
{
    uint64_t *record = chunk.next;
    bool is_long = size >= RAW_SIZE_LONG || kind == RAW_ALIGNED;
    chunk.next = record + (is_long ? RAW_LONG_WORDS : RAW_RECORD_WORDS);
    atomic_signal_fence(memory_order_seq_cst);
    if (is_long) {
        record[2] = size | (uint64_t)alignment_log << RAW_ALIGNMENT_SHIFT;
    }
    record[1] = address | (uint64_t)kind << RAW_KIND_SHIFT
                | (is_long ? (uint64_t)RAW_SIZE_LONG : size) << RAW_SIZE_SHIFT;
    atomic_signal_fence(memory_order_seq_cst);
    *(volatile uint64_t *)record = time;
}

static bool take_parked(void)
{
    pthread_mutex_lock(&parked_lock);
    bool is_there = parked_count > 0;
    if (is_there) {
        chunk = parked[--parked_count];
    }
    pthread_mutex_unlock(&parked_lock);
    return is_there;
}

static bool take_new(void)
{
    uint64_t at = atomic_fetch_add(&header->used_bytes, RAW_CHUNK_BYTES);
    if (at > header->file_bytes || header->file_bytes - at < RAW_CHUNK_BYTES) {
        stop(0);
        return false;
    }
    /* Has the file's blocks now. Where there are none, it fails; a store would raise SIGBUS. */
    if (madvise(file + at, RAW_CHUNK_BYTES, MADV_POPULATE_WRITE) != 0 && errno != EINVAL) {
        stop(errno == EFAULT ? ENOSPC : errno);
        return false;
    }
    chunk.next = (uint64_t *)(void *)(file + at);
    chunk.end = chunk.next + RAW_CHUNK_BYTES / sizeof(uint64_t) - RAW_LONG_WORDS;
    return true;
}

/* A chunk for the thread, whose last one is full; false when there is none. */
static COLD bool take_chunk(void)
{
    if (is_inside) {
        return false;
    }
    is_inside = true;
    int saved = errno;
    if (chunk.end != NULL) {
        uintptr_t begin = ((uintptr_t)chunk.end - 1) & ~(uintptr_t)(RAW_CHUNK_BYTES - 1);
        madvise((void *)begin, RAW_CHUNK_BYTES, MADV_DONTNEED); /* from the mapping, not the file */
        chunk = (struct chunk){ 0 };
    }
    bool is_taken = take_parked() || take_new();
    if (is_taken) {
        if (thread == 0) {
            thread = atomic_fetch_add(&threads, 1) + 1;
            pthread_setspecific(key, &thread);
        }
        write_record(RAW_OWNER, raw_ticks(clock_kind), thread, 0, 0);
    }
    errno = saved;
    is_inside = false;
    return is_taken;
}

static inline bool is_recording(void)
{
    return LIKELY(atomic_load_explicit(&state->recording, memory_order_relaxed));
}

static inline void record(enum raw_kind kind, uint64_t time, const void *pointer, uint64_t size,
                          unsigned alignment_log)
{
    if (LIKELY(chunk.next < chunk.end) || take_chunk()) {
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

static void thread_exits(void *unused)
{
    (void)unused;
    if (is_recording() && chunk.next < chunk.end) {
        write_record(RAW_EXIT, raw_ticks(clock_kind), 0, 0, 0);
        pthread_mutex_lock(&parked_lock);
        if (chunk.next < chunk.end && parked_count < PARKED_MAX) {
            parked[parked_count++] = chunk;
        }
        pthread_mutex_unlock(&parked_lock);
    }
    /* Where another key's destructor still allocates, it does so as a new thread. */
    chunk = (struct chunk){ 0 };
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

/* The file's header, when this process is the one to record. */
static struct raw_header *find_header(int *descriptor)
{
    unsigned long long inode;
    int process;
    struct stat status;
    const char *text = getenv(RAW_VARIABLE);
    if (text == NULL || sscanf(text, "%d %llu %d", descriptor, &inode, &process) != 3
        || process != (int)getpid() || fstat(*descriptor, &status) != 0
        || status.st_ino != inode || !S_ISREG(status.st_mode)) {
        return NULL;
    }
    void *page = mmap(NULL, sizeof *header, PROT_READ | PROT_WRITE, MAP_SHARED, *descriptor, 0);
    return page == MAP_FAILED ? NULL : page;
}

/* The rest of what recording needs: 0, or errno. */
static int prepare(int descriptor)
{
    size_t page = (size_t)getpagesize();
    void *wiped = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (wiped == MAP_FAILED || madvise(wiped, page, MADV_WIPEONFORK) != 0) {
        return errno;
    }
    /* Aligned to a chunk: its begin follows from its end. */
    size_t room = header->file_bytes + RAW_CHUNK_BYTES;
    char *reserved = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) {
        return errno;
    }
    file = reserved + (-(uintptr_t)reserved & (RAW_CHUNK_BYTES - 1));
    if (mmap(file, header->file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, descriptor, 0)
            == MAP_FAILED
        || madvise(file, header->file_bytes, MADV_DONTDUMP) != 0) {
        return errno;
    }
    state = wiped;
    return pthread_key_create(&key, thread_exits);
}

__attribute__((constructor)) static void begin(void)
{
    int saved = errno;
    int descriptor;
    header = find() ? find_header(&descriptor) : NULL;
    if (header != NULL && header->magic == RAW_MAGIC) {
        clock_kind = header->clock;
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        header->start_ns = (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
        header->begin_ns = raw_monotonic_ns();
        header->begin_ticks = raw_ticks(clock_kind);
        header->first_bytes = atomic_load(&header->used_bytes);
        read_program(header->program, sizeof header->program);
        int error = prepare(descriptor);
        header->stop_error = error;
        atomic_store(&header->stop_ticks, error != 0 ? header->begin_ticks : 0);
        atomic_fetch_add(&header->images, 1);
        atomic_store(&state->recording, error == 0);
    }
    errno = saved;
}
