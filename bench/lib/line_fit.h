/*
 * line_fit: a line through samples over time by least squares, and how well its slope is known.
 *
 * Samples of resident memory that are close in time are nearly equal. Taken one by one they would
 * count as independent, and the standard error would be several times too small. So the time is cut
 * into stretches of equal length, longer than memory mostly takes to come and go. The line goes
 * through their means, and the error is how these scatter.
 */
#ifndef MEMORYBUCKET_BENCH_LINE_FIT_H
#define MEMORYBUCKET_BENCH_LINE_FIT_H

#include <math.h>

enum { LINE_FIT_STRETCHES = 10 };

struct line_fit {
    double slope;
    double slope_error; /* the slope's standard error */
};

/* Least squares through all of at least three points, which are taken to be independent. */
static inline struct line_fit line_through(const double x[], const double y[], unsigned count)
{
    double centre_x = 0;
    double centre_y = 0;
    for (unsigned i = 0; i < count; i++) {
        centre_x += x[i] / count;
        centre_y += y[i] / count;
    }
    double spread = 0;
    double product = 0;
    for (unsigned i = 0; i < count; i++) {
        spread += (x[i] - centre_x) * (x[i] - centre_x);
        product += (x[i] - centre_x) * (y[i] - centre_y);
    }
    struct line_fit fit = { .slope = product / spread };
    double residual = 0;
    for (unsigned i = 0; i < count; i++) {
        double off = y[i] - centre_y - fit.slope * (x[i] - centre_x);
        residual += off * off;
    }
    fit.slope_error = sqrt(residual / (count - 2) / spread);
    return fit;
}

/* Through the means of the stretches. NAN for both when there are fewer samples than stretches. */
static inline struct line_fit line_fit(const double x[], const double y[], unsigned count)
{
    const unsigned length = count / LINE_FIT_STRETCHES;
    if (length == 0) {
        return (struct line_fit){ (double)NAN, (double)NAN };
    }
    double mean_x[LINE_FIT_STRETCHES] = { 0 };
    double mean_y[LINE_FIT_STRETCHES] = { 0 };
    for (unsigned i = 0; i < LINE_FIT_STRETCHES * length; i++) {
        mean_x[i / length] += x[i] / length;
        mean_y[i / length] += y[i] / length;
    }
    return line_through(mean_x, mean_y, LINE_FIT_STRETCHES);
}

#endif
