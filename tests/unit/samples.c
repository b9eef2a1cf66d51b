/* samples: each is found while it is there, also where buckets are full. */
#include "insight/samples.h"

#include <criterion/criterion.h>

/* Any numbers do for addresses: nothing is read there. */
static void *address(uintptr_t number)
{
    return (void *)(number * 16);
}

static struct sample sample_of(uintptr_t number)
{
    return (struct sample){ .slot = address(number + 7), .parts = number, .bytes = 2 * number,
                            .stack = (uint32_t)number };
}

Test(samples, come_back_once, .init = (void (*)(void))mbi_samples_init)
{
    enum { SAMPLES = 100000 };
    struct sample found;
    for (uintptr_t i = 1; i <= SAMPLES; i++) {
        struct sample sample = sample_of(i);
        cr_assert(mbi_samples_put(address(i), &sample));
    }
    for (uintptr_t i = 1; i <= SAMPLES; i++) {
        cr_assert(mbi_samples_find(address(i), &found));
        cr_assert_eq(found.parts, i);
        cr_assert_not(mbi_samples_find(address(i + SAMPLES), &found));
    }
    for (uintptr_t i = SAMPLES; i >= 1; i--) {
        cr_assert(mbi_samples_take(address(i), &found));
        cr_assert_eq(found.slot, address(i + 7));
        cr_assert_eq(found.bytes, 2 * i);
        cr_assert_not(mbi_samples_take(address(i), &found));
    }
}

/* More than the table has room for: what is refused is not there, and the rest is. */
Test(samples, a_full_table_refuses, .init = (void (*)(void))mbi_samples_init)
{
    enum { SAMPLES = 300000 };
    static bool put[SAMPLES];
    struct sample found;
    size_t refused = 0;
    for (uintptr_t i = 0; i < SAMPLES; i++) {
        struct sample sample = sample_of(i + 1);
        put[i] = mbi_samples_put(address(i + 1), &sample);
        refused += !put[i];
    }
    cr_assert_gt(refused, SAMPLES - 7 * 32768 - 1);
    cr_assert_lt(refused, SAMPLES / 2);
    for (uintptr_t i = 0; i < SAMPLES; i++) {
        cr_assert_eq(mbi_samples_take(address(i + 1), &found), put[i]);
    }
    cr_assert_not(mbi_samples_find(NULL, &found));
    cr_assert_not(mbi_samples_find((void *)1, &found));
}
