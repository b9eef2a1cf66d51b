/*
 * mbreplay_summary: what a program asked its allocator for, as its trace has it.
 *
 * Ladder: above trace/. Callers: mbreplay.
 */
#ifndef MEMORYBUCKET_CLI_MBREPLAY_SUMMARY_H
#define MEMORYBUCKET_CLI_MBREPLAY_SUMMARY_H

#include "trace/trace.h"

/* Reads the whole trace and prints how many, how large, how long, and by which threads. */
void mbreplay_summary(const char *path, struct mb_trace *trace);

#endif
