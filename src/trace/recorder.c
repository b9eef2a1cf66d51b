/* recorder: the chunks, and the beginning. */
#include "trace/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

static struct recorder_state off;
struct recorder_state *mb_recorder_state = &off;

static struct raw_header *header;
uint32_t mb_recorder_clock;
static uint32_t image;
static pthread_key_t key;

RECORDER_PER_THREAD struct recorder_chunk mb_recorder_chunk;
static RECORDER_PER_THREAD atomic_uint_least64_t thread; /* its number, or 0 */
/* Of records inside others. Written with all signals blocked. */
static RECORDER_PER_THREAD struct recorder_chunk inside;
static atomic_uint_least64_t threads;

/* relaxed [RECORD-BUSY]: written by this thread alone. */
static uint64_t number_of(void)
{
    return atomic_load_explicit(&thread, memory_order_relaxed);
}

/* For the whole process; what was written before is read. */
static RECORDER_COLD void stop(int error)
{
    /* relaxed [RECORDING]: a thread may write on as long as it has a chunk. */
    if (atomic_exchange_explicit(&mb_recorder_state->recording, false, memory_order_relaxed)
        && error != 0) {
        header->error = error;
        /* release [STOP-STORE]: pairs with [STOP-LOAD], for the error. */
        atomic_store_explicit(&header->stopped, 1, memory_order_release);
    }
}

/* The thread's chunk is for mbrun alone now. */
static void leave(struct recorder_chunk *chunk)
{
    if (chunk->end != NULL) {
        chunk->next = chunk->end = NULL;
        /* relaxed [BACKLOG]: a bound, which may be passed by as many as there are threads. */
        uint32_t before = atomic_fetch_add_explicit(&header->backlog, 1, memory_order_relaxed);
        /* release [CHUNK-STORE]: pairs with [CHUNK-LOAD]. */
        atomic_store_explicit(&header->slots[chunk->slot].state, RAW_DONE,
                              memory_order_release);
        if (before % RAW_ASK == RAW_ASK - 1) {
            /* relaxed [BACKLOG]: raw_wait looks at it again. */
            atomic_fetch_add_explicit(&header->asked, 1, memory_order_relaxed);
            raw_wake(&header->asked);
        }
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

/* The time when it is the thread's. */
static uint64_t begin(struct recorder_chunk *chunk, uint32_t slot)
{
    uint64_t time = raw_ticks(mb_recorder_clock);
    _Atomic uint64_t *words = raw_chunk(header, slot);
    /* relaxed [CHUNK-STORE]: the state below publishes them. */
    uint32_t sequence = atomic_fetch_add_explicit(&header->sequence, 1, memory_order_relaxed);
    atomic_store_explicit(&words[RAW_HEAD_THREAD], number_of(), memory_order_relaxed);
    atomic_store_explicit(&words[RAW_HEAD_SEQUENCE], sequence, memory_order_relaxed);
    atomic_store_explicit(&words[RAW_HEAD_IMAGE], image, memory_order_relaxed);
    atomic_store_explicit(&words[RAW_HEAD_TAKEN], time, memory_order_relaxed);
    /* release [CHUNK-STORE]: pairs with [CHUNK-LOAD]. */
    atomic_store_explicit(&header->slots[slot].state, RAW_TAKEN, memory_order_release);
    chunk->slot = slot;
    chunk->next = words + RAW_CHUNK_HEAD;
    chunk->end = words + RAW_CHUNK_WORDS - RAW_LONG_WORDS;
    return time;
}

/* A signal handler may come between, and have given it one: then that is the thread's. */
static void number_thread(void)
{
    uint64_t none = 0;
    /* relaxed [BACKLOG]: only the number counts. */
    uint64_t number = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) + 1;
    /* relaxed [RECORD-BUSY]: of this thread, in one instruction. */
    if (atomic_compare_exchange_strong_explicit(&thread, &none, number, memory_order_relaxed,
                                                memory_order_relaxed)) {
        pthread_setspecific(key, &thread); /* which may allocate: a record inside this one */
    }
}

/* In place of a full one; the time, or 0 when there is none. */
static uint64_t take(struct recorder_chunk *chunk)
{
    int saved = errno;
    uint64_t time = 0;
    if (number_of() == 0) {
        number_thread();
    }
    leave(chunk);
    bool is_read = wait_for_reader();
    uint32_t slot = is_read ? take_slot() : RAW_CHUNKS;
    if (slot < RAW_CHUNKS) {
        time = begin(chunk, slot);
    } else {
        stop(is_read ? EAGAIN : 0); /* more threads than chunks */
    }
    errno = saved;
    return time;
}

RECORDER_COLD uint64_t mb_recorder_take_chunk(void)
{
    return take(&mb_recorder_chunk);
}

RECORDER_COLD void mb_recorder_add_inside(enum raw_kind kind, const void *pointer, uint64_t size,
                                          unsigned alignment_log)
{
    int saved = errno;
    sigset_t all, before;
    sigfillset(&all);
    if (!(inside.next < inside.end)) {
        (void)wait_for_reader(); /* with signals, as it may take long */
    }
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (inside.next < inside.end || take(&inside) != 0) {
        mb_recorder_write(&inside, kind, raw_ticks(mb_recorder_clock), (uintptr_t)pointer >> 3,
                          size, alignment_log);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = saved;
}

/*
 * Where another key's destructor, or a signal handler from here on, still allocates, it does so as
 * a new thread.
 */
static void thread_exits(void *unused)
{
    (void)unused;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (mb_recorder_is_on()) {
        mb_recorder_add(RAW_EXIT, NULL, 0, 0);
        leave(&mb_recorder_chunk);
        leave(&inside);
    }
    atomic_store_explicit(&thread, 0, memory_order_relaxed); /* [RECORD-BUSY] */
    pthread_sigmask(SIG_SETMASK, &before, NULL);
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
        if (program[i] == '\0') {
            program[i] = ' ';
        }
    }
    program[length] = '\0';
}

static void *map(int descriptor, size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, descriptor,
                        0);
    return memory != MAP_FAILED ? memory : NULL;
}

/* The header in shared memory, and its file, when this process is the one to record. */
static struct raw_header *find_header(int *descriptor)
{
    unsigned long long inode;
    int process;
    struct stat status;
    const char *text = secure_getenv(RAW_VARIABLE);
    if (text == NULL || sscanf(text, "%d %llu %d", descriptor, &inode, &process) != 3
        || process != (int)getpid() || fstat(*descriptor, &status) != 0 || status.st_ino != inode
        || status.st_size != (off_t)RAW_FILE_BYTES) {
        return NULL;
    }
    struct raw_header *mapped = map(*descriptor, sizeof *mapped);
    return mapped != NULL && mapped->magic == RAW_MAGIC ? mapped : NULL;
}

/* All of the memory, and the page that fork wipes: 0, or errno. */
static int prepare(int descriptor)
{
    size_t page = (size_t)getpagesize();
    void *wiped = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (wiped == MAP_FAILED || madvise(wiped, page, MADV_WIPEONFORK) != 0) {
        return errno;
    }
    void *memory = map(descriptor, RAW_FILE_BYTES);
    if (memory == NULL) {
        return errno;
    }
    (void)madvise(memory, RAW_FILE_BYTES, MADV_DONTDUMP);
    (void)munmap(header, sizeof *header);
    header = memory;
    mb_recorder_state = wiped;
    return pthread_key_create(&key, thread_exits);
}

void mb_recorder_begin(void)
{
    int saved = errno;
    int descriptor;
    header = find_header(&descriptor);
    if (header != NULL) {
        int error = prepare(descriptor);
        mb_recorder_clock = header->clock;
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        header->start_ns = (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
        header->begin_ns = raw_monotonic_ns();
        header->begin_ticks = raw_ticks(mb_recorder_clock);
        read_program(header->program, sizeof header->program);
        header->error = error;
        /* relaxed [STOP-STORE]: the count below publishes all of the header. */
        atomic_store_explicit(&header->stopped, error != 0, memory_order_relaxed);
        /* release [STOP-STORE]: pairs with [STOP-LOAD]. */
        image = atomic_fetch_add_explicit(&header->images, 1, memory_order_release) + 1;

        /* relaxed [RECORDING]: before there are other threads, or late by as much as that. */
        atomic_store_explicit(&mb_recorder_state->recording, error == 0, memory_order_relaxed);
    }
    errno = saved;
}
