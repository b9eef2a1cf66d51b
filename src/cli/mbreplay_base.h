/*
 * mbreplay_base: how mbreplay's files complain and get memory.
 *
 * Ladder: a program's own; only mbreplay is built from it.
 */
#ifndef MEMORYBUCKET_CLI_MBREPLAY_BASE_H
#define MEMORYBUCKET_CLI_MBREPLAY_BASE_H

#include <stddef.h>
#include <stdint.h>

/* Writes "mbreplay: ", the text and a newline to stderr. */
void mbreplay_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, and ends with status 1. */
_Noreturn void mbreplay_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same by _exit, for a process of many threads: the first of them says its line. */
_Noreturn void mbreplay_end(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Memory, or the end of the program; as realloc(3), and what is new is not set. */
void *mbreplay_grow(void *old, size_t count, size_t bytes);

/* As calloc(3). */
void *mbreplay_zeroed(size_t count, size_t bytes);

/* The monotonic clock. */
uint64_t mbreplay_now_ns(void);

#endif
