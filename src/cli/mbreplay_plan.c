/* mbreplay_plan: makes the plan by two walks over the trace, of which the first one only counts. */
#include "cli/mbreplay_plan.h"

#include "cli/mbreplay_base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { NONE = UINT32_MAX };

struct object {
    uint64_t size;
    uint32_t place;
    uint32_t life; /* that put it there */
    bool is_live;
};

/* What a walk knows of a life. */
struct walked_life {
    struct plan_life plan;
    uint64_t at;    /* of its next word, in all words */
    uint32_t chunk; /* in which it is */
    uint32_t free;  /* the place that it took an object from last */
};

struct walk {
    struct mb_trace *trace;
    const struct mb_trace_header *header;
    uint64_t *words; /* NULL: only counts */
    struct walked_life *lives;
    uint32_t life_count;
    uint32_t *life_of; /* of each thread's number; NONE */
    struct object *objects;
    uint32_t *next;  /* of each place, the one behind it in a list */
    uint32_t *taken; /* the chunk in which its object was taken */
    uint32_t *puts;  /* how often an object was put there */
    uint32_t place_count;
    uint32_t place_room;
    uint32_t oldest; /* the list of places that another life may take, in the order of `taken` */
    uint32_t newest;
    uint32_t *left; /* of each chunk, its lives */
    uint32_t left_room;
    uint32_t chunk;
    struct plan sums;
    uint64_t live_bytes;
};

/* ---- places ---- */

static uint32_t place_new(struct walk *walk)
{
    if (walk->place_count == walk->place_room) {
        if (walk->place_count >= PLACES_MAX / 2) {
            mbreplay_die("more than %u objects live at once; that is too many", PLACES_MAX / 2);
        }
        walk->place_room *= 2;
        walk->next = mbreplay_grow(walk->next, walk->place_room, sizeof *walk->next);
        walk->taken = mbreplay_grow(walk->taken, walk->place_room, sizeof *walk->taken);
        walk->puts = mbreplay_grow(walk->puts, walk->place_room, sizeof *walk->puts);
    }
    walk->puts[walk->place_count] = 0;
    return walk->place_count++;
}

static uint32_t place_find_free(struct walk *walk, struct walked_life *life)
{
    uint32_t place = life->free;
    if (place != NONE) {
        life->free = walk->next[place];
        return place;
    }
    place = walk->oldest;
    if (place == NONE || walk->taken[place] + CHUNKS_APART > walk->chunk) {
        return place_new(walk);
    }
    walk->oldest = walk->next[place];
    walk->newest = walk->oldest == NONE ? NONE : walk->newest;
    return place;
}

static void place_append(struct walk *walk, uint32_t place)
{
    walk->taken[place] = walk->chunk;
    walk->next[place] = NONE;
    if (walk->newest == NONE) {
        walk->oldest = place;
    } else {
        walk->next[walk->newest] = place;
    }
    walk->newest = place;
}

/* The place of an object that is put now. */
static uint32_t place_put(struct walk *walk, struct walked_life *life)
{
    uint32_t place = place_find_free(walk, life);
    walk->puts[place]++;
    return place;
}

/*
 * An object is taken from its place by a life. Where another one has put it there the place is for
 * all: a life that takes and never puts would have more and more.
 */
static void place_take(struct walk *walk, struct walked_life *life, const struct object *object)
{
    if (&walk->lives[object->life] == life) {
        walk->next[object->place] = life->free;
        life->free = object->place;
    } else {
        place_append(walk, object->place);
    }
}

/* ---- lives ---- */

static void life_end(struct walk *walk, uint32_t thread)
{
    struct walked_life *life = &walk->lives[walk->life_of[thread]];
    life->plan.ends = true;
    while (life->free != NONE) {
        uint32_t place = life->free;
        life->free = walk->next[place];
        place_append(walk, place);
    }
}

static uint32_t life_begin(struct walk *walk, uint32_t thread)
{
    uint32_t number = walk->life_count++;
    if (walk->words == NULL) { /* else they are those of the first walk */
        if (number != 0 && (number & (number - 1)) == 0) {
            walk->lives = mbreplay_grow(walk->lives, 2 * (size_t)number, sizeof *walk->lives);
        }
        memset(&walk->lives[number], 0, sizeof walk->lives[number]);
    }
    uint32_t before = walk->life_of[thread];
    struct walked_life *life = &walk->lives[number];
    life->plan.thread = thread;
    life->plan.before = before != NONE ? before : number;
    life->plan.first_chunk = walk->chunk;
    life->chunk = walk->chunk;
    life->free = NONE;
    life->at = life->plan.first;
    walk->life_of[thread] = number;
    walk->left[walk->chunk]++;
    return number;
}

static void word_put(struct walk *walk, struct walked_life *life, uint64_t word)
{
    if (walk->words != NULL) {
        walk->words[life->at] = word;
    }
    life->at++;
}

static void step_put(struct walk *walk, struct walked_life *life, enum step step, uint32_t place,
                     uint64_t size)
{
    bool fits = size < SIZE_IN_NEXT_WORD;
    uint64_t upper = fits ? size : SIZE_IN_NEXT_WORD;
    word_put(walk, life, (uint64_t)step | (uint64_t)place << STEP_BITS | upper << SIZE_SHIFT);
    if (!fits) {
        word_put(walk, life, size);
    }
}

/* The life of an event, which enters the event's chunk. */
static struct walked_life *life_for(struct walk *walk, uint32_t thread)
{
    uint32_t number = walk->life_of[thread];
    if (number == NONE) {
        number = life_begin(walk, thread);
    }
    struct walked_life *life = &walk->lives[number];
    if (life->chunk != walk->chunk) {
        life->chunk = walk->chunk;
        walk->left[walk->chunk]++;
        word_put(walk, life, (uint64_t)STEP_CHUNK | (uint64_t)walk->chunk << SIZE_SHIFT);
    }
    return life;
}

/* ---- events ---- */

static void count_live(struct walk *walk, uint64_t more, uint64_t less)
{
    walk->live_bytes += more - less;
    if (walk->live_bytes > walk->sums.live_bytes_max) {
        walk->sums.live_bytes_max = walk->live_bytes;
    }
    walk->sums.asked_bytes += more;
    walk->sums.operations++;
}

static void walk_allocate(struct walk *walk, const struct mb_trace_event *event)
{
    struct walked_life *life = life_for(walk, event->thread);
    struct object *object = &walk->objects[event->object];
    object->place = place_put(walk, life);
    object->size = event->size;
    object->life = (uint32_t)(life - walk->lives);
    object->is_live = true;
    enum step step = event->alignment != 0 ? STEP_ALIGNED
                     : event->zeroed       ? STEP_ZEROED
                                           : STEP_ALLOCATE;
    step_put(walk, life, step, object->place, event->size);
    if (step == STEP_ALIGNED) {
        word_put(walk, life, event->alignment);
    }
    count_live(walk, event->size, 0);
}

static void walk_free(struct walk *walk, const struct mb_trace_event *event)
{
    struct walked_life *life = life_for(walk, event->thread);
    struct object *object = &walk->objects[event->object];
    step_put(walk, life, STEP_FREE, object->place, walk->puts[object->place]);
    place_take(walk, life, object);
    object->is_live = false;
    count_live(walk, 0, object->size);
}

static void walk_resize(struct walk *walk, const struct mb_trace_event *event)
{
    struct walked_life *life = life_for(walk, event->thread);
    struct object *object = &walk->objects[event->object];
    uint64_t from = object->place | (uint64_t)walk->puts[object->place] << SIZE_SHIFT;
    place_take(walk, life, object);
    object->place = place_put(walk, life);
    object->life = (uint32_t)(life - walk->lives);
    step_put(walk, life, STEP_RESIZE, object->place, event->size);
    word_put(walk, life, from);
    count_live(walk, event->size, object->size);
    object->size = event->size;
}

static void walk_event(struct walk *walk, const struct mb_trace_event *event)
{
    bool has_object = event->kind <= MB_TRACE_RESIZE;
    if (event->thread >= walk->header->threads
        || (has_object && event->object >= walk->header->objects)
        || (has_object
            && walk->objects[event->object].is_live == (event->kind == MB_TRACE_ALLOCATE))) {
        mbreplay_die("the trace is damaged: its event %llu is impossible",
                     (unsigned long long)walk->sums.operations);
    }
    switch (event->kind) {
    case MB_TRACE_ALLOCATE: walk_allocate(walk, event); break;
    case MB_TRACE_FREE: walk_free(walk, event); break;
    case MB_TRACE_RESIZE: walk_resize(walk, event); break;
    case MB_TRACE_THREAD_START: life_begin(walk, event->thread); break;
    case MB_TRACE_THREAD_EXIT:
        life_for(walk, event->thread);
        life_end(walk, event->thread);
        break;
    }
}

/* Room for the counts of lives of one more chunk. */
static void chunk_begin(struct walk *walk, uint64_t chunk)
{
    if (chunk > UINT32_MAX / 2) {
        mbreplay_die("the trace has too many events");
    }
    if (walk->words == NULL && chunk >= walk->left_room) {
        walk->left_room *= 2;
        walk->left = mbreplay_grow(walk->left, walk->left_room, sizeof *walk->left);
    }
    walk->chunk = (uint32_t)chunk;
    walk->left[chunk] = 0;
}

/* From the first event to the last. */
static void walk_all(struct walk *walk)
{
    memset(walk->objects, 0, walk->header->objects * sizeof *walk->objects);
    for (uint32_t i = 0; i < walk->header->threads; i++) {
        walk->life_of[i] = NONE;
    }
    walk->life_count = walk->place_count = 0;
    walk->oldest = walk->newest = NONE;
    walk->live_bytes = 0;
    memset(&walk->sums, 0, sizeof walk->sums);
    struct mb_trace_event event;
    int got = 1;
    uint64_t count = 0;
    for (; (got = mb_trace_next(walk->trace, &event)) == 1; count++) {
        if (count % CHUNK_EVENTS == 0) {
            chunk_begin(walk, count / CHUNK_EVENTS);
        }
        walk_event(walk, &event);
    }
    if (got < 0) {
        mbreplay_die("%s", mb_trace_error(walk->trace));
    }
    walk->sums.chunks = (count + CHUNK_EVENTS - 1) / CHUNK_EVENTS;
    walk->sums.lives = walk->life_count;
    walk->sums.places = walk->place_count;
    walk->sums.live_bytes_end = walk->live_bytes;
}

/* Each life's first word behind the last one of the life before it. */
static void place_words(struct walk *walk)
{
    uint64_t words = 0;
    for (uint32_t i = 0; i < walk->life_count; i++) {
        struct walked_life *life = &walk->lives[i];
        life->plan.words = life->at;
        life->plan.first = words;
        words += life->at;
    }
    walk->sums.words = words;
}

static struct plan *plan_map(const struct plan *sums, int *file)
{
    uint64_t bytes = plan_words_offset(sums) + sums->words * sizeof(uint64_t);
    *file = memfd_create("mbreplay", 0);
    struct plan *plan = MAP_FAILED;
    if (*file >= 0 && ftruncate(*file, (off_t)bytes) == 0) {
        plan = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *file, 0);
    }
    if (plan == MAP_FAILED) {
        mbreplay_die("%llu bytes for what is to be replayed: %s", (unsigned long long)bytes,
                     strerror(errno));
    }
    *plan = *sums;
    plan->bytes = bytes;
    return plan;
}

struct plan *mbreplay_plan_make(struct mb_trace *trace, int *file)
{
    enum { PLACES_FIRST = 1024, CHUNKS_FIRST = 256 };
    struct walk walk = { .trace = trace, .header = mb_trace_header(trace) };
    walk.place_room = PLACES_FIRST;
    walk.next = mbreplay_zeroed(PLACES_FIRST, sizeof *walk.next);
    walk.taken = mbreplay_zeroed(PLACES_FIRST, sizeof *walk.taken);
    walk.puts = mbreplay_zeroed(PLACES_FIRST, sizeof *walk.puts);
    walk.left_room = CHUNKS_FIRST;
    walk.left = mbreplay_zeroed(CHUNKS_FIRST, sizeof *walk.left);
    walk.lives = mbreplay_zeroed(1, sizeof *walk.lives);
    walk.objects = mbreplay_zeroed(walk.header->objects, sizeof *walk.objects);
    walk.life_of = mbreplay_zeroed(walk.header->threads, sizeof *walk.life_of);
    walk_all(&walk);
    place_words(&walk);
    struct plan *plan = plan_map(&walk.sums, file);
    if (mb_trace_rewind(trace) != 0) {
        mbreplay_die("%s", mb_trace_error(trace));
    }
    walk.words = plan_words(plan);
    walk_all(&walk);
    for (uint32_t i = 0; i < walk.life_count; i++) {
        plan_lives(plan)[i] = walk.lives[i].plan;
    }
    memcpy(plan_left(plan), walk.left, plan->chunks * sizeof *walk.left);
    free(walk.objects);
    free(walk.life_of);
    free(walk.lives);
    free(walk.next);
    free(walk.taken);
    free(walk.puts);
    free(walk.left);
    return plan;
}
