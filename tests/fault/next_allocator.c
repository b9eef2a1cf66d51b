/*
 * next_allocator: the allocator behind the drop-in, which fails as planned; and the functions of
 * the C library that the drop-in calls, likewise.
 *
 * A shared library that the program is linked to, before the C library: so the drop-in, which is
 * preloaded, finds its malloc next in link order, and its mmap in place of the C library's. What
 * liburcu calls does not fail: it ends the process then, and that is said in the documentation.
 */
#include "next_allocator.h"

#include "plan.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* The C library's allocator under the names that nobody replaces. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *pointer, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *pointer);

/* Declared here and not by their headers, which give some of them other attributes. */
#define PROVIDE(result, name, ...)                                                                 \
    result name(__VA_ARGS__);                                                                      \
    result name(__VA_ARGS__)

/* relaxed [TEST]: a count. */
static _Atomic int64_t objects;

int64_t next_allocator_objects(void)
{
    return atomic_load_explicit(&objects, memory_order_relaxed); /* [TEST] */
}

uint64_t next_allocator_failed_here(void)
{
    return fault_system_failed_here();
}

uint64_t next_allocator_threads_failed_here(void)
{
    return fault_failed_here(FAULT_pthread_create);
}

void next_allocator_end_faults(void)
{
    fault_end();
}

/* While liburcu comes up in this thread, which aborts without memory (docs/trust.md), nothing fails. */
static _Thread_local bool spared __attribute__((tls_model("initial-exec")));

void next_allocator_spare(bool spare)
{
    spared = spare;
}

static bool happens(enum fault_function function)
{
    return !spared && fault_happens(function);
}

static bool fails_with(enum fault_function function, int error)
{
    return !spared && fault_fails_with(function, error);
}

/* The function of this name in the libraries behind this one. */
#define REAL(name, type) ((type)(uintptr_t)dlsym(RTLD_NEXT, #name))

static void *counted(void *pointer)
{
    if (pointer != NULL) {
        atomic_fetch_add_explicit(&objects, 1, memory_order_relaxed); /* [TEST] */
    }
    return pointer;
}

/* libstdc++ sets more aside when it is loaded, and cannot throw bad_alloc later without that. */
enum { FAILING_BYTES_MAX = 65536 };

PROVIDE(void *, malloc, size_t size)
{
    bool fails = size <= FAILING_BYTES_MAX && fails_with(FAULT_malloc, ENOMEM);
    return fails ? NULL : counted(REAL(__libc_malloc, void *(*)(size_t))(size));
}

PROVIDE(void *, calloc, size_t count, size_t size)
{
    return fails_with(FAULT_calloc, ENOMEM) ? NULL : counted(REAL(__libc_calloc, void *(*)(size_t, size_t))(count, size));
}

PROVIDE(void *, realloc, void *pointer, size_t size)
{
    if (fails_with(FAULT_realloc, ENOMEM)) {
        return NULL;
    }
    void *moved = REAL(__libc_realloc, void *(*)(void *, size_t))(pointer, size);
    return pointer == NULL ? counted(moved) : moved;
}

PROVIDE(int, posix_memalign, void **out, size_t alignment, size_t size)
{
    int saved_errno = errno;
    bool fails = happens(FAULT_posix_memalign);
    void *pointer = fails ? NULL : REAL(__libc_memalign, void *(*)(size_t, size_t))(alignment, size);
    errno = saved_errno;
    if (pointer == NULL) {
        return ENOMEM;
    }
    *out = counted(pointer);
    return 0;
}

PROVIDE(void, free, void *pointer)
{
    if (pointer != NULL) {
        atomic_fetch_sub_explicit(&objects, 1, memory_order_relaxed); /* [TEST] */
    }
    REAL(__libc_free, void (*)(void *))(pointer);
}

/* True when liburcu made the call that returns to `address`. */
static bool is_liburcu(const void *address)
{
    Dl_info where;
    return dladdr(address, &where) != 0 && strstr(where.dli_fname, "liburcu") != NULL;
}

#define CALLER_IS_LIBURCU is_liburcu(__builtin_return_address(0))

PROVIDE(void *, mmap, void *start, size_t bytes, int protection, int flags, int file, off_t offset)
{
    if (!CALLER_IS_LIBURCU && happens(FAULT_mmap)) {
        errno = ENOMEM;
        return (void *)-1;
    }
    return (void *)syscall(SYS_mmap, start, bytes, protection, flags, file, offset);
}

PROVIDE(int, mprotect, void *start, size_t bytes, int protection)
{
    return fails_with(FAULT_mprotect, ENOMEM)
               ? -1
               : (int)syscall(SYS_mprotect, start, bytes, protection);
}

PROVIDE(int, madvise, void *start, size_t bytes, int advice)
{
    return fails_with(FAULT_madvise, EINVAL) ? -1
                                             : (int)syscall(SYS_madvise, start, bytes, advice);
}

PROVIDE(int, pthread_key_create, pthread_key_t *key, void (*destructor)(void *))
{
    typedef int function(pthread_key_t *, void (*)(void *));
    if (!CALLER_IS_LIBURCU && happens(FAULT_pthread_key_create)) {
        return EAGAIN;
    }
    return REAL(pthread_key_create, function *)(key, destructor);
}

PROVIDE(int, pthread_setspecific, pthread_key_t key, const void *value)
{
    typedef int function(pthread_key_t, const void *);
    if (!CALLER_IS_LIBURCU && happens(FAULT_pthread_setspecific)) {
        return ENOMEM;
    }
    return REAL(pthread_setspecific, function *)(key, value);
}

PROVIDE(int, pthread_create, pthread_t *thread, const pthread_attr_t *attributes,
        void *(*run)(void *), void *argument)
{
    typedef int function(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (happens(FAULT_pthread_create)) {
        return EAGAIN;
    }
    return REAL(pthread_create, function *)(thread, attributes, run, argument);
}
