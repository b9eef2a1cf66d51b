/*
 * growing: a large object that grows gets room for more, one that shrinks a little stays, and where
 * there is no room the request is served all the same. The C library serves large objects here.
 */
#include "check.h"

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { FIRST_BYTES = 100000, LAST_BYTES = 3 << 20, BUFFERS = 8, STEP_BYTES = 96 };
enum { HUGE_BYTES = 256 << 20, ROOM_BYTES_MAX = 4 << 20, HEADER_BYTES = 4096 };

static void fill(unsigned char *object, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        object[i] = (unsigned char)(i % 251);
    }
}

static int is_filled(const unsigned char *object, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (object[i] != (unsigned char)(i % 251)) {
            return 0;
        }
    }
    return 1;
}

/* Each grows by an eighth at least when it does, and not while it fits. */
static void check_steps(void)
{
    static unsigned char *objects[BUFFERS];
    static size_t changes[BUFFERS];
    for (size_t size = FIRST_BYTES; size < LAST_BYTES; size += STEP_BYTES) {
        for (size_t i = 0; i < BUFFERS; i++) {
            size_t before = objects[i] != NULL ? malloc_usable_size(objects[i]) : 0;
            unsigned char *object = realloc(objects[i], size);
            CHECK(object != NULL);
            size_t usable = malloc_usable_size(object);
            CHECK(usable >= size);
            if (before != 0 && size <= before) {
                CHECK(object == objects[i] && usable == before);
            } else if (before != 0) {
                CHECK(usable >= before + before / 8, "%zu bytes after %zu", usable, before);
                changes[i]++;
            }
            fill(object, before != 0 ? size - STEP_BYTES : 0, size);
            objects[i] = object;
        }
    }
    for (size_t i = 0; i < BUFFERS; i++) {
        CHECK(is_filled(objects[i], LAST_BYTES - STEP_BYTES));
        CHECK(changes[i] < 40, "%zu times", changes[i]); /* (9/8)^30 is more than 3 MiB / 100,000 */
        free(objects[i]);
    }
}

static void check_shrinking(void)
{
    unsigned char *object = malloc(FIRST_BYTES);
    size_t usable = malloc_usable_size(object);
    fill(object, 0, FIRST_BYTES);
    CHECK(realloc(object, FIRST_BYTES - FIRST_BYTES / 16) == object);
    CHECK(malloc_usable_size(object) == usable && is_filled(object, FIRST_BYTES));
    object = realloc(object, FIRST_BYTES / 2);
    CHECK(object != NULL && malloc_usable_size(object) < usable);
    CHECK(is_filled(object, FIRST_BYTES / 2));
    free(object);
}

static size_t address_space_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* The room is bounded; and where the address space has none, the object gets what was asked for. */
static void check_no_room(void)
{
    unsigned char *object = malloc(HUGE_BYTES);
    CHECK(object != NULL);
    object[0] = 1;
    object[HUGE_BYTES - 1] = 2;
    object = realloc(object, HUGE_BYTES + HEADER_BYTES);
    CHECK(object != NULL);
    size_t usable = malloc_usable_size(object);
    CHECK(usable >= HUGE_BYTES + ROOM_BYTES_MAX
          && usable < HUGE_BYTES + ROOM_BYTES_MAX + (size_t)2 * HEADER_BYTES);
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = address_space_bytes() + ROOM_BYTES_MAX / 2;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    errno = 7;
    object = realloc(object, usable + HEADER_BYTES);
    CHECK(object != NULL && errno == 7, "errno %d", errno);
    CHECK(malloc_usable_size(object) < usable + ROOM_BYTES_MAX);
    CHECK(object[0] == 1 && object[HUGE_BYTES - 1] == 2);
    CHECK(realloc(object, usable + 2 * (size_t)ROOM_BYTES_MAX) == NULL && errno == ENOMEM);
    CHECK(object[0] == 1 && object[HUGE_BYTES - 1] == 2);
    free(object);
}

int main(void)
{
    check_steps();
    check_shrinking();
    if (!TEST_IS_EMULATED) {
        check_no_room();
    }
    return 0;
}
