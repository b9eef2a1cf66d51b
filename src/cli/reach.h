/*
 * reach: whether the loader will preload a library into a program.
 *
 * Ladder: above nothing. Only mbrun is built from it.
 */
#ifndef MEMORYBUCKET_CLI_REACH_H
#define MEMORYBUCKET_CLI_REACH_H

/*
 * Why nothing can be preloaded into what execvp(name) will run, in words that end a sentence, or
 * NULL when it can be, or when that is not known: a file that cannot be found or read, say.
 */
const char *reach_why_not(const char *name);

#endif
