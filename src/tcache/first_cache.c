/* first_cache: the memory of the first thread's cache, linked last as core/pool_memory.c is. */
#include "tcache/vacant.h"

struct thread_cache mbi_first_cache;
