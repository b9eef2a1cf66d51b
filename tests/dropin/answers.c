/*
 * answers: what the functions of malloc.h and stdlib.h answer at their edges, one line for each
 * call.
 *
 * Built like any program, without the library. The same binary runs on the C library and on the
 * drop-in, and what it prints must be the same. Only where versions of glibc differ it asks
 * nothing: aligned_alloc of an alignment that is no power of two.
 *
 * figures: what mallinfo, mallinfo2 and malloc_trim say of objects that the program knows.
 * document: malloc_info's.
 */
#include "check.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HALF ((size_t)PTRDIFF_MAX)

/* A pointer that no call has given. */
static char nowhere;

static void *from_malloc(size_t one, size_t other)
{
    (void)other;
    return malloc(one);
}

static void *from_posix_memalign(size_t one, size_t other)
{
    void *pointer = &nowhere;
    int error = posix_memalign(&pointer, one, other);
    printf("returns %d, ", error);
    if (error != 0) {
        CHECK(pointer == &nowhere);
        return NULL;
    }
    return pointer;
}

static void *from_valloc(size_t one, size_t other)
{
    (void)other;
    return valloc(one);
}

static void *from_pvalloc(size_t one, size_t other)
{
    (void)other;
    return pvalloc(one);
}

static void *from_libc_memalign(size_t one, size_t other)
{
    void *symbol = dlsym(RTLD_DEFAULT, "__libc_memalign");
    void *(*function)(size_t, size_t);
    CHECK(symbol != NULL);
    memcpy(&function, &symbol, sizeof function);
    return function(one, other);
}

/* What is resized must be as it was when that fails. */
static void *resized(size_t before, size_t after)
{
    char *object = malloc(before);
    CHECK(object != NULL);
    memset(object, 'o', before);
    errno = 4711;
    char *moved = realloc(object, after);
    size_t kept = moved != NULL && after < before ? after : before;
    char *now = moved != NULL ? moved : object;
    for (size_t i = 0; (moved != NULL || after != 0) && i < kept; i++) {
        CHECK(now[i] == 'o');
    }
    if (moved == NULL && after != 0) {
        int saved_errno = errno;
        free(object);
        CHECK(errno == saved_errno);
    }
    return moved;
}

static void *resized_array(size_t one, size_t other)
{
    return reallocarray(NULL, one, other);
}

static const struct question {
    const char *name;
    void *(*call)(size_t one, size_t other);
    size_t one;
    size_t other;
    size_t alignment; /* that the answer must have */
} questions[] = {
    { "malloc", from_malloc, 0, 0, 8 },
    { "malloc", from_malloc, 1, 0, 8 },
    { "malloc", from_malloc, 24, 0, 16 },
    { "malloc", from_malloc, 512, 0, 16 },
    { "malloc", from_malloc, 513, 0, 16 },
    { "malloc", from_malloc, 1 << 20, 0, 16 },
    { "malloc", from_malloc, HALF, 0, 1 },
    { "malloc", from_malloc, HALF + 1, 0, 1 },
    { "malloc", from_malloc, SIZE_MAX, 0, 1 },
    { "calloc", calloc, 0, 0, 8 },
    { "calloc", calloc, 0, SIZE_MAX, 8 },
    { "calloc", calloc, SIZE_MAX, 0, 8 },
    { "calloc", calloc, 1, 512, 16 },
    { "calloc", calloc, 3, 1000, 16 },
    { "calloc", calloc, 1, HALF, 1 },
    { "calloc", calloc, 1, HALF + 1, 1 },
    { "calloc", calloc, HALF, 2, 1 },
    { "calloc", calloc, (size_t)1 << 32, (size_t)1 << 32, 1 },
    { "calloc", calloc, SIZE_MAX / 8 + 2, 8, 1 },
    { "realloc", resized, 0, 1, 8 },
    { "realloc", resized, 100, 0, 1 },
    { "realloc", resized, 5000, 0, 1 },
    { "realloc", resized, 100, 100, 16 },
    { "realloc", resized, 500, 10, 8 },
    { "realloc", resized, 10, 500, 16 },
    { "realloc", resized, 500, 5000, 16 },
    { "realloc", resized, 5000, 500, 16 },
    { "realloc", resized, 5000, 50000, 16 },
    { "realloc", resized, 1 << 20, 100, 16 },
    { "realloc", resized, 100, HALF, 1 },
    { "realloc", resized, 100, HALF + 1, 1 },
    { "realloc", resized, 100, SIZE_MAX, 1 },
    { "realloc", resized, 5000, HALF + 1, 1 },
    { "realloc", resized, 5000, SIZE_MAX, 1 },
    { "reallocarray", resized_array, 0, 0, 8 },
    { "reallocarray", resized_array, 0, SIZE_MAX, 8 },
    { "reallocarray", resized_array, 10, 30, 16 },
    { "reallocarray", resized_array, HALF, 1, 1 },
    { "reallocarray", resized_array, HALF, 2, 1 },
    { "reallocarray", resized_array, SIZE_MAX / 8 + 2, 8, 1 },
    { "posix_memalign", from_posix_memalign, 0, 8, 1 },
    { "posix_memalign", from_posix_memalign, 1, 8, 1 },
    { "posix_memalign", from_posix_memalign, 4, 8, 1 },
    { "posix_memalign", from_posix_memalign, 24, 8, 1 },
    { "posix_memalign", from_posix_memalign, SIZE_MAX, 8, 1 },
    { "posix_memalign", from_posix_memalign, 8, 0, 8 },
    { "posix_memalign", from_posix_memalign, 4096, 0, 4096 },
    { "posix_memalign", from_posix_memalign, 8, 100, 8 },
    { "posix_memalign", from_posix_memalign, 64, 100, 64 },
    { "posix_memalign", from_posix_memalign, 512, 512, 512 },
    { "posix_memalign", from_posix_memalign, 1 << 20, 100, 1 << 20 },
    { "posix_memalign", from_posix_memalign, 64, HALF, 1 },
    { "posix_memalign", from_posix_memalign, 64, HALF + 1, 1 },
    { "posix_memalign", from_posix_memalign, 64, SIZE_MAX, 1 },
    { "posix_memalign", from_posix_memalign, HALF + 1, 8, 1 },
    { "aligned_alloc", aligned_alloc, 1, 0, 8 },
    { "aligned_alloc", aligned_alloc, 1, 100, 16 },
    { "aligned_alloc", aligned_alloc, 64, 0, 64 },
    { "aligned_alloc", aligned_alloc, 64, 65, 64 },
    { "aligned_alloc", aligned_alloc, 4096, 100, 4096 },
    { "aligned_alloc", aligned_alloc, 64, HALF, 1 },
    { "aligned_alloc", aligned_alloc, 64, HALF + 1, 1 },
    { "aligned_alloc", aligned_alloc, 64, SIZE_MAX, 1 },
    { "aligned_alloc", aligned_alloc, HALF + 1, 8, 1 },
    { "memalign", memalign, 0, 8, 8 },
    { "memalign", memalign, 3, 100, 16 },
    { "memalign", memalign, 48, 100, 64 },
    { "memalign", memalign, 64, 0, 64 },
    { "memalign", memalign, 1 << 20, 100, 1 << 20 },
    { "memalign", memalign, 64, HALF, 1 },
    { "memalign", memalign, 64, SIZE_MAX, 1 },
    { "memalign", memalign, HALF + 1, 8, 1 },
    { "memalign", memalign, HALF + 2, 8, 1 },
    { "memalign", memalign, SIZE_MAX, 8, 1 },
    { "__libc_memalign", from_libc_memalign, 64, 100, 64 },
    { "__libc_memalign", from_libc_memalign, 48, 100, 64 },
    { "__libc_memalign", from_libc_memalign, 64, SIZE_MAX, 1 },
    { "__libc_memalign", from_libc_memalign, SIZE_MAX, 8, 1 },
    { "valloc", from_valloc, 0, 0, 4096 },
    { "valloc", from_valloc, 100, 0, 4096 },
    { "valloc", from_valloc, HALF, 0, 1 },
    { "valloc", from_valloc, SIZE_MAX, 0, 1 },
    { "pvalloc", from_pvalloc, 0, 0, 4096 },
    { "pvalloc", from_pvalloc, 100, 0, 4096 },
    { "pvalloc", from_pvalloc, HALF, 0, 1 },
    { "pvalloc", from_pvalloc, SIZE_MAX - 4096, 0, 1 },
    { "pvalloc", from_pvalloc, SIZE_MAX, 0, 1 },
};

static void ask(const struct question *question)
{
    printf("%s(%#zx, %#zx): ", question->name, question->one, question->other);
    errno = 4711;
    void *pointer = question->call(question->one, question->other);
    int error = errno;
    bool aligned = (uintptr_t)pointer % question->alignment == 0;
    printf("%s, errno %d\n", pointer == NULL ? "NULL" : aligned ? "an object" : "a misaligned one",
           error);
    errno = 4711;
    free(pointer);
    CHECK(errno == 4711);
}

/* Parameters and values that mallopt takes and refuses. */
static void ask_mallopt(void)
{
    static const int settings[][2] = {
        { M_MXFAST, 64 },         { M_MXFAST, 100000 },         { M_TRIM_THRESHOLD, 1 << 20 },
        { M_TOP_PAD, 1 << 16 },   { M_MMAP_THRESHOLD, 1 << 20 }, { M_MMAP_THRESHOLD, 1 << 30 },
        { M_MMAP_MAX, 1000 },     { M_CHECK_ACTION, 1 },         { M_PERTURB, 0 },
        { M_ARENA_TEST, 1 },      { M_ARENA_MAX, 2 },            { M_ARENA_MAX, 0 },
        { 12345, 1 },
    };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        errno = 4711;
        int answer = mallopt(settings[i][0], settings[i][1]);
        printf("mallopt(%d, %d): %d, errno %d\n", settings[i][0], settings[i][1], answer, errno);
    }
}

static int answer_all(void)
{
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        ask(&questions[i]);
    }
    errno = 4711;
    printf("malloc_usable_size(NULL): %zu, errno %d\n", malloc_usable_size(NULL), errno);
    printf("malloc_info(1, stdout): %d, errno %d\n", malloc_info(1, stdout), errno);
    ask_mallopt();
    return 0;
}

static size_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    size_t total;
    size_t resident;
    CHECK(file != NULL && fscanf(file, "%zu %zu", &total, &resident) == 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static size_t used_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    CHECK(info.arena == info.uordblks + info.fordblks);
    return info.uordblks + info.hblkhd;
}

static void fill(void **objects, size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        objects[i] = malloc(size);
        CHECK(objects[i] != NULL);
        memset(objects[i], 1, size);
    }
}

static void free_all(void **objects, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(objects[i]);
    }
}

/* The figures say what was asked for, and at most a quarter more, or what one magazine holds. */
static int check_figures(void)
{
    enum { SMALL = 200000, LARGE = 2000, SMALL_BYTES = 100, LARGE_BYTES = 10000 };
    static void *small[SMALL];
    static void *large[LARGE];
    size_t before = used_bytes();
    fill(small, SMALL, SMALL_BYTES);
    size_t with_small = used_bytes();
    CHECK(with_small - before >= (size_t)SMALL * SMALL_BYTES);
    CHECK(with_small - before <= (size_t)SMALL * SMALL_BYTES * 5 / 4);
    fill(large, LARGE, LARGE_BYTES);
    size_t with_both = used_bytes();
    CHECK(with_both - with_small >= (size_t)LARGE * LARGE_BYTES);
    CHECK(with_both - with_small <= (size_t)LARGE * LARGE_BYTES * 5 / 4);
    struct mallinfo2 info = mallinfo2();
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    struct mallinfo as_int = mallinfo();
    CHECK((size_t)as_int.uordblks == info.uordblks && (size_t)as_int.arena == info.arena);
    CHECK((size_t)as_int.hblkhd == info.hblkhd && as_int.hblks == (int)info.hblks);
    void *top = malloc(LARGE_BYTES);
    size_t peak = resident_bytes();
    free_all(small, SMALL);
    free_all(large, LARGE);
    CHECK(used_bytes() <= before + (1 << 20));
    size_t kept = mallinfo2().fordblks;
    CHECK(mallinfo2().ordblks >= SMALL / 2 && kept > SMALL * SMALL_BYTES / 2);
    CHECK(malloc_trim(0) == 1);
    CHECK(resident_bytes() < peak / 4);
    CHECK(mallinfo2().fordblks < kept - SMALL * SMALL_BYTES / 2);
    free(top);
    puts("figures hold");
    return 0;
}

static int check_document(void)
{
    for (size_t size = 1; size < 1000; size++) {
        CHECK(malloc(size) != NULL);
    }
    CHECK(malloc_info(0, stdout) == 0);
    malloc_stats();
    return 0;
}

/* C23's, which the C library may not have yet. */
static int check_sized(void)
{
    void *sized = dlsym(RTLD_DEFAULT, "free_sized");
    void *aligned = dlsym(RTLD_DEFAULT, "free_aligned_sized");
    CHECK(sized != NULL && aligned != NULL);
    void (*free_sized)(void *, size_t);
    void (*free_aligned_sized)(void *, size_t, size_t);
    memcpy(&free_sized, &sized, sizeof sized);
    memcpy(&free_aligned_sized, &aligned, sizeof aligned);
    for (size_t size = 0; size < 2000; size += 17) {
        errno = 4711;
        free_sized(malloc(size), size);
        free_sized(calloc(1, size), size);
        free_aligned_sized(aligned_alloc(64, size), 64, size);
        CHECK(errno == 4711);
    }
    free_sized(NULL, 0);
    free_aligned_sized(NULL, 64, 0);
    puts("sizes hold");
    return 0;
}

/* The second names: what one gives any other one takes. */
static int check_second_names(void)
{
    void *(*second_malloc)(size_t);
    void *(*second_realloc)(void *, size_t);
    void (*second_free)(void *);
    void *symbols[] = { dlsym(RTLD_DEFAULT, "__libc_malloc"), dlsym(RTLD_DEFAULT, "__libc_realloc"),
                        dlsym(RTLD_DEFAULT, "__libc_free") };
    memcpy(&second_malloc, &symbols[0], sizeof second_malloc);
    memcpy(&second_realloc, &symbols[1], sizeof second_realloc);
    memcpy(&second_free, &symbols[2], sizeof second_free);
    for (size_t size = 1; size < 5000; size += 31) {
        second_free(malloc(size));
        second_free(second_realloc(calloc(2, size), size));
        free(second_malloc(size));
        free(second_realloc(second_malloc(size), 2 * size));
        second_free(from_libc_memalign(64, size));
        second_free(memalign(64, size));
    }
    puts("names hold");
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*function)(void);
    } parts[] = { { "all", answer_all },
                  { "figures", check_figures },
                  { "document", check_document },
                  { "sized", check_sized },
                  { "names", check_second_names } };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (argc == 2 && strcmp(argv[1], parts[i].name) == 0) {
            return parts[i].function();
        }
    }
    fputs("usage: answers all|figures|document|sized|names\n", stderr);
    return 2;
}
