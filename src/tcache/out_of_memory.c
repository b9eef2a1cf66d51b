/* out_of_memory: other pools, the system allocator, trimming, the handler. */
#include "tcache/out_of_memory.h"

#include "core/centre.h"
#include "core/large.h"
#include "core/limit.h"
#include "core/region.h"
#include "core/uncharge.h"
#include "tcache/budget.h"
#include "tcache/registry.h"

#include <errno.h>

/* Under LOCK_HANDLER. */
static out_of_memory_handler *handler;
static void *handler_argument;

/* The handler is running in this thread: what fails meanwhile does not call it again. */
static _Thread_local bool in_handler __attribute__((tls_model("initial-exec")));

void mbi_out_of_memory_set_handler(out_of_memory_handler *new_handler, void *argument)
{
    mbi_lock_set_patient(true);
    if (mbi_lock_acquire(LOCK_HANDLER)) {
        handler = new_handler;
        handler_argument = argument;
        mbi_lock_release(LOCK_HANDLER);
    }
    mbi_lock_set_patient(false);
}

size_t mbi_out_of_memory_trim(size_t keep_bytes)
{
    mbi_thread_cache_flush_own();
    mbi_registry_ask_all();
    size_t bytes = mbi_trim_pools(keep_bytes);
    bytes += mbi_uncharge_what_came_back();
    (void)mbi_uncharge(SEAL_LONG_TILES, SEALS_MAX, SIZE_MAX);
    return bytes;
}

static void *serve_from_system(size_t class, size_t alignment_bytes)
{
    size_t size_bytes = size_class_slot_bytes(class);
    mbi_thread_cache_begin_large_alloc();
    /* A thread that is cancelled asynchronously must not die with the system allocator's locks. */
    struct cancelling cancelling = mbi_lock_forbid_cancel();
    void *pointer = alignment_bytes > ABI_ALIGNMENT_BYTES
                        ? mbi_large_aligned_alloc(alignment_bytes, size_bytes)
                        : mbi_large_alloc(size_bytes);
    mbi_lock_allow_cancel(cancelling);
    return pointer;
}

static void *serve_elsewhere(size_t class, size_t alignment_bytes)
{
    for (size_t next = size_class_next_aligned(class, alignment_bytes); next < SIZE_CLASS_COUNT;
         next = size_class_next_aligned(next, alignment_bytes)) {
        struct slot *slot = mbi_thread_cache_take(next);
        if (slot != NULL) {
            return slot;
        }
    }
    if (mbi_limit_was_reached()) {
        errno = ENOMEM;
        return NULL;
    }
    return serve_from_system(class, alignment_bytes);
}

/*
 * Where it is the kernel that refused the pool memory, what was given back may still be charged:
 * that is undone, for so much at a time that it is done seldom, and the pool tries again.
 */
enum { UNCHARGE_AT_ONCE_BYTES = 16 << 20 };

static struct slot *take_if_uncharged(size_t class)
{
    return mbi_uncharge(1, SEALS_REFUSED_MAX, UNCHARGE_AT_ONCE_BYTES) != 0
               ? mbi_thread_cache_take(class)
               : NULL;
}

/*
 * Where that gives nothing, what is pending goes back first. Larger pools could serve the request
 * as they are, but smaller objects would use up the memory of larger ones. At most so many steps
 * for a request; the next one goes on.
 */
enum { STEPS_AT_ONCE = 16 };
/* Written after such steps, read by the next request: a hint, that either thread may miss. */
static _Atomic bool steps_are_left;

static struct slot *take_what_is_pending(size_t class)
{
    struct trim_turn turn;
    struct slot *slot = NULL;
    bool more = true;
    mbi_trim_begin_turn(&turn, 0);
    for (int steps = 0; slot == NULL && more && steps < STEPS_AT_ONCE; steps++) {
        size_t bytes = 0;
        more = mbi_trim_step_turn(&turn, &bytes);
        slot = bytes != 0 ? take_if_uncharged(class) : NULL;
    }
    flag_set(&steps_are_left, more);
    return slot;
}

static struct slot *take_uncharged(size_t class)
{
    if (!mbi_pool_commit_refused) {
        return NULL;
    }
    mbi_pool_commit_refused = false;
    struct slot *slot = take_if_uncharged(class);
    /* Worth it if the centre holds more than a thread may not have told. */
    bool pending = flag_is_set(&steps_are_left) || centre_bytes() >= CENTRE_TELL_BYTES;
    return slot == NULL && pending ? take_what_is_pending(class) : slot;
}

/* One try with everything but the program's help. */
static void *serve(size_t class, size_t alignment_bytes)
{
    mbi_limit_forget();
    struct slot *slot = mbi_thread_cache_take(class);
    slot = slot != NULL ? slot : take_uncharged(class);
    return slot != NULL ? slot : serve_elsewhere(class, alignment_bytes);
}

/*
 * Gives back what is pending, step by step, until that serves the request. A step that gave nothing
 * back changes nothing for it; but at the end another thread may have been quicker with the rest.
 */
static void *serve_from_what_is_pending(size_t class, size_t alignment_bytes, size_t *given_back)
{
    struct trim_turn turn;
    void *pointer = NULL;
    bool more = true;
    mbi_thread_cache_flush_own();
    if (bounded_taken(&mbi_budget) != 0) { /* else no other thread has anything cached */
        mbi_registry_ask_all();
    }
    mbi_trim_begin_turn(&turn, 0);
    while (pointer == NULL && more) {
        size_t bytes = 0;
        more = mbi_trim_step_turn(&turn, &bytes);
        *given_back += bytes;
        if (bytes != 0 || !more) {
            pointer = serve(class, alignment_bytes);
        }
    }
    return pointer;
}

static bool call_handler(size_t size_bytes)
{
    if (in_handler || !mbi_lock_acquire(LOCK_HANDLER)) {
        return false;
    }
    out_of_memory_handler *function = handler;
    void *argument = handler_argument;
    mbi_lock_release(LOCK_HANDLER);
    if (function == NULL) {
        return false;
    }
    in_handler = true;
    bool again = function(size_bytes, argument) != 0;
    in_handler = false;
    return again;
}

MBI_COLD void *mbi_thread_cache_spill(size_t class, size_t alignment_bytes)
{
    if (mbi_region.bytes == 0 || mbi_lock_is_closed()) {
        /* No pool has any slot, or may be asked: only the system allocator is left. */
        return serve_from_system(class, alignment_bytes);
    }
    void *pointer = take_uncharged(class);
    if (pointer == NULL) {
        /* If the limit was reached long ago, the trim below is in vain, and no more. */
        pointer = serve_elsewhere(class, alignment_bytes);
    }
    while (pointer == NULL) {
        size_t given_back = 0;
        pointer = serve_from_what_is_pending(class, alignment_bytes, &given_back);
        if (pointer == NULL && given_back == 0
            && !call_handler(size_class_slot_bytes(class))) {
            errno = ENOMEM;
            return NULL;
        }
    }
    return pointer;
}
