/*
 * stack_use: how much stack the slow paths need. A thread may have little, and a coroutine 4 KiB.
 *
 * Each call is made on a stack that was painted before; how far the paint is gone is what it took
 * at most, less what a call that does nothing takes.
 */
#include "testing.h"

#include "core/base.h"
#include "core/decay.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>

#ifdef NDEBUG
enum { STACK_USE_MAX = 2048 };
#else
enum { STACK_USE_MAX = 4096 }; /* not optimised, and with all assertions */
#endif
enum { PRINT_USE_MAX = 2 * STACK_USE_MAX }; /* printf's own, mostly */
enum { STACK_BYTES = 256 << 10, PAINT = 0xA7, OBJECTS = 20000 };

static void *objects[OBJECTS];
static ucontext_t back;
static ucontext_t fiber;
static unsigned char *stack;

/* What `call` takes, on a stack of its own in the calling thread. */
static size_t stack_use(void (*call)(void))
{
    memset(stack, PAINT, STACK_BYTES);
    getcontext(&fiber);
    fiber.uc_stack.ss_sp = stack;
    fiber.uc_stack.ss_size = STACK_BYTES;
    fiber.uc_link = &back;
    makecontext(&fiber, call, 0);
    swapcontext(&back, &fiber);
    size_t untouched = 0;
    while (untouched < STACK_BYTES && stack[untouched] == PAINT) {
        untouched++;
    }
    return STACK_BYTES - untouched;
}

static size_t size_bytes = 40;

static void do_nothing(void)
{
}

static void alloc_one(void)
{
    objects[0] = mb_alloc(size_bytes);
}

static void free_one(void)
{
    mb_free(objects[0]);
}

static void alloc_many(void)
{
    for (size_t i = 0; i < OBJECTS; i++) {
        objects[i] = mb_alloc(size_bytes);
    }
}

static void free_many(void)
{
    for (size_t i = 0; i < OBJECTS; i++) {
        mb_free(objects[i]);
    }
}

static void alloc_batch(void)
{
    (void)mb_alloc_batch(size_bytes, OBJECTS, objects);
}

static void free_batch(void)
{
    mb_free_batch(OBJECTS, objects);
}

static void realloc_through_all_sizes(void)
{
    void *object = NULL;
    for (size_t size = 1; size <= 1100; size++) {
        object = mb_realloc(object, size);
    }
    mb_free(mb_realloc(object, 40));
}

static void aligned(void)
{
    mb_free(mb_aligned_alloc(64, 200));
    mb_free(mb_calloc(3, 300));
}

static void trim(void)
{
    (void)mb_trim(0);
}

static void flush(void)
{
    mb_thread_flush();
}

static void poll_decay(void)
{
    for (int i = 0; i < 200; i++) {
        (void)mbi_decay_poll();
        usleep(500);
    }
}

static void statistics(void)
{
    static struct mb_stats stats;
    CHECK(mb_stats_get(&stats, sizeof stats) == 0, "no statistics");
    CHECK(mb_stats_get_quick(&stats, sizeof stats) == 0, "no statistics");
}

/* To a stream that was used before, and has its buffer. */
static FILE *nowhere;

static void print_statistics(void)
{
    mb_stats_print(nowhere);
}

static void message(void)
{
    mbi_message("stack_use: a line with %s, %d, %u, %zu, %p and %.3s", "text", -3, 4U, (size_t)5,
                (void *)&fiber, "three");
}

static void check_up_to(size_t most_bytes, const char *what, void (*call)(void))
{
    size_t without = stack_use(do_nothing);
    size_t bytes = stack_use(call) - without;
    printf("%-28s %5zu bytes\n", what, bytes);
    CHECK(bytes <= most_bytes, "%s takes %zu bytes of stack", what, bytes);
}

static void check(const char *what, void (*call)(void))
{
    check_up_to(STACK_USE_MAX, what, call);
}

/* A thread's end is on its own stack, with all before it. */
static void *use_a_little(void *argument)
{
    if (argument != NULL) {
        use_objects(objects, 1000, 512);
    }
    return NULL;
}

static size_t thread_use(void *argument)
{
    pthread_attr_t attributes;
    pthread_t thread;
    memset(stack, PAINT, STACK_BYTES);
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstack(&attributes, stack, STACK_BYTES) == 0, "no such stack");
    CHECK(pthread_create(&thread, &attributes, use_a_little, argument) == 0, "no thread");
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    size_t untouched = 0;
    while (stack[untouched] == PAINT) {
        untouched++;
    }
    return STACK_BYTES - untouched;
}

static void check_all(void)
{
    check("free, small", free_one);
    check("refill, carving", alloc_many);
    check("flush", free_many);
    check("refill, from the centre", alloc_batch);
    check("batches", free_batch);
    check("realloc", realloc_through_all_sizes);
    check("aligned, calloc", aligned);
    check("what a thread has cached", flush);
    check("decay", poll_decay);
    alloc_many();
    free_many();
    check("trim", trim);
    check("refill, sorted", alloc_many);
    check("flush again", free_many);
    size_bytes = 2000;
    check("large", alloc_one);
    check("large, free", free_one);
    size_bytes = 48;
    mb_memory_limit_set(1); /* as much as there is */
    check("refill at the limit", alloc_many);
    check("flush at the limit", free_many);
    mb_memory_limit_set(0);
    check("statistics", statistics);
    check_up_to(PRINT_USE_MAX, "statistics, printed", print_statistics);
}

static void *second_thread(void *argument)
{
    check("a thread's first use", alloc_one); /* for the second thread more is looked up */
    check_all();
    return argument;
}

/* In the child of a fork a request starts the background thread anew. */
static void check_child(void)
{
    CHECK(mb_background_start() == 0, "no background thread");
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        size_bytes = 40;
        check("the background thread's return", alloc_many);
        fflush(stdout);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0, "child: status %x", (unsigned)status);
    mb_background_stop();
}

int main(void)
{
    setenv("MB_DECAY_MS", "20", 1);
    stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(stack != MAP_FAILED, "no stack");
    nowhere = fopen("/dev/null", "w");
    CHECK(nowhere != NULL && fprintf(nowhere, "%d\n", 1) == 2, "nowhere to print to");
    check("message", message);
    check("the process's first use", alloc_one);
    check("free, small", free_one);
    pthread_join(start_thread(second_thread, NULL), NULL);
    size_t without = thread_use(NULL);
    size_t bytes = thread_use(objects) - without;
    printf("%-28s %5zu bytes\n", "a thread's life", bytes);
    CHECK(bytes <= STACK_USE_MAX, "a thread's life takes %zu bytes of stack", bytes);
    fflush(stdout);
    check_child();
    return 0;
}
