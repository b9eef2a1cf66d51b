/*
 * execute: runs a program against the library and the model.
 *
 * Callers: trial, the fuzzer.
 */
#ifndef MEMORYBUCKET_TESTS_PROPERTY_EXECUTE_H
#define MEMORYBUCKET_TESTS_PROPERTY_EXECUTE_H

#include "property/program.h"

/*
 * Runs the program, then frees everything and checks that nothing is live. What does not hold is
 * said on stderr, and ends the process with abort. One program at a time.
 */
void execute(const struct program *program);

#endif
