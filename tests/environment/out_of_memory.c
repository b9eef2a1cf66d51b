/*
 * out_of_memory [no-place|reserved]: mmap, mprotect and malloc refuse, at the start and later;
 * where pools have no place at all, and where their address space is reserved at once.
 *
 * The linker puts the __wrap_ functions between the library and the C library. The library comes
 * up before main, so what shall fail at that moment is said in the environment, and the program
 * becomes itself again.
 */
#include "testing.h"

#include "core/config.h"
#include "core/limit.h"
#include "core/region.h"
#include "tcache/thread_cache.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool mmap_fails;    /* but for the pools' memory */
static bool commits_fail; /* the pools' memory, mapped or made accessible */
static bool malloc_fails;

void *__real_mmap(void *start, size_t bytes, int protection, int flags, int file, off_t offset);
int __real_mprotect(void *start, size_t bytes, int protection);
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
void *__real_malloc(size_t size);
void *__wrap_mmap(void *start, size_t bytes, int protection, int flags, int file, off_t offset);
int __wrap_mprotect(void *start, size_t bytes, int protection);
void *__wrap_malloc(size_t size);

/* How the library takes a place. */
long __wrap_syscall(long number, ...)
{
    va_list arguments;
    long words[6];
    va_start(arguments, number);
    for (size_t i = 0; i < 6; i++) {
        words[i] = va_arg(arguments, long);
    }
    va_end(arguments);
    if (number == SYS_mmap
        && (getenv("TEST_NO_PLACE") != NULL || getenv("TEST_RESERVED") != NULL)) {
        errno = EEXIST;
        return -1;
    }
    return __real_syscall(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

void *__wrap_mmap(void *start, size_t bytes, int protection, int flags, int file, off_t offset)
{
    bool placed = (flags & MAP_FIXED_NOREPLACE) != 0;
    bool at_start = protection == PROT_NONE && getenv("TEST_NO_PLACE") != NULL;
    if ((placed ? commits_fail : mmap_fails) || at_start) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return __real_mmap(start, bytes, protection, flags, file, offset);
}

int __wrap_mprotect(void *start, size_t bytes, int protection)
{
    if (commits_fail) {
        errno = ENOMEM;
        return -1;
    }
    return __real_mprotect(start, bytes, protection);
}

void *__wrap_malloc(size_t size)
{
    if (malloc_fails) {
        errno = ENOMEM;
        return NULL;
    }
    return __real_malloc(size);
}

/* Everything works on the system allocator alone. */
static void without_place(void)
{
    CHECK(mb_init() == -ENOMEM, "mb_init says %d", mb_init());
    for (size_t size = 0; size <= 600; size++) {
        unsigned char *object = mb_alloc(size);
        CHECK(object != NULL && mb_usable_size(object) >= size, "no memory for %zu", size);
        memset(object, 1, size);
        object = mb_realloc(object, size + 100);
        CHECK(object != NULL, "no memory");
        mb_free(object);
        void *aligned = mb_aligned_alloc(64, size);
        CHECK(aligned != NULL && (uintptr_t)aligned % 64 == 0, "%p", aligned);
        mb_free(aligned);
    }
    void *objects[10] = { NULL };
    CHECK(mb_alloc_batch(64, 10, objects) == 10, "batch");
    mb_free_batch(10, objects);
    mb_thread_flush();
    check_accounting(0);
}

static void *refused_cache(void *argument)
{
    /* One cache is there, and sixteen come with one mapping: all of them are in use. */
    void *object = mb_alloc(24);
    CHECK(object != NULL, "no memory");
    mb_free(object);
    return argument == NULL && mbi_thread_cache->active ? object : NULL;
}

enum { FREED = 100 };

static pthread_barrier_t all_here;

static void *hold_cache(void *argument)
{
    mb_free(mb_alloc(24));
    pthread_barrier_wait(&all_here);
    pthread_barrier_wait(&all_here);
    return argument;
}

/* Frees so many that it would get a cache. */
static void *free_and_keep_errno(void *argument)
{
    void **objects = argument;
    for (size_t i = 0; i < FREED; i++) {
        errno = 77;
        mb_free(objects[i]);
        CHECK(errno == 77, "errno %d after free %zu", errno, i);
    }
    return NULL;
}

/* Threads that find no memory for a cache work without one. */
static void without_caches(void)
{
    enum { HOLDERS = 16 };
    pthread_t holders[HOLDERS];
    pthread_barrier_init(&all_here, NULL, HOLDERS + 1);
    /* One at a time has sixteen caches mapped: two might do so at once, and have some to spare. */
    pthread_join(start_thread(refused_cache, NULL), NULL);
    for (size_t i = 0; i < HOLDERS; i++) {
        holders[i] = start_thread(hold_cache, NULL);
    }
    pthread_barrier_wait(&all_here);
    void *objects[FREED];
    CHECK(mb_alloc_batch(24, FREED, objects) == FREED, "no memory");

    /* pthread itself maps a stack, unwrapped: only the library's mmap fails. */
    mmap_fails = true;
    void *cached = NULL;
    pthread_join(start_thread(refused_cache, NULL), &cached);
    CHECK(cached == NULL, "a thread got a cache out of nothing");
    pthread_join(start_thread(free_and_keep_errno, objects), NULL);
    mmap_fails = false;

    pthread_join(start_thread(refused_cache, NULL), &cached);
    CHECK(cached != NULL, "a thread got no cache when there was memory again");
    pthread_barrier_wait(&all_here);
    for (size_t i = 0; i < HOLDERS; i++) {
        pthread_join(holders[i], NULL);
    }
    check_accounting(0);
}

/*
 * A pool that cannot grow borrows from larger ones, then from the system, and then fails cleanly.
 */
static void without_commits(void)
{
    void *from_larger = mb_alloc(512);
    mb_free(from_larger); /* the last pool has slots */

    commits_fail = true;
    errno = 0;
    void *object = mb_alloc(320);
    CHECK(object != NULL && mb_usable_size(object) == 512 && errno == 0,
          "%zu bytes for 320, errno %d", mb_usable_size(object), errno);

    /* A block has 8 of them; use them up. */
    void *objects[8] = { NULL };
    CHECK(mb_alloc_batch(512, 8, objects) == 8, "batch");
    void *spilled = objects[7];
    uint64_t large = check_accounting(8)->large_allocs;
    CHECK(large == 1 && mb_usable_size(spilled) >= 512, "the last one did not spill");

    malloc_fails = true;
    errno = 0;
    CHECK(mb_alloc(320) == NULL && errno == ENOMEM, "errno %d", errno);
    errno = 0;
    CHECK(mb_calloc(2, 100) == NULL && errno == ENOMEM, "errno %d", errno);
    errno = 0;
    CHECK(mb_alloc(1000) == NULL && errno == ENOMEM, "errno %d", errno);
    errno = 0;
    CHECK(mb_alloc_batch(48, 1, objects + 7) == 0 && errno == ENOMEM, "errno %d", errno);
    memset(object, 0x44, 320);
    CHECK(mb_realloc(object, 600) == NULL && ((unsigned char *)object)[319] == 0x44,
          "a failed mb_realloc touched its object");
    malloc_fails = false;
    commits_fail = false;

    mb_free(object);
    void *again = mb_alloc(48);
    CHECK(again != NULL && mb_usable_size(again) == 48, "the pool did not recover");
    mb_free(again);
    mb_free_batch(7, objects);
    mb_free(spilled);
    const struct mb_stats *stats = check_accounting(0);
    size_t charged_bytes = bounded_taken(&mbi_committed);
    CHECK(stats->committed_bytes == charged_bytes, "committed %llu bytes, charged %zu",
          (unsigned long long)stats->committed_bytes, charged_bytes);
}

int main(int argc, char **argv)
{
    bool no_place = argc == 2 && strcmp(argv[1], "no-place") == 0;
    bool reserved = argc == 2 && strcmp(argv[1], "reserved") == 0;
    if ((no_place && getenv("TEST_NO_PLACE") == NULL)
        || (reserved && getenv("TEST_RESERVED") == NULL)) {
        setenv(no_place ? "TEST_NO_PLACE" : "TEST_RESERVED", "1", 1);
        execv("/proc/self/exe", argv);
    }
    (void)mb_init();
    mbi_config.block_bytes = 4096; /* a block is just what the first run needs */
    if (no_place) {
        without_place();
        return 0;
    }
    mb_free(mb_alloc(24));
    CHECK(!reserved || mbi_region.reserved_bytes != 0, "nothing is reserved");
    without_caches();
    without_commits();
    return 0;
}
