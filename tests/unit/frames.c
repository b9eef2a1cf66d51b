/* frames: a walk finds what the unwinder found, or nothing. */
#include "check/frames.h"

#include "check/stacks.h"

#include "testing.h"

#include <alloca.h>
#include <criterion/criterion.h>
#include <execinfo.h>
#include <pthread.h>
#include <string.h>

enum { FRAMES = 64 };
#ifdef __x86_64__
enum { WALKS_SUCCEED = 1 };
#else
enum { WALKS_SUCCEED = 0 };
#endif

static unsigned walked; /* since the test began */
static unsigned taken;

/* Both ways at one place: what the walk gives is right. */
static __attribute__((noinline)) void take(void)
{
    void *frames[FRAMES];
    void *unwound[FRAMES];
    const void *frame = __builtin_frame_address(0);
    uint32_t count = mbi_frames_walk(frame, frames, FRAMES);
    uint32_t expected = mbi_frames_unwind(frame, unwound, FRAMES);
    cr_assert_gt(expected, 2);
    if (count != 0) {
        cr_assert_eq(count, expected, "%u frames, not %u", count, expected);
        cr_assert_eq(memcmp(frames, unwound, count * sizeof *frames), 0);
        walked++;
    }
    taken++;
}

static __attribute__((noinline)) void descend(unsigned depth)
{
    volatile char frame[40];
    frame[0] = (char)depth;
    if (depth == 0) {
        take();
    } else {
        descend(depth - 1);
    }
    frame[1] = frame[0];
}

/* Its frame is of any size, so it has a frame pointer. */
static __attribute__((noinline)) void descend_by(size_t bytes, unsigned depth)
{
    volatile char *room = alloca(bytes);
    room[0] = 1;
    descend(depth);
    room[bytes - 1] = room[0];
}

/* gcc gives it a frame pointer; with clang it is another function as above. */
#ifndef __clang__
__attribute__((optimize("no-omit-frame-pointer")))
#endif
static __attribute__((noinline)) void descend_framed(unsigned depth)
{
    volatile char frame[24];
    frame[0] = (char)depth;
    if (depth == 0) {
        take();
    } else {
        descend_framed(depth - 1);
    }
    frame[1] = frame[0];
}

static void *run(void *argument)
{
    for (unsigned depth = 0; depth < 80; depth += 7) {
        descend(depth);
        descend(depth);
        descend_framed(depth);
        descend_framed(depth);
        for (size_t bytes = 1; bytes < 100000; bytes *= 3) {
            descend_by(bytes, depth % 5);
        }
    }
    return argument;
}

static void begin(void)
{
    mbi_stacks_warm_up();
}

Test(frames, walks_give_the_unwinders_frames, .init = begin)
{
    run(NULL);
    cr_assert(walked > 10 || !WALKS_SUCCEED, "%u of %u", walked, taken);
}

Test(frames, of_each_thread, .init = begin)
{
    for (unsigned i = 0; i < 20; i++) {
        pthread_t thread;
        cr_assert_eq(pthread_create(&thread, NULL, run, NULL), 0);
        cr_assert_eq(pthread_join(thread, NULL), 0);
    }
    cr_assert(walked > 200 || !WALKS_SUCCEED, "%u of %u", walked, taken);
}

/*
 * Frames of fixed size and framed ones are walked, each from the second time on. A sanitizer's are
 * of neither kind.
 */
Test(frames, are_known_the_second_time, .init = begin)
{
    if (TEST_IS_SANITIZED || !WALKS_SUCCEED) {
        cr_skip_test("a sanitizer aligns its frames, or the machine has other ones");
    }
    descend(3);
    walked = 0;
    for (unsigned i = 0; i < 10; i++) {
        descend(3);
    }
    cr_assert_geq(walked, 9, "the first call is at another address");
    descend_framed(5);
    walked = 0;
    for (unsigned i = 0; i < 10; i++) {
        descend_framed(5);
    }
    cr_assert_geq(walked, 9, "the first call is at another address");
}

/* On another stack, and where nothing is known, a walk gives up. */
Test(frames, no_walk_leaves_the_stack, .init = begin)
{
    void *frames[FRAMES];
    static uintptr_t stack[100];
    run(NULL);
    cr_assert_eq(mbi_frames_walk(&stack[50], frames, FRAMES), 0);
    uintptr_t words[4] = { 0 };
    cr_assert_eq(mbi_frames_walk(&words[0], frames, FRAMES), 0, "an address of 0");
    words[1] = (uintptr_t)&words;
    cr_assert_eq(mbi_frames_walk(&words[0], frames, FRAMES), 0, "an address that is no code's");
}
