/* wrapped: each function either fails as its manual page says, or is the real one. */
#include "wrapped.h"

#include "plan.h"
#include "testing.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* relaxed [TEST]: counts. */
static _Atomic int64_t system_objects;
static _Atomic uint64_t bytes_given_back;
static _Atomic uint64_t threads_created;

/* Declares the real function and the one in its place. */
#define WRAP(result, name, ...)                                                                    \
    result __real_##name(__VA_ARGS__);                                                             \
    result __wrap_##name(__VA_ARGS__);                                                             \
    result __wrap_##name(__VA_ARGS__)

static void *counted(void *pointer)
{
    if (pointer != NULL) {
        atomic_fetch_add_explicit(&system_objects, 1, memory_order_relaxed); /* [TEST] */
    }
    return pointer;
}

int64_t wrapped_system_objects(void)
{
    return atomic_load_explicit(&system_objects, memory_order_relaxed); /* [TEST] */
}

uint64_t wrapped_bytes_given_back(void)
{
    return atomic_load_explicit(&bytes_given_back, memory_order_relaxed); /* [TEST] */
}

uint64_t wrapped_threads_created(void)
{
    return atomic_load_explicit(&threads_created, memory_order_relaxed); /* [TEST] */
}

/* The operating system's. */

static bool places_refused;

void wrapped_refuse_places(bool refused)
{
    places_refused = refused;
}

WRAP(void *, mmap, void *start, size_t bytes, int protection, int flags, int file, off_t offset)
{
    if (places_refused && (flags & MAP_FIXED_NOREPLACE) != 0) {
        errno = EEXIST; /* no fault: so it is in some address spaces */
        return MAP_FAILED;
    }
    return fault_fails_with(FAULT_mmap, ENOMEM)
               ? MAP_FAILED
               : __real_mmap(start, bytes, protection, flags, file, offset);
}

WRAP(int, mprotect, void *start, size_t bytes, int protection)
{
    return fault_fails_with(FAULT_mprotect, ENOMEM) ? -1
                                                    : __real_mprotect(start, bytes, protection);
}

WRAP(int, madvise, void *start, size_t bytes, int advice)
{
    if (fault_fails_with(FAULT_madvise, EINVAL)) {
        return -1;
    }
    if (advice == MADV_DONTNEED) {
        atomic_fetch_add_explicit(&bytes_given_back, bytes, memory_order_relaxed); /* [TEST] */
    }
    return __real_madvise(start, bytes, advice);
}

WRAP(int, mincore, void *start, size_t bytes, unsigned char *pages)
{
    return fault_fails_with(FAULT_mincore, EAGAIN) ? -1 : __real_mincore(start, bytes, pages);
}

WRAP(int, getrlimit, int resource, struct rlimit *limit)
{
    return fault_fails_with(FAULT_getrlimit, EPERM) ? -1 : __real_getrlimit(resource, limit);
}

WRAP(int, sched_getaffinity, pid_t process, size_t bytes, cpu_set_t *set)
{
    return fault_fails_with(FAULT_sched_getaffinity, EINVAL)
               ? -1
               : __real_sched_getaffinity(process, bytes, set);
}

/* EPERM is what a sandbox says to membarrier, and EINTR would only be asked again. */
static bool system_call_fails(long number)
{
    switch (number) {
    case SYS_membarrier:
        return fault_fails_with(FAULT_membarrier, EPERM);
    case SYS_openat:
        return fault_fails_with(FAULT_openat, EMFILE);
    case SYS_read:
        return fault_fails_with(FAULT_read, EIO);
    case SYS_mmap: /* of a place */
        errno = EEXIST;
        return places_refused || fault_fails_with(FAULT_mmap, ENOMEM);
    default:
        return false;
    }
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    va_list arguments;
    va_start(arguments, number);
    long a = va_arg(arguments, long);
    long b = va_arg(arguments, long);
    long c = va_arg(arguments, long);
    long d = va_arg(arguments, long);
    long e = va_arg(arguments, long);
    long f = va_arg(arguments, long);
    va_end(arguments);
    return system_call_fails(number) ? -1 : __real_syscall(number, a, b, c, d, e, f);
}

/* The threads'. */

WRAP(int, pthread_key_create, pthread_key_t *key, void (*destructor)(void *))
{
    return fault_happens(FAULT_pthread_key_create) ? EAGAIN
                                                   : __real_pthread_key_create(key, destructor);
}

WRAP(int, pthread_setspecific, pthread_key_t key, const void *value)
{
    return fault_happens(FAULT_pthread_setspecific) ? ENOMEM
                                                    : __real_pthread_setspecific(key, value);
}

WRAP(int, pthread_mutex_init, pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
    return fault_happens(FAULT_pthread_mutex_init) ? ENOMEM
                                                   : __real_pthread_mutex_init(mutex, attributes);
}

WRAP(int, pthread_atfork, void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    return fault_happens(FAULT_pthread_atfork) ? ENOMEM
                                               : __real_pthread_atfork(prepare, parent, child);
}

WRAP(int, pthread_create, pthread_t *thread, const pthread_attr_t *attributes,
     void *(*function)(void *), void *argument)
{
    if (fault_happens(FAULT_pthread_create)) {
        return EAGAIN;
    }
    atomic_fetch_add_explicit(&threads_created, 1, memory_order_relaxed); /* [TEST] */
    return __real_pthread_create(thread, attributes, function, argument);
}

pthread_t wrapped_thread_create(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    int error = __real_pthread_create(&thread, NULL, function, argument);
    CHECK(error == 0, "pthread_create: %s", strerror(error));
    return thread;
}

pthread_key_t wrapped_key_create(void (*destructor)(void *))
{
    pthread_key_t key;
    int error = __real_pthread_key_create(&key, destructor);
    CHECK(error == 0, "pthread_key_create: %s", strerror(error));
    return key;
}

void wrapped_setspecific(pthread_key_t key, const void *value)
{
    int error = __real_pthread_setspecific(key, value);
    CHECK(error == 0, "pthread_setspecific: %s", strerror(error));
}

/* The system allocator's. */

WRAP(void *, malloc, size_t size)
{
    return fault_fails_with(FAULT_malloc, ENOMEM) ? NULL : counted(__real_malloc(size));
}

WRAP(void *, calloc, size_t count, size_t size)
{
    return fault_fails_with(FAULT_calloc, ENOMEM) ? NULL : counted(__real_calloc(count, size));
}

WRAP(void *, realloc, void *pointer, size_t size)
{
    if (fault_fails_with(FAULT_realloc, ENOMEM)) {
        return NULL;
    }
    void *moved = __real_realloc(pointer, size);
    return pointer == NULL ? counted(moved) : moved;
}

WRAP(int, posix_memalign, void **out, size_t alignment, size_t size)
{
    if (fault_happens(FAULT_posix_memalign)) {
        return ENOMEM;
    }
    int error = __real_posix_memalign(out, alignment, size);
    if (error == 0) {
        (void)counted(*out);
    }
    return error;
}

WRAP(void, free, void *pointer)
{
    if (pointer != NULL) {
        atomic_fetch_sub_explicit(&system_objects, 1, memory_order_relaxed); /* [TEST] */
    }
    __real_free(pointer);
}
