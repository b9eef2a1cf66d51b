/*
 * check: checked mode's allocation and free, each object entered in the ledger.
 *
 * Ladder: above tcache, whose slow paths call it (core/upcalls.h).
 *
 *   alloc: placed (place.h), entered in the ledger
 *   free:  looked up, marked as freed, checked, kept (place.h)
 *
 * One lock guards the ledger, the stacks and the quarantine. It is the innermost of all: under it
 * nothing is called but the kernel. Objects are filled, and reports are written, without.
 */
#include "check/check.h"

#include "check/annotate.h"
#include "check/faults.h"
#include "check/guarded.h"
#include "check/heap.h"
#include "check/place.h"
#include "check/stacks.h"
#include "core/config.h"
#include "core/large.h"
#include "core/lock.h"
#include "core/os.h"
#include "core/region.h"
#include "tcache/thread_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Constant from mbi_check_init on. */
static bool forwards; /* a sanitizer has its own malloc, and watches that */

/* Under LOCK_CHECK. */
static uint32_t generation;

bool mbi_check_init(void)
{
    forwards = annotate_sanitizer_is_here() && mbi_config.check == 0
               && !mbi_config.sanitizer_pools;
    mbi_place_init();
    if (forwards || annotate_memcheck_is_here() || mbi_config.check != 0) {
        /* release [CHECKED-STORE]: pairs with [CHECKED-LOAD]: what is above is seen, too. */
        atomic_store_explicit(&mbi_checked, true, memory_order_release);
    }
    return !forwards;
}

void mbi_check_note_child(void)
{
    if (checked_is_on()) {
        generation++;
    }
}

size_t mbi_check_quarantined(size_t class)
{
    return checked_is_on() ? mbi_place_quarantined(class) : 0;
}

bool mbi_check_is_of_this_process(const struct object *object)
{
    return object->generation == generation;
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

/*
 * `caller`: a return address in who called the allocator (check/stacks.h).
 *
 * Named like what other files use, as it is what stays of the library in a stack: it is called last
 * and in place of its callers, and reports leave out what is the library's by its name (symbols.c).
 */
static void *mbi_check_allocate(size_t size_bytes, size_t alignment_bytes, const void *caller)
{
    int saved_errno = errno;
    struct stack now;
    struct object object = {
        .size_bytes = size_bytes, .state = OBJECT_LIVE, .alloc_thread = mbi_os_thread()
    };
    mbi_stacks_take(caller, &now);
    if (!mbi_place_object(&object, alignment_bytes, &now)) {
        errno = ENOMEM;
        return NULL;
    }
    void *start = (void *)object_address(&object);
    if (object.home != HOME_LARGE) {
        annotate_open(start, object.room_bytes);
    }
    if (config_checks(CHECK_OVERFLOW)) {
        mbi_faults_set_canary(&object);
    }
    if (!enter(&object, &now)) {
        /* Nothing is known of it, so nothing can be checked; it is not handed out. */
        mbi_place_undo(&object);
        errno = ENOMEM;
        return NULL;
    }
    if (object.home == HOME_SLOT) {
        annotate_live(start, size_bytes, object.room_bytes);
    } else if (object.home == HOME_LARGE && mbi_place_is_watched()) {
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
    void *pointer = mbi_check_allocate(count * size_bytes, ABI_ALIGNMENT_BYTES, NULL);
    return pointer != NULL ? memset(pointer, 0, count * size_bytes) : NULL;
}

void *mbi_check_alloc(size_t size_bytes, size_t alignment_bytes)
{
    if (forwards) {
        return alignment_bytes > ABI_ALIGNMENT_BYTES
                   ? mbi_large_aligned_alloc(alignment_bytes, size_bytes)
                   : mbi_large_alloc(size_bytes);
    }
    return mbi_check_allocate(size_bytes, alignment_bytes, __builtin_return_address(0));
}

/* A copy of what is known of an object; false when nothing is. */
static bool look_up(const void *pointer, struct object *out)
{
    mbi_check_lock();
    bool found = mbi_ledger_copy((uintptr_t)pointer, out);
    mbi_check_unlock();
    return found;
}

bool mbi_check_holds(const void *pointer)
{
    struct object object;
    return checked_is_on() && !forwards && look_up(pointer, &object);
}

/*
 * The system allocator's object that a pointer lies in, within its first 512 bytes: these are all
 * of one that is small and was placed there for its canary. What the ledger has is nobody else's.
 */
static bool find_large_around(const void *pointer, struct object *out)
{
    uintptr_t address = (uintptr_t)pointer;
    size_t into = address % ABI_ALIGNMENT_BYTES;
    bool found = false;
    mbi_check_lock();
    while (!found && into < SMALL_BYTES_MAX) {
        found = mbi_ledger_copy(address - into, out) && into < out->room_bytes;
        into += ABI_ALIGNMENT_BYTES;
    }
    mbi_check_unlock();
    return found;
}

/* The object that a pointer lies in or beside; false when there is none. */
static bool find_near(const void *pointer, struct object *out)
{
    size_t class = region_class_of(pointer);
    size_t into;
    if (mbi_guarded_holds(pointer)) {
        return mbi_guarded_find(pointer, out);
    }
    enum pool_location where = class < SIZE_CLASS_COUNT
                                   ? mbi_pool_locate(&mbi_pools[class], pointer, &into)
                                   : POOL_NOT_MAPPED;
    if (where == POOL_NOT_MAPPED) {
        return find_large_around(pointer, out);
    }
    return where == POOL_SLOT_INSIDE && look_up((const char *)pointer - into, out);
}

/* False when it may be an object that the system allocator gave to somebody else. */
static bool report_unknown(const void *pointer, enum use use, const struct stack *now)
{
    struct object near;
    bool found = find_near(pointer, &near);
    return mbi_faults_report_invalid(pointer, use, found ? &near : NULL, now);
}

static void release(void *pointer, size_t said_bytes, const void *caller)
{
    struct stack now;
    struct object object = { .hidden = 0 };
    mbi_stacks_take(caller, &now);
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
        if (!report_unknown(pointer, USE_FREE, &now)) {
            mbi_thread_cache_count_large_free();
            mbi_large_free(pointer);
        }
        return;
    }
    if (!was_live) {
        if (config_checks(CHECK_DOUBLE_FREE)) {
            mbi_faults_report_double_free(&object, &now);
        } else if (mbi_place_is_watched()) {
            annotate_freed(pointer, 0); /* which memcheck reports */
        }
        return; /* the first free stands */
    }
    object.state = OBJECT_LIVE; /* until now: the reports say where it was allocated */
    if (config_checks(CHECK_SIZE) && said_bytes != CHECKED_SIZE_UNKNOWN
        && said_bytes != object.size_bytes) {
        mbi_faults_report_size(&object, said_bytes, &now);
    }
    struct damage damage;
    if (mbi_faults_find_overflow(&object, &damage)) {
        mbi_faults_report_overflow(&object, &damage, &now, "freed");
    }
    mbi_place_keep(&object, &now);
}

void mbi_check_free(void *pointer, size_t size_bytes)
{
    int saved_errno = errno;
    if (forwards) {
        mbi_large_free(pointer);
    } else {
        release(pointer, size_bytes, __builtin_return_address(0));
    }
    errno = saved_errno;
}

/* Always to another place: who keeps the old address is found out. Named as above. */
static void *mbi_check_move(void *old, size_t old_bytes, size_t size_bytes, size_t alignment_bytes)
{
    void *moved = mbi_check_allocate(size_bytes, alignment_bytes, NULL);
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
            return mbi_check_move(pointer, object.size_bytes, size_bytes, alignment_bytes);
        }
        mbi_check_free(pointer, CHECKED_SIZE_UNKNOWN); /* says that it was freed before */
        return mbi_check_allocate(size_bytes, alignment_bytes, NULL);
    }
    struct stack now;
    mbi_stacks_take(NULL, &now);
    if (!forwards && report_unknown(pointer, USE_FREE, &now)) {
        return mbi_check_allocate(size_bytes, alignment_bytes, NULL);
    }
    return mbi_large_realloc(pointer, size_bytes != 0 ? size_bytes : 1);
}

size_t mbi_check_usable_bytes(const void *pointer)
{
    struct object object;
    struct stack now;
    if (pointer == NULL) {
        return 0;
    }
    if (forwards) {
        return mbi_large_usable_bytes(pointer);
    }
    bool found = look_up(pointer, &object);
    if (found && object.state == OBJECT_LIVE) {
        return object.size_bytes;
    }
    mbi_stacks_take(NULL, &now);
    if (found) {
        if (config_checks(CHECK_USE_AFTER_FREE)) {
            mbi_faults_report_measured(&object, &now);
        }
        return 0; /* nothing of it may be used */
    }
    return report_unknown(pointer, USE_MEASURE, &now) ? 0 : mbi_large_usable_bytes(pointer);
}
