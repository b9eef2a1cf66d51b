/*
 * version: the public call that says which version of the library this is.
 *
 * Ladder: beside api.c. The numbers are those of memorybucket.h, the one place of the version.
 */
#include "memorybucket/memorybucket.h"

#define TEXT(number) #number
#define DOTTED(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

const char *mb_version(void)
{
    return DOTTED(MB_VERSION_MAJOR, MB_VERSION_MINOR, MB_VERSION_PATCH);
}
