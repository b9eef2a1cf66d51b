/* mbprof_dump: lines, numbers, and stacks that are the same. */
#include "cli/mbprof_dump.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT_VERSION = 1 };

void mbprof_die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("mbprof: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(EXIT_FAILURE);
}

void *mbprof_grow(void *old, size_t count, size_t bytes)
{
    void *memory = reallocarray(old, count, bytes);
    if (memory == NULL) {
        mbprof_die("there is not enough memory");
    }
    return memory;
}

/* Makes room for one more element; arrays grow by doubling, at powers of two. */
static void *grow_for_next(void *array, size_t count, size_t bytes)
{
    bool is_full = (count & (count - 1)) == 0;
    return is_full ? mbprof_grow(array, count != 0 ? 2 * count : 1, bytes) : array;
}

/* A stack's line; false when it is none. */
static bool read_stack(const char *line, struct dump_stack *stack)
{
    int64_t *values = stack->values;
    int used = 0;
    if (sscanf(line, "%" SCNd64 ": %" SCNd64 " [%" SCNd64 ": %" SCNd64 "] @%n",
               &values[INUSE_OBJECTS], &values[INUSE_SPACE], &values[ALLOC_OBJECTS],
               &values[ALLOC_SPACE], &used) != METRICS
        || used == 0) {
        return false;
    }
    stack->addresses = NULL;
    stack->count = 0;
    const char *at = line + used;
    for (;;) {
        char *end;
        uint64_t address = strtoull(at, &end, 16);
        if (end == at) {
            return *(at + strspn(at, " \n")) == '\0';
        }
        stack->addresses = grow_for_next(stack->addresses, stack->count, sizeof address);
        stack->addresses[stack->count++] = address - 1; /* what returns there lies before it */
        at = end;
    }
}

static void read_mapping(struct dump *dump, const char *line)
{
    struct dump_mapping mapping;
    char rights[5];
    int used = 0;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %*s %n", &mapping.start,
               &mapping.end, rights, &mapping.offset, &used) != 4
        || used == 0) {
        int bytes = (int)strcspn(line, "\n");
        mbprof_die("%s: a line of its memory map cannot be read: %.*s", dump->path,
                   bytes < 60 ? bytes : 60, line);
    }
    if (rights[2] == 'x' && line[used] == '/') {
        mapping.file = strndup(line + used, strcspn(line + used, "\n"));
        dump->mappings = grow_for_next(dump->mappings, dump->mapping_count, sizeof mapping);
        dump->mappings[dump->mapping_count++] = mapping;
    }
}

/* The line behind the first, by which the dump is known to be the library's. */
static void read_version(struct dump *dump, const char *line)
{
    unsigned version;
    if (sscanf(line, "# memorybucket %u: mean %" SCNd64, &version, &dump->mean_bytes) < 1) {
        mbprof_die("%s is not a heap profile of MemoryBucket", dump->path);
    }
    if (version > FORMAT_VERSION) {
        mbprof_die("%s has format %u, and this mbprof reads up to %d: use the mbprof of the "
                   "library that wrote it", dump->path, version, FORMAT_VERSION);
    }
}

static void read_stacks(struct dump *dump, FILE *file, char **line, size_t *room)
{
    while (getline(line, room, file) >= 0) {
        struct dump_stack stack;
        if (strcmp(*line, "MAPPED_LIBRARIES:\n") == 0) {
            return;
        }
        if (!read_stack(*line, &stack)) {
            break;
        }
        dump->stacks = grow_for_next(dump->stacks, dump->stack_count, sizeof stack);
        dump->stacks[dump->stack_count++] = stack;
    }
    mbprof_die("%s is not whole: it was cut off, or damaged, behind %zu stacks", dump->path,
               dump->stack_count);
}

/* Keeps the rest of the file, too, as libdw reads it itself. */
static void read_maps(struct dump *dump, FILE *file, char **line, size_t *room)
{
    ssize_t bytes;
    FILE *maps = open_memstream(&dump->maps, &dump->maps_bytes);
    if (maps == NULL) {
        mbprof_die("there is not enough memory");
    }
    while ((bytes = getline(line, room, file)) >= 0) {
        if (bytes == 0 || (*line)[bytes - 1] != '\n') {
            mbprof_die("%s is not whole: it was cut off in its memory map", dump->path);
        }
        read_mapping(dump, *line);
        fwrite(*line, 1, (size_t)bytes, maps);
    }
    if (fclose(maps) != 0) {
        mbprof_die("there is not enough memory");
    }
}

void mbprof_dump_read(struct dump *dump, const char *path)
{
    char *line = NULL;
    size_t room = 0;
    struct dump_stack sum;
    *dump = (struct dump){ .path = path };
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        mbprof_die("%s: %s", path, strerror(errno));
    }
    /* Looked at first: a line of /dev/zero has no end. */
    bool known = ungetc(getc(file), file) == 'h' && getline(&line, &room, file) > 0
                 && strncmp(line, "heap profile: ", 14) == 0;
    if (!known && ferror(file)) {
        mbprof_die("%s: %s", path, strerror(errno));
    }
    char *at = known ? strstr(line, "@ heapprofile\n") : NULL;
    if (at != NULL) {
        at[1] = '\0'; /* as in a stack without addresses */
    }
    if (at == NULL || !read_stack(line + 14, &sum) || getline(&line, &room, file) <= 0) {
        mbprof_die("%s is not a heap profile of MemoryBucket", path);
    }
    read_version(dump, line);
    read_stacks(dump, file, &line, &room);
    read_maps(dump, file, &line, &room);
    if (ferror(file)) {
        mbprof_die("%s: %s", path, strerror(errno));
    }
    fclose(file);
    free(line);
}

static int compare_stacks(const void *one, const void *other)
{
    const struct dump_stack *a = one;
    const struct dump_stack *b = other;
    if (a->count != b->count) {
        return a->count < b->count ? -1 : 1;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (a->addresses[i] != b->addresses[i]) {
            return a->addresses[i] < b->addresses[i] ? -1 : 1;
        }
    }
    return 0;
}

/* In sorted stacks. */
static struct dump_stack *find_stack(const struct dump *dump, const struct dump_stack *wanted)
{
    return dump->stack_count == 0 ? NULL
                                  : bsearch(wanted, dump->stacks, dump->stack_count,
                                            sizeof *dump->stacks, compare_stacks);
}

void mbprof_dump_subtract(struct dump *later, const struct dump *earlier)
{
    if (later->stack_count != 0) {
        qsort(later->stacks, later->stack_count, sizeof *later->stacks, compare_stacks);
    }
    for (size_t i = 0; i < earlier->stack_count; i++) {
        struct dump_stack *same = find_stack(later, &earlier->stacks[i]);
        if (same == NULL) {
            mbprof_die("%s has a stack that %s lacks: give two dumps of one process, the earlier "
                       "one first", earlier->path, later->path);
        }
        for (size_t metric = 0; metric < METRICS; metric++) {
            same->values[metric] -= earlier->stacks[i].values[metric];
        }
    }
}
