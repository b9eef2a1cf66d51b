/* events: what the director does while the cast is at work, or rests. */
#include "soak.h"

#include <errno.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STORM_OBJECTS = 240, HEIRLOOMS = 2000 };

/* What the last storm's threads left: objects that outlive the thread that made them. */
static struct object legacy[STORM_THREADS * STORM_OBJECTS / 3];
static size_t legacy_count;

/* Made before the first fork and kept to the end: children check them too. */
static struct object heirlooms[HEIRLOOMS];

static struct {
    uint64_t storm_threads;
    uint64_t children;
    uint64_t spawned;
    uint64_t trims;
    uint64_t trimmed_bytes;
    uint64_t limits;
    uint64_t handler_calls;
} counts;

struct storm_thread {
    struct actor actor;
    const struct phase *phase;
    pthread_barrier_t *all_done;
    struct object *inherited; /* of the last storm: freed before anything is allocated */
    size_t inherited_count;
    struct object made[STORM_OBJECTS];
};

/* All threads end at one moment. */
static void *be_short_lived(void *argument)
{
    struct storm_thread *self = argument;
    struct actor *actor = &self->actor;
    for (size_t i = 0; i < self->inherited_count; i++) {
        object_drop(actor, &self->inherited[i]);
    }
    for (size_t i = 0; i < STORM_OBJECTS; i++) {
        self->made[i].memory = NULL;
        size_t size = size_of_phase(actor, self->phase->size_low, self->phase->size_high);
        object_make(actor, size, &self->made[i]);
    }
    for (size_t i = 0; i < STORM_OBJECTS; i++) {
        if (i % 3 == 1 || (i % 3 == 2 && (self->made[i].memory == NULL
                                          || !mail_post(&self->made[i])))) {
            object_drop(actor, &self->made[i]);
        }
    }
    pthread_barrier_wait(self->all_done);
    return NULL;
}

/* At night few come; the others all at once. */
static void run_storm(const struct phase *phase)
{
    static struct storm_thread storm[STORM_THREADS];
    static uint64_t storms;
    pthread_t threads[STORM_THREADS];
    pthread_barrier_t all_done;
    size_t count = phase->workers > 1 ? STORM_THREADS : STORM_THREADS / 8;
    pthread_barrier_init(&all_done, NULL, (unsigned)count);
    for (size_t i = 0; i < count; i++) {
        size_t from = legacy_count * i / count;
        storms++;
        storm[i].actor = actor_of(1 + CAST + i, 1000 + storms);
        storm[i].phase = phase;
        storm[i].all_done = &all_done;
        storm[i].inherited = legacy + from;
        storm[i].inherited_count = legacy_count * (i + 1) / count - from;
        threads[i] = start_thread(be_short_lived, &storm[i]);
    }
    for (size_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_barrier_destroy(&all_done);
    counts.storm_threads += count;

    legacy_count = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < STORM_OBJECTS; j += 3) {
            if (storm[i].made[j].memory != NULL) {
                legacy[legacy_count++] = storm[i].made[j];
            }
        }
    }
}

static void check_heirlooms(void)
{
    for (size_t i = 0; i < HEIRLOOMS; i++) {
        if (heirlooms[i].memory == NULL) {
            object_make(&soak_director, size_of_phase(&soak_director, 1, MB_SMALL_MAX),
                        &heirlooms[i]);
        }
        object_check(&heirlooms[i]);
    }
}

uint64_t events_check_legacy(void)
{
    check_heirlooms();
    for (size_t i = 0; i < legacy_count; i++) {
        object_check(&legacy[i]);
    }
    return legacy_count + HEIRLOOMS;
}

void events_drop_legacy(void)
{
    for (size_t i = 0; i < legacy_count; i++) {
        object_drop(&soak_director, &legacy[i]);
    }
    legacy_count = 0;
    for (size_t i = 0; i < HEIRLOOMS; i++) {
        object_drop(&soak_director, &heirlooms[i]);
    }
}

static uint64_t live_slots(void)
{
    static struct mb_stats stats;
    uint64_t live = 0;
    CHECK(mb_stats_get(&stats, sizeof stats) == 0, "no statistics");
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        live += stats.pool[class].live;
    }
    return live;
}

/*
 * The sanitizers of gcc 12 are not safe across the fork of a threaded process: AddressSanitizer's
 * malloc may hang in the child, ThreadSanitizer has no threads there. With them the child keeps to
 * sizes that the pools serve however aligned, and starts none.
 */
enum { CHILD_SIZE_MAX = TEST_IS_SANITIZED ? 256 : 700, CHILD_OBJECTS = 2000 / SCALE };

static void *be_grandchild(void *argument)
{
    struct actor *actor = argument;
    struct object object;
    for (size_t i = 0; i < 1000; i++) {
        object_make(actor, size_between(actor, 1, MB_SMALL_MAX), &object);
        object_drop(actor, &object);
    }
    return NULL;
}

static void child(void)
{
    static struct object objects[CHILD_OBJECTS];
    struct actor *actor = &soak_director;
    alarm(120); /* a child that hangs is a failure, not a test that hangs */
    uint64_t live_before = live_slots();
    for (size_t i = 0; i < HEIRLOOMS; i++) {
        object_check(&heirlooms[i]);
    }
    for (size_t i = 0; i < CHILD_OBJECTS; i++) {
        object_make(actor, size_of_phase(actor, 1, CHILD_SIZE_MAX), &objects[i]);
    }
    mb_trim(0);
    for (size_t i = 0; i < CHILD_OBJECTS; i++) {
        object_drop(actor, &objects[i]);
    }
    for (size_t i = 0; i < 3 && !TEST_IS_SANITIZED; i++) {
        struct actor grandchild = actor_of(1 + CAST, i + 1);
        pthread_join(start_thread(be_grandchild, &grandchild), NULL);
    }
    mb_thread_idle();
    for (size_t i = 0; i < HEIRLOOMS; i++) {
        object_check(&heirlooms[i]);
    }
    uint64_t live_after = live_slots();
    CHECK(live_after == live_before, "%llu slots were live before, %llu after",
          (unsigned long long)live_before, (unsigned long long)live_after);
    _exit(0);
}

static void wait_for_success(pid_t pid, const char *what)
{
    int status;
    pid_t ended;
    do {
        ended = waitpid(pid, &status, 0);
    } while (ended < 0 && errno == EINTR);
    CHECK(ended == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: status %x", what,
          (unsigned)status);
}

static void run_child(void)
{
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0, "fork: %s", strerror(errno));
    if (pid == 0) {
        child();
    }
    wait_for_success(pid, "child");
    counts.children++;
}

static void run_program(void)
{
    char *arguments[] = { "true", NULL };
    pid_t pid;
    int error = posix_spawnp(&pid, "true", NULL, NULL, arguments, environ);
    CHECK(error == 0, "posix_spawnp: %s", strerror(error));
    wait_for_success(pid, "true");
    counts.spawned++;
}

static void run_trim(size_t keep_bytes)
{
    counts.trimmed_bytes += mb_trim(keep_bytes);
    counts.trims++;
}

void event_trim_at_rest(void)
{
    run_trim(0);
}

static uint64_t committed_bytes(void)
{
    static struct mb_stats stats;
    CHECK(mb_stats_get(&stats, sizeof stats) == 0, "no statistics");
    return stats.committed_bytes;
}

static void allow_refusals(void)
{
    atomic_store_explicit(&soak_refusals_allowed, true, memory_order_relaxed); /* [TEST] */
}

void events_forbid_refusals(void)
{
    atomic_store_explicit(&soak_refusals_allowed, false, memory_order_relaxed); /* [TEST] */
}

static _Atomic uint64_t handler_calls;

/* Lets every fourth request be tried again, once the freers had a moment. */
static int wait_for_memory(size_t size, void *argument)
{
    CHECK(size <= soak_border && argument == &counts, "the handler was called with %zu", size);
    uint64_t calls = atomic_fetch_add_explicit(&handler_calls, 1,
                                               memory_order_relaxed); /* [TEST] */
    usleep(100);
    return calls % 4 == 0;
}

/*
 * For a moment there may be a quarter of what there was: what is free goes back, and nothing more
 * is committed. The director takes the largest slots until it is refused one, and so others may be.
 */
static void run_limit(void)
{
    static struct object hoard[20000 / SCALE];
    size_t count = 0;
    allow_refusals();
    mb_out_of_memory_handler_set(wait_for_memory, &counts);
    mb_memory_limit_set(committed_bytes() / 4);
    while (count < sizeof hoard / sizeof hoard[0]
           && object_make(&soak_director, soak_border, &hoard[count])) {
        count++;
    }
    usleep(50 * 1000);
    CHECK(mb_memory_limit_set(0) != 0, "the limit was lost");
    mb_out_of_memory_handler_set(NULL, NULL);
    for (size_t i = 0; i < count; i++) {
        object_drop(&soak_director, &hoard[i]);
    }
    counts.limits++;
    /* A request that has seen the limit may fail a moment later: allowed until the next quiet. */
}

struct hunger {
    struct object *objects;
    size_t count;
    size_t calls;
};

/* At its first call it gives some of the objects up, and later it has nothing. */
static int give_some_up(size_t size, void *argument)
{
    struct hunger *hunger = argument;
    CHECK(size <= soak_border, "the handler was called with %zu", size);
    atomic_fetch_add_explicit(&handler_calls, 1, memory_order_relaxed); /* [TEST] */
    for (size_t i = 0; i < 100 && hunger->calls == 0 && hunger->count > 0; i++) {
        object_drop(&soak_director, &hunger->objects[--hunger->count]);
    }
    return hunger->calls++ == 0;
}

void event_limit_at_rest(void)
{
    enum { MORE_BYTES = 2 << 20 };
    uint64_t limit = committed_bytes() + MORE_BYTES;
    size_t objects_max = limit / 480 + 1;
    struct hunger hunger = { .objects = calloc(objects_max, sizeof(struct object)) };
    CHECK(hunger.objects != NULL, "no memory for the test itself");
    allow_refusals();
    mb_out_of_memory_handler_set(give_some_up, &hunger);
    mb_memory_limit_set(limit);
    struct object made;
    while (object_make(&soak_director, 480, &made)) {
        CHECK(hunger.count < objects_max, "more is live than the limit of %llu allows",
              (unsigned long long)limit);
        hunger.objects[hunger.count++] = made;
    }
    CHECK(errno == ENOMEM, "errno is %d", errno);
    CHECK(hunger.calls >= 2, "the handler was called %zu times", hunger.calls);
    CHECK(committed_bytes() <= limit, "%llu bytes are committed, the limit is %llu",
          (unsigned long long)committed_bytes(), (unsigned long long)limit);
    for (size_t i = 0; i < hunger.count; i++) {
        object_drop(&soak_director, &hunger.objects[i]);
    }
    CHECK(mb_memory_limit_set(0) == limit, "the limit was lost");
    mb_out_of_memory_handler_set(NULL, NULL);
    events_forbid_refusals();
    free(hunger.objects);
    counts.limits++;
}

/* s: a storm of threads; f: fork; p: posix_spawn; t: trim; l: limit; w: statistics printed. */
void event_run(char event, const struct phase *phase)
{
    static FILE *nowhere;
    switch (event) {
    case 's': run_storm(phase); break;
    case 'f': check_heirlooms(); run_child(); break;
    case 'p': run_program(); break;
    case 't': run_trim(one_in(&soak_director, 2) ? 0 : (size_t)8 << 20); break;
    case 'l': run_limit(); break;
    case 'w':
        if (nowhere == NULL) {
            nowhere = fopen("/dev/null", "w");
        }
        mb_stats_print(nowhere);
        break;
    default: CHECK(false, "no such event: %c", event);
    }
}

void events_print(void)
{
    printf("%llu short-lived threads, %llu forked children, %llu spawned programs; %llu trims gave "
           "back %llu MiB; %llu memory limits, the handler called %llu times\n",
           (unsigned long long)counts.storm_threads, (unsigned long long)counts.children,
           (unsigned long long)counts.spawned, (unsigned long long)counts.trims,
           (unsigned long long)(counts.trimmed_bytes >> 20), (unsigned long long)counts.limits,
           (unsigned long long)handler_calls);
}
