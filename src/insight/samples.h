/*
 * samples: the live samples of a heap profile that are large requests, by address.
 *
 * Ladder: above core/os. Callers: profile. Any thread, without a lock; a signal handler or a fork
 * at any moment finds each sample whole or not at all.
 *
 *   bucket   | far | key | key | key | key | key | key | key |     a cache line; 0: a free key
 *   room     one beside each key, for what is known of the sample
 *
 * A sample lies in the bucket of its address, or where that is full in one of the next ones; `far`
 * counts how many of a bucket's samples do. So nearly every look reads one line, also the looks for
 * objects that are no samples, which are most.
 *
 *   put    [SAMPLE-CLAIM] CAS of a free key to BUSY, acquire; writes the room;
 *          [SAMPLE-PUT] store of the address, release
 *   take   [SAMPLE-FIND] acquire load that finds the address; reads the room;
 *          [SAMPLE-TAKE] CAS of the address to 0, release
 *
 * An address is put before the program has the object, and taken before the system allocator has it
 * back: so no thread puts an address that is there, and the CAS of two takes, a double free,
 * succeeds once. `far` is raised before an address is put, and a thread that looks for the address
 * was given it after that.
 */
#ifndef MEMORYBUCKET_INSIGHT_SAMPLES_H
#define MEMORYBUCKET_INSIGHT_SAMPLES_H

#include "core/base.h"

/* What is known of a sample. */
struct sample {
    void *slot; /* that it holds in a pool; NULL: a large request's */
    size_t parts; /* its weight, in 256ths of an object */
    size_t bytes; /* its weight times its size */
    uint32_t stack;
    uint32_t class; /* the slot's */
};

/* Maps the table; false without memory. Once, before all other calls. */
bool mbi_samples_init(void);

/* False when there is no room near the address's bucket. */
bool mbi_samples_put(const void *address, const struct sample *sample);

/* Takes the sample out; false when the address is not that of one. NULL is none. */
bool mbi_samples_take(const void *address, struct sample *sample);

/* Copies what is known of a sample; false when the address is not that of one. */
bool mbi_samples_find(const void *address, struct sample *sample);

#endif
