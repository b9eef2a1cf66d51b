/* sizes: the distributions, by the inverses of their distribution functions. */
#include "sizes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool sizes_parse(struct sizes *sizes, const char *text, size_t least, size_t most)
{
    int end = 0;
    *sizes = (struct sizes){ SIZES_UNIFORM, 0, 0 };
    if (strcmp(text, "etc") == 0 || strcmp(text, "usr") == 0) {
        sizes->kind = text[0] == 'e' ? SIZES_ETC : SIZES_USR;
        return true;
    }
    /* Nine digits cannot overflow: NOLINTBEGIN(cert-err34-c) */
    if (sscanf(text, "fixed:%9zu%n", &sizes->low, &end) == 1) {
        sizes->high = sizes->low;
    } else if (sscanf(text, "uniform:%9zu-%9zu%n", &sizes->low, &sizes->high, &end) != 2) {
        return false;
    }
    /* NOLINTEND(cert-err34-c) */
    return text[end] == '\0' && strpbrk(text, " +") == NULL && sizes->low >= least &&
           sizes->high <= most && sizes->low <= sizes->high;
}

static size_t clip(double size, size_t low, size_t high)
{
    return size <= (double)low ? low : size >= (double)high ? high : (size_t)size;
}

/* scale / shape * (x to the power of -shape - 1) */
static double tail(double scale, double shape, double x)
{
    return scale / shape * expm1(-shape * log(x));
}

static size_t draw(const struct sizes *sizes, uint64_t random, bool key)
{
    double share = ((double)(random >> 12) + 0.5) * 0x1p-52; /* above 0 and below 1 */
    switch (sizes->kind) {
    case SIZES_ETC:
        return key ? clip(30.7984 + tail(8.20449, 0.078688, -log(share)), KEY_BYTES_MIN,
                          KEY_BYTES_MAX)
                   : clip(tail(214.476, 0.348238, share), 1, VALUE_BYTES_MAX);
    case SIZES_USR:
        return !key ? 2 : share < 0.5 ? 16 : 21;
    default:
        return sizes->low + (size_t)(random % (sizes->high - sizes->low + 1));
    }
}

size_t sizes_of_value(const struct sizes *sizes, uint64_t random)
{
    return draw(sizes, random, false);
}

size_t sizes_of_key(const struct sizes *sizes, uint64_t random)
{
    return draw(sizes, random, true);
}
