/*
 * report: what checked mode says on stderr, and the end of the process.
 *
 * Ladder: above stacks and symbols. Callers: the rest of check/, without any lock: symbols take the
 * dynamic linker's.
 *
 * One report is begun, gets lines and stacks, and is ended. It is written with as few calls as its
 * length allows (one up to REPORT_BYTES), so that reports of several threads do not mix.
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
    bool nobody_reads; /* the program has closed stderr */
    char line[REPORT_LINE_BYTES];
};

/*
 * Makes a report and throws it away. Functions are bound when they are first called, which takes
 * 3 KiB of stack for the registers; a fault may be reported from a signal stack of 8 KiB.
 */
void mbi_report_warm_up(void);

/* "memorybucket: KIND: " and the rest of the first line. Text beyond a line's bytes is cut. */
void mbi_report_begin(struct report *report, const char *kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* One more line, indented. */
void mbi_report_line(struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The functions of a stack, without those of the library at its inner end. */
void mbi_report_stack(struct report *report, const struct stack *stack);

/* "pool N", or "no pool" for SIZE_CLASS_COUNT: of such alignment that none serves it. */
enum { POOL_NAME_BYTES = 16 };
const char *mbi_report_pool(unsigned class, char name[POOL_NAME_BYTES]);

/* The object: its size, its slot, its pool; who allocated it, and who freed it if it was freed. */
void mbi_report_object(struct report *report, const struct object *object);

/* "pointer ADDRESS", the calling thread, and where it is now. */
void mbi_report_here(struct report *report, const void *pointer, const char *doing,
                     const struct stack *stack);

/* Writes what is left, and aborts the process unless MB_CHECK_CONTINUE is set. */
void mbi_report_end(struct report *report);

/*
 * The same where nothing goes wrong by going on: when the program has closed stderr, as the tools
 * of coreutils do before they exit, nobody would know what it was aborted for. A full disk is no
 * reason to say nothing.
 */
void mbi_report_end_if_open(struct report *report);

#endif
