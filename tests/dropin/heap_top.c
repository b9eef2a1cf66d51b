/*
 * heap_top: what the C library's malloc keeps at the top of its heap, now that small objects do not
 * hold that in place any more.
 *
 *   faults   prints the page faults of rounds in which all large objects are freed
 *   decay    exits 0 when what such rounds left goes back while only small objects come and go
 *   in_use   exits 0 when it goes back while a few large objects come and go
 *   trim     exits 0 when mb_trim gives it back
 *   cancel   exits 0 when threads that are cancelled in mb_trim leave malloc's locks free
 *   mallopt  prints the faults when the program has told malloc to keep little
 *   buffers  exits 0 when large buffers that come and go get the pages that were there before
 *   callocs  the same for buffers from calloc
 *   told     exits 0 when they do not, as the program has told malloc to keep little
 *   objects  exits 0 when of many objects that are no buffers no more than before is kept
 *   once     exits 0 when buffers that come once, each larger than the last, leave no memory behind
 *   few      exits 0 when the first few objects that are no buffers leave hardly any
 */
#include "check.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { LARGE = 600, ROUNDS = 100, BYTES_MIN = 600, BYTES_MAX = 4000,
       BYTES_UNCACHED = 1100, DECAY_LARGE = 4000 };

static void *large[DECAY_LARGE];

static uint64_t faults(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return (uint64_t)usage.ru_minflt;
}

/* Returns a small object that is younger than the others. */
static void *allocate_and_free_all(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        /* Above the first half nothing that malloc's thread cache would keep there. */
        size_t least = i < count / 2 ? BYTES_MIN : BYTES_UNCACHED;
        size_t size = least + i * 997 % (BYTES_MAX - least);
        large[i] = malloc(size);
        CHECK(large[i] != NULL);
        memset(large[i], 1, size);
    }
    void *small = malloc(64);
    CHECK(small != NULL);
    for (size_t i = count; i-- > 0;) {
        free(large[i]);
    }
    return small;
}

/* With the C library alone the small objects that the rounds leave behind hold the top in place. */
static uint64_t rounds(void)
{
    static void *small[ROUNDS];
    uint64_t before = faults();
    for (int round = 0; round < ROUNDS; round++) {
        small[round] = allocate_and_free_all(LARGE);
    }
    uint64_t after = faults();
    for (int round = 0; round < ROUNDS; round++) {
        free(small[round]);
    }
    return after - before;
}

/* Without a stream, whose buffer is a large object: these come and go while it waits for none. */
static long resident_kib(void)
{
    long total;
    long resident;
    char text[200] = "";
    int file = open("/proc/self/statm", O_RDONLY);
    CHECK(file >= 0 && read(file, text, sizeof text - 1) > 0);
    CHECK(sscanf(text, "%ld %ld", &total, &resident) == 2);
    close(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* As many as make threads exchange magazines, so that decay gets its turns. */
static void use_small(void)
{
    enum { SMALL = 20000 };
    static void *small[SMALL];
    for (int i = 0; i < SMALL; i++) {
        small[i] = malloc(40);
        CHECK(small[i] != NULL);
    }
    for (int i = 0; i < SMALL; i++) {
        free(small[i]);
    }
}

enum { GIVEN_BACK_KIB = 6000 };

static void trim(void)
{
    size_t (*mb_trim)(size_t) = (size_t (*)(size_t))(uintptr_t)dlsym(RTLD_DEFAULT, "mb_trim");
    CHECK(mb_trim != NULL);
    use_small();
    free(allocate_and_free_all(DECAY_LARGE)); /* 9 MB */
    long before = resident_kib();
    (void)mb_trim(0);
    CHECK(resident_kib() <= before - GIVEN_BACK_KIB);
}

static size_t (*trim_function)(size_t);

static void *trim_for_ever(void *begun)
{
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    __atomic_store_n((int *)begun, 1, __ATOMIC_RELEASE);
    while (trim_function != NULL) {
        (void)trim_function(0);
    }
    return begun;
}

static void cancel_in_trim(void)
{
    enum { THREADS = 300, SECONDS = 300 };
    trim_function = (size_t (*)(size_t))(uintptr_t)dlsym(RTLD_DEFAULT, "mb_trim");
    CHECK(trim_function != NULL);
    alarm(SECONDS);
    free(allocate_and_free_all(DECAY_LARGE));
    for (int i = 0; i < THREADS; i++) {
        int begun = 0;
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, trim_for_ever, &begun) == 0);
        while (__atomic_load_n(&begun, __ATOMIC_ACQUIRE) == 0) {
        }
        usleep((useconds_t)(i % 100));
        CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, NULL) == 0);
        free(allocate_and_free_all(4)); /* waits for the locks of malloc's */
        (void)trim_function(0);
    }
}

static void use_large(void)
{
    enum { FEW = 40 };
    free(allocate_and_free_all(FEW));
}

/* Uses memory as `use` does until what many large objects left behind has gone back. */
static void wait_for_decay(void (*use)(void))
{
    enum { TRIES = 3000 };
    use_small();
    free(allocate_and_free_all(DECAY_LARGE)); /* 9 MB */
    long before = resident_kib();
    for (int i = 0; i < TRIES; i++) {
        use();
        if (resident_kib() <= before - GIVEN_BACK_KIB) {
            return;
        }
        nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
    }
    fprintf(stderr, "%ld KiB stay of %ld\n", resident_kib(), before);
    exit(1);
}

/* The first rounds have their pages from the kernel: BUFFERS_MAPPED_BYTES in dropin/next_memory.c. */
enum { BUFFER_ROUNDS = 40, BUFFER_ROUNDS_FIRST = 6, BUFFERS_MAX = 3 };

static void *(*allocate_buffer)(size_t) = malloc;

static void *calloc_buffer(size_t bytes)
{
    return calloc(1, bytes);
}

/* Allocates and writes buffers of one size, and frees them, some times over; the faults. */
static uint64_t buffer_rounds(size_t buffers, size_t bytes)
{
    uint64_t before = faults();
    for (int round = 0; round < BUFFER_ROUNDS; round++) {
        for (size_t i = 0; i < buffers; i++) {
            large[i] = allocate_buffer(bytes);
            CHECK(large[i] != NULL);
            memset(large[i], round, bytes);
        }
        for (size_t i = 0; i < buffers; i++) {
            free(large[i]);
        }
    }
    return faults() - before;
}

static void use_buffers(void)
{
    use_small();
    static const size_t mib[BUFFERS_MAX + 1] = { 0, 30, 25, 20 };
    for (size_t buffers = 1; buffers <= BUFFERS_MAX; buffers++) {
        size_t bytes = mib[buffers] << 20;
        uint64_t pages = buffers * bytes / (size_t)sysconf(_SC_PAGESIZE);
        uint64_t faults_seen = buffer_rounds(buffers, bytes);
        printf("%zu of %zu MiB: %llu faults, %llu pages\n", buffers, mib[buffers],
               (unsigned long long)faults_seen, (unsigned long long)pages);
        CHECK(faults_seen <= (buffers == 1 ? BUFFER_ROUNDS_FIRST : 2) * pages);
    }
}

static void use_buffers_as_told(void)
{
    enum { BUFFER_BYTES = 20 << 20 };
    use_small();
    CHECK(mallopt(M_TRIM_THRESHOLD, 128 << 10) == 1);
    uint64_t pages = BUFFER_BYTES / (size_t)sysconf(_SC_PAGESIZE);
    uint64_t faults_seen = buffer_rounds(1, BUFFER_BYTES);
    printf("%llu faults, %llu pages\n", (unsigned long long)faults_seen, (unsigned long long)pages);
    CHECK(faults_seen >= (BUFFER_ROUNDS - 1) * pages);
}

/* Writes so many objects and frees them. How much more is resident then. */
static long objects_leave_kib(size_t objects, size_t bytes)
{
    long before = resident_kib();
    for (size_t i = 0; i < objects; i++) {
        large[i] = malloc(bytes);
        CHECK(large[i] != NULL);
        memset(large[i], 1, bytes);
    }
    for (size_t i = 0; i < objects; i++) {
        free(large[i]);
    }
    return resident_kib() - before;
}

enum { OBJECT_BYTES = 100000 };

static void use_objects(void)
{
    enum { OBJECTS = 400, KEPT_KIB_MAX = 18 << 10 };
    use_small();
    CHECK(objects_leave_kib(OBJECTS, OBJECT_BYTES) <= KEPT_KIB_MAX);
}

static void use_few_objects(void)
{
    enum { OBJECTS = 50, KEPT_KIB_MAX = 1 << 10 };
    use_small();
    CHECK(objects_leave_kib(OBJECTS, OBJECT_BYTES) <= KEPT_KIB_MAX);
}

static void use_buffers_once(void)
{
    enum { BUFFERS = 7, KEPT_KIB_MAX = 512 };
    use_small();
    for (size_t i = 0; i < BUFFERS; i++) {
        size_t bytes = ((size_t)256 << 10) << i;
        long left_kib = objects_leave_kib(1, bytes);
        void *smaller = malloc(bytes / 2);
        CHECK(smaller != NULL);
        printf("%zu KiB leave %ld KiB\n", bytes >> 10, left_kib);
        CHECK(left_kib <= KEPT_KIB_MAX);
    }
}

static void print_faults(void)
{
    printf("%llu\n", (unsigned long long)rounds());
}

static void print_faults_as_told(void)
{
    CHECK(mallopt(M_TRIM_THRESHOLD, 128 << 10) == 1 && mallopt(M_TOP_PAD, 128 << 10) == 1);
    print_faults();
}

static void use_buffers_of_calloc(void)
{
    allocate_buffer = calloc_buffer;
    use_buffers();
}

static void wait_while_unused(void)
{
    wait_for_decay(use_small);
}

static void wait_while_in_use(void)
{
    wait_for_decay(use_large);
}

static const struct mode {
    const char *name;
    void (*run)(void);
} modes[] = {
    { "faults", print_faults },        { "mallopt", print_faults_as_told },
    { "decay", wait_while_unused },    { "in_use", wait_while_in_use },
    { "trim", trim },                  { "cancel", cancel_in_trim },
    { "buffers", use_buffers },        { "callocs", use_buffers_of_calloc },
    { "told", use_buffers_as_told },   { "objects", use_objects },
    { "once", use_buffers_once },      { "few", use_few_objects },
};

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(argv[1], modes[i].name) == 0) {
            modes[i].run();
            return 0;
        }
    }
    fprintf(stderr, "%s: no such mode\n", argv[1]);
    return 2;
}
