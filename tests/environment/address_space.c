/*
 * address_space: the process is as large as what it uses: it grows by little when the library comes
 * up, limits that a program sets later leave it its room, and locking all memory locks that little.
 */
#include "testing.h"

#include "core/region.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { MIB = 1 << 20, OBJECTS = 100000, BLOCKS = 100, BLOCK_BYTES = 256 << 10 };

static uint64_t virtual_bytes(void)
{
    uint64_t resident;
    return process_virtual_bytes(&resident);
}

static void limit(enum __rlimit_resource resource, uint64_t bytes)
{
    struct rlimit value;
    CHECK(getrlimit(resource, &value) == 0, "getrlimit");
    value.rlim_cur = bytes < value.rlim_max ? bytes : value.rlim_max;
    CHECK(setrlimit(resource, &value) == 0, "setrlimit: %s", strerror(errno));
}

/* Not static: this program shall be small. */
static void **new_table(size_t count)
{
    void **table = malloc(count * sizeof *table);
    CHECK(table != NULL, "no memory");
    return table;
}

/* Each runs in a process in which the library has not come up. */

static void starts_small(void)
{
    uint64_t before = virtual_bytes();
    mb_free(mb_alloc(40));
    uint64_t one = virtual_bytes() - before;
    CHECK(one <= 2 * MIB, "one object: %llu bytes", (unsigned long long)one);
    for (size_t size = 8; size <= MB_SMALL_MAX; size += 8) {
        mb_free(mb_alloc(size));
    }
    uint64_t all = virtual_bytes() - before;
    CHECK(all <= 16 * MIB, "an object of each size: %llu bytes", (unsigned long long)all);
    const struct mb_stats *stats = check_accounting(0);
    CHECK(stats->reserved_bytes <= all && stats->reserved_bytes >= stats->committed_bytes,
          "%llu bytes are claimed", (unsigned long long)stats->reserved_bytes);
}

/* All memory that the pools map is used, but for a 16th: core files hold it all. */
static void stays_near_its_memory(void)
{
    size_t count = 16 * OBJECTS;
    void **objects = new_table(count);
    for (size_t i = 0; i < count; i++) {
        objects[i] = mb_alloc(1 + i % 64);
        CHECK(objects[i] != NULL, "no memory");
    }
    const struct mb_stats *stats = check_accounting(count);
    uint64_t blocks = 8 * (uint64_t)(64 << 10);
    CHECK(stats->reserved_bytes <= stats->committed_bytes + stats->committed_bytes / 16 + blocks,
          "%llu bytes are claimed, and %llu committed", (unsigned long long)stats->reserved_bytes,
          (unsigned long long)stats->committed_bytes);
    mb_free_batch(count, objects);
    free(objects);
}

static void *nothing(void *argument)
{
    return argument;
}

static void limit_is_the_programs(void)
{
    void **objects = new_table(OBJECTS);
    void *blocks[BLOCKS];
    void *early = mb_alloc(40);
    limit(RLIMIT_AS, virtual_bytes() + (uint64_t)256 * MIB);
    for (size_t i = 0; i < OBJECTS; i++) {
        objects[i] = mb_alloc(64);
        CHECK(objects[i] != NULL && mb_usable_size(objects[i]) == 64, "no small object");
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BLOCK_BYTES);
        CHECK(blocks[i] != NULL, "block %zu", i);
    }
    pthread_join(start_thread(nothing, NULL), NULL);
    (void)virtual_bytes(); /* opens a file */
    for (size_t i = 0; i < BLOCKS; i++) {
        free(blocks[i]);
    }
    mb_free_batch(OBJECTS, objects);
    free(objects);
    mb_free(early);
    check_accounting(0);
}

static void all_can_be_locked(void)
{
    uint64_t before = virtual_bytes();
    void *early = mb_alloc(40);
    limit(RLIMIT_MEMLOCK, before + 2 * MIB);
    if (getuid() == 0) {
        CHECK(setgid(65534) == 0 && setuid(65534) == 0, "setuid");
    }
    CHECK(mlockall(MCL_CURRENT) == 0, "mlockall: %s", strerror(errno));
    for (size_t i = 0; i < OBJECTS; i++) {
        CHECK(mb_alloc(64) != NULL, "no memory");
    }
    mb_free(early);
    check_accounting(OBJECTS);
}

static void in_child(void (*function)(void))
{
    int status;
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        function();
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0, "status %x", (unsigned)status);
}

int main(void)
{
    CHECK(mbi_region.bytes == 0, "the library has come up");
    in_child(starts_small);
    in_child(stays_near_its_memory);
    in_child(limit_is_the_programs);
    in_child(all_can_be_locked);
    return 0;
}
