/*
 * errno_kept: the kernel refuses to give pages back that are locked in memory, and to commit more
 * than it may. What succeeds all the same leaves errno alone: large requests that do a step of
 * decay, small and aligned ones that others serve, trim, and a limit below what is committed.
 *
 * madvise is wrapped, and refuses as for pages that are locked. posix_memalign is, too, and changes
 * errno also where it succeeds, as POSIX allows.
 */
#include "testing.h"

#include <errno.h>
#include <sys/mman.h>

enum { OBJECTS = 20000, SIZE = 128, MARK = 4711, LOOKS = 64 };

static size_t refused;

int __real_madvise(void *start, size_t bytes, int advice);
int __wrap_madvise(void *start, size_t bytes, int advice);
int __wrap_madvise(void *start, size_t bytes, int advice)
{
    if (advice != MADV_DONTNEED) {
        return __real_madvise(start, bytes, advice);
    }
    refused++;
    errno = EINVAL;
    return -1;
}

int __real_posix_memalign(void **out, size_t alignment, size_t bytes);
int __wrap_posix_memalign(void **out, size_t alignment, size_t bytes);
int __wrap_posix_memalign(void **out, size_t alignment, size_t bytes)
{
    int error = __real_posix_memalign(out, alignment, bytes);
    errno = EAGAIN;
    return error;
}

static void large_aligned_requests(void)
{
    errno = MARK;
    void *object = mb_aligned_alloc(64, 10000);
    CHECK(object != NULL && errno == MARK, "a large aligned request left errno %d", errno);
    mb_free(object);
}

static void free_many(void)
{
    static void *objects[OBJECTS];
    for (size_t i = 0; i < OBJECTS; i++) {
        objects[i] = mb_alloc(SIZE);
        CHECK(objects[i] != NULL, "no memory");
    }
    mb_free_batch(OBJECTS, objects);
    mb_thread_flush();
}

/* One request in so many looks after decay: none of the small ones do here. */
static void large_requests(void)
{
    refused = 0;
    free_many();
    while (refused == 0) {
        for (size_t i = 0; i < LOOKS; i++) {
            errno = MARK;
            void *object = mb_alloc(1000);
            CHECK(object != NULL && errno == MARK, "a large request left errno %d", errno);
            mb_free(object);
            CHECK(errno == MARK, "a large free left errno %d", errno);
        }
    }
}

/* What the pool of its size has no room for the next ones serve. */
static void aligned_requests(void)
{
    static void *objects[OBJECTS];
    size_t limit_before = mb_memory_limit_set((size_t)1 << 20);
    size_t count = 0;
    for (;; count++) {
        CHECK(count < OBJECTS, "the limit is not reached");
        errno = MARK;
        objects[count] = mb_aligned_alloc(64, 64);
        if (objects[count] == NULL) {
            CHECK(errno == ENOMEM, "errno %d", errno);
            break;
        }
        CHECK(errno == MARK, "an aligned request left errno %d", errno);
    }
    mb_free_batch(count, objects);
    (void)mb_memory_limit_set(limit_before);
}

int main(void)
{
    setenv("MB_DECAY_MS", "0", 1);
    aligned_requests();
    large_aligned_requests();
    large_requests();
    free_many();
    refused = 0;
    errno = MARK;
    (void)mb_trim(0);
    CHECK(refused != 0 && errno == MARK, "trim left errno %d", errno);
    free_many();
    refused = 0;
    errno = MARK;
    (void)mb_memory_limit_set(1);
    CHECK(refused != 0 && errno == MARK, "the limit left errno %d", errno);
    check_accounting(0);
    return 0;
}
