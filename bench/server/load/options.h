/* options: what the command line of mbload says. main has it read once; all threads read it. */
#ifndef MEMORYBUCKET_BENCH_LOAD_OPTIONS_H
#define MEMORYBUCKET_BENCH_LOAD_OPTIONS_H

#include "sizes.h"

#include <sys/socket.h>

extern struct options {
    struct sockaddr_storage address;
    socklen_t address_bytes;
    unsigned connections, threads, seconds, pipeline, keys, seed;
    unsigned churn; /* requests after which a connection is opened anew; 0: never */
    double zipf, get_share;
    struct sizes key_sizes, value_sizes;
    bool fill, verify, refuse_misses;
    const char *json; /* a path, or NULL */
} options;

/* Ends the program with a message and status 2 for what cannot be used. */
void options_read(int argc, char **argv);

#endif
