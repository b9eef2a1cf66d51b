/*
 * mbreplay_run: the replay.
 *
 * The first life is the main thread's, as the recorded program's main thread was. Where there are
 * more, a thread starts each when its turn has come, and joins those that ended before. So a trace
 * of one thread is replayed by a process of one thread.
 */
#include "cli/mbreplay_run.h"

#include "cli/mbreplay_base.h"
#include "cli/mbreplay_plan.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { TOUCHED_LINE = 64, TOUCHED_PAGE = 4096, STAMP_BYTES = 8, STACK_BYTES = 256 << 10 };

/*
 * Where an object is from one life's step to another's. All is written by the life that puts; no
 * other one puts before it was taken (mbreplay_plan.h).
 */
struct place {
    char *object;
    size_t size;
    _Atomic uint32_t puts; /* so often was something put here */
};

static struct plan *plan;
static struct place *places;
static const char *allocator_name;
static pthread_t *threads; /* of each life */
static bool *is_joined;    /* of each life */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t progress = PTHREAD_COND_INITIALIZER;
static uint32_t *left;         /* under the lock: lives that are still in a chunk */
static uint64_t complete;      /* under the lock: so many first chunks that all lives have left */
static uint64_t operations;    /* under the lock: done by lives that are at their end */
static uint64_t bytes;         /* under the lock: asked for by these */
static uint64_t end_ns;        /* under the lock: when all chunks were complete */

static _Noreturn void give_up(const char *what, size_t size)
{
    mbreplay_end("%s: %s, of %zu bytes", allocator_name, what, size);
}

/* ---- the order of the lives ----------------------------------------------------------------- */

static void chunk_wait(uint64_t chunk)
{
    pthread_mutex_lock(&lock);
    while (complete + CHUNKS_APART <= chunk) {
        pthread_cond_wait(&progress, &lock);
    }
    pthread_mutex_unlock(&lock);
}

static void chunk_leave(uint64_t chunk)
{
    pthread_mutex_lock(&lock);
    if (--left[chunk] == 0 && chunk == complete) {
        while (complete < plan->chunks && left[complete] == 0) {
            complete++;
        }
        if (complete == plan->chunks) {
            end_ns = mbreplay_now_ns();
        }
        pthread_cond_broadcast(&progress);
    }
    pthread_mutex_unlock(&lock);
}

static void wait_for_the_end(void)
{
    pthread_mutex_lock(&lock);
    while (complete < plan->chunks) {
        pthread_cond_wait(&progress, &lock);
    }
    pthread_mutex_unlock(&lock);
}

/* ---- objects -------------------------------------------------------------------------------- */

/* Different in objects that can be there at the same time. */
static uint64_t stamp_of(uint32_t place)
{
    return (place + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);
}

static void stamp_write(char *object, size_t size, uint32_t place)
{
    uint64_t stamp = stamp_of(place);
    size_t part = size < STAMP_BYTES ? size : STAMP_BYTES;
    memcpy(object + size - part, &stamp, part);
    memcpy(object, &stamp, part);
}

static void stamp_check(const char *object, size_t size, uint32_t place)
{
    uint64_t stamp = stamp_of(place);
    size_t part = size < STAMP_BYTES ? size : STAMP_BYTES;
    if (memcmp(object, &stamp, part) != 0
        || (size >= 2 * sizeof stamp && memcmp(object + size - part, &stamp, part) != 0)) {
        give_up("an object has lost what was written to it", size);
    }
}

/* Writes to each line of the first page, and to each page. */
static void touch(char *object, size_t size, bool zeroed)
{
    volatile char *bytes_of = object;
    size_t step = TOUCHED_LINE;
    for (size_t at = 0; at < size; at += step) {
        if (zeroed && bytes_of[at] != 0) {
            give_up("calloc gave memory that is not zero", size);
        }
        bytes_of[at] = 1;
        step = at + step >= TOUCHED_PAGE ? TOUCHED_PAGE : TOUCHED_LINE;
    }
}

static void place_put(uint32_t number, char *object, size_t size)
{
    struct place *place = &places[number];
    /* relaxed [PLACE-OWN]: this thread took last, or chunks that others left lie between. */
    uint32_t puts = atomic_load_explicit(&place->puts, memory_order_relaxed);
    stamp_write(object, size, number);
    place->object = object;
    place->size = size;
    /* release [PLACE-PUT]: pairs with [PLACE-TAKE]. */
    atomic_store_explicit(&place->puts, puts + 1, memory_order_release);
}

static bool place_has(const struct place *place, uint32_t puts)
{
    /* acquire [PLACE-TAKE]: pairs with [PLACE-PUT]. */
    return atomic_load_explicit(&place->puts, memory_order_acquire) == puts;
}

/* Leaves the processor's other thread the way for a moment. */
static inline void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void place_wait(const struct place *place, uint32_t puts)
{
    enum { SPINS = 64, YIELDS = 128 };
    static const struct timespec nap = { 0, 50000 };
    for (unsigned tries = 0; !place_has(place, puts); tries++) {
        if (tries < SPINS) {
            pause_briefly();
        } else if (tries < YIELDS) {
            sched_yield();
        } else {
            nanosleep(&nap, NULL);
        }
    }
}

static char *place_take(uint32_t number, uint32_t puts, size_t *size)
{
    const struct place *place = &places[number];
    place_wait(place, puts);
    *size = place->size;
    stamp_check(place->object, *size, number);
    return place->object;
}

/* ---- steps ---------------------------------------------------------------------------------- */

static void do_allocate(enum step step, uint32_t place, size_t size, size_t alignment)
{
    void *object = NULL;
    switch (step) {
    case STEP_ZEROED: object = calloc(1, size); break;
    case STEP_ALIGNED:
        if (posix_memalign(&object, alignment < sizeof(void *) ? sizeof(void *) : alignment, size)
            != 0) {
            object = NULL;
        }
        break;
    default: object = malloc(size); break;
    }
    if (object == NULL) {
        give_up("no memory for a request", size);
    }
    touch(object, size, step == STEP_ZEROED);
    place_put(place, object, size);
}

static void do_free(uint32_t place, uint32_t puts)
{
    size_t size;
    free(place_take(place, puts, &size));
}

/* `from_word`: a place, and the count of puts. realloc to nothing would be a free. */
static void do_resize(uint64_t from_word, uint32_t place, size_t size)
{
    size_t old_size;
    uint32_t from = (uint32_t)from_word;
    char *old = place_take(from, (uint32_t)(from_word >> SIZE_SHIFT), &old_size);
    char *object = realloc(old, size != 0 ? size : 1);
    if (object == NULL) {
        give_up("no memory for a request", size);
    }
    size_t kept = old_size < size ? old_size : size;
    stamp_check(object, kept < STAMP_BYTES ? kept : STAMP_BYTES, from);
    if (size > old_size) {
        touch(object + old_size, size - old_size, false);
    }
    place_put(place, object, size);
}

static void run_life(const struct plan_life *life)
{
    const uint64_t *word = plan_words(plan) + life->first;
    const uint64_t *end = word + life->words;
    uint64_t chunk = life->first_chunk;
    uint64_t done = 0;
    uint64_t asked = 0;
    while (word < end) {
        enum step step = (enum step)(*word & ((1U << STEP_BITS) - 1));
        uint32_t place = (uint32_t)*word >> STEP_BITS;
        size_t size = *word++ >> SIZE_SHIFT;
        if (step == STEP_FREE) {
            do_free(place, (uint32_t)size);
        } else if (step == STEP_CHUNK) {
            chunk_leave(chunk);
            chunk = size;
            chunk_wait(chunk);
            continue;
        } else {
            size = size == SIZE_IN_NEXT_WORD ? *word++ : size;
            asked += size;
            if (step == STEP_RESIZE) {
                do_resize(*word++, place, size);
            } else {
                do_allocate(step, place, size, step == STEP_ALIGNED ? *word++ : 0);
            }
        }
        done++;
    }
    pthread_mutex_lock(&lock);
    operations += done;
    bytes += asked;
    pthread_mutex_unlock(&lock);
    chunk_leave(chunk);
}

/* ---- threads -------------------------------------------------------------------------------- */

static void *live(void *argument)
{
    const struct plan_life *life = argument;
    run_life(life);
    if (!life->ends) { /* then it is there when memory is measured */
        for (;;) {
            pause();
        }
    }
    return NULL;
}

/* Joins a life that ends, once; the main thread's is none. */
static void join_life(const struct plan_life *lives, uint64_t number)
{
    if (number != 0 && lives[number].ends && !is_joined[number]) {
        pthread_join(threads[number], NULL);
        is_joined[number] = true;
    }
}

static void *start_lives(void *argument)
{
    struct plan_life *lives = plan_lives(plan);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    for (uint64_t i = 1; i < plan->lives; i++) {
        if (lives[i].before != i) { /* so no more threads are there than the program had */
            join_life(lives, lives[i].before);
        }
        chunk_wait(lives[i].first_chunk);
        int error = pthread_create(&threads[i], &attributes, live, &lives[i]);
        if (error != 0) {
            mbreplay_end("%s: thread %llu cannot be started: %s", allocator_name,
                         (unsigned long long)i, strerror(error));
        }
    }
    pthread_attr_destroy(&attributes);
    for (uint64_t i = 1; i < plan->lives; i++) {
        join_life(lives, i);
    }
    return argument;
}

/* ---- measuring ------------------------------------------------------------------------------ */

/* The number behind a name in a file of the kernel's, in KiB there; 0: it is not there. */
static uint64_t kernel_bytes(const char *path, const char *name)
{
    char text[8192];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file >= 0 ? read(file, text, sizeof text - 1) : -1;
    if (file >= 0) {
        close(file);
    }
    text[length > 0 ? length : 0] = '\0';
    const char *found = strstr(text, name);
    return found != NULL ? strtoull(found + strlen(name), NULL, 10) << 10 : 0;
}

static uint64_t resident_bytes(void)
{
    return kernel_bytes("/proc/self/smaps_rollup", "\nRss:");
}

/* From now on the kernel's peak is the most since now. */
static void forget_peak(void)
{
    int file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (file < 0 || write(file, "5", 1) != 1) {
        mbreplay_say("%s: the peak so far cannot be forgotten: %s", allocator_name,
                     strerror(errno));
    }
    if (file >= 0) {
        close(file);
    }
}

static uint64_t cpu_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000U + (uint64_t)used.tv_nsec;
}

/* Memory that malloc knows nothing of, and that is resident before the replay begins. */
static void *own_memory(uint64_t count, size_t element_bytes)
{
    void *memory = mmap(NULL, (count + 1) * element_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) {
        mbreplay_die("%s: there is no memory for what is to be replayed", allocator_name);
    }
    return memory;
}

static void prepare(int file)
{
    struct plan head;
    if (pread(file, &head, sizeof head, 0) != sizeof head) {
        mbreplay_die("%s: the plan cannot be read", allocator_name);
    }
    plan = mmap(NULL, head.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
    if (plan == MAP_FAILED) {
        mbreplay_die("%s: the plan cannot be mapped: %s", allocator_name, strerror(errno));
    }
    close(file);
    places = own_memory(plan->places, sizeof *places);
    left = own_memory(plan->chunks, sizeof *left);
    threads = own_memory(plan->lives, sizeof *threads);
    is_joined = own_memory(plan->lives, sizeof *is_joined);
    memcpy(left, plan_left(plan), plan->chunks * sizeof *left);
    memset(&plan->result, 0, sizeof plan->result);
}

/* Whether malloc is that of a library; *path is the one that it is of. */
static bool find_malloc(char path[PATH_MAX])
{
    Dl_info found;
    void *function = dlsym(RTLD_DEFAULT, "malloc");
    return function != NULL && dladdr(function, &found) != 0
           && realpath(found.dli_fname, path) != NULL;
}

int mbreplay_run(int file, const char *allocator, const char *library)
{
    char serves[PATH_MAX];
    allocator_name = allocator;
    if (!find_malloc(serves) || strcmp(serves, library) != 0) {
        mbreplay_die("%s: malloc is not that of %s", allocator, library);
    }
    prepare(file);
    struct plan_result *result = &plan->result;
    forget_peak();
    result->own_bytes = resident_bytes();
    uint64_t start_cpu_ns = cpu_ns();
    uint64_t start_ns = mbreplay_now_ns();
    pthread_t starter = 0;
    int error = plan->lives > 1 ? pthread_create(&starter, NULL, start_lives, NULL) : 0;
    if (error != 0) {
        mbreplay_die("%s: a thread cannot be started: %s", allocator, strerror(error));
    }
    run_life(&plan_lives(plan)[0]);
    wait_for_the_end();
    if (plan->lives > 1) {
        pthread_join(starter, NULL);
    }
    result->cpu_ns = cpu_ns() - start_cpu_ns;
    result->ns = end_ns - start_ns;
    uint64_t end_bytes = resident_bytes();
    uint64_t peak_bytes = kernel_bytes("/proc/self/status", "\nVmHWM:");
    peak_bytes = peak_bytes > end_bytes ? peak_bytes : end_bytes; /* the kernel counts in batches */
    uint64_t own_bytes = result->own_bytes;
    result->end_bytes = end_bytes > own_bytes ? end_bytes - own_bytes : 0;
    result->peak_bytes = peak_bytes > own_bytes ? peak_bytes - own_bytes : 0;
    result->operations = operations;
    result->bytes = bytes;
    result->complete = true;
    return EXIT_SUCCESS;
}

int mbreplay_run_probe(void)
{
    char path[PATH_MAX];
    return !find_malloc(path) || puts(path) < 0 || fflush(stdout) != 0 ? EXIT_FAILURE
                                                                       : EXIT_SUCCESS;
}
