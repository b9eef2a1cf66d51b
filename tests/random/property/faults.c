/*
 * faults: calls that are wrong on purpose, put in front of the library's with the linker's --wrap,
 * to prove that the model finds them. PROPERTY_FAULT says which one is wrong.
 *
 * Linked into the test property_faulty, and with the program that it prints (finds.sh).
 */
#include <memorybucket/memorybucket.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void *__real_mb_alloc(size_t size);
void __real_mb_free(void *pointer);
void __real_mb_free_sized(void *pointer, size_t size);
void *__real_mb_calloc(size_t count, size_t size);
void *__real_mb_realloc(void *pointer, size_t size);
void *__real_mb_aligned_alloc(size_t alignment, size_t size);
size_t __real_mb_alloc_batch(size_t size, size_t count, void **out);
size_t __real_mb_memory_limit_set(size_t bytes);

void *__wrap_mb_alloc(size_t size);
void __wrap_mb_free(void *pointer);
void __wrap_mb_free_sized(void *pointer, size_t size);
void *__wrap_mb_calloc(size_t count, size_t size);
void *__wrap_mb_realloc(void *pointer, size_t size);
void *__wrap_mb_aligned_alloc(size_t alignment, size_t size);
size_t __wrap_mb_alloc_batch(size_t size, size_t count, void **out);
size_t __wrap_mb_memory_limit_set(size_t bytes);

static bool fault_is(const char *name)
{
    const char *fault = getenv("PROPERTY_FAULT");
    return fault != NULL && strcmp(fault, name) == 0;
}

/* One object of 96 bytes is handed out again while it lives. */
void *__wrap_mb_alloc(size_t size)
{
    static _Atomic(void *) given;
    if (size == 96 && fault_is("twice")) {
        void *memory = given;
        given = memory == NULL ? __real_mb_alloc(size) : NULL;
        return memory != NULL ? memory : given;
    }
    return __real_mb_alloc(size);
}

void __wrap_mb_free(void *pointer)
{
    if (fault_is("leak") && mb_usable_size(pointer) == 320) {
        return;
    }
    __real_mb_free(pointer);
    if (fault_is("errno") && mb_usable_size(pointer) == 64) {
        errno = 0;
    }
}

/* Trusts the size: crashes where it is more than twice what the object has. */
void __wrap_mb_free_sized(void *pointer, size_t size)
{
    size_t usable = mb_usable_size(pointer);
    if (fault_is("crash") && usable != 0 && size > 2 * usable) {
        __builtin_trap();
    }
    __real_mb_free_sized(pointer, size);
}

void *__wrap_mb_calloc(size_t count, size_t size)
{
    unsigned char *memory = __real_mb_calloc(count, size);
    if (memory != NULL && count > 3 && count * size > 100 && fault_is("zero")) {
        memory[count * size - 1] = 1;
    }
    return memory;
}

/* Moves an object and leaves its last byte behind. */
void *__wrap_mb_realloc(void *pointer, size_t size)
{
    size_t usable = mb_usable_size(pointer);
    if (!fault_is("copy") || usable < 200 || size <= usable || size > 100000) {
        return __real_mb_realloc(pointer, size);
    }
    void *memory = __real_mb_alloc(size);
    if (memory != NULL) {
        memcpy(memory, pointer, usable - 8);
        __real_mb_free(pointer);
    }
    return memory;
}

void *__wrap_mb_aligned_alloc(size_t alignment, size_t size)
{
    if (alignment == 128 && size <= MB_SMALL_MAX && fault_is("alignment")) {
        return __real_mb_aligned_alloc(16, size);
    }
    return __real_mb_aligned_alloc(alignment, size);
}

/* Writes behind the array. */
size_t __wrap_mb_alloc_batch(size_t size, size_t count, void **out)
{
    size_t had = __real_mb_alloc_batch(size, count, out);
    if (count > 100 && fault_is("batch")) {
        out[count] = NULL;
    }
    return had;
}

size_t __wrap_mb_memory_limit_set(size_t bytes)
{
    return __real_mb_memory_limit_set(fault_is("limit") ? 0 : bytes);
}
