/* processors: ranks of made-up sets, in any order and by several threads at once. */
#include "core/processors.h"

#include "core/pool.h"

#include <criterion/criterion.h>
#include <pthread.h>

static void set_add(struct processor_set *set, unsigned number)
{
    set->words[number / 64] |= UINT64_C(1) << number % 64;
}

/* Each test is a process of its own. */
Test(processors, without_a_rank_the_number_counts)
{
    for (unsigned number = 0; number < 2 * PROCESSORS_MAX; number++) {
        cr_assert_eq(processor_rank(number), number);
    }
}

Test(processors, even_numbers_use_all_stacks)
{
    struct processor_set even = { { 0 } };
    for (unsigned i = 0; i < CENTRAL_STACKS; i++) {
        set_add(&even, 2 * i);
    }
    cr_assert_eq(mbi_processors_add(&even), CENTRAL_STACKS);
    for (unsigned i = 0; i < CENTRAL_STACKS; i++) {
        cr_assert_eq(processor_rank(2 * i) % CENTRAL_STACKS, i);
    }
}

Test(processors, ranks_are_added_and_never_changed)
{
    const unsigned numbers[] = { 900, 3, 1023, 64, 63 };
    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct processor_set set = { { 0 } };
        set_add(&set, numbers[i]);
        set_add(&set, numbers[0]); /* again */
        cr_assert_eq(mbi_processors_add(&set), i + 1);
        for (unsigned j = 0; j <= i; j++) {
            cr_assert_eq((uint8_t)processor_rank(numbers[j]), j);
        }
    }
    cr_assert_eq(processor_rank(5), 5, "nobody has seen it");
}

enum { THREADS = 4, STEP = 3 };
static pthread_barrier_t together;

static void *add_overlapping(void *argument)
{
    unsigned first = *(const unsigned *)argument;
    pthread_barrier_wait(&together);
    for (unsigned number = first; number < PROCESSORS_MAX; number += STEP) {
        struct processor_set set = { { 0 } };
        set_add(&set, number);
        (void)mbi_processors_add(&set);
    }
    return NULL;
}

/* Two threads each for some of the numbers; only as many ranks as processors come of it. */
Test(processors, no_rank_is_handed_out_twice)
{
    pthread_t threads[THREADS];
    unsigned firsts[THREADS] = { 0, 1, 2, 1 };
    pthread_barrier_init(&together, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, add_overlapping, &firsts[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    struct processor_set none = { { 0 } };
    cr_assert_eq(mbi_processors_add(&none), PROCESSORS_MAX);
    unsigned of_rank[256] = { 0 };
    for (unsigned number = 0; number < PROCESSORS_MAX; number++) {
        of_rank[(uint8_t)processor_rank(number)]++;
    }
    for (unsigned rank = 0; rank < 256; rank++) {
        cr_assert_eq(of_rank[rank], PROCESSORS_MAX / 256);
    }
}

Test(processors, lists_are_counted)
{
    cr_assert_eq(mbi_processors_count("0"), 1);
    cr_assert_eq(mbi_processors_count("0-1\n"), 2);
    cr_assert_eq(mbi_processors_count("0,2,4,6\n"), 4);
    cr_assert_eq(mbi_processors_count("0-3,8-11,127\n"), 9);
    const char *const bad[] = { "", "\n", "x", "0-", "3-1", "0,", "0-1 2", "1,,2", "99999999999999" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_eq(mbi_processors_count(bad[i]), 0, "%s", bad[i]);
    }
    unsigned online = mbi_processors_online();
    cr_assert(online >= 1 && online <= PROCESSORS_MAX);
}

Test(processors, the_number_of_stacks_only_grows)
{
    mbi_pools_spread(3);
    cr_assert_eq(central_mask() + 1, 4);
    mbi_pools_spread(1);
    cr_assert_eq(central_mask() + 1, 4);
    mbi_pools_spread(PROCESSORS_MAX);
    cr_assert_eq(central_mask() + 1, CENTRAL_STACKS);
}
