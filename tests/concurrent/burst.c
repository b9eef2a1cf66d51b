/*
 * burst: threads whose sizes change together, so that batches are sorted and pages given back by
 * volume while other threads take from the same pools. What stays is intact, little more than that
 * is held between the phases, and in the end every slot is accounted for. With upper pools there
 * are fewer objects, of more bytes: many have pages of their own.
 */
#include "border.h"
#include "testing.h"

#include "core/decay.h"
#include "core/excess.h"
#include "core/limit.h"

enum { THREADS = 4, PHASES = 6, KEEP_ONE_IN = 200 };
/* Of all threads together; 120 MB of the larger sizes either way. */
enum { OBJECTS = TEST_IS_SANITIZED ? 240000 : 400000, SIZE_STEP = TEST_IS_SANITIZED ? 80 : 70 };
enum { OBJECTS_OF_THREAD = OBJECTS / THREADS, KEPT = OBJECTS_OF_THREAD / KEEP_ONE_IN };
enum { UPPER_SCALE = 50, UPPER_BYTES = 24576, KEPT_BYTES = 8192 };

static size_t scale; /* the objects are so many times as large, and there are so many times fewer */
static size_t objects_of_thread;
static pthread_barrier_t turn;
static size_t held[PHASES];
static size_t held_count;
static uint64_t steps_here; /* of note_held */
static _Atomic uint64_t live;

static unsigned char stamp(size_t thread, size_t phase)
{
    return (unsigned char)(1 + thread * PHASES + phase);
}

static size_t size_of(size_t phase, uint64_t *random)
{
    return scale * (30 + phase % PHASES * SIZE_STEP) + random_below(random, scale * 24);
}

static void allocate(void **objects, size_t thread, size_t phase, uint64_t *random)
{
    for (size_t i = 0; i < objects_of_thread; i++) {
        size_t size = size_of(phase, random);
        unsigned char *object = mb_alloc(size);
        CHECK(object != NULL, "no memory");
        object[0] = object[size - 1] = stamp(thread, phase);
        objects[i] = object;
    }
}

/* Halves in an order of their own: one as it was allocated, one at random. */
static void shuffle_half(void **objects, uint64_t *random)
{
    for (size_t i = objects_of_thread / 2 - 1; i > 0; i--) {
        size_t other = random_below(random, i + 1);
        void *object = objects[i];
        objects[i] = objects[other];
        objects[other] = object;
    }
}

/*
 * What is held after a phase. A thread that the kernel stops in the middle of a step keeps all others
 * from doing one, and they may free all they have meanwhile: the steps that are due then are done
 * here, as they would be by a program that goes on.
 */
static void note_held(void)
{
    uint64_t steps_before = counter_read(&mbi_decay_counts.decay_volume_steps);
    while (mbi_excess_is_due()) {
        (void)mbi_decay_poll();
    }
    steps_here += counter_read(&mbi_decay_counts.decay_volume_steps) - steps_before;
    held[held_count++] = bounded_taken(&mbi_committed);
}

static void *run(void *argument)
{
    size_t thread = *(size_t *)argument;
    uint64_t random = 11 + thread;
    void **objects = malloc(objects_of_thread * sizeof *objects);
    size_t kept_count = objects_of_thread / KEEP_ONE_IN;
    unsigned char *kept[PHASES][KEPT];
    CHECK(objects != NULL, "no memory");
    for (size_t phase = 0; phase < PHASES; phase++) {
        allocate(objects, thread, phase, &random);
        shuffle_half(objects, &random);
        for (size_t i = 0; i < objects_of_thread; i++) {
            CHECK(*(unsigned char *)objects[i] == stamp(thread, phase), "overwritten");
            if (i % KEEP_ONE_IN == 0) {
                kept[phase][i / KEEP_ONE_IN] = objects[i];
            } else {
                mb_free(objects[i]);
            }
        }
        mb_thread_flush();
        if (pthread_barrier_wait(&turn) == PTHREAD_BARRIER_SERIAL_THREAD) {
            note_held();
        }
        pthread_barrier_wait(&turn);
    }
    for (size_t phase = 0; phase < PHASES; phase++) {
        for (size_t i = 0; i < kept_count; i++) {
            CHECK(*kept[phase][i] == stamp(thread, phase), "overwritten");
            if (i % 2 == 0) {
                mb_free(kept[phase][i]);
            }
        }
        atomic_fetch_add_explicit(&live, kept_count / 2, memory_order_relaxed); /* [TEST] */
    }
    free(objects);
    return NULL;
}

static int compare_sizes(const void *left, const void *right)
{
    const size_t *a = left;
    const size_t *b = right;
    return (*a > *b) - (*a < *b);
}

int main(void)
{
    setenv("MB_DECAY_MS", "86400000", 1); /* nothing happens because time passes */
    scale = small_or_upper(1, UPPER_SCALE);
    objects_of_thread = OBJECTS_OF_THREAD / scale;
    pthread_t threads[THREADS];
    size_t numbers[THREADS];
    pthread_barrier_init(&turn, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        threads[i] = start_thread(run, &numbers[i]);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    const struct mb_stats *stats =
        check_accounting(atomic_load_explicit(&live, memory_order_relaxed)); /* [TEST] */
    CHECK(stats->decay_volume_steps > steps_here, "no thread gave anything back by volume");
    /* What stays keeps two pages each at most, and those that it covers; frees and flushes go on
     * while steps are done. Free may be the floor and what is wanted (core/excess.h), and of many
     * upper pools also what each has below its part, and in lanes. A phase takes 120 MB. */
    size_t kept_bytes = KEPT_BYTES + (scale > 1 ? UPPER_BYTES : 0);
    size_t most = (scale > 1 ? 3 : 2) * EXCESS_FLOOR_BYTES
                  + (size_t)THREADS * PHASES * (objects_of_thread / KEEP_ONE_IN) * kept_bytes;
    /* Beside other load single phases held half as much again, in 1 run of 50. Where nothing is given
     * back each phase holds its 120 MB more than the one before. */
    CHECK(held_count == PHASES, "%zu phases", held_count);
    qsort(held, PHASES, sizeof held[0], compare_sizes);
    size_t median = held[PHASES / 2];
    size_t max = held[PHASES - 1];
    CHECK(median <= most, "%zu bytes were held after half of the phases", median);
    CHECK(max <= 2 * most, "%zu bytes were held after a phase", max);
    printf("%zu MiB after a phase, at most %zu, %llu steps, %llu of them at a phase's end\n",
           median >> 20, max >> 20, (unsigned long long)stats->decay_volume_steps,
           (unsigned long long)steps_here);
}
