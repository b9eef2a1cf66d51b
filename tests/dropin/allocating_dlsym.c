/*
 * allocating_dlsym: preloaded with the drop-in, in front or behind, a dlsym that allocates on its
 * way, as some are. The drop-in looks for the next allocator with it, and must serve it before it
 * has found one.
 */
#include "check.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { LARGE = 1000, TOO_MUCH = 1 << 20, ENOUGH = 1000 };

static char *left; /* allocated inside dlsym, and used after */
static unsigned calls_served;
static char of_others[LARGE];
static char *volatile not_ours = of_others + 16;

static bool is_filled(const char *object, size_t bytes, char with)
{
    for (size_t i = 0; i < bytes; i++) {
        if (object[i] != with) {
            return false;
        }
    }
    return true;
}

static void allocate_in_every_way(void)
{
    char *object = malloc(LARGE);
    CHECK(object != NULL && (uintptr_t)object % 16 == 0 && malloc_usable_size(object) >= LARGE);
    memset(object, 1, LARGE);
    char *zeroed = calloc(10, LARGE / 10);
    CHECK(zeroed != NULL && is_filled(zeroed, LARGE, 0));
    object = realloc(object, 2 * LARGE);
    CHECK(object != NULL && is_filled(object, LARGE, 1));
    void *aligned = NULL;
    CHECK(posix_memalign(&aligned, 256, LARGE) == 0 && (uintptr_t)aligned % 256 == 0);
    free(aligned);
    free(zeroed);
    free(object);
    free(not_ours); /* left alone: whose it is, is not known yet */
    errno = 0;
    void *none = malloc(TOO_MUCH);
    CHECK(none == NULL && errno == ENOMEM);
    left = malloc(LARGE);
    CHECK(left != NULL);
    memset(left, 2, LARGE);
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): all there is, until no more is left. */
    for (void *more = left; more != NULL && calls_served < ENOUGH; calls_served++) {
        more = malloc(LARGE);
    }
}

void *dlsym(void *restrict handle, const char *restrict name)
{
    if (left == NULL && strcmp(name, "calloc") == 0) {
        allocate_in_every_way();
    }
    void *(*next)(void *, const char *);
    void *symbol = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.34");
    CHECK(symbol != NULL);
    memcpy(&next, &symbol, sizeof next);
    return next(handle, name);
}

__attribute__((destructor)) static void use_what_is_left(void)
{
    CHECK(left != NULL && is_filled(left, LARGE, 2) && malloc_usable_size(left) >= LARGE);
    left = realloc(left, 3 * LARGE);
    CHECK(left != NULL && is_filled(left, LARGE, 2));
    free(left);
    fprintf(stderr, "dlsym allocated %u times\n", calls_served);
}
