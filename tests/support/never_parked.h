/*
 * never_parked: threads that end find no room to park their caches, which are retired instead. The
 * linker puts this function in place of the library's (program_test's WRAP mbi_parked_add).
 */
#ifndef MEMORYBUCKET_TESTS_NEVER_PARKED_H
#define MEMORYBUCKET_TESTS_NEVER_PARKED_H

#include "tcache/parked.h"

bool __wrap_mbi_parked_add(struct thread_cache *cache);
bool __wrap_mbi_parked_add(struct thread_cache *cache)
{
    (void)cache;
    return false;
}

#endif
