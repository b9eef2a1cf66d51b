/*
 * library_path: where the libraries of this installation are, seen from its programs.
 *
 * Ladder: above the C library alone. Callers: what preloads one, mbrun and mbreplay.
 */
#ifndef MEMORYBUCKET_CLI_LIBRARY_PATH_H
#define MEMORYBUCKET_CLI_LIBRARY_PATH_H

#include <limits.h>
#include <stdbool.h>

/*
 * The path of a library that may be read: where CMake installs it as seen from the calling
 * program's folder, or in a build tree's lib/. False when it is in neither.
 */
bool library_path_find(const char *name, char path[PATH_MAX]);

#endif
