/*
 * parked_windows MILLISECONDS: windows shorter than those that threads are told of. What is in
 * parked caches goes back, also where nothing else is pending. Then nothing is pending any more.
 */
#include "testing.h"

#include "tcache/thread_cache.h"

#include <unistd.h>

/* More caches than go back at the end of one window; all their slots together are no batch. */
enum { SIZE = 48, THREADS = 20, TURNS_MAX = 2000 };

static void *use_and_end(void *all_ready)
{
    mb_free(mb_alloc(SIZE));
    pthread_barrier_wait(all_ready);
    return NULL;
}

static uint64_t parked_slots(void)
{
    return check_accounting(0)->pool[(SIZE - 1) / 8].parked;
}

/* Those of a slow path that moves nothing, and the time to come to an end. */
static void do_chores(void)
{
    struct thread_cache *cache = mbi_thread_cache_begin_slow();
    mbi_thread_cache_do_chores(cache);
    thread_cache_end_slow(cache);
    usleep(1000);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2, "usage: parked_windows MILLISECONDS");
    setenv("MB_DECAY_MS", argv[1], 1);
    mb_free(mb_alloc(SIZE));
    mb_thread_flush();
    pthread_t threads[THREADS];
    pthread_barrier_t all_ready;
    pthread_barrier_init(&all_ready, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++) {
        threads[i] = start_thread(use_and_end, &all_ready);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(parked_slots() >= THREADS, "nothing is parked");
    for (int turn = 0; parked_slots() != 0; turn++) {
        CHECK(turn < TURNS_MAX, "it stays parked");
        do_chores();
    }
    for (int turn = 0; pools_pending(); turn++) {
        CHECK(turn < TURNS_MAX, "windows end for ever");
        do_chores();
    }
    return 0;
}
