/* frames: a walk finds what the unwinder found, or nothing. */
#include "check/frames.h"

#include "check/stacks.h"

#include "testing.h"

#include <alloca.h>
#include <criterion/criterion.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

enum { FRAMES = 64 };
#ifdef __x86_64__
enum { WALKS_SUCCEED = 1 };
#else
enum { WALKS_SUCCEED = 0 };
#endif

#ifdef __OPTIMIZE__
enum { IS_OPTIMIZED = 1 };
#else
enum { IS_OPTIMIZED = 0 };
#endif

static unsigned walked; /* since the test began */
static unsigned taken;
static bool shared;

/*
 * Whether two addresses have the same place in the table, of 4,096 (check/frames.c): where the
 * loader puts code so, which is one run in some hundred, no walk passes both.
 */
static bool share_a_place(void *const *frames, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            uint64_t places = ((uintptr_t)frames[i] * UINT64_C(0x9E3779B97F4A7C15))
                              ^ ((uintptr_t)frames[j] * UINT64_C(0x9E3779B97F4A7C15));
            if (frames[i] != frames[j] && places >> 52 == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Both ways at one place: what the walk gives is right. */
static __attribute__((noinline)) void take(void)
{
    void *frames[FRAMES];
    void *unwound[FRAMES];
    const void *frame = __builtin_frame_address(0);
    uint32_t count = mbi_frames_walk(frame, frames, FRAMES);
    uint32_t expected = mbi_frames_unwind(frame, unwound, FRAMES);
    cr_assert_gt(expected, 2);
    shared = shared || share_a_place(unwound, expected);
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
    cr_assert(walked > 10 || shared || !WALKS_SUCCEED, "%u of %u", walked, taken);
}

Test(frames, of_each_thread, .init = begin)
{
    for (unsigned i = 0; i < 20; i++) {
        pthread_t thread;
        cr_assert_eq(pthread_create(&thread, NULL, run, NULL), 0);
        cr_assert_eq(pthread_join(thread, NULL), 0);
    }
    cr_assert(walked > 200 || shared || !WALKS_SUCCEED, "%u of %u", walked, taken);
}

/*
 * Frames of fixed size and framed ones are walked, each from the second time on. A sanitizer's are
 * of neither kind, and without optimisation framed ones lie below Criterion's fixed ones. The
 * counters are volatile, as each call of an unrolled loop would return to an address of its own.
 */
Test(frames, are_known_the_second_time, .init = begin)
{
    if (TEST_IS_SANITIZED || !WALKS_SUCCEED || !IS_OPTIMIZED) {
        cr_skip_test("a sanitizer aligns its frames, or the machine has other ones, or -O0 has");
    }
    descend(3);
    walked = 0;
    for (volatile unsigned i = 0; i < 10; i++) {
        descend(3);
    }
    cr_assert(walked >= 9 || shared, "the first call is at another address");
    descend_framed(5);
    walked = 0;
    for (volatile unsigned i = 0; i < 10; i++) {
        descend_framed(5);
    }
    cr_assert(walked >= 9 || shared, "the first call is at another address");
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

/* A frame at `words`, from which the function returns to `address`: what a walk makes of it. */
static uint32_t walk_from(uintptr_t *words, uintptr_t address)
{
    void *frames[FRAMES];
    words[0] = 0;
    words[1] = address;
    return mbi_frames_walk(words, frames, FRAMES);
}

/* Many of these share a place with an address that is known, such as one where a walk ends. */
Test(frames, what_is_known_of_one_address_is_not_of_another, .init = begin)
{
    enum { ADDRESSES = 1 << 16 };
    uintptr_t words[4] = { 0 };
    run(NULL);
    for (uintptr_t address = 1; address < ADDRESSES; address++) {
        cr_assert_eq(walk_from(words, address), 0, "%#lx", (unsigned long)address);
    }
}

#ifdef __x86_64__
/* Calls a function with so many bytes more on the stack, and no frame pointer that tells. */
static __attribute__((naked, noinline)) void
call_behind(__attribute__((unused)) size_t bytes, __attribute__((unused)) void (*function)(void))
{
    __asm__("push %rbx\n.cfi_def_cfa_offset 16\n.cfi_offset rbx, -16\n"
            "mov %rsp, %rbx\n.cfi_def_cfa_register rbx\n"
            "sub %rdi, %rsp\ncall *%rsi\n"
            "mov %rbx, %rsp\n.cfi_def_cfa_register rsp\n"
            "pop %rbx\n.cfi_def_cfa_offset 8\nret");
}

Test(frames, a_step_that_varies_is_not_believed, .init = begin)
{
    enum { TURNS = 3, SIZES = 3 };
    for (unsigned turn = 0; turn < TURNS; turn++) {
        for (size_t size = 0; size < SIZES; size++) {
            walked = 0;
            for (unsigned again = 0; again < 3; again++) {
                call_behind(64 * size, take);
            }
            cr_assert((size == 0 && turn == 0) || walked == 0, "%zu bytes are taken for all", 64 * size);
        }
    }
}
#endif

/*
 * A thread's stack at the top of a mapping, with no access above it; another one, for a signal
 * handler, at its bottom; and between them what is no stack.
 */
enum { MAPPING_BYTES = 64 << 20, STACK_BYTES = 1 << 20, NO_ACCESS_BYTES = 4 << 20 };
enum { ROOM_BYTES = 100 << 10 };
static char *mapping;
static uintptr_t outermost, in_room; /* addresses that are known */

static uintptr_t *between(void)
{
    return (uintptr_t *)(void *)(mapping + MAPPING_BYTES / 2);
}

static __attribute__((noinline)) uint32_t unwind_here(void **frames, uint32_t frames_max)
{
    uint32_t count = mbi_frames_unwind(__builtin_frame_address(0), frames, frames_max);
    cr_assert_gt(count, 1);
    return count;
}

static __attribute__((noinline)) void with_room(void)
{
    void *frames[FRAMES];
    volatile char room[ROOM_BYTES];
    room[0] = 1;
    outermost = (uintptr_t)frames[unwind_here(frames, FRAMES) - 1];
    in_room = (uintptr_t)frames[0];
    room[ROOM_BYTES - 1] = room[0];
}

/* Its stack is another one: what leads on from there is not learnt, whether seen in part or whole. */
static void handle(int number)
{
    void *frames[FRAMES];
    (void)number;
    (void)unwind_here(frames, 2);
    cr_assert_eq(walk_from(between(), outermost), 0, "between two stacks, one of which was seen in part");
    (void)unwind_here(frames, FRAMES);
    cr_assert_eq(walk_from(between(), outermost), 0, "between two stacks");
}

static void *run_at_the_top(void *argument)
{
    uintptr_t words[4] = { 0 };
    stack_t stack = { .ss_sp = mapping, .ss_size = STACK_BYTES };
    with_room();
    cr_assert(walk_from(words, outermost) == WALKS_SUCCEED || TEST_IS_SANITIZED, "where a walk ends");
    cr_assert_eq(walk_from(words, in_room), 0, "a step that leads beyond the stack");
    cr_assert_eq(walk_from(between(), outermost), 0, "far below what was seen of the stack");
    cr_assert_eq(sigaltstack(&stack, NULL), 0);
    cr_assert_eq(raise(SIGUSR1), 0);
    stack.ss_flags = SS_DISABLE;
    cr_assert_eq(sigaltstack(&stack, NULL), 0);
    return argument;
}

Test(frames, no_walk_leads_from_stack_to_stack, .init = begin)
{
    struct sigaction action = { .sa_handler = handle, .sa_flags = SA_ONSTACK };
    pthread_attr_t attributes;
    pthread_t thread;
    mapping = mmap(NULL, MAPPING_BYTES + NO_ACCESS_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert(mapping != MAP_FAILED);
    cr_assert_eq(mprotect(mapping + MAPPING_BYTES, NO_ACCESS_BYTES, PROT_NONE), 0);
    cr_assert_eq(sigaction(SIGUSR1, &action, NULL), 0);
    cr_assert_eq(pthread_attr_init(&attributes), 0);
    cr_assert_eq(pthread_attr_setstack(&attributes, mapping + MAPPING_BYTES - STACK_BYTES, STACK_BYTES), 0);
    cr_assert_eq(pthread_create(&thread, &attributes, run_at_the_top, NULL), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}
