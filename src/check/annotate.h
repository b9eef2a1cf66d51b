/*
 * annotate: what other tools are told of each object: valgrind's memcheck by client requests, and
 * AddressSanitizer through its interface, where it is in the process.
 *
 * Ladder: above base. Callers: check.c, place.c and faults.c, which see every object while
 * either watches.
 *
 * The requests are a few instructions that do nothing outside valgrind. The sanitizer's functions
 * are weak: without it they are not there.
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
 * LeakSanitizer, which AddressSanitizer brings along, knows the chunks of its own malloc only, and
 * of no way to tell it of others.
 */
static inline bool annotate_sanitizer_is_here(void)
{
    return annotate_lsan_check != NULL;
}

/* Memcheck answers this request; valgrind's other tools do not, and see the program as it is. */
static inline bool annotate_memcheck_is_here(void)
{
    char any = 0;
    return VALGRIND_MAKE_MEM_DEFINED(&any, sizeof any) != 0;
}

/* An object of so many bytes begins its life; what is behind it in its room is nobody's. */
static inline void annotate_live(void *start, size_t bytes, size_t room_bytes)
{
    VALGRIND_MALLOCLIKE_BLOCK(start, bytes, 0, 0);
    (void)VALGRIND_MAKE_MEM_NOACCESS((char *)start + bytes, room_bytes - bytes);
    if (annotate_asan_poison != NULL && annotate_asan_unpoison != NULL) {
        annotate_asan_poison(start, room_bytes);
        annotate_asan_unpoison(start, bytes);
    }
}

static inline void annotate_freed(void *start, size_t room_bytes)
{
    VALGRIND_FREELIKE_BLOCK(start, 0);
    (void)VALGRIND_MAKE_MEM_NOACCESS(start, room_bytes);
    if (annotate_asan_poison != NULL) {
        annotate_asan_poison(start, room_bytes);
    }
}

/* Checked mode itself is going to read and write there. */
static inline void annotate_open(void *start, size_t bytes)
{
    (void)VALGRIND_MAKE_MEM_DEFINED(start, bytes);
    if (annotate_asan_unpoison != NULL) {
        annotate_asan_unpoison(start, bytes);
    }
}

/* It has, and nobody else may. */
static inline void annotate_close(void *start, size_t bytes)
{
    (void)VALGRIND_MAKE_MEM_NOACCESS(start, bytes);
    if (annotate_asan_poison != NULL) {
        annotate_asan_poison(start, bytes);
    }
}

#endif
