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

/* The integral of x to the power of -options.zipf, and its inverse; near 1 both are logarithms. */
static double area(double x)
{
    double power = 1 - options.zipf;
    return fabs(power) < 1e-9 ? log(x) : expm1(power * log(x)) / power;
}

static double area_inverse(double y)
{
    double power = 1 - options.zipf;
    return fabs(power) < 1e-9 ? exp(y) : exp(log1p(power * y) / power);
}

void keyspace_prepare(void)
{
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
uint64_t keyspace_draw(uint64_t *state)
{
    double key = round(area_inverse(zipf_from + keyspace_share(state) * (zipf_to - zipf_from)));
    return (uint64_t)fmin(fmax(key, 1), options.keys) - 1;
}

uint64_t keyspace_fill(unsigned connection, uint64_t turn)
{
    /* Primes above any number of keys: their multiples, modulo the count, reach every key. */
    static const uint64_t strides[] = { 2654435761, 2246822519, 3266489917 };
    uint64_t count = options.keys / options.connections;
    count += connection < options.keys % options.connections;
    return turn >= count ? options.keys
                         : turn * strides[options.seed % 3] % count * options.connections + connection;
}

/* The first 16 digits are a bijection of the key: no two keys share a name. */
size_t keyspace_name(uint64_t key, char *name)
{
    uint64_t digits = mix(key);
    size_t bytes = sizes_of_key(&options.key_sizes, mix(digits));
    for (size_t i = 0; i < bytes; i++) {
        name[i] = "0123456789abcdef"[digits >> (4 * (i % 16)) & 15];
    }
    return bytes;
}

size_t keyspace_value_bytes(uint64_t key, uint32_t version)
{
    return sizes_of_value(&options.value_sizes, mix(mix(key ^ mix(options.seed)) + version));
}

/* Writes the stream's words into the value, or compares them with it; false: they differ. */
static inline bool walk(uint64_t key, uint32_t version, char *into, const char *value, size_t bytes)
{
    uint64_t stream = mix(mix(mix(key) + version) + bytes);
    for (size_t at = 0; at < bytes; at += sizeof stream) {
        uint64_t word = mix(stream++);
        size_t part = bytes - at < sizeof word ? bytes - at : sizeof word;
        if (into != NULL) {
            memcpy(into + at, &word, part);
        } else if (memcmp(value + at, &word, part) != 0) {
            return false;
        }
    }
    return true;
}

void keyspace_value_write(uint64_t key, uint32_t version, char *value, size_t bytes)
{
    walk(key, version, value, NULL, bytes);
}

bool keyspace_value_is(uint64_t key, uint32_t version, const char *value, size_t bytes)
{
    return walk(key, version, NULL, value, bytes);
}
