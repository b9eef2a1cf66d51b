/*
 * options: what the command line asks for. main reads it once, before any thread starts; after that
 * it is constant, but for the verbosity.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { WORKERS_MAX = 128 };

extern struct options {
    const char *address;
    size_t port;         /* 0: any that is free */
    size_t metrics_port; /* 0: no metrics */
    size_t memory_bytes;
    size_t item_bytes_max;
    size_t connections_max;
    size_t threads;
    bool use_malloc; /* --allocator=malloc */
    /* [VERBOSITY] relaxed: also set by the command of that name; any value is right for a while. */
    atomic_uint verbosity;
} options;

static inline unsigned options_verbosity(void)
{
    return atomic_load_explicit(&options.verbosity, memory_order_relaxed); /* [VERBOSITY] */
}
