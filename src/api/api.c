/*
 * api: the public calls, each a fast path into the thread cache and a way to the system allocator.
 *
 * Ladder: above tcache and core. Both the library and the drop-in are built from it.
 */
#include "memorybucket/memorybucket.h"

#include "api/api.h"
#include "api/stats.h"
#include "check/report.h"
#include "core/config.h"
#include "core/os.h"
#include "insight/export.h"
#include "insight/profile.h"
#include "insight/profile_write.h"
#include "tcache/background.h"
#include "tcache/sampling.h"
#include "tcache/thread_exit.h"

#include <pthread.h>
#include <unistd.h>

/* The other copy of the library that serves the object; NULL for this one's, and the system's. */
static const struct copy_calls *owner_of(const void *pointer)
{
    if (region_is_in_places(pointer)) {
        return mbi_copies_find(pointer);
    }
    bool unknown = checked_is_on() && pointer != NULL && !mbi_check_holds(pointer);
    return unknown ? mbi_copies_ask(pointer) : NULL;
}

/* For other copies of the library: the public names may lead to another copy's functions. */
static void *own_realloc(void *pointer, size_t size)
{
    return api_realloc(pointer, size, CLASS_TIGHT);
}

static pthread_once_t checks_once = PTHREAD_ONCE_INIT;

/* Under LOCK_INIT, or before other threads. */
static bool is_asked_for(enum option option)
{
    const char *text = mbi_config_text(option);
    return text != NULL && strcmp(text, "0") != 0;
}

/*
 * The constructor and the destructor stand here because every user of the archive links this file:
 * the linker leaves out a member whose functions no file calls, and its constructor with it.
 */
__attribute__((constructor(101))) static void api_come_up(int argc, char **argv, char **envp)
{
    (void)argc;
    (void)argv;
    if (environ == NULL) {
        environ = envp; /* in the drop-in this runs before the C library has set it */
    }
    mbi_fork_register(); /* from here on what is called may allocate, and so read the options */
    mbi_thread_exit_find_namespace();
    static const struct copy_calls own = { api_free, own_realloc, api_usable_bytes,
                                           mbi_check_holds };
    mbi_copies_init(&own);
    mbi_large_come_up();
    if (is_asked_for(OPTION_MB_STATS)) {
        mbi_stats_exit_prepare();
    }
    if (mbi_config_wants_start()) {
        (void)mb_init();
        if (checked_is_on()) {
            (void)pthread_once(&checks_once, mbi_report_warm_up);
        }
        mbi_profile_prepare();
    }
}

/* A report at exit may abort before the C library flushes. Does not wait for the stream's lock. */
static void api_flush_stdout(void)
{
    if (ftrylockfile(stdout) == 0) {
        (void)fflush_unlocked(stdout);
        funlockfile(stdout);
    }
}

/* Runs after the program's destructors, which may free. */
__attribute__((destructor(101))) static void api_report(void)
{
    if (!mbi_startup_was_made() && !mbi_config_wants_report()) {
        return; /* no call was made, and no report is wanted */
    }
    (void)mbi_startup_patiently();
    mbi_export_stop();
    mbi_stats_exit_report();
    mbi_profile_dump_at_exit();
    if (checked_is_on()) {
        api_flush_stdout();
        mbi_heap_check_at_exit();
    }
}

int mb_init(void)
{
    int error = mbi_startup_patiently();
    if (pools_exporting()) {
        /* So that mbstat finds the process before it is at work. */
        mbi_export_poll(NULL, mbi_os_coarse_clock_ns());
    }
    if (mbi_config.background) {
        (void)mbi_background_start(); /* refuses without decay, of which config has complained */
    }
    mbi_profile_prepare();
    return error;
}

/* Holds no lock of the library: what this calls takes other locks, and may allocate. */
static void prepare_for_options(bool stats, bool checks)
{
    struct cancelling cancelling = mbi_lock_forbid_cancel();
    if (stats) {
        mbi_stats_exit_prepare();
    }
    if (checks) {
        (void)pthread_once(&checks_once, mbi_report_warm_up);
    }
    mbi_lock_allow_cancel(cancelling);
}

int mb_option_set(const char *name, const char *value)
{
    int saved_errno = errno;
    int error = -EAGAIN;
    bool stats = false;
    bool checks = false;
    mbi_lock_set_patient(true);
    if (mbi_lock_acquire(LOCK_INIT)) {
        bool is_up = mbi_startup_was_made();
        error = mbi_config_set_option(name, value, is_up);
        stats = !is_up && is_asked_for(OPTION_MB_STATS);
        checks = !is_up && is_asked_for(OPTION_MB_CHECK);
        mbi_lock_release(LOCK_INIT);
    }
    mbi_lock_set_patient(false);
    prepare_for_options(stats, checks);
    errno = saved_errno;
    return error;
}

/* Starts the thread, at its first request of any size. Keeps errno: the request may yet succeed. */
static void start_thread(void)
{
    int saved_errno = errno;
    (void)mbi_thread_cache_ensure();
    errno = saved_errno;
}

MBI_COLD void *mbi_api_alloc_slow(size_t size, enum class_rule rule)
{
    if (size == 0) {
        return thread_cache_alloc(api_class_of(1, rule), 0);
    }
    start_thread();
    if (checked_is_on()) {
        return mbi_check_alloc(size, ABI_ALIGNMENT_BYTES);
    }
    if (size - 1 < mbi_config.pool_bytes_max) { /* the thread had no cache */
        return thread_cache_alloc(api_class_of(size, rule), size);
    }
    mbi_thread_cache_begin_large_alloc();
    void *pointer = mbi_large_alloc(size);
    mbi_profile_note_large(pointer, size, __builtin_return_address(0));
    return pointer;
}

/* From here on a slot that is known to be all zeros is worth its lock. */
enum { ZEROED_BYTES_MIN = 4096 };
_Static_assert((int)ZEROED_BYTES_MIN >= (int)LINEAR_BYTES_MAX, "slots of whole cache lines");

static void *calloc_in_pool(size_t bytes, enum class_rule rule)
{
    if (bytes >= ZEROED_BYTES_MIN) {
        struct slot *zeroed = mbi_thread_cache_take_zeroed(size_class_of_doubling(bytes));
        if (zeroed != NULL) {
            return zeroed;
        }
    }
    void *pointer = api_alloc(bytes, rule);
    return pointer != NULL ? memset(pointer, 0, bytes) : NULL;
}

void *mbi_api_calloc_large(size_t count, size_t size, enum class_rule rule)
{
    start_thread();
    if (checked_is_on()) {
        return mbi_check_calloc_large(count, size);
    }
    if (count * size - 1 < mbi_config.pool_bytes_max) {
        return calloc_in_pool(count * size, rule);
    }
    mbi_thread_cache_begin_large_alloc();
    void *pointer = mbi_large_calloc(count, size);
    mbi_profile_note_large(pointer, count * size, __builtin_return_address(0));
    return pointer;
}

MBI_COLD void mbi_api_free_slow(void *pointer, size_t size)
{
    size_t class = region_class_of(pointer);
    if (class >= SIZE_CLASS_COUNT && mbi_profile_free(pointer)) {
        return;
    }
    const struct copy_calls *owner = owner_of(pointer);
    if (MBI_UNLIKELY(owner != NULL)) {
        owner->free(pointer);
    } else if (checked_is_on()) {
        mbi_check_free(pointer, size);
    } else if (class < SIZE_CLASS_COUNT) { /* the thread has a constant cache, without a region */
        thread_cache_free(mbi_thread_cache, pointer, class, size);
    } else {
        int saved_errno = errno; /* the drop-in may call dlsym here */
        mbi_thread_cache_count_large_free();
        mbi_large_free(pointer);
        errno = saved_errno;
    }
}

/*
 * Moves a large object that becomes small. The old one goes straight to the system allocator: it
 * may lie inside a span, where free would take it for a slot.
 */
static void *move_from_system(void *old, size_t size, enum class_rule rule)
{
    int saved_errno = errno;
    size_t small_bytes = mbi_profile_small_bytes(old);
    size_t old_bytes = small_bytes != 0 ? small_bytes : mbi_large_usable_bytes(old);
    void *pointer = api_alloc(size, rule);
    if (pointer == NULL) {
        return api_stay(old, old_bytes, size, saved_errno);
    }
    memcpy(pointer, old, size_min(size, old_bytes));
    if (!mbi_profile_free(old)) {
        mbi_thread_cache_count_large_free();
        mbi_large_free(old);
    }
    return pointer;
}

/* Both are large, or the old one may be a sample. */
static void *realloc_in_system(void *old, size_t size, enum class_rule rule, const void *caller)
{
    if (size <= mbi_config.pool_bytes_max || mbi_profile_small_bytes(old) != 0) {
        return move_from_system(old, size, rule);
    }
    return profile_is_begun() ? mbi_profile_realloc_large(old, size, caller)
                              : mbi_large_realloc(old, size);
}

/*
 * Whether it is a slot of this copy's, while checked mode is off, in which no thread has a cache.
 * Most that come here are, in pools that have outgrown their dense spans: to ask for other copies
 * first took 60 ns. Inlined: small programs come here, too (sections.ld).
 */
MBI_HOT_INLINE bool is_plain_slot(const void *pointer, size_t class)
{
    return mbi_thread_cache->active && api_is_slot(pointer, class);
}

MBI_COLD void *mbi_api_realloc_slow(void *old, size_t size, enum class_rule rule)
{
    if (old == NULL) { /* interpreters ask for all their memory so (Lua does) */
        return api_alloc(size, rule);
    }
    size_t class = region_class_of(old);
    if (is_plain_slot(old, class)) {
        return api_realloc_slot(old, class, size, rule);
    }
    const struct copy_calls *owner = mbi_profile_holds(old) ? NULL : owner_of(old);
    if (MBI_UNLIKELY(owner != NULL)) {
        return owner->realloc(old, size);
    }
    start_thread();
    if (checked_is_on()) {
        size_t standard = size != 0 || rule == CLASS_ABI_ALIGNED ? ABI_ALIGNMENT_BYTES
                                                                 : SLOT_UNIT_BYTES;
        return mbi_check_realloc(old, size, size_is_small(size)
                                                ? api_alignment_in_pool(size, rule)
                                                : standard);
    }
    class = region_class_of(old); /* again: the library may have come up only now */
    if (api_is_slot(old, class)) {
        return api_realloc_slot(old, class, size, rule);
    }
    return realloc_in_system(old, size, rule, __builtin_return_address(0));
}

MBI_COLD size_t mbi_api_usable_bytes_slow(const void *pointer)
{
    size_t class = region_class_of(pointer);
    if (is_plain_slot(pointer, class)) {
        return size_class_slot_bytes(class);
    }
    const struct copy_calls *owner = owner_of(pointer);
    if (MBI_UNLIKELY(owner != NULL)) {
        return owner->usable_bytes(pointer);
    }
    if (checked_is_on()) {
        return mbi_check_usable_bytes(pointer);
    }
    if (api_is_slot(pointer, class)) {
        return size_class_slot_bytes(class);
    }
    size_t small_bytes = mbi_profile_small_bytes(pointer);
    if (pointer == NULL || small_bytes != 0) {
        return small_bytes;
    }
    return mbi_large_usable_bytes(pointer);
}

/*
 * "inline" lets link-time optimisation inline these into a program with the archive. They are
 * external definitions all the same, as the header declares them without it (C11 6.7.4). They are a
 * little larger than what the compiler inlines on its own, so they say always_inline.
 */
inline __attribute__((always_inline)) void *mb_alloc(size_t size)
{
    return api_alloc(size, CLASS_TIGHT);
}

inline __attribute__((always_inline)) void mb_free(void *pointer)
{
    api_free(pointer);
}

inline void mb_free_sized(void *pointer, size_t size)
{
    api_free_sized(pointer, size);
}

/*
 * For inline.h, which defines the names above. No version: their meaning never changes. No aliases:
 * profilers and debuggers would give these names to the functions above.
 */
MB_API void *mb_inline_call_alloc(size_t size);
MB_API void mb_inline_call_free(void *pointer);
MB_API void mb_inline_call_free_sized(void *pointer, size_t size);

void *mb_inline_call_alloc(size_t size)
{
    return api_alloc(size, CLASS_TIGHT);
}

void mb_inline_call_free(void *pointer)
{
    api_free(pointer);
}

void mb_inline_call_free_sized(void *pointer, size_t size)
{
    api_free_sized(pointer, size);
}

void *mb_calloc(size_t count, size_t size)
{
    return api_calloc(count, size, CLASS_TIGHT);
}

void *mb_realloc(void *pointer, size_t size)
{
    return api_realloc(pointer, size, CLASS_TIGHT);
}

void *mb_aligned_alloc(size_t alignment, size_t size)
{
    if (!is_power_of_two(alignment)) {
        errno = EINVAL;
        return NULL;
    }
    return mbi_api_aligned_alloc(alignment, size);
}

static MBI_COLD void *aligned_alloc_slow(size_t alignment, size_t size)
{
    start_thread();
    if (checked_is_on()) {
        return mbi_check_alloc(size, size_max(alignment, SLOT_UNIT_BYTES));
    }
    size_t class = size_class_of_aligned(alignment, size, mbi_config.pool_bytes_max);
    if (class == SIZE_CLASS_COUNT) {
        mbi_thread_cache_begin_large_alloc();
        void *large = mbi_large_aligned_alloc(alignment, size);
        mbi_profile_note_large(large, size, __builtin_return_address(0));
        return large;
    }
    int saved_errno = errno;
    void *pointer = mbi_thread_cache_take(class);
    if (pointer == NULL) {
        pointer = mbi_thread_cache_spill(class, alignment);
    } else if (sampling_is_due()) {
        struct program_call call = { __builtin_return_address(0), NULL };
        pointer = mbi_profile_sample(pointer, size, alignment, call);
    }
    if (pointer != NULL) {
        errno = saved_errno;
    }
    return pointer;
}

/* The constant caches, checked mode's and a covered thread's among them, are empty. */
void *mbi_api_aligned_alloc(size_t alignment, size_t size)
{
    struct thread_cache *cache = mbi_fast_cache;
    size_t class = size_class_of_aligned(alignment, size, cache->pool_bytes);
    if (MBI_LIKELY(class < SIZE_CLASS_COUNT)) {
        void *pointer = magazine_pop(&cache->loaded[class]);
        if (MBI_LIKELY(pointer != NULL)) {
            return pointer;
        }
    }
    return aligned_alloc_slow(alignment, size);
}

size_t mb_usable_size(const void *pointer)
{
    return api_usable_bytes(pointer);
}

size_t mb_good_size(size_t size)
{
    (void)mbi_startup(); /* decides on checked mode */
    if (size > mbi_config.pool_bytes_max || checked_is_on()) {
        return size;
    }
    return size_class_slot_bytes(size != 0 ? size_class_of(size) : 0);
}
