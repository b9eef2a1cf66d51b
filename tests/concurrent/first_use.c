/*
 * first_use: a pool that several threads use for the first time at once is laid out once, and
 * nobody sees a part of it: no thread, and no child of a fork in that moment.
 *
 * The linker puts a function into the middle of laying out. There a thread stands still until
 * another one is about to ask for a slot of the same pool, or to fork, and some time longer: both
 * have to wait. How long that is only decides how surely one that does not wait is found. While
 * another thread forks a pool is not laid out: the system allocator serves the request.
 */
#include "testing.h"

#include "core/free_map.h"
#include "core/region.h"

#include <sched.h>
#include <sys/wait.h>

/* A class each, which nothing else uses. */
enum { SIZE_TOGETHER = 40, SIZE_FORK = 80, SIZE_CLOSED = 120, FIRST_SIZE = 200 };
enum { HOLD_MS = 20, THREADS = 4, CHILD_SECONDS = 60 };

static _Thread_local bool stands_still;
static _Atomic bool in_the_middle, may_go_on, may_end;
static _Atomic unsigned layings; /* of spans */

static bool is_set(const _Atomic bool *flag)
{
    return atomic_load_explicit(flag, memory_order_acquire); /* [TEST] */
}

static void set(_Atomic bool *flag, bool value)
{
    atomic_store_explicit(flag, value, memory_order_release); /* [TEST] */
}

static void wait_until(const _Atomic bool *flag)
{
    while (!is_set(flag)) {
        usleep(100);
    }
}

static unsigned layings_now(void)
{
    return atomic_load_explicit(&layings, memory_order_relaxed); /* [TEST] */
}

void __real_mbi_free_map_place(struct free_map *map, char *memory, size_t bytes,
                               enum os_pages pages);
void __wrap_mbi_free_map_place(struct free_map *map, char *memory, size_t bytes,
                               enum os_pages pages);
void __wrap_mbi_free_map_place(struct free_map *map, char *memory, size_t bytes,
                               enum os_pages pages)
{
    __real_mbi_free_map_place(map, memory, bytes, pages);
    atomic_fetch_add_explicit(&layings, 1, memory_order_relaxed); /* [TEST] */
    if (stands_still) {
        stands_still = false;
        set(&in_the_middle, true);
        wait_until(&may_go_on);
        usleep(HOLD_MS * 1000);
        set(&in_the_middle, false);
    }
}

static void *allocate_of_pool(size_t size)
{
    void *object = mb_alloc(size);
    CHECK(region_class_of(object) == size_class_of(size), "no slot of %zu bytes", size);
    memset(object, 0x55, size);
    return object;
}

/* Ends when it is joined: ThreadSanitizer would miss the join of an ended one in a child. */
static void *be_first(void *size)
{
    stands_still = true;
    void *object = mb_alloc((size_t)(uintptr_t)size);
    wait_until(&may_end);
    return object;
}

static void *end_first(pthread_t first)
{
    void *object;
    set(&may_end, true);
    pthread_join(first, &object);
    return object;
}

/* Another thread lays the pool out from now on, and is in the middle of it. */
static pthread_t start_first(size_t size)
{
    set(&may_go_on, false);
    set(&may_end, false);
    pthread_t first = start_thread(be_first, (void *)(uintptr_t)size);
    wait_until(&in_the_middle);
    CHECK(!pool_is_laid_out(size_class_of(size)), "a pool may be used before it is whole");
    set(&may_go_on, true);
    return first;
}

/* The first one's object comes from the pool as well: nobody forks. */
static void ask_beside_the_first(void)
{
    unsigned before = layings_now();
    pthread_t first = start_first(SIZE_TOGETHER);
    void *object = allocate_of_pool(SIZE_TOGETHER);
    CHECK(!is_set(&in_the_middle), "a pool is used while it is laid out");
    void *other = end_first(first);
    CHECK(layings_now() - before == SPAN_COUNT, "%u spans were laid out", layings_now() - before);
    CHECK(region_class_of(other) == size_class_of(SIZE_TOGETHER) && other != object,
          "both have %p", object);
    mb_free(object);
    mb_free(other);
    check_accounting(0);
}

/* The first one may have an object there, or not. */
static void use_in_child(void)
{
    size_t class = size_class_of(SIZE_FORK);
    alarm(CHILD_SECONDS);
    CHECK(!is_set(&in_the_middle) && pool_is_laid_out(class), "the fork fell into the middle");
    CHECK(mbi_pool_check(pool_at(class)) != SIZE_MAX, "the pool is not whole");
    mb_free(allocate_of_pool(SIZE_FORK));
    _exit(0);
}

static void fork_beside_the_first(void)
{
    int status;
    pthread_t first = start_first(SIZE_FORK);
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        use_in_child();
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0, "child: status %x", (unsigned)status);
    mb_free(end_first(first));
    mb_free(allocate_of_pool(SIZE_FORK));
    check_accounting(0);
}

static _Atomic bool is_closed, may_open;

/* A fork without the fork. */
static void *close_and_open(void *argument)
{
    mbi_lock_close_gate(mbi_lock_defer_cancel());
    set(&is_closed, true);
    wait_until(&may_open);
    mbi_lock_restore_cancel(mbi_lock_open_gate());
    mbi_pools_free_deferred();
    return argument;
}

static void *use_while_closed(void *argument)
{
    void *objects[3];
    objects[0] = mb_alloc(SIZE_CLOSED);
    CHECK(objects[0] != NULL && region_class_of(objects[0]) >= SIZE_CLASS_COUNT, "not the system's");
    mb_free(objects[0]);
    CHECK(mb_alloc_batch(SIZE_CLOSED, 3, objects) == 3, "no memory");
    mb_free_batch(3, objects);
    return argument;
}

static void ask_while_another_forks(void)
{
    size_t class = size_class_of(SIZE_CLOSED);
    pthread_t other = start_thread(close_and_open, NULL);
    wait_until(&is_closed);
    (void)use_while_closed(NULL); /* with a cache */
    pthread_join(start_thread(use_while_closed, NULL), NULL);
    CHECK(!pool_is_laid_out(class), "a lock was taken while another thread forks");
    CHECK(mbi_pool_check(pool_at(class)) == 0, "a part of the pool is laid out");
    set(&may_open, true);
    pthread_join(other, NULL);
    mb_free(allocate_of_pool(SIZE_CLOSED));
    check_accounting(0);
}

static _Atomic size_t arrived;

/* All threads come to each size together. */
static void *use_each_size(void *argument)
{
    size_t rounds = 0;
    for (size_t size = FIRST_SIZE; size <= 512; size += 8) {
        rounds += THREADS;
        atomic_fetch_add_explicit(&arrived, 1, memory_order_relaxed); /* [TEST] */
        while (atomic_load_explicit(&arrived, memory_order_relaxed) < rounds) { /* [TEST] */
            sched_yield();
        }
        mb_free(allocate_of_pool(size));
    }
    return argument;
}

static void use_together(void)
{
    unsigned before = layings_now();
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        threads[i] = start_thread(use_each_size, NULL);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    unsigned expected = ((512 - FIRST_SIZE) / 8 + 1) * SPAN_COUNT;
    CHECK(layings_now() - before == expected, "%u spans were laid out, not %u",
          layings_now() - before, expected);
    check_accounting(0);
}

int main(void)
{
    mb_free(mb_alloc(8));
    ask_beside_the_first();
    fork_beside_the_first();
    ask_while_another_forks();
    use_together();
    return 0;
}
