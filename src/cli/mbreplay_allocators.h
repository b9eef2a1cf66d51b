/*
 * mbreplay_allocators: the allocators that a trace is replayed on, each preloaded into processes of
 * its own.
 *
 * Ladder: above mbreplay_plan. Callers: mbreplay, mbreplay_report.
 */
#ifndef MEMORYBUCKET_CLI_MBREPLAY_ALLOCATORS_H
#define MEMORYBUCKET_CLI_MBREPLAY_ALLOCATORS_H

#include "cli/mbreplay_plan.h"

#include <limits.h>

enum { ALLOCATORS_MAX = 16, ROUNDS_MAX = 100 };

struct allocator {
    char name[64];
    char library[PATH_MAX]; /* that has its malloc */
    bool is_preloaded;      /* else it is the C library's */
    unsigned rounds;        /* results that there are */
    struct plan_result results[ROUNDS_MAX];
};

/* What the option --allocators means without a value. */
extern const char mbreplay_allocators_all[];

/*
 * Finds each allocator of a list of names and paths, separated by commas, into `found`; returns how
 * many. One that is not there has a line. *complete: none is missing. Ends the program where a name
 * is none.
 */
size_t mbreplay_allocators_find(const char *list, struct allocator found[ALLOCATORS_MAX],
                                bool *complete);

/* Replays the plan in a new process, and adds the result. False after a line. */
bool mbreplay_allocator_run(struct allocator *allocator, const struct plan *plan, int file);

/* What the new processes do. Returns their status. */
int mbreplay_allocator_child(int argc, char **argv);

/* Whether these are the arguments of such a process. */
bool mbreplay_allocator_is_child(int argc, char **argv);

#endif
