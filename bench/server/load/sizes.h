/*
 * sizes: how long keys and values are. options.c reads them, keyspace.c draws from them.
 *
 * ETC and USR are Facebook's pools as Atikoglu, Xu, Frachtenberg, Jiang and Paleczny published them
 * (Workload analysis of a large-scale key-value store, SIGMETRICS 2012):
 *   ETC  values generalised Pareto (0, 214.476, 0.348238), keys generalised extreme value (30.7984,
 *        8.20449, 0.078688); of the values the continuous part, without their table of 0 to 14 bytes
 *   USR  values of 2 bytes, keys of 16 and of 21
 */
#ifndef MEMORYBUCKET_BENCH_LOAD_SIZES_H
#define MEMORYBUCKET_BENCH_LOAD_SIZES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A key begins with 16 digits that tell it from all others. */
enum { KEY_BYTES_MIN = 16, KEY_BYTES_MAX = 250, VALUE_BYTES_MAX = 1000000 };

struct sizes {
    enum { SIZES_UNIFORM, SIZES_ETC, SIZES_USR } kind;
    size_t low, high; /* of SIZES_UNIFORM */
};

/* etc, usr, fixed:BYTES or uniform:A-B, the bytes from `least` to `most`; false: none of these. */
bool sizes_parse(struct sizes *sizes, const char *text, size_t least, size_t most);

/* The length that goes with a random number. */
size_t sizes_of_value(const struct sizes *sizes, uint64_t random);
size_t sizes_of_key(const struct sizes *sizes, uint64_t random);

#endif
