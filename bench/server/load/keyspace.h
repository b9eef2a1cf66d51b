/*
 * keyspace: which key comes next, what it is called, what its value has to be, and which version
 * of it was acknowledged. There is one, that of the options, and all threads share it.
 *
 * A value is a stream of bytes made from its key, its version and its length; the version travels
 * as the item's flags. So each value tells by itself whether it is whole, whatever run stored it.
 *
 * A key belongs to one connection, the only one that stores it: key modulo the connections. Its
 * versions then come in order, and a get that was sent after a version was acknowledged must not
 * see an older one.
 *
 * ETC and USR are Facebook's pools as Atikoglu, Xu, Frachtenberg, Jiang and Paleczny published them
 * (Workload analysis of a large-scale key-value store, SIGMETRICS 2012):
 *   ETC  values generalised Pareto (0, 214.476, 0.348238), the continuous part of what they found;
 *        keys generalised extreme value (30.7984, 8.20449, 0.078688)
 *   USR  values of 2 bytes, keys of 16 and of 21
 */
#ifndef MEMORYBUCKET_BENCH_LOAD_KEYSPACE_H
#define MEMORYBUCKET_BENCH_LOAD_KEYSPACE_H

#include "options.h"

#include <stdatomic.h>

extern _Atomic uint32_t *keyspace_versions; /* acknowledged, by key; 0: none of this run */

/* Called once, after options_read; ends the program when there is no memory. */
void keyspace_prepare(void);

/* A share from 0 to below 1, and a key by Zipf's law; `state` is the caller's. */
double keyspace_share(uint64_t *state);
uint32_t keyspace_draw(uint64_t *state);

/*
 * The `turn`th key, from 0, that a connection stores in a fill; options.keys or more: there are no
 * more. Neighbours are far apart, and another seed has another order, so that a second fill does
 * not free the items in the order of their addresses.
 */
uint32_t keyspace_fill(unsigned connection, uint32_t turn);

/* Writes the key's name, at most KEY_BYTES_MAX bytes; returns its length. */
size_t keyspace_name(uint32_t key, char *name);

size_t keyspace_value_bytes(uint32_t key, uint32_t version);
/* Writes the value, where `into` is not NULL; or else compares it. False: what came differs. */
bool keyspace_value(uint32_t key, uint32_t version, size_t bytes, char *into, const char *came);

/*
 * [ACK] pairs with [SAMPLE], both relaxed: the number alone is passed on, and the server, which
 * stored the version before it said so, is what orders the two.
 */
static inline void keyspace_acknowledge(uint32_t key, uint32_t version)
{
    atomic_store_explicit(&keyspace_versions[key], version, memory_order_relaxed); /* [ACK] */
}

static inline uint32_t keyspace_acknowledged(uint32_t key)
{
    return atomic_load_explicit(&keyspace_versions[key], memory_order_relaxed); /* [SAMPLE] */
}

#endif
