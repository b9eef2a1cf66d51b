/*
 * names: the names that the drop-in exports, and other libraries' functions of the same names.
 *
 * Ladder: above base. Callers: the rest of dropin/.
 *
 *   in front of ours   a function of the program, or of a library preloaded before the drop-in:
 *                      every call of the program goes there ("in use" below)
 *   behind ours        the next one in link order: the C library's, or a library's preloaded later
 *
 * When another library replaces part of malloc, the rest of ours works as the C library's and
 * libstdc++'s would: reallocarray ends in the realloc in use, and the operators end in the
 * operators and the malloc in use.
 */
#ifndef MEMORYBUCKET_DROPIN_NAMES_H
#define MEMORYBUCKET_DROPIN_NAMES_H

#include "core/base.h"

#define EXPORT __attribute__((visibility("default")))

#if __has_attribute(copy) /* gcc warns where an alias says less than its target; clang has none */
#define EXPORT_ATTRIBUTES_OF(function) __attribute__((copy(function)))
#else
#define EXPORT_ATTRIBUTES_OF(function)
#endif

/* A second name of an exported function. */
#define EXPORT_ALIAS(name, function)                                                               \
    extern __typeof__(function) second_##name __asm__(#name)                                       \
        EXPORT_ATTRIBUTES_OF(function) EXPORT __attribute__((alias(#function)))

/*
 * The functions in use. The loader binds these names, not the linker (names.list), so they mean
 * what they mean in the program.
 */
#define IN_USE(name) __asm__(name) EXPORT

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
 * The bounds that the operators' fast paths compare with, where malloc and free have constants.
 * Both are 0 until all of the above but realloc are known to be ours, and stay 0 when one is not:
 * each call then takes the slow path, which asks mbi_operators_are_others. Written before the
 * program has a second thread.
 */
struct operators_serve {
    size_t bytes_max; /* LINEAR_BYTES_MAX: linear pools serve operator new */
    size_t classes;   /* SIZE_CLASS_COUNT */
};
extern MBI_HIDDEN struct operators_serve mbi_operators_serve;

/* Whether an operator, or the malloc below it, is another library's; whether realloc is. */
bool mbi_operators_are_others(void);
bool mbi_realloc_is_others(void);

/*
 * The address of the function of this name behind ours; 0 when there is none. May allocate, and
 * takes the loader's lock. A library in front of the drop-in may have its own dlsym, for which the
 * next function is ours; the C library's is returned then.
 */
uintptr_t mbi_next_symbol(const char *name);

/* The same; without such a function the process ends, with a line that names it. */
uintptr_t mbi_next_symbol_or_abort(const char *name);

/*
 * The address of another library's function; 0 before it is found. Several threads may find it at
 * once, and write the same. A lock would be held over dlsym, which has locks of its own.
 * relaxed [FOUND]: the function is there before its address is.
 */
static inline uintptr_t found_address(const _Atomic uintptr_t *function)
{
    return atomic_load_explicit(function, memory_order_relaxed); /* [FOUND] */
}

static inline void found_set(_Atomic uintptr_t *function, uintptr_t address)
{
    atomic_store_explicit(function, address, memory_order_relaxed); /* [FOUND] */
}

#define FOUND(type, function) ((type *)found_address(&(function)))

#endif
