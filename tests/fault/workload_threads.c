/* workload_threads: what several threads do, in turn. */
#include "never_parked.h"
#include "objects.h"
#include "plan.h"
#include "testing.h"
#include "workload.h"
#include "wrapped.h"

#include "tcache/checked.h"

#include <semaphore.h>
#include <sys/wait.h>

/* A mapping has 16 caches. */
enum { WORKERS = 20, PASSERS = 10, OWN_OBJECTS = 10, FOREIGN_OBJECTS = 40 };

struct worker {
    size_t number;
    pthread_t thread;
    sem_t done; /* the worker has had its turn */
    sem_t go;   /* its next turn */
    struct test_object own[OWN_OBJECTS];
    struct test_object foreign[FOREIGN_OBJECTS]; /* another thread's, which this one frees */
    bool destroyed; /* the destructor of its thread-specific data has run */
};

/* Of the workers; its destructor runs before or after the library's own. */
static pthread_key_t key;

static void use_one_object(void)
{
    struct test_object object = { NULL, 0 };
    (void)object_make(&object, OBJECT_ALLOC, 72);
    object_resize(&object, 600);
    object_free(&object);
}

static void at_exit_of_thread(void *argument)
{
    use_one_object();
    mb_thread_flush();
    use_one_object();
    ((struct worker *)argument)->destroyed = true;
}

static void make_own(struct test_object *own, size_t seed)
{
    for (size_t i = 0; i < OWN_OBJECTS; i++) {
        (void)object_make(&own[i], i % OBJECT_HOWS, 1 + (seed * 37 + i * 71) % 700);
    }
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    wrapped_setspecific(key, worker);
    object_free_all(worker->foreign, FOREIGN_OBJECTS); /* the first thing that it does: no cache */
    make_own(worker->own, worker->number);
    sem_post(&worker->done);
    sem_wait(&worker->go);
    object_free_all(worker->own, OWN_OBJECTS / 2);
    mb_thread_idle();
    use_one_object();
    return argument;
}

/* The child has one thread, and finds the others' objects as they were. */
static void live_in_child(void)
{
    struct test_object own[OWN_OBJECTS];
    (void)objects_check_at_rest();
    workload_free_sizes();
    make_own(own, 3);
    (void)objects_trim(0);
    object_free_all(own, OWN_OBJECTS);
    (void)objects_check_at_rest();
    _exit(0);
}

static void fork_and_wait(void)
{
    pid_t child = fork();
    CHECK(child >= 0, "fork");
    if (child == 0) {
        live_in_child();
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0,
          "the forked child ended with status %x", (unsigned)status);
}

static void *pass(void *argument)
{
    use_one_object();
    return argument;
}

static void let_pass(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pthread_join(wrapped_thread_create(pass, NULL), NULL);
    }
}

static _Atomic bool walker_stands, walker_may_go;

static void stand_still(void *argument)
{
    (void)argument;
    flag_set(&walker_stands, true);
    while (!flag_is_set(&walker_may_go)
           && counter_read(&mbi_cache_counts.retired) < RETIRE_BATCH) {
        usleep(1000);
    }
    flag_set(&walker_may_go, true);
}

static void look_at_none(const struct thread_cache *cache, void *argument)
{
    (void)cache;
    (void)argument;
}

static void *walk(void *argument)
{
    mbi_registry_walk(stand_still, look_at_none, argument);
    return argument;
}

/* While a thread walks, no cache is used again until one thread has waited for a grace period. */
static void retire_beside_a_walk(void)
{
    size_t most = park_no_cache();
    pthread_t walker = wrapped_thread_create(walk, NULL);
    while (!flag_is_set(&walker_stands)) {
        usleep(1000);
    }
    let_pass(RETIRE_BATCH + PASSERS);
    bool may_fail = fault_page() != NULL && fault_page()->mode != FAULT_NEVER;
    CHECK(flag_is_set(&walker_may_go) || may_fail || checked_is_on(), "no grace period was due");
    flag_set(&walker_may_go, true); /* where few threads had a cache */
    pthread_join(walker, NULL);
    park_again(most);
}

static void start_worker(struct worker *worker, size_t number)
{
    worker->number = number;
    object_make_batch(worker->foreign, 24, FOREIGN_OBJECTS);
    worker->destroyed = false;
    sem_init(&worker->done, 0, 0);
    sem_init(&worker->go, 0, 0);
    worker->thread = wrapped_thread_create(work, worker);
    sem_wait(&worker->done);
}

static void end_worker(struct worker *worker)
{
    sem_post(&worker->go);
    pthread_join(worker->thread, NULL);
    CHECK(worker->destroyed, "a destructor did not run");
    object_free_all(worker->own, OWN_OBJECTS);
    sem_destroy(&worker->done);
    sem_destroy(&worker->go);
}

void workload_threads(void)
{
    static struct worker workers[WORKERS];
    key = wrapped_key_create(at_exit_of_thread);
    for (size_t i = 0; i < WORKERS; i++) {
        start_worker(&workers[i], i);
    }
    (void)objects_check_at_rest();
    fork_and_wait();
    (void)objects_trim(0);
    for (size_t i = 0; i < WORKERS; i++) {
        end_worker(&workers[i]);
    }
    let_pass(PASSERS);
    retire_beside_a_walk();
    pthread_key_delete(key);
    (void)objects_check_at_rest();
}
