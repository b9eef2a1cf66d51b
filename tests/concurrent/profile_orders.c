/*
 * profile_orders: what the heap profile's own orders are for, with nothing else that orders: each
 * thread is told by relaxed numbers alone that it is its turn. ThreadSanitizer sees where one is missing.
 *
 * One thread frees an object that may be a sample, in a profile that began while it waited; one finds
 * that profile's settings; its samples then have the places of others that were freed; and two
 * threads put stacks on the same list, one while the other does.
 */
#include "testing.h"

#include "insight/profile_stacks.h"
#include "profile_dump.h"

#include <sched.h>

enum { ROOMS = 500, SAMPLES = 10 * ROOMS, LARGE_BYTES = 40000, TURNS = 6 };
static _Atomic unsigned turn;

static void wait_for_turn(unsigned number)
{
    while (atomic_load_explicit(&turn, memory_order_relaxed) < number) {
        sched_yield();
    }
}

static void give_turn(void)
{
    atomic_fetch_add_explicit(&turn, 1, memory_order_relaxed);
}

static void *run_freeing(void *before)
{
    mb_free(mb_alloc(16)); /* has its cache before the profile begins */
    give_turn();
    wait_for_turn(3);
    mb_free(before);
    give_turn();
    return NULL;
}

static void *run_sampling(void *unused)
{
    static void *objects[SAMPLES];
    mb_free(mb_alloc(16));
    give_turn();
    wait_for_turn(3);
    objects[0] = mb_alloc(LARGE_BYTES);
    give_turn();
    wait_for_turn(TURNS);
    for (size_t i = 1; i < SAMPLES; i++) {
        objects[i] = mb_alloc(LARGE_BYTES);
    }
    for (size_t i = 0; i < SAMPLES; i++) {
        mb_free(objects[i]);
    }
    return unused;
}

/* A stack of one made-up address. All of one list share it, as the bits that differ reach none of its number's. */
static void put_stack(uintptr_t list, uintptr_t number)
{
    void *frame = (void *)(list + (number * PROFILE_HEADS << 32));
    CHECK(mbi_profile_stacks_put(&frame, 1) != 0, "no room for a stack");
}

/* The list to which main adds while it waits, in the middle, for another thread to do so; 0: it does not. */
static _Atomic uintptr_t shared_list;

bool __real_mbi_os_commit(void *start, size_t bytes);

/* Called now and then between the look at a list and the exchange of its head. */
bool __wrap_mbi_os_commit(void *start, size_t bytes)
{
    if (atomic_load_explicit(&shared_list, memory_order_relaxed) != 0
        && atomic_load_explicit(&turn, memory_order_relaxed) == TURNS + 1) {
        give_turn();
        wait_for_turn(TURNS + 3);
    }
    return __real_mbi_os_commit(start, bytes);
}

static void *run_putting(void *unused)
{
    put_stack(1, 1);
    give_turn();
    wait_for_turn(TURNS + 2);
    put_stack(atomic_load_explicit(&shared_list, memory_order_relaxed), 1);
    give_turn();
    return unused;
}

static void put_stacks(void)
{
    pthread_t thread = start_thread(run_putting, NULL);
    wait_for_turn(TURNS + 1);
    put_stack(1, 2);
    for (uintptr_t list = 2; atomic_load_explicit(&turn, memory_order_relaxed) < TURNS + 3; list++) {
        CHECK(list < PROFILE_HEADS, "no stack needed memory");
        atomic_store_explicit(&shared_list, list, memory_order_relaxed);
        put_stack(list, 2);
    }
    atomic_store_explicit(&shared_list, 0, memory_order_relaxed);
    pthread_join(thread, NULL);
}

int main(void)
{
    static void *objects[ROOMS];
    pthread_t threads[] = { start_thread(run_freeing, mb_alloc(LARGE_BYTES)), start_thread(run_sampling, NULL) };
    wait_for_turn(2);
    CHECK(mb_profile_start(1) == 0, "no profile");
    give_turn();
    wait_for_turn(5);
    for (size_t i = 0; i < ROOMS; i++) {
        objects[i] = mb_alloc(LARGE_BYTES);
    }
    for (size_t i = 0; i < ROOMS; i++) {
        mb_free(objects[i]);
    }
    give_turn();
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    FILE *dump = dump_profile();
    struct figures all = figures_in(dump, 0);
    fclose(dump);
    CHECK(all.objects == ROOMS + SAMPLES && all.live_objects == 0, "%.0f of %.0f objects live",
          all.live_objects, all.objects);
    put_stacks();
    return 0;
}
