/*
 * mbreplay_run: does what a plan says, with the malloc that this process has.
 *
 * Ladder: above mbreplay_plan. Callers: mbreplay, in a process of its own for each allocator and
 * round, which does nothing else and so has no memory beside the plan that would count.
 */
#ifndef MEMORYBUCKET_CLI_MBREPLAY_RUN_H
#define MEMORYBUCKET_CLI_MBREPLAY_RUN_H

/*
 * Replays the plan in an open file, and writes the result there, if malloc is that of a library.
 * Returns the process's status; what goes wrong has a line on stderr.
 */
int mbreplay_run(int file, const char *allocator, const char *library);

/* Writes the path of the library that has this process's malloc, and a newline. */
int mbreplay_run_probe(void);

#endif
