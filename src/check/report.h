/*
 * report: what checked mode writes to stderr, and the end of the process.
 *
 * Ladder: above stacks and symbols. Callers: the rest of check/, without any lock: finding symbols
 * takes the dynamic linker's.
 *
 * A report is begun, gets lines, and is ended. One of up to REPORT_BYTES is written with a single
 * call, so that the reports of several threads do not mix.
 */
#ifndef MEMORYBUCKET_CHECK_REPORT_H
#define MEMORYBUCKET_CHECK_REPORT_H

#include "check/ledger.h"
#include "check/stacks.h"

enum { REPORT_BYTES = 32 << 10, REPORT_LINE_BYTES = 512 };

struct report {
    char *text; /* mapped, or `line` where there is no memory */
    size_t room;
    size_t used;
    bool is_closed; /* the program has closed stderr */
    char line[REPORT_LINE_BYTES];
};

/*
 * Loads what reports would otherwise load in the middle of one, which allocates. Stacks are taken
 * from then on. Makes a report and throws it away, so that the dynamic linker binds all functions:
 * a fault may be reported from a signal stack of 8 KiB, and binding takes 3 KiB for the registers.
 */
void mbi_report_warm_up(void);

/* Begins with "memorybucket: KIND: " and the text. Each line is cut at REPORT_LINE_BYTES. */
void mbi_report_begin(struct report *report, const char *kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds a line. */
void mbi_report_line(struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Adds "DOING by thread N:" and the functions of a stack that was stored. */
void mbi_report_stored(struct report *report, const char *doing, int32_t thread, uint32_t stack_id);

/* "pool N"; "no pool" for SIZE_CLASS_COUNT, when none serves such an alignment. */
enum { POOL_NAME_BYTES = 16 };
const char *mbi_report_pool(unsigned class, char name[POOL_NAME_BYTES]);

/* Adds the object's address, size and home, and where it was freed and allocated. */
void mbi_report_object(struct report *report, const struct object *object);

/* Adds "pointer ADDRESS", "DOING by" the calling thread, and its stack. */
void mbi_report_here(struct report *report, const void *pointer, const char *doing,
                     const struct stack *stack);

/* Writes what is left, and aborts the process unless MB_CHECK_CONTINUE is set. */
void mbi_report_end(struct report *report);

/*
 * The same, but does not abort when the program has closed stderr, as coreutils do before they
 * exit: the abort would have no explanation. On a full disk it does abort.
 */
void mbi_report_end_if_open(struct report *report);

/* A whole report about an object and a pointer to its byte `at`. */
void mbi_report_misuse(const struct object *object, size_t at, const char *doing,
                       const struct stack *now, const char *kind, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

#endif
