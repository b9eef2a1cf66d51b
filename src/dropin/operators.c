/*
 * dropin/operators: the replaceable C++ operators, each the fast path itself.
 *
 * Ladder: above api and tcache. Only libmemorybucket-malloc.so is built from it. Written in C,
 * under the names the Itanium C++ ABI gives them, so that the drop-in needs no C++ library.
 *
 * When there is no memory they end in a tail call of the operator next in link order
 * (libstdc++'s), which calls malloc once more, then the new-handler, and throws bad_alloc or
 * returns NULL: all from a frame that can be unwound.
 */
#include "api.h"

#include <dlfcn.h>
#include <stdlib.h>

#define OPERATOR(name) __asm__(name) __attribute__((visibility("default")))

typedef void *new_function(size_t size);
typedef void *new_aligned_function(size_t size, size_t alignment);
typedef void *new_nothrow_function(size_t size, const void *tag);
typedef void *new_aligned_nothrow_function(size_t size, size_t alignment, const void *tag);

static void *next_operator(const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    if (symbol == NULL) {
        mbi_message("out of memory, and no C++ library to throw bad_alloc");
        abort();
    }
    return symbol;
}

static MBI_COLD void *new_failed(size_t size, const char *name)
{
    new_function *function;
    void *symbol = next_operator(name);
    memcpy(&function, &symbol, sizeof function);
    return function(size);
}

static MBI_COLD void *new_aligned_failed(size_t size, size_t alignment, const char *name)
{
    new_aligned_function *function;
    void *symbol = next_operator(name);
    memcpy(&function, &symbol, sizeof function);
    return function(size, alignment);
}

static MBI_COLD void *new_nothrow_failed(size_t size, const void *tag)
{
    new_nothrow_function *function;
    void *symbol = next_operator("_ZnwmRKSt9nothrow_t");
    memcpy(&function, &symbol, sizeof function);
    return function(size, tag);
}

static MBI_COLD void *new_aligned_nothrow_failed(size_t size, size_t alignment, const void *tag)
{
    new_aligned_nothrow_function *function;
    void *symbol = next_operator("_ZnwmSt11align_val_tRKSt9nothrow_t");
    memcpy(&function, &symbol, sizeof function);
    return function(size, alignment, tag);
}

static MBI_COLD void *new_slow(size_t size)
{
    void *pointer = api_alloc(size, CLASS_ABI_ALIGNED);
    return pointer != NULL ? pointer : new_failed(size, "_Znwm");
}

/* The fast path returns at once: only the slow one asks whether there was memory. */
MBI_HOT_INLINE void *new_throwing(size_t size)
{
    if (MBI_UNLIKELY(!size_is_small(size))) {
        return new_slow(size);
    }
    size_t offset = size_class_offset_of_abi_aligned(size);
    void *pointer = magazine_pop(thread_cache_loaded_at(mbi_thread_cache, offset));
    return MBI_LIKELY(pointer != NULL) ? pointer : new_slow(size);
}

static void *new_aligned(size_t size, size_t alignment)
{
    return mbi_api_aligned_alloc(
        alignment > ABI_ALIGNMENT_BYTES ? alignment : ABI_ALIGNMENT_BYTES, size);
}

static void *new_aligned_throwing(size_t size, size_t alignment)
{
    void *pointer = new_aligned(size, alignment);
    return pointer != NULL ? pointer
                           : new_aligned_failed(size, alignment, "_ZnwmSt11align_val_t");
}

static void *new_nothrow(size_t size, const void *tag)
{
    void *pointer = api_alloc(size, CLASS_ABI_ALIGNED);
    return pointer != NULL ? pointer : new_nothrow_failed(size, tag);
}

static void *new_aligned_nothrow(size_t size, size_t alignment, const void *tag)
{
    void *pointer = new_aligned(size, alignment);
    return pointer != NULL ? pointer : new_aligned_nothrow_failed(size, alignment, tag);
}

/* operator new and new[]: plain, nothrow, aligned, aligned nothrow. */
#define DEFINE_NEW(word, mangled)                                                                  \
    void *word(size_t size) OPERATOR(mangled "m");                                                 \
    void *word(size_t size)                                                                        \
    {                                                                                              \
        return new_throwing(size);                                                                 \
    }                                                                                              \
    void *word##_nothrow(size_t size, const void *tag) OPERATOR(mangled "mRKSt9nothrow_t");        \
    void *word##_nothrow(size_t size, const void *tag)                                             \
    {                                                                                              \
        return new_nothrow(size, tag);                                                             \
    }                                                                                              \
    void *word##_aligned(size_t size, size_t alignment) OPERATOR(mangled "mSt11align_val_t");      \
    void *word##_aligned(size_t size, size_t alignment)                                            \
    {                                                                                              \
        return new_aligned_throwing(size, alignment);                                              \
    }                                                                                              \
    void *word##_aligned_nothrow(size_t size, size_t alignment, const void *tag)                   \
        OPERATOR(mangled "mSt11align_val_tRKSt9nothrow_t");                                        \
    void *word##_aligned_nothrow(size_t size, size_t alignment, const void *tag)                   \
    {                                                                                              \
        return new_aligned_nothrow(size, alignment, tag);                                          \
    }

/* operator delete and delete[]: every form frees by the address; the size is for checked mode. */
#define DEFINE_DELETE(word, mangled)                                                               \
    void word(void *pointer) OPERATOR(mangled "Pv");                                               \
    void word(void *pointer)                                                                       \
    {                                                                                              \
        api_free(pointer);                                                                         \
    }                                                                                              \
    void word##_sized(void *pointer, size_t size) OPERATOR(mangled "Pvm");                         \
    void word##_sized(void *pointer, size_t size)                                                  \
    {                                                                                              \
        api_free_sized(pointer, size);                                                             \
    }                                                                                              \
    void word##_nothrow(void *pointer) OPERATOR(mangled "PvRKSt9nothrow_t");                       \
    void word##_nothrow(void *pointer)                                                             \
    {                                                                                              \
        api_free(pointer);                                                                         \
    }                                                                                              \
    void word##_aligned(void *pointer) OPERATOR(mangled "PvSt11align_val_t");                      \
    void word##_aligned(void *pointer)                                                             \
    {                                                                                              \
        api_free(pointer);                                                                         \
    }                                                                                              \
    void word##_sized_aligned(void *pointer, size_t size) OPERATOR(mangled "PvmSt11align_val_t");  \
    void word##_sized_aligned(void *pointer, size_t size)                                          \
    {                                                                                              \
        api_free_sized(pointer, size);                                                             \
    }                                                                                              \
    void word##_aligned_nothrow(void *pointer)                                                     \
        OPERATOR(mangled "PvSt11align_val_tRKSt9nothrow_t");                                       \
    void word##_aligned_nothrow(void *pointer)                                                     \
    {                                                                                              \
        api_free(pointer);                                                                         \
    }

DEFINE_NEW(mbi_new, "_Znw")
DEFINE_NEW(mbi_new_array, "_Zna")
DEFINE_DELETE(mbi_delete, "_Zdl")
DEFINE_DELETE(mbi_delete_array, "_Zda")
