/*
 * profile_gate: a thread that ends while another one forks keeps what it cannot give back, and a
 * heap profile goes on to count it.
 *
 * Its cache is taken back when the fork is over, and the next thread without one adopts it, here
 * and in the child of a later fork. There a single object is allocated and freed over and over,
 * which no slow path would ever end.
 */
#include "testing.h"

#include "profile_dump.h"
#include "tcache/parked.h"
#include "tcache/sampling.h"

#include <semaphore.h>
#include <sys/wait.h>

/* Each stretch is counted, as so many samples lie in it. */
enum { SIZE = 64, MEAN = 1, OBJECTS = 20, PAIRS = 2000 };

static sem_t ready;
static sem_t may_end;
static pthread_t ending;
static bool is_ending;

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0) {
    }
}

static void *use_and_wait(void *argument)
{
    void *objects[OBJECTS];
    CHECK(mb_alloc_batch(SIZE, OBJECTS, objects) == OBJECTS, "no memory");
    mb_free_batch(OBJECTS, objects);
    CHECK(mbi_fast_cache == &mbi_cache_covered, "not counted before");
    CHECK(mbi_thread_cache_rounds(mbi_thread_cache, size_class_of(SIZE)) != 0, "nothing cached");
    sem_post(&ready);
    wait_for(&may_end);
    return argument;
}

static void end_thread(void)
{
    if (is_ending) {
        is_ending = false;
        sem_post(&may_end);
        pthread_join(ending, NULL);
    }
}

static void register_handler(void)
{
    pthread_atfork(end_thread, NULL, NULL);
}
/* Registered first: it runs last, when the gate is closed. */
__attribute__((section(".preinit_array"), used)) static void (*const preinit)(void) =
    register_handler;

static uint64_t samples(void)
{
    FILE *dump = dump_profile();
    uint64_t count = dump_count(dump, "samples ");
    fclose(dump);
    return count;
}

static void *use_one_object(void *argument)
{
    uint64_t before = samples();
    for (int i = 0; i < PAIRS; i++) {
        void *object = mb_alloc(SIZE);
        mb_free(object);
    }
    CHECK(samples() > before, "%d objects, and none of them a sample", PAIRS);
    return argument;
}

/* As `end_thread` had a thread end, its cache is parked now, and not empty. */
static void fork_while_a_thread_ends(void)
{
    sem_init(&ready, 0, 0);
    sem_init(&may_end, 0, 0);
    ending = start_thread(use_and_wait, NULL);
    wait_for(&ready);
    is_ending = true;
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0, "child: status %x", (unsigned)status);
    CHECK(counter_read(&mbi_cache_counts.parked) == 1, "%d parked caches",
          (int)counter_read(&mbi_cache_counts.parked));
    CHECK(mbi_parked_bytes() != 0, "the parked cache is empty");
}

int main(void)
{
    mbi_sampling_seed = 20261130;
    CHECK(mb_profile_start(MEAN) == 0, "mb_profile_start");
    CHECK(!mbi_thread_cache->active, "this thread has a cache already");
    fork_while_a_thread_ends();
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        use_one_object(NULL);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0, "child: status %x", (unsigned)status);
    pthread_join(start_thread(use_one_object, NULL), NULL);
    (void)check_accounting(0);
    return 0;
}
