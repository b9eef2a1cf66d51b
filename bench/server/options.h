/*
 * options: what the command line asks for. main reads it once, before any thread starts; after that
 * it is constant, but for the verbosity.
 */
#ifndef MBCACHED_OPTIONS_H
#define MBCACHED_OPTIONS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WORKERS_MAX = 128 };

struct options {
    const char *address;
    uint16_t port; /* 0: any that is free */
    uint16_t metrics_port;
    bool metrics; /* whether there is a second port */
    bool use_malloc; /* --allocator=malloc */
    size_t memory_bytes;
    size_t item_bytes_max;
    unsigned connections_max;
    unsigned threads;
    atomic_uint verbosity; /* also set by the command of that name */
};

extern struct options options;

/* Reads the command line. Does not return after --help, --version or an error. */
void options_read(int argc, char **argv);

#endif
