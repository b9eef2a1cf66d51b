/*
 * Writes traces of programs that never were, for the tests of mbreplay.
 * Usage: traces KIND EVENTS FILE
 *   churn     one thread: random sizes, each object replaced at random
 *   handover  a thread allocates, another one frees, with up to 5,000 objects between them
 *   phases    two threads: each allocates thousands of a size, and then frees them
 *   tides     two threads: the same with 100,000, more than a thread may keep
 *   buffers   one thread: many small objects, and now and then a few buffers of another size
 *   lives     threads that start, work and end; objects that outlive them; sizes of every kind
 */
#include "trace/trace.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OBJECTS = 5000, TIDE = 100000, EVENT_NS = 100, LIVES_AT_ONCE = 6 };

static struct mb_trace_writer *writer;
static uint64_t now_ns;
static uint64_t events_left;
static uint64_t random_state = 88172645463325252;

static uint64_t random_below(uint64_t end)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % end;
}

static uint32_t put(struct mb_trace_event event)
{
    event.time_ns = now_ns += EVENT_NS;
    if (mb_trace_put(writer, &event) != 0) {
        perror("traces");
        exit(1);
    }
    events_left -= events_left != 0;
    return event.kind == MB_TRACE_THREAD_START ? event.thread : event.object;
}

static uint32_t start(void)
{
    return put((struct mb_trace_event){ .kind = MB_TRACE_THREAD_START });
}

static void end(uint32_t thread)
{
    put((struct mb_trace_event){ .kind = MB_TRACE_THREAD_EXIT, .thread = thread });
}

static uint32_t allocate(uint32_t thread, uint64_t size)
{
    return put((struct mb_trace_event){ .kind = MB_TRACE_ALLOCATE, .thread = thread, .size = size });
}

static void release(uint32_t thread, uint32_t object)
{
    put((struct mb_trace_event){ .kind = MB_TRACE_FREE, .thread = thread, .object = object });
}

static uint64_t any_size(void)
{
    static const uint64_t most[] = { 1, 16, 64, 64, 64, 256, 256, 512, 1024, 4096, 32768, 200000 };
    return random_below(most[random_below(sizeof most / sizeof most[0])] + 1);
}

static void churn(void)
{
    uint32_t thread = start();
    uint32_t objects[OBJECTS];
    for (size_t i = 0; i < OBJECTS; i++) {
        objects[i] = allocate(thread, 1 + random_below(1000));
    }
    while (events_left > 0) {
        size_t i = random_below(OBJECTS);
        release(thread, objects[i]);
        objects[i] = allocate(thread, 1 + random_below(1000));
    }
}

static void handover(void)
{
    uint32_t producer = start();
    uint32_t consumer = start();
    uint32_t queue[OBJECTS];
    uint64_t in = 0;
    uint64_t out = 0;
    while (events_left > 0) {
        uint64_t some = 1 + random_below(OBJECTS - (in - out));
        for (; some > 0; some--) {
            queue[in++ % OBJECTS] = allocate(producer, 64);
        }
        for (some = random_below(in - out + 1); some > 0; some--) {
            release(consumer, queue[out++ % OBJECTS]);
        }
    }
}

static void phases_of(uint64_t count, bool of_one_size)
{
    uint32_t threads[] = { start(), start() };
    static uint32_t objects[2][TIDE];
    while (events_left > 0) {
        uint64_t size = of_one_size ? 64 : UINT64_C(16) << random_below(4);
        for (size_t i = 0; i < count; i++) {
            objects[0][i] = allocate(threads[0], size);
            objects[1][i] = allocate(threads[1], size);
        }
        for (size_t i = 0; i < count; i++) {
            release(threads[0], objects[0][i]);
            release(threads[1], objects[1][i]);
        }
    }
}

static void phases(void)
{
    phases_of(OBJECTS, false);
}

static void tides(void)
{
    phases_of(TIDE, true);
}

static void buffers(void)
{
    enum { SIZES = 10, BUFFERS = 20, LEAST = 6000, STEP = 2600 };
    uint32_t thread = start();
    uint32_t held[BUFFERS];
    uint64_t pairs = events_left / SIZES / 2;
    for (uint64_t size = LEAST; events_left > 0; size += STEP) {
        for (size_t i = 0; i < BUFFERS; i++) {
            held[i] = allocate(thread, size);
        }
        for (uint64_t i = 0; i < pairs; i++) {
            release(thread, allocate(thread, 48));
        }
        for (size_t i = 0; i < BUFFERS; i++) {
            release(thread, held[i]);
        }
    }
}

static void lives_step(uint32_t thread, uint32_t *object, bool *is_live)
{
    struct mb_trace_event event = { .kind = MB_TRACE_ALLOCATE, .thread = thread, .size = any_size() };
    if (*is_live) {
        bool resizes = random_below(8) == 0;
        event.kind = resizes ? MB_TRACE_RESIZE : MB_TRACE_FREE;
        event.object = *object;
        *is_live = resizes;
    } else {
        uint64_t way = random_below(10);
        event.zeroed = way == 0;
        event.alignment = way == 1 ? UINT32_C(1) << random_below(13) : 0;
        *is_live = true;
    }
    *object = put(event);
}

static void lives(void)
{
    uint32_t main_thread = start();
    uint32_t threads[LIVES_AT_ONCE];
    static uint32_t objects[OBJECTS];
    static bool is_live[OBJECTS];
    size_t count = 0;
    while (events_left > 0) {
        if (count < LIVES_AT_ONCE && random_below(500) == 0) {
            threads[count++] = start();
        } else if (count > 0 && random_below(1000) == 0) {
            size_t i = random_below(count);
            end(threads[i]);
            threads[i] = threads[--count];
        }
        size_t one = random_below(count + 1);
        size_t i = random_below(OBJECTS);
        lives_step(one == count ? main_thread : threads[one], &objects[i], &is_live[i]);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*make)(void);
    } kinds[] = { { "churn", churn }, { "handover", handover }, { "phases", phases },
                  { "tides", tides },       { "buffers", buffers },
                  { "lives", lives } };
    int file = argc == 4 ? open(argv[3], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : -1;
    if (file < 0 || (writer = mb_trace_create(file, UINT64_C(1) << 30)) == NULL) {
        perror("traces");
        return 1;
    }
    events_left = strtoull(argv[2], NULL, 10);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].name, argv[1]) == 0) {
            kinds[i].make();
        }
    }
    struct mb_trace_header header = { .duration_ns = now_ns, .page_bytes = 4096 };
    snprintf(header.program, sizeof header.program, "%s %s", argv[1], argv[2]);
    return mb_trace_finish(writer, &header) != 0 || close(file) != 0;
}
