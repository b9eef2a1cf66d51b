/* out_of_memory: other pools, the system allocator, trimming, the handler. */
#include "tcache/out_of_memory.h"

#include "core/centre.h"
#include "core/config.h"
#include "core/large.h"
#include "core/limit.h"
#include "core/uncharge.h"
#include "tcache/budget.h"
#include "tcache/registry.h"

#include <errno.h>

/* Under LOCK_HANDLER. */
static out_of_memory_handler *handler;
static void *handler_argument;

/* The handler is running in this thread: a request that fails meanwhile does not call it again. */
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
    int saved_errno = errno; /* pages that are locked in memory are refused */
    mbi_thread_cache_flush_own();
    mbi_registry_ask_all();
    size_t bytes = mbi_trim_pools(keep_bytes);
    bytes += mbi_uncharge_what_came_back();
    (void)mbi_uncharge(SEAL_LONG_TILES, SEALS_MAX, SIZE_MAX);
    errno = saved_errno;
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

/* A slot of a class behind this one and before `end`; NULL without one. */
static void *take_larger(size_t class, size_t alignment_bytes, size_t end)
{
    struct slot *slot = NULL;
    do {
        class = size_class_next_aligned(class, alignment_bytes);
        slot = class < end ? mbi_thread_cache_take(class) : NULL;
    } while (slot == NULL && class < end);
    return slot;
}

/*
 * The end of the classes that stand in for one before memory is given back: the small ones, and
 * slots of up to twice the size. Larger ones would be used up by small objects, each of them with
 * the memory of thousands.
 */
static size_t near_class_end(size_t class)
{
    size_t bytes = size_max(2 * size_class_slot_bytes(class), SMALL_BYTES_MAX);
    size_t end = config_class_end();
    return bytes <= POOL_BYTES_MAX ? size_min(size_class_of(bytes) + 1, end) : end;
}

static void *serve_elsewhere(size_t class, size_t alignment_bytes)
{
    void *slot = take_larger(class, alignment_bytes, near_class_end(class));
    if (slot != NULL) {
        return slot;
    }
    if (mbi_limit_reached) {
        errno = ENOMEM;
        return NULL;
    }
    return serve_from_system(class, alignment_bytes);
}

/*
 * Where the kernel refused the pool memory, released memory may still be charged. Uncharges some of
 * it, so much that this happens seldom, and lets the pool try again.
 */
enum { UNCHARGE_AT_ONCE_BYTES = 16 << 20 };

static void *take_if_uncharged(size_t class, size_t alignment_bytes)
{
    (void)alignment_bytes; /* all slots of the class are aligned alike */
    return mbi_uncharge(1, SEALS_REFUSED_MAX, UNCHARGE_AT_ONCE_BYTES) != 0
               ? mbi_thread_cache_take(class)
               : NULL;
}

/* The last steps left some memory pending: a hint, which a thread may miss. */
static _Atomic bool steps_are_left;

/*
 * Gives pending memory back, step by step, until `serves` has something. It is asked after each
 * step that gave memory back; and at the end, as another thread may have given back the rest.
 */
static void *give_back_until(void *(*serves)(size_t class, size_t alignment_bytes), size_t class,
                             size_t alignment_bytes, size_t steps_max, size_t *given_back)
{
    struct trim_turn turn;
    void *pointer = NULL;
    bool more = true;
    mbi_trim_begin_turn(&turn, 0, TRIM_AGES);
    for (size_t steps = 0; pointer == NULL && more && steps < steps_max; steps++) {
        size_t bytes = 0;
        more = mbi_trim_step_turn(&turn, &bytes);
        *given_back += bytes;
        if (bytes != 0 || !more) {
            pointer = serves(class, alignment_bytes);
        }
    }
    flag_set(&steps_are_left, more);
    return pointer;
}

/*
 * Where uncharging is not enough, pending memory goes back before larger pools serve the request:
 * smaller objects would use up the memory of larger ones. At most so many steps for a request; the
 * next request goes on.
 */
enum { STEPS_AT_ONCE = 16 };

static void *take_uncharged(size_t class)
{
    if (!mbi_pool_commit_refused) {
        return NULL;
    }
    mbi_pool_commit_refused = false;
    size_t given_back = 0;
    void *slot = take_if_uncharged(class, 0);
    /* Below CENTRE_TELL_BYTES threads may just not have told what they took. */
    bool pending = flag_is_set(&steps_are_left) || centre_bytes() >= CENTRE_TELL_BYTES;
    return slot == NULL && pending
               ? give_back_until(take_if_uncharged, class, 0, STEPS_AT_ONCE, &given_back)
               : slot;
}

/* One try with everything but the program's help. */
static void *serve(size_t class, size_t alignment_bytes)
{
    mbi_limit_reached = false;
    void *slot = mbi_thread_cache_take(class);
    slot = slot != NULL ? slot : take_uncharged(class);
    return slot != NULL ? slot : serve_elsewhere(class, alignment_bytes);
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
        mbi_lock_refused = false;
        mbi_thread_cache_flush_own();
        if (bounded_taken(&mbi_budget) != 0) { /* else no other thread has anything cached */
            mbi_registry_ask_all();
        }
        pointer = give_back_until(serve, class, alignment_bytes, SIZE_MAX, &given_back);
        if (pointer == NULL) { /* what lies free in pages that live objects hold */
            pointer = take_larger(class, alignment_bytes, config_class_end());
        }
        if (pointer == NULL && mbi_lock_refused) { /* another thread has forked meanwhile */
            pointer = serve_from_system(class, alignment_bytes);
        }
        if (pointer == NULL && given_back == 0
            && !call_handler(size_class_slot_bytes(class))) {
            errno = ENOMEM;
            return NULL;
        }
    }
    return pointer;
}
