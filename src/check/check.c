/*
 * check: checked mode's allocation and free, each object entered in the ledger.
 *
 * Ladder: above tcache, whose slow paths call it (tcache/checked.h).
 *
 *   alloc: a guarded page, or the slot that was freed longest ago, or a fresh one, or the system's
 *   free:  looked up, marked as freed, checked, filled, and kept; never back to the pools
 *
 * One lock guards the ledger, the stacks and the quarantine. It is the innermost of all: under it
 * nothing is called but the kernel. Objects are filled, and reports are written, without.
 */
#include "check/annotate.h"
#include "check/faults.h"
#include "check/guarded.h"
#include "check/heap.h"
#include "check/quarantine.h"
#include "check/stacks.h"
#include "core/config.h"
#include "core/large.h"
#include "core/lock.h"
#include "core/os.h"
#include "core/region.h"
#include "tcache/checked.h"
#include "tcache/thread_cache.h"

#include <errno.h>
#include <string.h>

_Atomic bool mbi_checked;

/* What is kept from reuse: of each pool, and of the system allocator's objects together. */
#define POOL_QUARANTINE_BYTES ((size_t)512 << 10)
#define LARGE_QUARANTINE_BYTES ((size_t)16 << 20)
#define LARGE_OBJECT_BYTES_MAX ((size_t)1 << 20) /* larger ones go back at once */

/* Behind an object of the system allocator; in a slot what the size leaves, at least a byte. */
enum { LARGE_CANARY_BYTES = 16, SLOT_CANARY_BYTES = 1 };

static struct lock check_lock = LOCK_INITIALIZER;

/* Constant from mbi_check_init on. */
static bool forwards;   /* a sanitizer has its own malloc, and watches that */
static bool guards;     /* there are guarded pages */
static bool is_watched; /* memcheck or a sanitizer sees what the system allocator does */

/* Under check_lock. */
static struct quarantine of_pools[SIZE_CLASS_COUNT];
static struct quarantine of_large;
static uint32_t generation;

static bool checks(unsigned kinds)
{
    return (mbi_config.check & kinds) != 0;
}

/* An object that is used again at once is freed a second time without anybody noticing. */
static bool keeps_freed(void)
{
    return checks(CHECK_USE_AFTER_FREE | CHECK_DOUBLE_FREE);
}

bool mbi_check_init(void)
{
    forwards = annotate_sanitizer_is_here() && mbi_config.check == 0
               && !mbi_config.sanitizer_pools;
    is_watched = annotate_memcheck_is_here() || annotate_sanitizer_is_here();
    if (checks(CHECK_USE_AFTER_FREE | CHECK_OVERFLOW) && !is_watched) {
        guards = mbi_guarded_init();
    }
    if (forwards || annotate_memcheck_is_here() || mbi_config.check != 0) {
        /* release [CHECKED-STORE]: pairs with [CHECKED-LOAD]: what is above is seen, too. */
        atomic_store_explicit(&mbi_checked, true, memory_order_release);
    }
    return !forwards;
}

void mbi_check_lock(void)
{
    mbi_lock_acquire(&check_lock);
}

void mbi_check_unlock(void)
{
    mbi_lock_release(&check_lock);
}

void mbi_check_reset_in_child(void)
{
    mbi_lock_init(&check_lock);
    generation++;
}

size_t mbi_check_quarantined(size_t class)
{
    if (!checked_is_on()) {
        return 0;
    }
    mbi_check_lock();
    size_t count = of_pools[class].count;
    mbi_check_unlock();
    return count;
}

bool mbi_check_is_of_this_process(const struct object *object)
{
    return object->generation == generation;
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

/* A slot, the oldest first; or what serves the class when it has none. */
static bool place_in_pool(struct object *object, size_t class, size_t alignment_bytes,
                          const struct stack *now)
{
    uintptr_t start = reuse_slot(class, false, now);
    if (start == 0) {
        start = (uintptr_t)mbi_thread_cache_take(class);
    }
    if (start == 0) {
        start = reuse_slot(class, true, now);
    }
    if (start == 0) {
        start = (uintptr_t)mbi_thread_cache_spill(class, alignment_bytes);
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
    size_t canary = checks(CHECK_OVERFLOW) ? LARGE_CANARY_BYTES : 0;
    size_t bytes;
    if (__builtin_add_overflow(object->size_bytes, canary, &bytes)) {
        bytes = SIZE_MAX; /* which it will refuse */
    }
    void *start = alignment_bytes > ABI_ALIGNMENT_BYTES
                      ? mbi_large_aligned_alloc(alignment_bytes, bytes)
                      : mbi_large_alloc(bytes);
    mbi_thread_cache_count_large(1, 0);
    object->hidden = object_hide((uintptr_t)start);
    object->room_bytes = bytes;
    object->home = HOME_LARGE;
    return start != NULL; /* NOLINT(clang-analyzer-unix.Malloc): the ledger hides the address */
}

static bool place(struct object *object, size_t alignment_bytes, const struct stack *now)
{
    size_t canary = checks(CHECK_OVERFLOW) || is_watched ? SLOT_CANARY_BYTES : 0;
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

/* Gives back what was placed; a guarded page stays unused. */
static void displace(const struct object *object)
{
    if (object->home == HOME_SLOT) {
        mbi_pool_free_direct(&mbi_pools[object->class], (struct slot *)object_address(object));
    } else if (object->home == HOME_LARGE) {
        mbi_large_free((void *)object_address(object));
    }
}

/* False when there is no memory for the entry. */
static bool enter(struct object *object, const struct stack *now)
{
    mbi_check_lock();
    struct object *entry = mbi_ledger_enter(object_address(object));
    if (entry != NULL) {
        object->alloc_stack = mbi_stacks_put(now);
        object->generation = generation;
        *entry = *object;
    }
    mbi_check_unlock();
    return entry != NULL;
}

static void *allocate(size_t size_bytes, size_t alignment_bytes)
{
    int saved_errno = errno;
    struct stack now;
    struct object object = {
        .size_bytes = size_bytes, .state = OBJECT_LIVE, .alloc_thread = mbi_os_thread()
    };
    mbi_stacks_take(&now);
    if (!place(&object, alignment_bytes, &now)) {
        errno = ENOMEM;
        return NULL;
    }
    void *start = (void *)object_address(&object);
    if (object.home != HOME_LARGE) {
        annotate_open(start, object.room_bytes);
    }
    if (checks(CHECK_OVERFLOW)) {
        mbi_faults_set_canary(&object);
    }
    if (!enter(&object, &now)) {
        /* Nothing is known of it, so nothing can be checked; it is not handed out. */
        displace(&object);
        errno = ENOMEM;
        return NULL;
    }
    if (object.home == HOME_SLOT) {
        annotate_live(start, size_bytes, object.room_bytes);
    } else if (object.home == HOME_LARGE && is_watched) {
        annotate_close((char *)start + size_bytes, object.room_bytes - size_bytes);
    }
    errno = saved_errno;
    return start;
}

void *mbi_check_calloc_large(size_t count, size_t size_bytes)
{
    if (forwards) {
        return mbi_large_calloc(count, size_bytes);
    }
    void *pointer = allocate(count * size_bytes, ABI_ALIGNMENT_BYTES);
    return pointer != NULL ? memset(pointer, 0, count * size_bytes) : NULL;
}

void *mbi_check_alloc(size_t size_bytes, size_t alignment_bytes)
{
    if (forwards) {
        return alignment_bytes > ABI_ALIGNMENT_BYTES
                   ? mbi_large_aligned_alloc(alignment_bytes, size_bytes)
                   : mbi_large_alloc(size_bytes);
    }
    return allocate(size_bytes, alignment_bytes);
}

/* The object that a pointer lies in; false when there is none. */
static bool find_around(const void *pointer, struct object *out)
{
    uintptr_t start = 0;
    size_t class = region_class_of(pointer);
    if (class < SIZE_CLASS_COUNT) {
        size_t into;
        if (mbi_pool_locate(&mbi_pools[class], pointer, &into) == POOL_SLOT_INSIDE) {
            start = (uintptr_t)pointer - into;
        }
    }
    mbi_check_lock();
    if (mbi_guarded_holds(pointer)) {
        start = mbi_guarded_object_at(pointer);
    }
    const struct object *object = start != 0 ? mbi_ledger_find(start) : NULL;
    if (object != NULL) {
        *out = *object;
    }
    mbi_check_unlock();
    return object != NULL;
}

/* False when it may be an object that the system allocator gave to somebody else. */
static bool report_unknown(void *pointer, const struct stack *now)
{
    struct object around;
    bool found = find_around(pointer, &around);
    return mbi_faults_report_invalid(pointer, found ? &around : NULL, now);
}

static void put_in_quarantine(struct quarantine *quarantine, uintptr_t address)
{
    struct object *object = mbi_ledger_find(address);
    object->filled = checks(CHECK_USE_AFTER_FREE);
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
    if (keeps && checks(CHECK_USE_AFTER_FREE)) {
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

/* After everything was checked. */
static void keep(const struct object *object, const struct stack *now)
{
    switch (object->home) {
    case HOME_LARGE:
        mbi_thread_cache_count_large(0, 1);
        keep_large(object, now);
        return;
    case HOME_SLOT:
        if (checks(CHECK_USE_AFTER_FREE)) {
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

static void release(void *pointer, size_t said_bytes)
{
    struct stack now;
    struct object object = { .hidden = 0 };
    mbi_stacks_take(&now);
    mbi_check_lock();
    struct object *entry = mbi_ledger_find((uintptr_t)pointer);
    bool was_live = entry != NULL && entry->state == OBJECT_LIVE;
    if (was_live) {
        entry->state = OBJECT_FREED;
        entry->free_stack = mbi_stacks_put(&now);
        entry->free_thread = mbi_os_thread();
    }
    if (entry != NULL) {
        object = *entry;
    }
    mbi_check_unlock();

    if (entry == NULL) {
        if (!report_unknown(pointer, &now)) {
            mbi_thread_cache_count_large(0, 1);
            mbi_large_free(pointer);
        }
        return;
    }
    if (!was_live) {
        if (checks(CHECK_DOUBLE_FREE)) {
            mbi_faults_report_double_free(&object, &now);
        } else if (is_watched) {
            annotate_freed(pointer, 0); /* which memcheck reports */
        }
        return; /* the first free stands */
    }
    object.state = OBJECT_LIVE; /* until now: the reports say where it was allocated */
    if (checks(CHECK_SIZE) && said_bytes != CHECKED_SIZE_UNKNOWN
        && said_bytes != object.size_bytes) {
        mbi_faults_report_size(&object, said_bytes, &now);
    }
    struct damage damage;
    if (mbi_faults_find_overflow(&object, &damage)) {
        mbi_faults_report_overflow(&object, &damage, &now, "freed");
    }
    keep(&object, &now);
}

void mbi_check_free(void *pointer, size_t size_bytes)
{
    int saved_errno = errno;
    if (forwards) {
        mbi_large_free(pointer);
    } else {
        release(pointer, size_bytes);
    }
    errno = saved_errno;
}

/* A copy of what is known of an object; false when nothing is. */
static bool look_up(const void *pointer, struct object *out)
{
    mbi_check_lock();
    const struct object *object = mbi_ledger_find((uintptr_t)pointer);
    if (object != NULL) {
        *out = *object;
    }
    mbi_check_unlock();
    return object != NULL;
}

/* Always to another place: who keeps the old address is found out. */
static void *move(void *old, size_t old_bytes, size_t size_bytes, size_t alignment_bytes)
{
    void *moved = allocate(size_bytes, alignment_bytes);
    if (moved != NULL) {
        memcpy(moved, old, old_bytes < size_bytes ? old_bytes : size_bytes);
        mbi_check_free(old, CHECKED_SIZE_UNKNOWN);
    }
    return moved;
}

void *mbi_check_realloc(void *pointer, size_t size_bytes, size_t alignment_bytes)
{
    struct object object;
    if (pointer == NULL) {
        return mbi_check_alloc(size_bytes, alignment_bytes);
    }
    if (!forwards && look_up(pointer, &object)) {
        if (object.state == OBJECT_LIVE) {
            return move(pointer, object.size_bytes, size_bytes, alignment_bytes);
        }
        mbi_check_free(pointer, CHECKED_SIZE_UNKNOWN); /* says that it was freed before */
        return allocate(size_bytes, alignment_bytes);
    }
    struct stack now;
    mbi_stacks_take(&now);
    if (!forwards && report_unknown(pointer, &now)) {
        return allocate(size_bytes, alignment_bytes);
    }
    return mbi_large_realloc(pointer, size_bytes != 0 ? size_bytes : 1);
}

size_t mbi_check_usable_bytes(const void *pointer)
{
    struct object object;
    if (pointer == NULL) {
        return 0;
    }
    if (!forwards && look_up(pointer, &object)) {
        return object.size_bytes;
    }
    size_t class = region_class_of(pointer);
    return class < SIZE_CLASS_COUNT ? size_class_slot_bytes(class)
                                    : mbi_large_usable_bytes(pointer);
}
