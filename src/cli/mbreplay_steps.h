/*
 * mbreplay_steps: a trace as what the model of the thread caches needs of it: classes.
 *
 * Ladder: above core/size_class and mbreplay_base. Callers: mbreplay_model, mbreplay_advise.
 */
#ifndef MEMORYBUCKET_CLI_MBREPLAY_STEPS_H
#define MEMORYBUCKET_CLI_MBREPLAY_STEPS_H

#include "core/size_class.h"
#include "trace/trace.h"

enum class_step_kind { STEP_TAKE, STEP_GIVE, STEP_END, STEP_LARGE_TAKE, STEP_LARGE_GIVE };

/* A request, a free, or a thread's end. Large is what no border would have in a pool. */
struct class_step {
    uint32_t thread; /* of the large ones: bytes / LARGE_UNIT */
    uint8_t class;
    uint8_t kind;
};

enum { LARGE_UNIT = 16 };

struct steps {
    struct class_step *steps;
    size_t count;
    size_t room;
    uint32_t threads;
    uint64_t operations;
};

/* Reads the whole trace. Ends the program where it is damaged. */
struct steps *mbreplay_steps_read(struct mb_trace *trace);

void mbreplay_steps_free(struct steps *steps);

#endif
