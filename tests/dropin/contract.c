/*
 * contract: what programs expect of malloc and its kin, checked under the drop-in.
 *
 * Built like any program, without the library; mbrun puts the drop-in under it.
 */
#include "check.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Opaque to the compiler, which knows malloc well. */
static size_t opaque(size_t size)
{
    __asm__ volatile("" : "+r"(size));
    return size;
}

static void *volatile sink;

static void *first_of_all;

static void allocate_before_everything(void)
{
    first_of_all = malloc(100);
    sink = malloc(5000);
    free(sink);
}
__attribute__((section(".preinit_array"), used)) static void (*const preinit)(void) =
    allocate_before_everything;

static void check_alignment_and_size(void)
{
    for (size_t size = 0; size <= 40000; size += size < 1500 ? 1 : 131) {
        unsigned char *object = malloc(size);
        CHECK(object != NULL);
        CHECK((uintptr_t)object % 16 == 0);
        CHECK(malloc_usable_size(object) >= size);
        memset(object, 0xEE, size);
        free(object);
        object = calloc(1, size);
        for (size_t i = 0; i < size; i++) {
            CHECK(object[i] == 0);
        }
        free(object);
    }
    for (int i = 0; i < 2; i++) { /* of which one would not be by chance */
        sink = malloc(0);
        CHECK(sink != NULL && (uintptr_t)sink % 16 == 0);
    }
    CHECK(malloc_usable_size(NULL) == 0);
    free(NULL);
}

static void check_realloc(void)
{
    unsigned char *object = realloc(NULL, 1);
    object[0] = 0;
    for (size_t size = 1; size < 3000; size += 7) {
        object = realloc(object, size + 7);
        CHECK(object != NULL && (uintptr_t)object % 8 == 0);
        for (size_t i = 0; i < size; i++) {
            CHECK(object[i] == (unsigned char)i);
        }
        for (size_t i = size; i < size + 7; i++) {
            object[i] = (unsigned char)i;
        }
    }
    object = realloc(object, 10);
    CHECK(object[9] == 9 && malloc_usable_size(object) < 64);
    sink = object;
    CHECK(realloc(sink, opaque(0)) == NULL); /* as glibc: this frees */
    errno = 0;
    CHECK(reallocarray(NULL, opaque(SIZE_MAX / 2), 4) == NULL && errno == ENOMEM);
    object = reallocarray(NULL, 10, 10);
    CHECK(malloc_usable_size(object) >= 100);
    sink = object;
    CHECK(reallocarray(sink, opaque(0), 10) == NULL); /* frees, too */
}

static void check_aligned(void)
{
    for (size_t alignment = sizeof(void *); alignment <= 65536; alignment *= 2) {
        for (size_t size = 0; size < 700; size += 13) {
            void *object = NULL;
            CHECK(posix_memalign(&object, alignment, size) == 0);
            CHECK((uintptr_t)object % alignment == 0 && malloc_usable_size(object) >= size);
            free(object);
            object = aligned_alloc(alignment, size);
            CHECK(object != NULL && (uintptr_t)object % alignment == 0);
            free(object);
            object = memalign(alignment, size);
            CHECK(object != NULL && (uintptr_t)object % alignment == 0);
            free(object);
        }
    }
    void *object = &object;
    errno = 7;
    CHECK(posix_memalign(&object, opaque(24), 8) == EINVAL && object == &object && errno == 7);
    CHECK(posix_memalign(&object, opaque(4), 8) == EINVAL);
    CHECK(posix_memalign(&object, 64, opaque(SIZE_MAX - 4096)) == ENOMEM && errno == ENOMEM);
    CHECK(aligned_alloc(opaque(48), 8) == NULL && errno == EINVAL);
    object = memalign(opaque(48), 8);
    CHECK((uintptr_t)object % 64 == 0);
    free(object);
    CHECK((sink = memalign(opaque(SIZE_MAX), 8)) == NULL && errno == EINVAL);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    object = valloc(10);
    CHECK((uintptr_t)object % page == 0);
    free(object);
    object = pvalloc(10);
    CHECK((uintptr_t)object % page == 0 && malloc_usable_size(object) >= page);
    free(object);
    errno = 0;
    CHECK((sink = pvalloc(opaque(SIZE_MAX))) == NULL && errno == ENOMEM);
}

static void check_errors(void)
{
    errno = 0;
    CHECK((sink = malloc(opaque(SIZE_MAX))) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK((sink = calloc(opaque(SIZE_MAX / 2), 3)) == NULL && errno == ENOMEM);
    errno = 0; /* 8 bytes, but for the bits that are lost */
    CHECK((sink = calloc(opaque(SIZE_MAX / 8 + 2), 8)) == NULL && errno == ENOMEM);
    void *small = malloc(20);
    void *large = malloc(20000);
    errno = 99;
    free(small);
    free(large);
    CHECK(errno == 99);
}

static void *thread_that_frees(void *argument)
{
    free(argument);
    return malloc(77);
}

/* The pools serve, and their statistics can be had: the mb_ calls are exported too. */
static void check_who_serves(void)
{
    void *symbol = dlsym(RTLD_DEFAULT, "mb_usable_size");
    size_t (*usable)(const void *);
    CHECK(symbol != NULL);
    memcpy(&usable, &symbol, sizeof usable);
    void *object = malloc(50);
    CHECK(usable(object) == 64);
    free(object);
    Dl_info where;
    void *(*function)(size_t) = malloc;
    memcpy(&symbol, &function, sizeof symbol);
    CHECK(dladdr(symbol, &where) != 0 && strstr(where.dli_fname, "memorybucket-malloc") != NULL);
}

/* A C program, in which nobody can throw what C++ promises: the drop-in says so, and aborts. */
static void fail_as_cpp(void)
{
    void *symbol = dlsym(RTLD_DEFAULT, "_Znwm");
    void *(*operator_new)(size_t);
    CHECK(symbol != NULL);
    memcpy(&operator_new, &symbol, sizeof operator_new);
    sink = operator_new(opaque(SIZE_MAX / 2));
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "fail-as-c++") == 0) {
        fail_as_cpp();
        return 1;
    }
    check_who_serves();
    check_alignment_and_size();
    check_realloc();
    check_aligned();
    check_errors();
    free(first_of_all);
    for (int i = 0; i < 100; i++) {
        pthread_t thread;
        void *result;
        CHECK(pthread_create(&thread, NULL, thread_that_frees, malloc(300)) == 0);
        pthread_join(thread, &result);
        free(result);
    }
    puts("contract holds");
    return 0;
}
