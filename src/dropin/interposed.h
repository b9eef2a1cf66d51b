/*
 * interposed: the functions that somebody else may have in front of ours: the program, or a library
 * preloaded before us.
 *
 * Ladder: above base. Callers: malloc, operators.
 *
 * Whatever part of the interface they have, ours works as the C library's and libstdc++'s would:
 * reallocarray ends in the realloc in use, and the operators in the operators and the malloc in
 * use. The names below are bound by the loader and not by the linker (interposed.list), and so
 * mean what the program means by them.
 */
#ifndef MEMORYBUCKET_DROPIN_INTERPOSED_H
#define MEMORYBUCKET_DROPIN_INTERPOSED_H

#include "core/base.h"

#define IN_USE(name) __asm__(name) __attribute__((visibility("default")))

void *in_use_malloc(size_t size) IN_USE("malloc");
void *in_use_realloc(void *pointer, size_t size) IN_USE("realloc");
void in_use_free(void *pointer) IN_USE("free");
void *in_use_aligned_alloc(size_t alignment, size_t size) IN_USE("aligned_alloc");
void *in_use_new(size_t size) IN_USE("_Znwm");
void *in_use_new_array(size_t size) IN_USE("_Znam");
void *in_use_new_aligned(size_t size, size_t alignment) IN_USE("_ZnwmSt11align_val_t");
void *in_use_new_array_aligned(size_t size, size_t alignment) IN_USE("_ZnamSt11align_val_t");
void in_use_delete(void *pointer) IN_USE("_ZdlPv");
void in_use_delete_array(void *pointer) IN_USE("_ZdaPv");
void in_use_delete_aligned(void *pointer, size_t alignment) IN_USE("_ZdlPvSt11align_val_t");
void in_use_delete_array_aligned(void *pointer, size_t alignment) IN_USE("_ZdaPvSt11align_val_t");

/*
 * What the operators compare with on their fast paths, in place of the constants that malloc and
 * free have: 0 until it is known that all of the above are ours, and for good if they are not. So
 * each call comes to where that is asked. Written before the program has a second thread.
 */
struct operators_serve {
    size_t bytes_max; /* SMALL_BYTES_MAX: the pools serve operator new */
    size_t classes;   /* SIZE_CLASS_COUNT */
};
extern MBI_HIDDEN struct operators_serve mbi_operators_serve;

/* Whether the operators end in others', and whether realloc is somebody else's. */
bool mbi_operators_are_others(void);
bool mbi_realloc_is_others(void);

#endif
