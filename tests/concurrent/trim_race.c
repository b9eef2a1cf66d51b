/*
 * trim_race: memory goes back while 8 threads allocate, free and hand objects over; no live slot is
 * ever given back.
 *
 * Every page that is about to go is filled with poison first (madvise is wrapped): if any slot in
 * it were somebody's, its owner would find the poison, or the zeros of the kernel, in place of his
 * own pattern; if it were on a list, the next thread to follow that would crash. ThreadSanitizer
 * sees the poison's writes too, and so whether they are ordered against the owners'.
 *
 * Arguments: trim (one thread calls mb_trim all the time), seal (and seals all tiles that it can:
 * who writes to one of these without having unsealed it crashes), decay (slow paths do it, at
 * once), background. With upper pools most slots overlap several pages.
 */
#include "border.h"
#include "testing.h"

#include "core/config.h"
#include "core/decay.h"
#include "core/limit.h"
#include "core/uncharge.h"

#include <sys/mman.h>

enum { THREADS = 8, LIVE = 2000, TURNS = TEST_IS_SANITIZED ? 150 : 1000, HANDED_OVER = 256 };
enum { SIZE_STEP = 52, SIZES = 10, UPPER_SIZE_STEP = 1100, UPPER_LIVE = 100 };
/* The work goes on until so many have gone back, however slow the trimmer is. */
enum { PAGES_WANTED = 300, FEWER = TEST_IS_SANITIZED ? 50 : 150 };
enum { SEALED_WANTED = 2 * TILE_BYTES };

static _Atomic uint64_t pages_given_back;
static _Atomic bool stop;
static _Atomic uint64_t bytes_sealed;
static bool seals;
static size_t size_step;
static size_t live_max; /* objects of each thread */

int __real_madvise(void *start, size_t bytes, int advice);
int __wrap_madvise(void *start, size_t bytes, int advice);

int __wrap_madvise(void *start, size_t bytes, int advice)
{
    if (advice == MADV_DONTNEED) {
        memset(start, 0xdb, bytes);
        atomic_fetch_add_explicit(&pages_given_back, bytes / 4096,
                                  memory_order_relaxed); /* [TEST] */
    }
    return __real_madvise(start, bytes, advice);
}

struct object {
    size_t size;
    uint64_t token;
    unsigned char *bytes;
};

/* The first and last words, and all in between, say whose it is. */
static struct object object_make(uint64_t *random)
{
    uint64_t token = random_next(random) | 1;
    /* Ten sizes: those of a pool become free together often enough. */
    struct object object = { .size = size_step * (1 + random_below(random, SIZES)) - 8,
                             .token = token };
    object.bytes = mb_alloc(object.size);
    CHECK(object.bytes != NULL, "no memory");
    for (size_t i = 0; i < object.size; i++) {
        object.bytes[i] = (unsigned char)(token >> i % 8 * 8);
    }
    return object;
}

static void object_check_and_free(struct object *object)
{
    if (object->bytes == NULL) {
        return;
    }
    for (size_t i = 0; i < object->size; i++) {
        CHECK(object->bytes[i] == (unsigned char)(object->token >> i % 8 * 8),
              "byte %zu of %zu of a live object is %02x", i, object->size, object->bytes[i]);
    }
    mb_free(object->bytes);
    object->bytes = NULL;
}

/* Where threads leave objects for others to free. */
static struct {
    pthread_mutex_t mutex;
    struct object objects[HANDED_OVER];
} bazaar = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void swap_with_bazaar(struct object *object, uint64_t *random)
{
    pthread_mutex_lock(&bazaar.mutex);
    struct object *place = &bazaar.objects[random_below(random, HANDED_OVER)];
    struct object other = *place;
    *place = *object;
    *object = other;
    pthread_mutex_unlock(&bazaar.mutex);
}

static uint64_t pages_so_far(void)
{
    return atomic_load_explicit(&pages_given_back, memory_order_relaxed); /* [TEST] */
}

static bool sealed_enough(void)
{
    return !seals
           || atomic_load_explicit(&bytes_sealed, memory_order_relaxed) /* [TEST] */
                  >= SEALED_WANTED;
}

/* The number of live objects swings, so that whole pages become free. */
static void *work(void *argument)
{
    uint64_t random = (uintptr_t)argument * UINT64_C(0x9e3779b97f4a7c15);
    struct object *objects = calloc(live_max, sizeof *objects);
    CHECK(objects != NULL, "no memory");
    unsigned wanted = test_times(PAGES_WANTED, FEWER);
    int turns = seals ? TURNS / 5 : TURNS;
    for (int turn = 0; turn < turns || pages_so_far() < wanted || !sealed_enough();
         turn++) {
        size_t live = turn % 8 < 4 ? live_max : live_max / 20;
        for (size_t i = 0; i < live_max; i += 1 + random_below(&random, 8)) {
            if (random_below(&random, 16) == 0) {
                swap_with_bazaar(&objects[i], &random);
            }
            object_check_and_free(&objects[i]);
            if (i < live) {
                objects[i] = object_make(&random);
            }
        }
    }
    for (size_t i = 0; i < live_max; i++) {
        object_check_and_free(&objects[i]);
    }
    free(objects);
    return NULL;
}

/* Of several sizes, so that there are always whole tiles that are free, and may be sealed. */
static void leave_free_tiles(void)
{
    enum { LARGEST = 512, STEP = 8, UPPER_LARGEST = 12288, UPPER_STEP = 2048 };
    static void *objects[4 * TILE_BYTES / (LARGEST - 4 * STEP)];
    size_t size = small_or_upper(LARGEST, UPPER_LARGEST);
    size_t step = small_or_upper(STEP, UPPER_STEP);
    for (size_t last = size - 4 * step; size > last; size -= step) {
        size_t count = 4 * TILE_BYTES / size;
        for (size_t i = 0; i < count; i++) {
            objects[i] = mb_alloc(size);
            CHECK(objects[i] != NULL, "no memory");
            memset(objects[i], 0x66, size);
        }
        mb_free_batch(count, objects);
    }
}

static void *trim_until_stopped(void *argument)
{
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) { /* [TEST] */
        if (seals) {
            leave_free_tiles();
        }
        (void)mb_trim(0);
        if (seals) {
            atomic_fetch_add_explicit(&bytes_sealed, mbi_uncharge(1, SIZE_MAX, SIZE_MAX),
                                      memory_order_relaxed); /* [TEST] */
        }
    }
    return argument;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "trim";
    seals = strcmp(how, "seal") == 0;
    bool trims = seals || strcmp(how, "trim") == 0;
    setenv("MB_DECAY_MS", trims ? "-1" : "0", 1);
    /* Small magazines, of which a thread keeps few: nearly all passes through the centre. */
    setenv("MB_MAGAZINE_SIZE", "8", 1);
    setenv("MB_THREAD_CACHE_MAX", "260K", 1);
    size_step = small_or_upper(SIZE_STEP, UPPER_SIZE_STEP);
    live_max = small_or_upper(LIVE, UPPER_LIVE);
    if (strcmp(how, "background") == 0) {
        CHECK(mb_background_start() == 0, "no background thread");
    }
    pthread_t trimmer = 0;
    if (trims) {
        trimmer = start_thread(trim_until_stopped, NULL);
    }
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        threads[i] = start_thread(work, (void *)(i + 1));
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    atomic_store_explicit(&stop, true, memory_order_relaxed); /* [TEST] */
    if (trims) {
        pthread_join(trimmer, NULL);
    }
    mb_background_stop();
    for (size_t i = 0; i < HANDED_OVER; i++) {
        object_check_and_free(&bazaar.objects[i]);
    }
    check_accounting(0);
    printf("%s: %llu pages were given back, in %llu steps; %llu KiB sealed\n", how,
           (unsigned long long)pages_so_far(),
           (unsigned long long)counter_read(&mbi_decay_counts.decay_steps),
           (unsigned long long)atomic_load_explicit(&bytes_sealed,
                                                    memory_order_relaxed) >> 10); /* [TEST] */

    (void)mb_trim(0);
    const struct mb_stats *stats = check_accounting(0);
    size_t charged_bytes = bounded_taken(&mbi_committed);
    CHECK(stats->committed_bytes == charged_bytes, "committed %llu bytes, charged %zu",
          (unsigned long long)stats->committed_bytes, charged_bytes);
    return 0;
}
