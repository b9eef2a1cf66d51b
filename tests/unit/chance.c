/* chance: the functions against libm's, and the numbers' distributions. */
#include "core/chance.h"

#include <criterion/criterion.h>
#include <math.h>

Test(chance, logarithms_are_those_of_libm)
{
    uint64_t random = 7;
    for (int i = 0; i < 100000; i++) {
        uint64_t number = (chance_next(&random) >> 11 >> i % 53) + 1;
        double expected = -log((double)number / 0x1p53);
        cr_assert_leq(fabs(chance_minus_log(number) - expected), 1e-9 * fmax(expected, 1));
    }
    cr_assert_eq(chance_minus_log(UINT64_C(1) << 53), 0);
}

Test(chance, the_chance_of_a_point_is_that_of_libm)
{
    cr_assert_eq(chance_within(0), 0);
    cr_assert_eq(chance_within(1000), 1);
    for (double x = 1e-9; x < 100; x *= 1.01) {
        double expected = -expm1(-x);
        cr_assert_leq(fabs(chance_within(x) - expected), 1e-9 * expected, "%g", x);
    }
}

Test(chance, exponential_numbers_have_mean_and_deviation_1)
{
    enum { NUMBERS = 1000000 };
    uint64_t random = 7;
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < NUMBERS; i++) {
        double number = chance_exponential(&random);
        cr_assert_geq(number, 0);
        sum += number;
        squares += number * number;
    }
    cr_assert_leq(fabs(sum / NUMBERS - 1), 0.005);
    cr_assert_leq(fabs(squares / NUMBERS - 2), 0.02);
}

Test(chance, numbers_are_chosen_as_often_as_they_should_be)
{
    enum { CHOICES = 1000000 };
    uint64_t random = 7;
    for (unsigned log2 = 0; log2 <= 8; log2++) {
        double chosen[256] = { 0 };
        double expected = (double)CHOICES / (1U << log2);
        for (int i = 0; i < CHOICES; i++) {
            chosen[chance_one_of(&random, log2)]++;
        }
        for (unsigned number = 0; number < 256; number++) {
            double wanted = number < 1U << log2 ? expected : 0;
            cr_assert_leq(fabs(chosen[number] - wanted), 5 * sqrt(wanted), "%u of 2^%u", number,
                          log2);
        }
    }
}
