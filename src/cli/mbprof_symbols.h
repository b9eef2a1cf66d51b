/*
 * mbprof_symbols: the function, file and line of an address, by libdw.
 *
 * Ladder: a program's own; only mbprof is built from it.
 */
#ifndef MEMORYBUCKET_CLI_MBPROF_SYMBOLS_H
#define MEMORYBUCKET_CLI_MBPROF_SYMBOLS_H

#include "cli/mbprof_dump.h"

#include <stdbool.h>

struct symbol_info {
    uint64_t address;
    const char *name; /* never NULL: without a function FILE+OFFSET, or the address as a number */
    bool has_name;    /* it is a function's */
    const char *file; /* of the source; NULL: unknown */
    int line;
    bool ours; /* MemoryBucket's own */
};

/* Opens the files that the dump names, as far as they can be read. */
void mbprof_symbols_open(const struct dump *dump);

/* What is known of an address; the same pointer each time, until the program's end. */
const struct symbol_info *mbprof_symbol(uint64_t address);

/*
 * Takes the library's own calls off the stacks, so that what is left begins with the program's, and
 * adds up the stacks that then go through the same lines: a compiler makes several calls of one.
 */
void mbprof_symbols_join(struct dump *dump);

#endif
