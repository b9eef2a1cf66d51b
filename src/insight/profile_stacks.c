/* profile_stacks: an arena that only grows, and lists through it. */
#include "insight/profile_stacks.h"

#include "core/os.h"

#include <string.h>

enum { COMMIT_WORDS = 1 << 15, ARENA_WORDS_MAX = 1 << 25, ARENA_WORDS_MIN = 1 << 17 };
enum { LINE_WORDS = LINE_BYTES / sizeof(uint64_t) };

/* The arena's address and size are written before the first call that uses them, by init. */
uint64_t *mbi_profile_arena;
static size_t arena_words;
static _Atomic uint64_t used = LINE_WORDS; /* number 0 is none */
static _Atomic uint64_t committed;
static _Atomic uint32_t heads[PROFILE_HEADS];

bool mbi_profile_stacks_init(void)
{
    uint64_t *arena = NULL;
    for (arena_words = ARENA_WORDS_MAX; arena == NULL && arena_words >= ARENA_WORDS_MIN;) {
        arena = mbi_os_reserve(arena_words * sizeof *arena);
        arena_words = arena != NULL ? arena_words : arena_words / 2;
    }
    mbi_profile_arena = arena;
    return arena != NULL;
}

/* Makes the arena usable up to `end`. Two threads may commit the same, which changes nothing. */
static bool commit_to(uint64_t end)
{
    uint64_t from = counter_read(&committed);
    while (from < end) {
        uint64_t to = from + COMMIT_WORDS;
        if (!mbi_os_commit(mbi_profile_arena + from, COMMIT_WORDS * sizeof *mbi_profile_arena)) {
            return false;
        }
        /* relaxed [STACK-ROOM]: a number that says what the kernel did already. */
        if (atomic_compare_exchange_strong_explicit(&committed, &from, to, memory_order_relaxed,
                                                    memory_order_relaxed)) {
            from = to;
        }
    }
    return true;
}

/* 0 when there is no room. */
static uint32_t arena_take(size_t words)
{
    if (counter_read(&used) + words > arena_words) { /* and stop counting */
        return 0;
    }
    /* relaxed [STACK-ROOM]: hands out disjoint ranges of untouched memory. */
    uint64_t start = atomic_fetch_add_explicit(&used, words, memory_order_relaxed);
    bool fits = start + words <= arena_words && commit_to(start + words);
    return fits ? (uint32_t)start : 0;
}

/* FNV-1a over words; folds the high bits down, as the low ones choose the list. */
static uint64_t hash_of(void *const *frames, uint32_t count)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (uint32_t i = 0; i < count; i++) {
        hash = (hash ^ (uintptr_t)frames[i]) * UINT64_C(0x100000001b3);
        hash ^= hash >> 32;
    }
    return hash;
}

uint32_t mbi_profile_stacks_head(unsigned head)
{
    /* acquire [STACK-HEAD]: pairs with [STACK-PUSH]. */
    return atomic_load_explicit(&heads[head], memory_order_acquire);
}

/* In the list from `number` on. */
static uint32_t find(uint32_t number, uint64_t hash, void *const *frames, uint32_t count)
{
    while (number != 0) {
        const struct profile_stack *stack = profile_stack_at(number);
        if (stack->hash == hash && profile_stack_is(number, frames, count)) {
            break;
        }
        number = stack->next;
    }
    return number;
}

uint32_t mbi_profile_stacks_put(void *const *frames, uint32_t count)
{
    uint64_t hash = hash_of(frames, count);
    unsigned head = (unsigned)(hash % PROFILE_HEADS);
    uint32_t first = mbi_profile_stacks_head(head);
    uint32_t found = find(first, hash, frames, count);
    if (found != 0) {
        return found;
    }
    uint32_t number = arena_take(LINE_WORDS + round_up(count, LINE_WORDS));
    if (number == 0) {
        return 0;
    }
    struct profile_stack *stack = profile_stack_at(number);
    stack->hash = hash;
    stack->count = count;
    memcpy(stack->frames, frames, count * sizeof *frames);
    do {
        stack->next = first;
        /* release [STACK-PUSH]: pairs with [STACK-HEAD]. acquire [STACK-HEAD] on failure: the list
         * is read then. */
        if (atomic_compare_exchange_strong_explicit(&heads[head], &first, number,
                                                    memory_order_release, memory_order_acquire)) {
            return number;
        }
        found = find(first, hash, frames, count);
    } while (found == 0);
    return found;
}
