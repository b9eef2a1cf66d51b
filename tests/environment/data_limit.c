/*
 * data_limit HOW: what was freed as objects of one size is there for another under a limit on data,
 * as the kernel counts it (RLIMIT_DATA; with vm.overcommit_memory 2 it counts alike).
 *
 * trim: after mb_trim. alone: nobody asks for that, and sizes grow; the system allocator helps out
 * with what it has. smaller: nobody asks, and sizes shrink, so that what is free of larger ones
 * would serve them as it is, and be used up. holes: after mb_trim, and each 512 KiB keep an object:
 * then what is free makes up many short runs, of which nothing is uncharged before the kernel
 * refuses a commit. many: after mb_trim, a little of each size, and then all of it for one. With
 * upper pools the objects are 64 times as large.
 */
#include "border.h"
#include "testing.h"

#include "core/uncharge.h"

#include <sys/resource.h>

enum { BYTES = 48 << 20, ROOM_BYTES = BYTES + (12 << 20), HOLE_BYTES = 512 << 10 };
enum { SIZE_MIN = 48, OBJECTS_MAX = BYTES / SIZE_MIN, UPPER_SCALE = 64 };

static void *objects[OBJECTS_MAX];

/* Lines of /proc/self/maps, and the private memory that can be written. */
static size_t mappings(size_t *data_bytes)
{
    char line[512];
    size_t count = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    CHECK(file != NULL, "/proc/self/maps");
    *data_bytes = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        unsigned long begin;
        unsigned long end;
        char access[5];
        CHECK(sscanf(line, "%lx-%lx %4s", &begin, &end, access) == 3, "%s", line);
        *data_bytes += strcmp(access, "rw-p") == 0 ? end - begin : 0;
        count++;
    }
    fclose(file);
    return count;
}

/* Fills the room with objects of a size, and frees them, but for those that make the holes. */
static void use_and_free(size_t size, size_t kept_every, size_t *kept)
{
    size_t count = BYTES / size;
    for (size_t i = 0; i < count; i++) {
        objects[i] = mb_alloc(size);
        CHECK(objects[i] != NULL, "no memory for object %zu of %zu bytes", i, size);
        memset(objects[i], 1, size);
    }
    for (size_t i = 0; i < count; i++) {
        if (kept_every != 0 && i % (kept_every / size) == 0) {
            ++*kept;
        } else {
            mb_free(objects[i]);
        }
    }
    mb_thread_flush();
}

static void limit_data(size_t bytes)
{
    struct rlimit limit = { .rlim_cur = bytes, .rlim_max = RLIM_INFINITY };
    CHECK(setrlimit(RLIMIT_DATA, &limit) == 0, "setrlimit");
}

/* As many objects of a size as there are, at most `count`; how many. */
static size_t allocate(void **out, size_t count, size_t size)
{
    size_t got = 0;
    while (got < count && (out[got] = mb_alloc(size)) != NULL) {
        memset(out[got], 1, size);
        got++;
    }
    return got;
}

static void free_all(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        mb_free(objects[i]);
    }
}

static void many_sizes(size_t data_bytes)
{
    enum { EACH_BYTES = 512 << 10, SIZES = 64, STEP = 8 };
    const size_t step = small_or_upper(STEP, (size_t)STEP * UPPER_SCALE);
    const size_t largest = SIZES * step;
    size_t count = 0;
    size_t bytes = 0;
    limit_data(data_bytes + (size_t)SIZES * EACH_BYTES);
    for (size_t size = step; size <= largest; size += step) {
        size_t got = allocate(objects + count, EACH_BYTES / size, size);
        count += got;
        bytes += got * size;
    }
    free_all(count);
    (void)mb_trim(0);
    count = allocate(objects, bytes / largest, largest);
    printf("many: %zu KiB of all sizes, then %zu KiB of one\n", bytes >> 10,
           count * largest >> 10);
    CHECK(count * largest >= bytes / 8 * 7, "%zu KiB of %zu", count * largest >> 10, bytes >> 10);
    free_all(count);
    limit_data(RLIM_INFINITY); /* statistics take some for a thread's first walk */
    (void)check_accounting(0);
}

int main(int argc, char **argv)
{
    static const size_t mixed[] = { 64, 128, 256, 512, 48 };
    static const size_t shrinking[] = { 512, 256, 128, 64, 48 };
    const char *how = argc > 1 ? argv[1] : "trim";
    bool holes = strcmp(how, "holes") == 0;
    bool alone = strcmp(how, "alone") == 0;
    bool smaller = strcmp(how, "smaller") == 0;
    const size_t *sizes = smaller ? shrinking : mixed;
    setenv("MB_DECAY_MS", "-1", 1);
    mb_init();
    mb_free(mb_alloc(8));
    size_t data_bytes;
    size_t mappings_before = mappings(&data_bytes);
    if (strcmp(how, "many") == 0) {
        many_sizes(data_bytes);
        return 0;
    }
    limit_data(data_bytes + ROOM_BYTES);

    size_t kept = 0;
    size_t phases = sizeof mixed / sizeof mixed[0] - alone;
    for (size_t i = 0; i < phases; i++) {
        size_t size = sizes[i] * small_or_upper(1, UPPER_SCALE);
        use_and_free(size, holes && i == 0 ? HOLE_BYTES : 0, &kept);
        if (!alone && !smaller) {
            (void)mb_trim(0);
        }
        size_t now = mappings(&data_bytes);
        printf("%s: after %zu-byte objects %zu mappings, %zu KiB of data\n", how, size, now,
               data_bytes >> 10);
        CHECK(now <= mappings_before + 256 + 2 * mbi_free_map_seals(), "%zu mappings, %zu seals", now,
              mbi_free_map_seals());
        /* One run is long: the rest of a huge page. */
        CHECK(!holes || i > 0 || mbi_free_map_seals() <= 1, "short runs are sealed too early");
        CHECK(!holes || i == 0 || mbi_free_map_seals() >= BYTES / HOLE_BYTES / 4, "%zu seals",
              mbi_free_map_seals());
    }
    const struct mb_stats *stats = check_accounting(kept);
    CHECK(stats->large_allocs == 0 || alone || smaller, "%llu objects were the system's",
          (unsigned long long)stats->large_allocs);
    return 0;
}
