/* bounded: all or some of what is left, never more, also by many threads. */
#include "core/bounded.h"

#include <criterion/criterion.h>
#include <pthread.h>

enum { MOST = 1000, THREADS = 4, TURNS = 20000 };

Test(bounded, gives_whole_units_of_what_is_left)
{
    struct bounded bounded = { .most = MOST };
    cr_assert_eq(bounded_take(&bounded, 3, 300), 3);
    cr_assert_eq(bounded_taken(&bounded), 900);
    cr_assert_eq(bounded_take(&bounded, 3, 40), 2, "as many as are left");
    cr_assert_eq(bounded_take(&bounded, 1, 21), 0, "all of a unit or nothing");
    cr_assert_eq(bounded_take(&bounded, 1, 20), 1, "to the brim");
    bounded_give_back(&bounded, MOST);
    cr_assert_eq(bounded_taken(&bounded), 0);
}

Test(bounded, may_be_lowered_below_what_is_taken)
{
    struct bounded bounded = { .most = BOUNDED_NONE };
    cr_assert_eq(bounded_take(&bounded, 1, MOST), 1);
    cr_assert_eq(bounded_set_most(&bounded, 10), BOUNDED_NONE);
    cr_assert_eq(bounded_take(&bounded, 1, 1), 0);
    cr_assert_eq(bounded_taken(&bounded), MOST, "it stays taken");
    bounded_give_back(&bounded, MOST - 9);
    cr_assert_eq(bounded_take(&bounded, 2, 1), 1);
}

static struct bounded shared = { .most = MOST };
static _Atomic int over;

static void *take_and_give_back(void *argument)
{
    for (size_t i = 0; i < TURNS; i++) {
        size_t units = bounded_take(&shared, 1 + i % 7, 100);
        if (bounded_taken(&shared) > MOST) {
            atomic_fetch_add_explicit(&over, 1, memory_order_relaxed); /* [TEST] */
        }
        bounded_give_back(&shared, units * 100);
    }
    return argument;
}

Test(bounded, never_exceeds_its_bound)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, take_and_give_back, NULL), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    cr_assert_eq(over, 0, "%d times more was taken than there is", over);
    cr_assert_eq(bounded_taken(&shared), 0);
}
