/* keyspace: all of it is worked out from a key's number; only the versions are kept. */
#include "keyspace.h"

#include "report.h"

#include <math.h>
#include <string.h>

_Atomic uint32_t *keyspace_versions;
static double zipf_from, zipf_to; /* the area below x to the power of -options.zipf */

/* Steele, Lea and Flood's splitmix64: a bijection of 64 bits that looks like chance. */
static uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15U;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9U;
    x = (x ^ x >> 27) * 0x94D049BB133111EBU;
    return x ^ x >> 31;
}

/* The integral of x to the power of -options.zipf, which is not 1, and its inverse. */
static double area(double x)
{
    return expm1((1 - options.zipf) * log(x)) / (1 - options.zipf);
}

static double area_inverse(double y)
{
    return exp(log1p((1 - options.zipf) * y) / (1 - options.zipf));
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

/* The length that goes with a random number: by the inverse of the distribution function. */
static size_t size_of(const struct sizes *sizes, bool key, uint64_t random)
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

void keyspace_prepare(void)
{
    options.zipf += options.zipf == 1 ? 1e-9 : 0; /* at 1 the integral has another form */
    zipf_from = area(0.5);
    zipf_to = area(options.keys + 0.5);
    keyspace_versions = calloc(options.keys, sizeof *keyspace_versions);
    if (keyspace_versions == NULL) {
        report_die("there is no memory for the versions of %u keys", options.keys);
    }
}

double keyspace_share(uint64_t *state)
{
    return (double)(mix((*state)++) >> 11) * 0x1p-53;
}

/*
 * Key k, from 1 on, has the area from k - 1/2 to k + 1/2: with an exponent of 0.99 the first is
 * drawn a tenth more often than Zipf's law says, the second by a fiftieth, and so on.
 */
uint32_t keyspace_draw(uint64_t *state)
{
    double key = round(area_inverse(zipf_from + keyspace_share(state) * (zipf_to - zipf_from)));
    return (uint32_t)fmin(fmax(key, 1), options.keys) - 1;
}

uint32_t keyspace_fill(unsigned connection, uint32_t turn)
{
    /* Primes above any number of keys: their multiples, modulo the count, reach every key. */
    static const uint64_t strides[] = { 2654435761, 2246822519, 3266489917 };
    uint64_t count = options.keys / options.connections;
    count += connection < options.keys % options.connections;
    if (turn >= count) {
        return options.keys;
    }
    return (uint32_t)(turn * strides[options.seed % 3] % count * options.connections + connection);
}

/* The first 16 digits are a bijection of the key: no two keys share a name. */
size_t keyspace_name(uint32_t key, char *name)
{
    uint64_t digits = mix(key);
    size_t bytes = size_of(&options.key_sizes, true, mix(digits));
    for (size_t i = 0; i < bytes; i++) {
        name[i] = "0123456789abcdef"[digits >> (4 * (i % 16)) & 15];
    }
    return bytes;
}

size_t keyspace_value_bytes(uint32_t key, uint32_t version)
{
    return size_of(&options.value_sizes, false, mix(mix(key ^ mix(options.seed)) + version));
}

bool keyspace_value(uint32_t key, uint32_t version, size_t bytes, char *into, const char *came)
{
    uint64_t stream = mix(mix(mix(key) + version) + bytes);
    for (size_t at = 0; at < bytes; at += sizeof stream) {
        uint64_t word = mix(stream++);
        size_t part = bytes - at < sizeof word ? bytes - at : sizeof word;
        if (into != NULL) {
            memcpy(into + at, &word, part);
        } else if (memcmp(came + at, &word, part) != 0) {
            return false;
        }
    }
    return true;
}
