/*
 * mbprof_dump: a dump of the heap profile, read into memory.
 *
 * Ladder: a program's own; only mbprof is built from it. What goes wrong is said on stderr in one
 * line, and ends the program: there is nothing that could be lost.
 */
#ifndef MEMORYBUCKET_CLI_MBPROF_DUMP_H
#define MEMORYBUCKET_CLI_MBPROF_DUMP_H

#include <stddef.h>
#include <stdint.h>

/* In the order of pprof's heap profiles. */
enum metric { ALLOC_OBJECTS, ALLOC_SPACE, INUSE_OBJECTS, INUSE_SPACE, METRICS };

struct dump_stack {
    uint64_t *addresses; /* of calls, innermost first: each lies in the instruction that called */
    size_t count;
    int64_t values[METRICS]; /* negative only in a difference */
};

/* Executable memory of a file. */
struct dump_mapping {
    uint64_t start;
    uint64_t end;
    uint64_t offset;
    char *file;
};

struct dump {
    const char *path;
    int64_t mean_bytes;
    struct dump_stack *stacks;
    size_t stack_count;
    struct dump_mapping *mappings;
    size_t mapping_count;
    char *maps; /* all that the kernel said, as text */
    size_t maps_bytes;
};

/* Writes "mbprof: ", the text and a newline to stderr, and ends with status 1. */
_Noreturn void mbprof_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Memory, or the end of the program; as realloc(3). */
void *mbprof_grow(void *old, size_t count, size_t bytes);

/* Reads a whole dump. Ends the program when the file is none, is cut off, or is a newer one. */
void mbprof_dump_read(struct dump *dump, const char *path);

/* Subtracts the stacks of the earlier dump from those of the later one, by their addresses. */
void mbprof_dump_subtract(struct dump *later, const struct dump *earlier);

#endif
