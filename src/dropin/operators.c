/*
 * dropin/operators: the replaceable C++ operators, each the fast path itself.
 *
 * Ladder: above api and tcache. Only libmemorybucket-malloc.so is built from it. Written in C,
 * under the names the Itanium C++ ABI gives them, so that the drop-in needs no C++ library.
 *
 * Where an operator, or malloc, is another library's (names.h), each form ends in the functions in
 * use as libstdc++'s does.
 *
 * Without memory an operator ends in a tail call of the next one in link order, libstdc++'s. That
 * calls malloc once more, then the new-handler, and throws bad_alloc or returns NULL: all from a
 * frame that can be unwound.
 */
#include "api/api.h"
#include "dropin/names.h"

#include <stdlib.h>

typedef void *new_function(size_t size);
typedef void *new_aligned_function(size_t size, size_t alignment);
typedef void *new_nothrow_function(size_t size, const void *tag);
typedef void *new_aligned_nothrow_function(size_t size, size_t alignment, const void *tag);

static uintptr_t next_operator(const char *name)
{
    uintptr_t symbol = mbi_next_symbol(name);
    if (symbol == 0) {
        mbi_message("out of memory, and no C++ library to throw bad_alloc");
        abort();
    }
    return symbol;
}

static MBI_COLD void *new_failed(size_t size)
{
    return ((new_function *)next_operator("_Znwm"))(size);
}

static MBI_COLD void *new_aligned_failed(size_t size, size_t alignment)
{
    return ((new_aligned_function *)next_operator("_ZnwmSt11align_val_t"))(size, alignment);
}

/* Which operator of a kind. libstdc++'s for arrays ends in the one for single objects. */
enum form { SINGLE, ARRAY };

static MBI_COLD void *new_slow(size_t size, enum form form)
{
    if (mbi_operators_are_others()) {
        if (form == ARRAY) {
            return in_use_new(size);
        }
        void *pointer = in_use_malloc(size_max(size, 1));
        return pointer != NULL ? pointer : new_failed(size);
    }
    void *pointer = api_alloc(size, CLASS_ABI_ALIGNED);
    return pointer != NULL ? pointer : new_failed(size);
}

/* NULL when the slow path must serve the request. */
MBI_HOT_INLINE void *new_fast(size_t size)
{
    if (MBI_UNLIKELY(size - 1 >= mbi_operators_serve.bytes_max)) {
        return NULL;
    }
    size_t offset = size_class_offset_of_abi_aligned(size);
    return magazine_pop(thread_cache_loaded_at(mbi_fast_cache, offset));
}

/* The fast path returns at once; only the slow one checks for NULL. */
MBI_HOT_INLINE void *new_throwing(size_t size, enum form form)
{
    void *pointer = new_fast(size);
    return MBI_LIKELY(pointer != NULL) ? pointer : new_slow(size, form);
}

/* Another library's operator may throw; libstdc++'s nothrow form, the next one, catches that. */
static MBI_COLD void *new_nothrow_slow(size_t size, const void *tag, const char *name)
{
    void *pointer = mbi_operators_are_others() ? NULL : api_alloc(size, CLASS_ABI_ALIGNED);
    return pointer != NULL ? pointer : ((new_nothrow_function *)next_operator(name))(size, tag);
}

MBI_HOT_INLINE void *new_nothrow(size_t size, const void *tag, const char *name)
{
    void *pointer = new_fast(size);
    return MBI_LIKELY(pointer != NULL) ? pointer : new_nothrow_slow(size, tag, name);
}

static void *new_aligned(size_t size, size_t alignment)
{
    return mbi_api_aligned_alloc(size_max(alignment, ABI_ALIGNMENT_BYTES), size);
}

static MBI_COLD void *new_aligned_by_others(size_t size, size_t alignment, enum form form)
{
    if (form == ARRAY) {
        return in_use_new_aligned(size, alignment);
    }
    size_t at_least = size_max(alignment, sizeof(void *));
    void *pointer = in_use_aligned_alloc(at_least, round_up(size_max(size, 1), at_least));
    return pointer != NULL ? pointer : new_aligned_failed(size, alignment);
}

static void *new_aligned_throwing(size_t size, size_t alignment, enum form form)
{
    if (MBI_UNLIKELY(mbi_operators_are_others())) {
        return new_aligned_by_others(size, alignment, form);
    }
    void *pointer = new_aligned(size, alignment);
    return pointer != NULL ? pointer : new_aligned_failed(size, alignment);
}

static void *new_aligned_nothrow(size_t size, size_t alignment, const void *tag, const char *name)
{
    void *pointer = mbi_operators_are_others() ? NULL : new_aligned(size, alignment);
    if (MBI_LIKELY(pointer != NULL)) {
        return pointer;
    }
    return ((new_aligned_nothrow_function *)next_operator(name))(size, alignment, tag);
}

/* The function in use that a form of operator delete ends in, where that is another library's. */
typedef void delete_function(void *pointer);
typedef void delete_aligned_function(void *pointer, size_t alignment);

static MBI_COLD void delete_slow(void *pointer, size_t size, delete_function *others)
{
    if (mbi_operators_are_others()) {
        others(pointer);
    } else {
        api_free_sized(pointer, size);
    }
}

/* api_free_sized with a bound that is read in place of its constant. */
MBI_HOT_INLINE void delete_object(void *pointer, size_t size, delete_function *others)
{
    struct thread_cache *cache = mbi_fast_cache;
    size_t class = region_dense_class_of(pointer, cache->dense_base);
    if (MBI_UNLIKELY(class >= mbi_operators_serve.classes)) {
        if (MBI_UNLIKELY(mbi_operators_serve.classes == 0)) {
            delete_slow(pointer, size, others);
            return;
        }
        if (!region_is_in_wide(pointer, &class)) {
            api_free_foreign(cache, pointer, size);
            return;
        }
    }
    thread_cache_free(cache, pointer, class, size);
}

static void delete_aligned(void *pointer, size_t size, size_t alignment,
                           delete_aligned_function *others)
{
    if (MBI_UNLIKELY(mbi_operators_are_others())) {
        others(pointer, alignment);
        return;
    }
    api_free_sized(pointer, size);
}

/* The aligned operator delete ends here: its memory came from aligned_alloc. */
static void free_aligned(void *pointer, size_t alignment)
{
    (void)alignment;
    in_use_free(pointer);
}

/* Begins the definition of an operator under its mangled name. */
#define OPERATOR(result, name, mangled, ...)                                                       \
    result name(__VA_ARGS__) __asm__(mangled) EXPORT;                                              \
    result name(__VA_ARGS__)

/* operator new and new[]: plain, nothrow, aligned, aligned nothrow. */
#define DEFINE_NEW(word, mangled, form)                                                            \
    OPERATOR(void *, word, mangled "m", size_t size)                                               \
    {                                                                                              \
        return new_throwing(size, form);                                                           \
    }                                                                                              \
    OPERATOR(void *, word##_nothrow, mangled "mRKSt9nothrow_t", size_t size, const void *tag)      \
    {                                                                                              \
        return new_nothrow(size, tag, mangled "mRKSt9nothrow_t");                                  \
    }                                                                                              \
    OPERATOR(void *, word##_aligned, mangled "mSt11align_val_t", size_t size, size_t alignment)    \
    {                                                                                              \
        return new_aligned_throwing(size, alignment, form);                                        \
    }                                                                                              \
    OPERATOR(void *, word##_aligned_nothrow, mangled "mSt11align_val_tRKSt9nothrow_t",             \
             size_t size, size_t alignment, const void *tag)                                       \
    {                                                                                              \
        return new_aligned_nothrow(size, alignment, tag,                                           \
                                   mangled "mSt11align_val_tRKSt9nothrow_t");                      \
    }

/*
 * operator delete and delete[]. Every form frees by the address; only checked mode uses the size.
 * Where the operators are another library's, the plain form ends in `plain`, and the other forms in
 * the plain operator of their kind, `own`.
 */
#define DEFINE_DELETE(word, mangled, plain, plain_aligned, own, own_aligned)                       \
    OPERATOR(void, word, mangled "Pv", void *pointer)                                              \
    {                                                                                              \
        delete_object(pointer, CHECKED_SIZE_UNKNOWN, plain);                                       \
    }                                                                                              \
    OPERATOR(void, word##_sized, mangled "Pvm", void *pointer, size_t size)                        \
    {                                                                                              \
        delete_object(pointer, size, own);                                                         \
    }                                                                                              \
    OPERATOR(void, word##_nothrow, mangled "PvRKSt9nothrow_t", void *pointer)                      \
    {                                                                                              \
        delete_object(pointer, CHECKED_SIZE_UNKNOWN, own);                                         \
    }                                                                                              \
    OPERATOR(void, word##_aligned, mangled "PvSt11align_val_t", void *pointer, size_t alignment)   \
    {                                                                                              \
        delete_aligned(pointer, CHECKED_SIZE_UNKNOWN, alignment, plain_aligned);                   \
    }                                                                                              \
    OPERATOR(void, word##_sized_aligned, mangled "PvmSt11align_val_t",                             \
             void *pointer, size_t size, size_t alignment)                                         \
    {                                                                                              \
        delete_aligned(pointer, size, alignment, own_aligned);                                     \
    }                                                                                              \
    OPERATOR(void, word##_aligned_nothrow, mangled "PvSt11align_val_tRKSt9nothrow_t",              \
             void *pointer, size_t alignment)                                                      \
    {                                                                                              \
        delete_aligned(pointer, CHECKED_SIZE_UNKNOWN, alignment, own_aligned);                     \
    }

DEFINE_NEW(mbi_new, "_Znw", SINGLE)
DEFINE_NEW(mbi_new_array, "_Zna", ARRAY)
DEFINE_DELETE(mbi_delete, "_Zdl", in_use_free, free_aligned, in_use_delete, in_use_delete_aligned)
DEFINE_DELETE(mbi_delete_array, "_Zda", in_use_delete, in_use_delete_aligned, in_use_delete_array,
              in_use_delete_array_aligned)
