/*
 * line_fit: a line through samples over time by least squares, and how well its slope is known.
 *
 * Samples of resident memory that are close in time are nearly the same value: one by one they
 * would pass for many independent ones, and the standard error come out several times too small. So
 * the time is cut into stretches of equal length, longer than memory mostly takes to come and go,
 * and the line goes through their means: the error is what these scatter by.
 */
#ifndef MEMORYBUCKET_BENCH_LINE_FIT_H
#define MEMORYBUCKET_BENCH_LINE_FIT_H

#include <math.h>

enum { LINE_FIT_STRETCHES = 10 };

struct line_fit {
    double slope;
    double slope_error; /* the slope's standard error */
};

/* NAN for both when there are fewer samples than stretches. */
static inline struct line_fit line_fit(const double x[], const double y[], unsigned count)
{
    struct line_fit fit = { (double)NAN, (double)NAN };
    const unsigned length = count / LINE_FIT_STRETCHES;
    if (length == 0) {
        return fit;
    }
    double mean_x[LINE_FIT_STRETCHES] = { 0 };
    double mean_y[LINE_FIT_STRETCHES] = { 0 };
    double centre_x = 0;
    double centre_y = 0;
    for (unsigned stretch = 0; stretch < LINE_FIT_STRETCHES; stretch++) {
        for (unsigned i = stretch * length; i < (stretch + 1) * length; i++) {
            mean_x[stretch] += x[i] / length;
            mean_y[stretch] += y[i] / length;
        }
        centre_x += mean_x[stretch] / LINE_FIT_STRETCHES;
        centre_y += mean_y[stretch] / LINE_FIT_STRETCHES;
    }
    double spread = 0;
    double product = 0;
    for (unsigned i = 0; i < LINE_FIT_STRETCHES; i++) {
        spread += (mean_x[i] - centre_x) * (mean_x[i] - centre_x);
        product += (mean_x[i] - centre_x) * (mean_y[i] - centre_y);
    }
    fit.slope = product / spread;
    double residual = 0;
    for (unsigned i = 0; i < LINE_FIT_STRETCHES; i++) {
        double off = mean_y[i] - centre_y - fit.slope * (mean_x[i] - centre_x);
        residual += off * off;
    }
    fit.slope_error = sqrt(residual / (LINE_FIT_STRETCHES - 2) / spread);
    return fit;
}

#endif
