/* line_fit.h against lines and scatter whose answers can be worked out. */
#include "line_fit.h"

#include "check.h"

#include <stdio.h>
#include <stdlib.h>

enum { SAMPLES = 600 };
static double seconds[SAMPLES];
static double bytes[SAMPLES];

static int is_near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * (1 + fabs(b));
}

int main(void)
{
    for (unsigned i = 0; i < SAMPLES; i++) {
        seconds[i] = 1 + 0.1 * i;
        bytes[i] = 5e6 - 300 * seconds[i];
    }
    struct line_fit fit = line_fit(seconds, bytes, SAMPLES);
    CHECK(is_near(fit.slope, -300) && fit.slope_error < 1e-6);

    /* Stretches of one sample, off a level by +1 and -1 in turn: 10 values at 0 .. 9. */
    static double x[LINE_FIT_STRETCHES];
    static double y[LINE_FIT_STRETCHES];
    for (unsigned i = 0; i < LINE_FIT_STRETCHES; i++) {
        x[i] = i;
        y[i] = i % 2 == 0 ? 1 : -1;
    }
    /* sum of x*y = -5, of (x - 4.5)^2 = 82.5, of y^2 = 10; so the residuals' is 10 - 25 / 82.5. */
    fit = line_fit(x, y, LINE_FIT_STRETCHES);
    CHECK(is_near(fit.slope, -5 / 82.5));
    CHECK(is_near(fit.slope_error, sqrt((10 - 25 / 82.5) / 8 / 82.5)));

    /* What goes up and down within a stretch is no scatter between stretches. */
    for (unsigned i = 0; i < SAMPLES; i++) {
        bytes[i] = i % 60 < 30 ? 1 : 0;
    }
    fit = line_fit(seconds, bytes, SAMPLES);
    CHECK(fabs(fit.slope) < 1e-9 && fit.slope_error < 1e-9);

    CHECK(isnan(line_fit(x, y, LINE_FIT_STRETCHES - 1).slope));
    return 0;
}
