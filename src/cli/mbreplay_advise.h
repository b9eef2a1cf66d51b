/*
 * mbreplay_advise: which options a recorded program would gain from.
 *
 * Ladder: above mbreplay_model. Callers: mbreplay.
 */
#ifndef MEMORYBUCKET_CLI_MBREPLAY_ADVISE_H
#define MEMORYBUCKET_CLI_MBREPLAY_ADVISE_H

#include "trace/trace.h"

/*
 * Reads the whole trace, and prints what it proposes and what that would change; as JSON, an object
 * on a line, or as text. Ends the program where the trace is damaged.
 */
void mbreplay_advise(const char *path, struct mb_trace *trace, bool json);

#endif
