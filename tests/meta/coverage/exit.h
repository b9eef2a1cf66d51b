/*
 * exit: included before every file of the coverage build. What ends without the end of main would
 * take its counts with it: a forked child that calls _exit, a program that becomes another one, and
 * one that aborts.
 */
#ifndef MEMORYBUCKET_TESTS_COVERAGE_EXIT_H
#define MEMORYBUCKET_TESTS_COVERAGE_EXIT_H

#include <stdlib.h>
#include <unistd.h>

void __gcov_dump(void);
void __gcov_reset(void);

#define _exit(status) (__gcov_dump(), _exit(status))
#define abort() (__gcov_dump(), abort())
#define execvp(file, arguments) (__gcov_dump(), __gcov_reset(), execvp(file, arguments))

#endif
