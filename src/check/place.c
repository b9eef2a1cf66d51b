/* place: memory for objects, and the quarantine. */
#include "check/place.h"

#include "check/annotate.h"
#include "check/faults.h"
#include "check/guarded.h"
#include "check/quarantine.h"
#include "check/segv.h"
#include "core/config.h"
#include "core/large.h"
#include "core/region.h"
#include "tcache/thread_cache.h"

/* What is kept from reuse: of each pool, and of the system allocator's objects together. */
#define POOL_QUARANTINE_BYTES ((size_t)512 << 10)
#define LARGE_QUARANTINE_BYTES ((size_t)16 << 20)
#define LARGE_OBJECT_BYTES_MAX ((size_t)1 << 20) /* larger ones go back at once */

/* Behind an object of the system allocator; in a slot what the size leaves, at least a byte. */
enum { LARGE_CANARY_BYTES = 16, SLOT_CANARY_BYTES = 1 };

/* Constant from mbi_place_init on. */
static bool guards; /* there are guarded pages */
static bool is_watched;

/* Under the check lock. */
static struct quarantine of_pools[SIZE_CLASS_COUNT];
static struct quarantine of_large;

/* An object that is used again at once is freed a second time without anybody noticing. */
static bool keeps_freed(void)
{
    return config_checks(CHECK_USE_AFTER_FREE | CHECK_DOUBLE_FREE);
}

void mbi_place_init(void)
{
    is_watched = annotate_memcheck_is_here() || annotate_sanitizer_is_here();
    if (config_checks(CHECK_USE_AFTER_FREE | CHECK_OVERFLOW) && !is_watched) {
        guards = mbi_guarded_init();
    }
    if (guards) {
        mbi_segv_take();
    }
}

bool mbi_place_is_watched(void)
{
    return is_watched;
}

size_t mbi_place_quarantined(size_t class)
{
    mbi_check_lock();
    size_t count = of_pools[class].count;
    mbi_check_unlock();
    return count;
}

static void report_if_written(const struct object *freed, const struct stack *now)
{
    struct damage damage;
    if (mbi_faults_find_written(freed, &damage)) {
        mbi_faults_report_written(freed, &damage, now);
    }
}

/* A slot whose time in the quarantine is over, or is cut short as it is needed; 0 without one. */
static uintptr_t reuse_slot(size_t class, bool needed, const struct stack *now)
{
    struct object object = { .hidden = 0 };
    size_t bytes_max = keeps_freed() || is_watched ? POOL_QUARANTINE_BYTES : 0;
    mbi_check_lock();
    if (needed || of_pools[class].bytes > bytes_max) {
        struct object *oldest = quarantine_take(&of_pools[class]);
        if (oldest != NULL) {
            object = *oldest;
            oldest->filled = false; /* until it is entered again: others may walk over it */
        }
    }
    mbi_check_unlock();
    report_if_written(&object, now);
    return object_address(&object);
}

static bool place_guarded(struct object *object, size_t alignment_bytes)
{
    mbi_check_lock();
    void *start = mbi_guarded_take(object->size_bytes, alignment_bytes, &object->room_bytes);
    mbi_check_unlock();
    object->hidden = object_hide((uintptr_t)start);
    object->home = HOME_GUARDED;
    return start != NULL;
}

/* Cuts the time short of a slot of the class, or of a larger one that is aligned alike. */
static uintptr_t reuse_needed(size_t class, size_t alignment_bytes, const struct stack *now)
{
    uintptr_t start = 0;
    while (start == 0 && class < SIZE_CLASS_COUNT) {
        start = reuse_slot(class, true, now);
        class = size_class_next_aligned(class, alignment_bytes);
    }
    return start;
}

/* A slot, the oldest first; or what serves the class when it has none. */
static bool place_in_pool(struct object *object, size_t class, size_t alignment_bytes,
                          const struct stack *now)
{
    uintptr_t start = reuse_slot(class, false, now);
    if (start == 0) {
        start = (uintptr_t)mbi_thread_cache_take(class);
    }
    if (start == 0) {
        start = reuse_needed(class, alignment_bytes, now);
    }
    if (start == 0) {
        start = (uintptr_t)mbi_thread_cache_spill(class, alignment_bytes);
    }
    if (start == 0) {
        start = reuse_needed(class, alignment_bytes, now); /* what the program's handler freed */
    }
    object->hidden = object_hide(start);
    object->room_bytes = size_class_slot_bytes(class);
    class = region_class_of((const void *)start);
    object->home = class < SIZE_CLASS_COUNT ? HOME_SLOT : HOME_LARGE;
    if (object->home == HOME_SLOT) {
        object->class = (uint8_t)class;
        object->room_bytes = size_class_slot_bytes(class);
    }
    return start != 0;
}

static bool place_large(struct object *object, size_t alignment_bytes)
{
    size_t canary = config_checks(CHECK_OVERFLOW) ? LARGE_CANARY_BYTES : 0;
    size_t bytes;
    if (__builtin_add_overflow(object->size_bytes, canary, &bytes)) {
        bytes = SIZE_MAX; /* which it will refuse */
    }
    void *start = alignment_bytes > ABI_ALIGNMENT_BYTES
                      ? mbi_large_aligned_alloc(alignment_bytes, bytes)
                      : mbi_large_alloc(bytes);
    mbi_thread_cache_begin_large_alloc();
    object->hidden = object_hide((uintptr_t)start);
    object->room_bytes = bytes;
    object->home = HOME_LARGE;
    return start != NULL; /* NOLINT(clang-analyzer-unix.Malloc): the ledger hides the address */
}

bool mbi_place_object(struct object *object, size_t alignment_bytes, const struct stack *now)
{
    size_t canary = config_checks(CHECK_OVERFLOW) || is_watched ? SLOT_CANARY_BYTES : 0;
    if (object->size_bytes > SMALL_BYTES_MAX) {
        return place_large(object, alignment_bytes);
    }
    size_t serves = size_class_of_aligned(alignment_bytes, object->size_bytes);
    object->class = (uint8_t)serves; /* for reports; SIZE_CLASS_COUNT when none does */
    if (guards && place_guarded(object, alignment_bytes)) {
        return true;
    }
    size_t class = size_class_of_aligned(alignment_bytes, object->size_bytes + canary);
    return class < SIZE_CLASS_COUNT ? place_in_pool(object, class, alignment_bytes, now)
                                    : place_large(object, alignment_bytes);
}

void mbi_place_undo(const struct object *object)
{
    if (object->home == HOME_SLOT) {
        mbi_pool_free_direct(&mbi_pools[object->class], (struct slot *)object_address(object));
    } else if (object->home == HOME_LARGE) {
        mbi_large_free((void *)object_address(object));
    }
}

static void put_in_quarantine(struct quarantine *quarantine, uintptr_t address)
{
    struct object *object = mbi_ledger_find(address);
    object->filled = config_checks(CHECK_USE_AFTER_FREE);
    quarantine_put(quarantine, object);
}

/* The system allocator's oldest, where the quarantine is too full for it; false: it is not. */
static bool take_surplus(struct object *oldest)
{
    mbi_check_lock();
    bool is_full = of_large.bytes > LARGE_QUARANTINE_BYTES;
    if (is_full) {
        *oldest = *quarantine_take(&of_large);
        mbi_ledger_remove(object_address(oldest));
    }
    mbi_check_unlock();
    return is_full;
}

static void keep_large(const struct object *object, const struct stack *now)
{
    struct object oldest;
    bool keeps =
        keeps_freed() && !is_watched && object->room_bytes <= LARGE_OBJECT_BYTES_MAX;
    if (keeps && config_checks(CHECK_USE_AFTER_FREE)) {
        mbi_faults_poison(object);
    }
    mbi_check_lock();
    if (keeps) {
        put_in_quarantine(&of_large, object_address(object));
    } else {
        mbi_ledger_remove(object_address(object));
    }
    mbi_check_unlock();
    if (!keeps) {
        mbi_large_free((void *)object_address(object));
    }
    while (take_surplus(&oldest)) {
        report_if_written(&oldest, now);
        mbi_large_free((void *)object_address(&oldest));
    }
}

void mbi_place_keep(const struct object *object, const struct stack *now)
{
    switch (object->home) {
    case HOME_LARGE:
        mbi_thread_cache_count_large_free();
        keep_large(object, now);
        return;
    case HOME_SLOT:
        if (config_checks(CHECK_USE_AFTER_FREE)) {
            mbi_faults_poison(object);
        }
        annotate_freed((void *)object_address(object), object->room_bytes);
        mbi_check_lock();
        put_in_quarantine(&of_pools[object->class], object_address(object));
        mbi_check_unlock();
        return;
    default:
        mbi_check_lock();
        mbi_guarded_free(mbi_ledger_find(object_address(object)));
        mbi_check_unlock();
        return;
    }
}
