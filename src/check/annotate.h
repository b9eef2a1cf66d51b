/*
 * annotate: tells other tools of each object: memcheck by valgrind's client requests, and
 * AddressSanitizer by its interface.
 *
 * Ladder: above base. Callers: check.c, home.c and faults.c.
 *
 * Outside valgrind a request is a few instructions that do nothing. The sanitizer's functions are
 * weak: they are NULL in a process without it.
 */
#ifndef MEMORYBUCKET_CHECK_ANNOTATE_H
#define MEMORYBUCKET_CHECK_ANNOTATE_H

#include "core/base.h"

#ifdef MEMORYBUCKET_VALGRIND
#include <valgrind/memcheck.h>
#else
#define VALGRIND_MALLOCLIKE_BLOCK(start, size, redzone, zeroed) ((void)(start), (void)(size))
#define VALGRIND_FREELIKE_BLOCK(start, redzone) ((void)(start))
#define VALGRIND_MAKE_MEM_NOACCESS(start, size) ((void)(start), (void)(size))
#define VALGRIND_MAKE_MEM_DEFINED(start, size) ((void)(start), (void)(size), 0)
#endif

void annotate_asan_poison(const volatile void *start, size_t bytes)
    __asm__("__asan_poison_memory_region") __attribute__((weak));
void annotate_asan_unpoison(const volatile void *start, size_t bytes)
    __asm__("__asan_unpoison_memory_region") __attribute__((weak));
int annotate_lsan_check(void) __asm__("__lsan_do_recoverable_leak_check") __attribute__((weak));

/*
 * Whether LeakSanitizer is in the process; AddressSanitizer brings it along. LeakSanitizer knows
 * only the chunks of its own malloc, and cannot be told of others.
 */
static inline bool annotate_sanitizer_is_here(void)
{
    return annotate_lsan_check != NULL;
}

/* Whether memcheck runs the process: valgrind's other tools do not answer the request. */
static inline bool annotate_memcheck_is_here(void)
{
    char any = 0;
    return VALGRIND_MAKE_MEM_DEFINED(&any, sizeof any) != 0;
}

/* Whether a tool sees what the system allocator does. */
static inline bool annotate_is_watched(void)
{
    return annotate_memcheck_is_here() || annotate_sanitizer_is_here();
}

/* Opens memory: the process may access it, as checked mode is about to. */
static inline void annotate_open(void *start, size_t bytes)
{
    (void)VALGRIND_MAKE_MEM_DEFINED(start, bytes);
    if (annotate_asan_unpoison != NULL) {
        annotate_asan_unpoison(start, bytes);
    }
}

/* Closes memory: the tools report each access. */
static inline void annotate_close(void *start, size_t bytes)
{
    (void)VALGRIND_MAKE_MEM_NOACCESS(start, bytes);
    if (annotate_asan_poison != NULL) {
        annotate_asan_poison(start, bytes);
    }
}

/* Tells of a new object of so many bytes, and closes the rest of its room. */
static inline void annotate_live(void *start, size_t bytes, size_t room_bytes)
{
    VALGRIND_MALLOCLIKE_BLOCK(start, bytes, 0, 0);
    if (annotate_asan_unpoison != NULL) {
        annotate_asan_unpoison(start, bytes);
    }
    annotate_close((char *)start + bytes, room_bytes - bytes);
}

static inline void annotate_freed(void *start, size_t room_bytes)
{
    VALGRIND_FREELIKE_BLOCK(start, 0);
    annotate_close(start, room_bytes);
}

#endif
