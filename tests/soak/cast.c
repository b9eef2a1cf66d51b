/* cast: workers, threads that only free, and threads that sleep. */
#include "soak.h"

#include "border.h"

#include <unistd.h>

const struct phase soak_phases[PHASES] = {
    /* name, share, awake, sizes, short-lived, replaced, burst, large, pause, events */
    { "dawn", 10, 1, 1, 64, 2000 / SCALE, 800 / SCALE, false, 0, 200, "p" },
    { "morning", 15, 2, 16, 128, 8000 / SCALE, 1600 / SCALE, false, 2, 0, "sw" },
    { "noon", 20, 4, 64, 256, 12000 / SCALE, 800 / SCALE, false, 0, 0, "sfsts" },
    { "afternoon", 15, 4, 1, 512, 8000 / SCALE, 1200 / SCALE, false, 50, 0, "fslsp" },
    { "peak", 10, 4, 256, 512, 2000 / SCALE, 40 / SCALE, true, 0, 0, "w" },
    { "evening", 10, 2, 8, 24, SHORT_LIVED_MAX, 800 / SCALE, false, 0, 0, "sf" },
    { "night", 20, 1, 16, 96, 300 / SCALE, 200 / SCALE, false, 0, 2000, "ssss" },
};

size_t soak_border;

struct worker {
    struct actor actor;
    size_t index;
    bool leaves; /* at the next quiet; set by the director before that turn */
    struct object long_lived[LONG_LIVED];
    struct object short_lived[SHORT_LIVED_MAX];
    struct object burst[BURST_OBJECTS_MAX];
};

/* A thread that only frees, or one that mostly sleeps. */
struct other {
    struct actor actor;
    size_t index;
};

static struct worker workers[WORKERS];
static struct other freers[FREERS];
static struct other sleepers[SLEEPERS];
static pthread_t worker_threads[WORKERS];
static pthread_t freer_threads[FREERS];
static pthread_t sleeper_threads[SLEEPERS];

static size_t mail_drop_some(struct actor *actor)
{
    struct object objects[BATCH_MAX];
    size_t count = mail_fetch(objects, BATCH_MAX);
    if (one_in(actor, 2)) {
        object_drop_batch(actor, count, objects);
    } else {
        for (size_t i = 0; i < count; i++) {
            object_drop(actor, &objects[i]);
        }
    }
    return count;
}

void mail_drop_all(void)
{
    while (mail_drop_some(&soak_director) > 0) {
    }
}

static void post_or_drop(struct actor *actor, struct object *object)
{
    if (object->memory != NULL && !mail_post(object)) {
        object_drop(actor, object);
    }
}

/* The new one is there before the old one goes, as in a table that is replaced. */
static void replace(struct actor *actor, struct object *place, size_t low, size_t high)
{
    struct object made;
    if (object_make(actor, size_of_phase(actor, low, high), &made)) {
        object_drop(actor, place);
        *place = made;
    }
}

static void replace_long_lived(struct worker *worker, const struct phase *phase)
{
    struct object *place = &worker->long_lived[random_below(&worker->actor.random, LONG_LIVED)];
    replace(&worker->actor, place, phase->size_low, phase->size_high);
}

/* From the first day on they have the sizes that the phases' replacements will keep up. */
static void make_long_lived(struct worker *worker)
{
    unsigned replaced = 0;
    for (size_t i = 0; i < PHASES; i++) {
        replaced += worker->index < soak_phases[i].workers ? soak_phases[i].replaced : 0;
    }
    for (size_t i = 0; i < LONG_LIVED; i++) {
        size_t left = random_below(&worker->actor.random, replaced);
        const struct phase *phase = soak_phases;
        while (worker->index >= phase->workers || left >= phase->replaced) {
            left -= worker->index < phase->workers ? phase->replaced : 0;
            phase++;
        }
        replace(&worker->actor, &worker->long_lived[i], phase->size_low, phase->size_high);
    }
}

static void use_batch(struct worker *worker, const struct phase *phase)
{
    struct object objects[BATCH_MAX];
    struct actor *actor = &worker->actor;
    size_t count = 1 + random_below(&actor->random, BATCH_MAX);
    size_t size = size_of_phase(actor, phase->size_low, phase->size_high);
    count = object_make_batch(actor, size, count, objects);
    if (one_in(actor, 2)) {
        object_drop_batch(actor, count, objects);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (i % 2 == 0) {
            post_or_drop(actor, &objects[i]);
        } else {
            object_drop(actor, &objects[i]);
        }
    }
}

static void use_large(struct actor *actor)
{
    struct object object;
    if (object_make(actor, size_between(actor, MB_SMALL_MAX + 1, 16384), &object)) {
        object_resize(actor, &object, size_between(actor, 1, 8192));
        object_drop(actor, &object);
    }
}

/* Some dozen requests of all kinds. */
static void do_piece_of_work(struct worker *worker, const struct phase *phase)
{
    struct actor *actor = &worker->actor;
    for (size_t i = 0; i < 64; i++) {
        uint64_t kind = random_below(&actor->random, 100);
        struct object *place =
            &worker->short_lived[random_below(&actor->random, phase->short_lived)];
        if (kind < 70) {
            replace(actor, place, phase->size_low, phase->size_high);
        } else if (kind < 80) {
            object_resize(actor, place, size_of_phase(actor, phase->size_low, phase->size_high));
        } else if (kind < 95) {
            post_or_drop(actor, place);
        } else if (kind < 97) {
            use_batch(worker, phase);
        } else {
            mail_drop_some(actor);
        }
        if (random_below(&actor->random, 1000) < phase->large_per_1000) {
            use_large(actor);
        }
    }
    if (one_in(actor, 1000)) {
        mb_thread_flush();
    }
}

/* All workers together hold the day's peak until the turn is over; long-lived ones are between. */
static unsigned make_burst(struct worker *worker, const struct phase *phase)
{
    unsigned replaced = 0;
    size_t bytes = 0;
    for (size_t i = 0; i < BURST_OBJECTS_MAX && bytes < BURST_BYTES; i++) {
        replace(&worker->actor, &worker->burst[i], phase->size_low, phase->size_high);
        bytes += worker->burst[i].size;
        if (replaced < phase->replaced && bytes / (BURST_BYTES / phase->replaced) > replaced) {
            replace_long_lived(worker, phase);
            replaced++;
        }
    }
    return replaced;
}

/* Not in the order in which they were made; some by other threads. */
static void drop_burst(struct worker *worker)
{
    const size_t stride = 7919; /* a prime that does not divide the number */
    _Static_assert(BURST_OBJECTS_MAX % 7919 != 0, "each place is visited once");
    for (size_t i = 0; i < BURST_OBJECTS_MAX; i++) {
        struct object *object = &worker->burst[i * stride % BURST_OBJECTS_MAX];
        if (i % 8 == 0) {
            post_or_drop(&worker->actor, object);
        } else {
            object_drop(&worker->actor, object);
        }
    }
}

/* Short-lived objects beyond what this phase keeps. */
static void drop_short_lived_from(struct worker *worker, size_t kept)
{
    for (size_t i = kept; i < SHORT_LIVED_MAX; i++) {
        object_drop(&worker->actor, &worker->short_lived[i]);
    }
}

/* Half of the threads say that they will sleep. */
static void fall_asleep(size_t index)
{
    if (index % 2 == 0) {
        mb_thread_idle();
    }
}

/* As many of the turn's replacements as its time has come for. */
static void replace_what_is_due(struct worker *worker, const struct turn *turn, unsigned *replaced)
{
    double share = turn_goes_on(turn) ? (seconds_now() - turn->start) / turn->seconds : 1;
    while (*replaced < turn->phase->replaced * (share < 1 ? share : 1)) {
        replace_long_lived(worker, turn->phase);
        ++*replaced;
    }
}

static void work_for_turn(struct worker *worker, const struct turn *turn)
{
    const struct phase *phase = turn->phase;
    unsigned replaced = 0;
    if (phase == NULL || worker->index >= phase->workers) {
        drop_short_lived_from(worker, 0);
        fall_asleep(worker->index);
        return;
    }
    if (one_in(&worker->actor, 2)) {
        mb_thread_busy(); /* or without: it need not be said */
    }
    drop_short_lived_from(worker, phase->short_lived);
    if (phase->burst) {
        replaced = make_burst(worker, phase);
    }
    while (turn_goes_on(turn)) {
        do_piece_of_work(worker, phase);
        replace_what_is_due(worker, turn, &replaced);
        if (phase->pause_us > 0) {
            fall_asleep(worker->index);
            usleep(phase->pause_us);
        }
    }
    replace_what_is_due(worker, turn, &replaced);
    if (phase->burst) {
        drop_burst(worker);
    }
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct turn turn = stage_first_turn();
    if (worker->long_lived[0].memory == NULL) {
        make_long_lived(worker);
    }
    do {
        work_for_turn(worker, &turn);
        if (turn.phase == NULL && worker->leaves) {
            return NULL;
        }
    } while (stage_wait(&turn));
    for (size_t i = 0; i < LONG_LIVED; i++) {
        object_drop(&worker->actor, &worker->long_lived[i]);
    }
    return NULL;
}

static void *free_only(void *argument)
{
    struct other *freer = argument;
    struct turn turn = stage_first_turn();
    do {
        while (turn.phase != NULL && turn_goes_on(&turn)) {
            if (mail_drop_some(&freer->actor) == 0) {
                usleep(500);
            }
        }
    } while (stage_wait(&turn));
    return NULL;
}

/* Awake for a moment in each phase. */
static void *sleep_mostly(void *argument)
{
    static _Thread_local struct object objects[1000 / SCALE];
    enum { COUNT = sizeof objects / sizeof objects[0] };
    struct other *sleeper = argument;
    struct actor *actor = &sleeper->actor;
    struct turn turn = stage_first_turn();
    do {
        const struct phase *phase = turn.phase;
        for (size_t i = 0; phase != NULL && i < COUNT; i++) {
            object_make(actor, size_of_phase(actor, phase->size_low, phase->size_high), &objects[i]);
        }
        for (size_t i = 0; phase != NULL && i < COUNT; i++) {
            if (i % 4 == 0) {
                post_or_drop(actor, &objects[i]);
            } else {
                object_drop(actor, &objects[i]);
            }
        }
        fall_asleep(sleeper->index);
    } while (stage_wait(&turn));
    return NULL;
}

void cast_start(void)
{
    size_t number = 1;
    soak_border = border_bytes();
    /* Touched now: what the test itself needs does not grow later. */
    memset(workers, 1, sizeof workers);
    memset(workers, 0, sizeof workers);
    for (size_t i = 0; i < WORKERS; i++, number++) {
        workers[i].index = i;
        workers[i].actor = actor_of(number, number);
        worker_threads[i] = start_thread(work, &workers[i]);
    }
    for (size_t i = 0; i < FREERS; i++, number++) {
        freers[i] = (struct other){ actor_of(number, number), i };
        freer_threads[i] = start_thread(free_only, &freers[i]);
    }
    for (size_t i = 0; i < SLEEPERS; i++, number++) {
        sleepers[i] = (struct other){ actor_of(number, number), i };
        sleeper_threads[i] = start_thread(sleep_mostly, &sleepers[i]);
    }
    stage_wait_until_all_rest();
}

void cast_to_quiet(unsigned day)
{
    struct worker *leaving = &workers[day % WORKERS];
    unsigned turn = stage_turn_now();
    leaving->leaves = true; /* the worker looks when it has learnt of the quiet, under a lock */
    stage_set_turn(turn - turn % (PHASES + 1) + PHASES + 1, 0);
    pthread_join(worker_threads[leaving->index], NULL);
    leaving->leaves = false;
    worker_threads[leaving->index] = start_thread(work, leaving);
    stage_wait_until_all_rest();
    mail_drop_all();
}

uint64_t cast_check_long_lived(void)
{
    uint64_t count = 0;
    for (size_t i = 0; i < WORKERS; i++) {
        for (size_t j = 0; j < LONG_LIVED; j++) {
            CHECK(workers[i].long_lived[j].memory != NULL, "a long-lived object is missing");
            object_check(&workers[i].long_lived[j]);
            count++;
        }
    }
    return count;
}

void cast_end(void)
{
    stage_end();
    for (size_t i = 0; i < WORKERS; i++) {
        pthread_join(worker_threads[i], NULL);
    }
    for (size_t i = 0; i < FREERS; i++) {
        pthread_join(freer_threads[i], NULL);
    }
    for (size_t i = 0; i < SLEEPERS; i++) {
        pthread_join(sleeper_threads[i], NULL);
    }
}
