/*
 * mbreplay_model: MemoryBucket's magazines as numbers, and what they do with a trace.
 *
 * Ladder: above core/rounds and tcache/kept, whose arithmetic it uses, and mbreplay_steps.
 * Callers: mbreplay_advise.
 *
 * It follows tcache/transfer.c call by call, in the order of the trace, and has counts where that
 * has chains. What it leaves out: time (decay, thread caches that are not used), the bound of all
 * threads together (MB_CACHE_MAX), lanes, and the drop-in's guests.
 */
#ifndef MEMORYBUCKET_CLI_MBREPLAY_MODEL_H
#define MEMORYBUCKET_CLI_MBREPLAY_MODEL_H

#include "cli/mbreplay_steps.h"
#include "core/rounds.h"

/* A configuration, as the MB_ variables give it. */
struct model_config {
    uint16_t rounds[SIZE_CLASS_COUNT]; /* MB_MAGAZINE_SIZE */
    size_t thread_cache_bytes;         /* MB_THREAD_CACHE_MAX; 0: the default */
    size_t pool_bytes;                 /* MB_POOL_MAX */
};

/* What came out, of a class or of all. */
struct model_counts {
    uint64_t operations; /* allocations and frees */
    uint64_t refills;
    uint64_t flushes;
    uint64_t locks;  /* runs, and what was taken or left loose */
    uint64_t carved; /* slots */
};

struct model_result {
    struct model_counts classes[SIZE_CLASS_COUNT];
    uint64_t operations; /* with those above the border */
    uint64_t refills;
    uint64_t large; /* requests and frees above the border */
    uint64_t bytes; /* of slots that were carved, and of large objects at their peak */
};

/* The defaults of the drop-in. */
void mbreplay_model_standard(struct model_config *config);

/* Replays the trace on a configuration. */
void mbreplay_model_run(const struct steps *trace, const struct model_config *config,
                        struct model_result *result);

#endif
