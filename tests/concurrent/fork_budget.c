/*
 * fork_budget: a signal handler forks just when the interrupted thread has taken a part of the
 * process's budget, or given it back, and has not noted that yet, or the other way round. In the
 * child, which goes on there, caches have what they took of the budget, and no more is taken.
 *
 * The handler comes after each instruction, and forks where the numbers differ.
 */
#include "single_step.h"

#include "tcache/budget.h"
#include "tcache/registry.h"

#include <sys/wait.h>

enum { CLASSES = 12, CHILD_SECONDS = 60 };

static struct thread_cache *sleepers, *parked;
static unsigned forks;
static bool is_child, was_between;

static bool is_between(void)
{
    size_t noted = mbi_thread_cache->taken_bytes + sleepers->taken_bytes + parked->taken_bytes;
    return bounded_taken(&mbi_budget) != noted;
}

static bool fork_between(void)
{
    bool between = is_between();
    bool begins = between && !was_between;
    was_between = between;
    if (!begins) {
        return true;
    }
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        alarm(CHILD_SECONDS);
        is_child = true;
        return false;
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0, "child %u: status %x", forks,
          (unsigned)status);
    forks++;
    return true;
}

/* Each class takes its magazine's bytes of the budget. */
static void use_classes(void)
{
    for (size_t i = 0; i < CLASSES; i++) {
        void *object = mb_alloc(MB_SMALL_MAX - 8 * i);
        CHECK(object != NULL, "no memory");
        mb_free(object);
    }
}

static void take_and_give_back(void)
{
    use_classes();
    mb_thread_flush();
    mbi_registry_ask_all(); /* what is parked goes back */
}

static void *sleep_with_a_cache(void *turn)
{
    use_classes();
    sleepers = mbi_thread_cache;
    pthread_barrier_wait(turn);
    pthread_barrier_wait(turn);
    return NULL;
}

static void *use_and_end(void *argument)
{
    use_classes();
    parked = mbi_thread_cache;
    return argument;
}

int main(void)
{
    if (!CAN_SINGLE_STEP) {
        return SKIPPED;
    }
    pthread_barrier_t turn;
    pthread_barrier_init(&turn, NULL, 2);
    mb_free(mb_alloc(MB_SMALL_MAX));
    pthread_t sleeper = start_thread(sleep_with_a_cache, &turn);
    pthread_barrier_wait(&turn);
    pthread_join(start_thread(use_and_end, NULL), NULL);
    CHECK(parked->taken_bytes != 0 && !is_between(), "nothing is parked");

    single_step(take_and_give_back, fork_between);
    CHECK(is_child || forks >= CLASSES / 2, "%u forks", forks);
    if (is_child) { /* the sleeper's cache is no more, and all others are empty */
        CHECK(check_accounting(0)->cache_bytes == 0, "%zu bytes are taken of the budget",
              bounded_taken(&mbi_budget));
        return 0;
    }
    printf("%u forks\n", forks);
    pthread_barrier_wait(&turn);
    pthread_join(sleeper, NULL);
    return 0;
}
