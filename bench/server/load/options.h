/* options: what the command line of mbload says. main has it read once; all threads read it. */
#ifndef MEMORYBUCKET_BENCH_LOAD_OPTIONS_H
#define MEMORYBUCKET_BENCH_LOAD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* A key begins with 16 digits that tell it from all others. */
enum { KEY_BYTES_MIN = 16, KEY_BYTES_MAX = 250, VALUE_BYTES_MAX = 1000000, THREADS_MAX = 256 };

extern struct options {
    struct sockaddr_storage address;
    socklen_t address_bytes;
    unsigned connections, threads, seconds, pipeline, keys, seed;
    unsigned churn; /* requests after which a connection is opened anew; 0: never */
    double zipf, get_share;
    struct sizes {
        enum { SIZES_UNIFORM, SIZES_ETC, SIZES_USR } kind;
        size_t low, high; /* of SIZES_UNIFORM */
    } key_sizes, value_sizes;
    bool fill, verify, no_misses;
    const char *json; /* a path, or NULL */
} options;

/* Ends the program with a message and status 2 for what cannot be used. */
void options_read(int argc, char **argv);

#endif
