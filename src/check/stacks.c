/* stacks: takes call stacks, and stores each once. */
#include "check/stacks.h"

#include "check/frames.h"
#include "core/os.h"

#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <string.h>

/* A stored stack. */
struct stored {
    uint64_t hash;
    uint32_t next; /* the number of the one stored before it in its bucket, or STACK_NONE */
    uint32_t count;
    void *frames[];
};

/* Words are of 8 bytes. The buckets are numbers of stacks; 100,000 stacks are 6 a bucket. */
enum { COMMIT_WORDS = 1 << 17, ARENA_WORDS_MAX = 1 << 28, BUCKETS = 1 << 14 };
enum { BUCKET_WORDS = BUCKETS * sizeof(uint32_t) / sizeof(uint64_t) };

/*
 * Under the check lock. A stored stack never changes, and the arena never moves: a thread gets a
 * number under the lock, and then reads its stack without.
 */
static uint64_t *arena;
static size_t arena_words = ARENA_WORDS_MAX; /* less where the address space is short */
static size_t arena_used = BUCKET_WORDS;
static size_t arena_committed;

/* Set by the warm-up, for good unless tables go. A thread that does not see it takes no stacks. */
static _Atomic bool warm;

static _Thread_local bool taking __attribute__((tls_model("initial-exec")));

/* The unwinder's code; no bytes: not found. Written by the warm-up, read after `warm`. */
static uintptr_t unwinder_start;
static size_t unwinder_bytes;

/* For dl_iterate_phdr; a result of 1 ends its walk. */
static int note_unwinder(struct dl_phdr_info *object, size_t info_bytes, void *argument)
{
    (void)info_bytes;
    (void)argument;
    const char *name = object->dlpi_name != NULL ? strrchr(object->dlpi_name, '/') : NULL;
    if (name == NULL || strcmp(name, "/libgcc_s.so.1") != 0) {
        return 0;
    }
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) != 0) {
            unwinder_start = object->dlpi_addr + segment->p_vaddr;
            unwinder_bytes = segment->p_memsz;
        }
    }
    return 1;
}

/* For dl_iterate_phdr: whether this code lies in the object, and the unwinder finds its tables. */
static int note_tables(struct dl_phdr_info *object, size_t info_bytes, void *argument)
{
    (void)info_bytes;
    uintptr_t here = (uintptr_t)note_tables - object->dlpi_addr;
    bool is_here = false;
    bool has_tables = false;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        is_here = is_here
                  || (segment->p_type == PT_LOAD && here - segment->p_vaddr < segment->p_memsz);
        has_tables = has_tables || segment->p_type == PT_GNU_EH_FRAME;
    }
    *(bool *)argument = *(bool *)argument || (is_here && has_tables);
    return is_here;
}

/*
 * A program that is linked with -static has no such tables. It registers its own in a constructor
 * and takes them back in a destructor, both without a priority; before and after, the unwinder
 * would end the process. Those below stand behind in link order: they run while tables are there.
 * The words are written by constructors, and by the thread that starts the first profile. Volatile:
 * clang else runs the constructor as it compiles.
 */
static volatile bool was_constructed;
static bool registers_tables;
static volatile bool is_awaited;

void mbi_stacks_warm_up(void)
{
    void *frame;
    bool has_tables = false;
    (void)dl_iterate_phdr(note_tables, &has_tables);
    registers_tables = !has_tables;
    is_awaited = registers_tables && !was_constructed;
    if (is_awaited) {
        return;
    }
    (void)backtrace(&frame, 1); /* loads the unwinder */
    (void)dl_iterate_phdr(note_unwinder, NULL);
    mbi_frames_find_unwinder();
    /* release [WARM-STORE]: pairs with [WARM-LOAD], which then sees where the unwinder lies. */
    atomic_store_explicit(&warm, true, memory_order_release);
}

__attribute__((constructor)) static void warm_up_awaited(void)
{
    was_constructed = true;
    if (is_awaited) {
        mbi_stacks_warm_up();
    }
}

__attribute__((destructor)) static void end_with_tables(void)
{
    if (registers_tables) {
        was_constructed = false; /* a warm-up from here on waits for good */
        /* relaxed [WARM-END]: it carries nothing; a thread that sees it takes no stacks. One that
         * takes a stack at this moment may meet an unwinder without tables. */
        atomic_store_explicit(&warm, false, memory_order_relaxed);
    }
}

static bool is_unwinder(const void *caller)
{
    return (uintptr_t)caller - unwinder_start < unwinder_bytes;
}

uint32_t mbi_stacks_take_frames(const void *caller, const void *frame, void **frames,
                                uint32_t frames_max)
{
    /* acquire [WARM-LOAD]: pairs with [WARM-STORE]. */
    bool is_warm = atomic_load_explicit(&warm, memory_order_acquire);
    if (!is_warm || taking || is_unwinder(caller)) {
        return 0;
    }
    uint32_t count = mbi_frames_walk(frame, frames, frames_max);
    if (MBI_LIKELY(count != 0)) {
        return count;
    }
    int saved_errno = errno;
    taking = true;
    count = mbi_frames_unwind(frame, frames, frames_max);
    if (count == 0) {
        int found = backtrace(frames, (int)frames_max);
        count = found > 0 ? (uint32_t)found : 0;
    }
    taking = false;
    errno = saved_errno;
    return count;
}

void mbi_stacks_take(const void *caller, struct stack *stack)
{
    stack->count = mbi_stacks_take_frames(caller, __builtin_frame_address(0), stack->frames,
                                          STACK_FRAMES_MAX);
}

static struct stored *stored_at(uint32_t id)
{
    return (struct stored *)(void *)&arena[id];
}

/* FNV-1a over words; folds the high bits down, as the low ones choose the bucket. */
static uint64_t stack_hash(const struct stack *stack)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (uint32_t i = 0; i < stack->count; i++) {
        hash = (hash ^ (uintptr_t)stack->frames[i]) * UINT64_C(0x100000001b3);
        hash ^= hash >> 32;
    }
    return hash;
}

/* Commits memory for so many more words; false when there is none. */
static bool arena_make_room(size_t words)
{
    while (arena == NULL && arena_words >= COMMIT_WORDS) {
        arena = mbi_os_reserve(arena_words * sizeof *arena);
        arena_words = arena != NULL ? arena_words : arena_words / 2;
    }
    if (arena == NULL || words > arena_words - arena_used) {
        return false;
    }
    while (arena_used + words > arena_committed) {
        if (!mbi_os_commit(arena + arena_committed, COMMIT_WORDS * sizeof *arena)) {
            return false;
        }
        arena_committed += COMMIT_WORDS;
    }
    return true;
}

static uint32_t *bucket_of(uint64_t hash)
{
    return (uint32_t *)(void *)arena + hash % BUCKETS;
}

/*
 * Two stacks with the same 64-bit hash count as one: a million stacks hold such a pair once in 36
 * million programs.
 */
static uint32_t find(uint64_t hash)
{
    uint32_t id = *bucket_of(hash);
    while (id != STACK_NONE && stored_at(id)->hash != hash) {
        id = stored_at(id)->next;
    }
    return id;
}

static uint32_t store(const struct stack *stack, uint64_t hash)
{
    size_t words = sizeof(struct stored) / sizeof *arena + stack->count;
    if (!arena_make_room(words)) {
        return STACK_LOST;
    }
    uint32_t id = (uint32_t)arena_used;
    struct stored *stored = stored_at(id);
    stored->hash = hash;
    stored->next = *bucket_of(hash);
    stored->count = stack->count;
    memcpy(stored->frames, stack->frames, stack->count * sizeof stack->frames[0]);
    *bucket_of(hash) = id;
    arena_used += words;
    return id;
}

uint32_t mbi_stacks_put(const struct stack *stack)
{
    if (stack->count == 0) {
        return STACK_NONE;
    }
    if (!arena_make_room(0)) { /* for the buckets */
        return STACK_LOST;
    }
    uint64_t hash = stack_hash(stack);
    uint32_t id = find(hash);
    return id != STACK_NONE ? id : store(stack, hash);
}

size_t mbi_stacks_end(void)
{
    return arena_used;
}

void mbi_stacks_get(uint32_t id, struct stack *stack)
{
    stack->count = 0;
    if (id > STACK_LOST) {
        const struct stored *stored = stored_at(id);
        stack->count = stored->count;
        memcpy(stack->frames, stored->frames, stored->count * sizeof stack->frames[0]);
    }
}
