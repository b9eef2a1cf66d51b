/*
 * cancel pending|asynchronous|exit|messages: no call of the library is a cancellation point, and no
 * thread dies with its locks.
 *
 *   pending       each public call in a thread that has been cancelled already: it returns
 *   exit threads end, cancelled already, while a walk stands still: their caches wait for a grace
 *                 period, in which liburcu sleeps in poll(2)
 *   messages      the same for what is written to stderr: at the start, and by checked mode
 *   asynchronous threads that may be cancelled at any instruction, in every call; afterwards all
 *   goes on
 *
 * After each, this process forks, walks, trims and starts threads: a lock that died with its holder
 * would stop it, and the runner's time limit tells.
 */
#include "never_parked.h"
#include "standing_walker.h"

#include <fcntl.h>
#include <sys/wait.h>

enum { OBJECTS = 1000, CHILD_SECONDS = 60, SHOTS = 2000 };

static FILE *nowhere;
static struct mb_stats stats;

static int no_help(size_t size, void *argument)
{
    (void)size;
    (void)argument;
    return 0;
}

static void call_alloc(void)
{
    static _Thread_local void *objects[OBJECTS];
    use_objects(objects, OBJECTS, MB_SMALL_MAX);
}
static void call_batch(void)
{
    static _Thread_local void *objects[OBJECTS];
    mb_free_batch(mb_alloc_batch(48, OBJECTS, objects), objects);
}
static void call_others(void)
{
    char *text = mb_realloc(mb_realloc(mb_calloc(3, 10), 300), 3000);
    CHECK(mb_usable_size(text) >= 3000, "no memory");
    mb_free_sized(text, 3000);
    mb_free(mb_aligned_alloc(64, 100));
}
static void call_init(void)
{
    CHECK(mb_init() == 0, "no region");
}
static void call_idle(void)
{
    mb_thread_idle();
    mb_thread_busy();
    mb_thread_flush();
}
static void call_trim(void)
{
    (void)mb_trim(0);
}
static void call_stats_get(void)
{
    static _Thread_local struct mb_stats own;
    CHECK(mb_stats_get(&own, sizeof own) == 0, "no statistics");
}
static void call_stats_print(void)
{
    mb_stats_print(nowhere);
}
static void call_background(void)
{
    CHECK(mb_background_start() == 0, "no background thread");
    mb_background_stop();
}
static void call_limit(void)
{
    (void)mb_memory_limit_set((size_t)1 << 40);
    mb_out_of_memory_handler_set(no_help, NULL);
    (void)mb_check_heap();
}

static const struct call {
    const char *name;
    void (*function)(void);
} calls[] = {
    { "alloc, free", call_alloc },
    { "batches", call_batch },
    { "realloc, calloc, aligned", call_others },
    { "init", call_init },
    { "idle, busy, flush", call_idle },
    { "trim", call_trim },
    { "stats_get", call_stats_get },
    { "stats_print", call_stats_print },
    { "background", call_background },
    { "limit, handler, check", call_limit },
};
enum { CALLS = sizeof calls / sizeof calls[0] };

static const struct call *returned; /* written by the thread that called, read after its end */

static void *call_when_cancelled(void *argument)
{
    const struct call *call = argument;
    pthread_cancel(pthread_self());
    call->function();
    returned = call;
    pthread_testcancel();
    return NULL;
}

static void *live_and_end(void *argument)
{
    call_alloc();
    return argument;
}

static void check_that_all_goes_on(void)
{
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        alarm(CHILD_SECONDS);
        if (!TEST_IS_SANITIZED) {
            call_alloc();
        }
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0, "child: status %x", (unsigned)status);
    for (size_t i = 0; i < CALLS; i++) {
        calls[i].function();
    }
    pthread_join(start_thread(live_and_end, NULL), NULL);
    mb_background_stop();
}

static void pending(void)
{
    for (int turn = 0; turn < 2; turn++) { /* with nothing up, and with everything */
        for (size_t i = 0; i < CALLS; i++) {
            void *result;
            pthread_join(start_thread(call_when_cancelled, (void *)(uintptr_t)&calls[i]), &result);
            CHECK(result == PTHREAD_CANCELED, "%s: the thread was not cancelled", calls[i].name);
            CHECK(returned == &calls[i], "%s: the thread was cancelled inside", calls[i].name);
        }
    }
    check_that_all_goes_on();
    check_accounting(0);
}

static _Atomic bool all_wait;

static bool do_all_wait(void)
{
    return atomic_load_explicit(&all_wait, memory_order_acquire); /* [TEST] */
}

static void *end_cancelled(void *argument)
{
    call_alloc();
    pthread_cancel(pthread_self());
    return argument;
}

/* Beyond RETIRE_MAX threads also wait for room. */
static void at_exit_of_threads(void)
{
    enum { THREADS = RETIRE_MAX + 20 };
    static pthread_t threads[THREADS];
    (void)park_no_cache();
    call_alloc();
    pthread_t walker = start_standing_walker(do_all_wait);
    for (size_t i = 0; i < THREADS; i++) {
        threads[i] = start_thread(end_cancelled, NULL);
    }
    while (counter_read(&mbi_cache_counts.retired) < RETIRE_BATCH) { /* one waits for the walker */
        usleep(1000);
    }
    usleep(100000); /* also in poll(2), if it can: that decides how surely an error is found */
    atomic_store_explicit(&all_wait, true, memory_order_release); /* [TEST] */
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_join(walker, NULL);
    check_that_all_goes_on();
    const struct mb_stats *now = check_accounting(0);
    CHECK(now->threads == 1, "%llu threads are registered", (unsigned long long)now->threads);
}

static void call_twice_freed(void)
{
    void *volatile object = mb_alloc(24);
    mb_free(object);
    mb_free(object);
}

static const struct call messages_calls[] = {
    { "a message at the start", call_init },
    { "a report", call_twice_freed },
};

static void messages(void)
{
    int null = open("/dev/null", O_WRONLY);
    CHECK(null >= 0 && dup2(null, STDERR_FILENO) == STDERR_FILENO, "/dev/null");
    setenv("MB_VERBOSE", "1", 1);
    setenv("MB_DECAY_MS", "soon", 1);
    setenv("MB_CHECK", "double_free", 1);
    setenv("MB_CHECK_CONTINUE", "1", 1);
    for (size_t i = 0; i < 2; i++) {
        const struct call *call = &messages_calls[i];
        pthread_join(start_thread(call_when_cancelled, (void *)(uintptr_t)call), NULL);
        if (returned != call) {
            puts(call->name);
            puts("was a cancellation point");
            exit(1);
        }
    }
    check_that_all_goes_on();
}

static _Atomic bool shooting;

static void *call_for_ever(void *argument)
{
    const struct call *call = argument;
    /* NOLINTNEXTLINE(concurrency-thread-canceltype-asynchronous): the subject of this test */
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    atomic_store_explicit(&shooting, true, memory_order_release); /* [TEST] */
    while (call != NULL) {
        call->function();
    }
    return NULL;
}

/* What a thread had in hand when it died is nobody's: live, or lost. */
static void asynchronous(void)
{
    uint64_t random = 7;
    for (unsigned shot = 0; shot < SHOTS; shot++) {
        /* Streams have locks of their own, which die with a thread that they know nothing of. */
        size_t call = shot % (CALLS - 1);
        if (calls[call].function == call_stats_print || calls[call].function == call_others) {
            call = 0; /* the system allocator's locks likewise */
        }
        atomic_store_explicit(&shooting, false, memory_order_relaxed); /* [TEST] */
        pthread_t thread = start_thread(call_for_ever, (void *)(uintptr_t)&calls[call]);
        while (!atomic_load_explicit(&shooting, memory_order_acquire)) { /* [TEST] */
            usleep(10);
        }
        usleep((unsigned)random_below(&random, 300));
        pthread_cancel(thread);
        void *result;
        pthread_join(thread, &result);
        CHECK(result == PTHREAD_CANCELED, "it was not cancelled");
    }
    check_that_all_goes_on();
    CHECK(mb_stats_get(&stats, sizeof stats) == 0 && stats.threads == 1, "%llu threads are registered",
          (unsigned long long)stats.threads);
}

int main(int argc, char **argv)
{
    const char *how = argc == 2 ? argv[1] : "";
    nowhere = fopen("/dev/null", "w");
    CHECK(nowhere != NULL, "/dev/null");
    if (strcmp(how, "pending") == 0) {
        pending();
    } else if (strcmp(how, "exit") == 0) {
        at_exit_of_threads();
    } else if (strcmp(how, "messages") == 0) {
        messages();
    } else if (strcmp(how, "asynchronous") == 0) {
        asynchronous();
    } else {
        fprintf(stderr, "usage: cancel pending|exit|messages|asynchronous\n");
        return 2;
    }
    return 0;
}
