/*
 * check: allocation and free in checked mode.
 *
 * Ladder: above tcache, whose slow paths call it (core/upcalls.h).
 *
 *   alloc: finds memory (home.h), enters the object in the ledger
 *   free:  looks the object up, marks it as freed, checks it, keeps its memory (home.h)
 *
 * LOCK_CHECK guards the ledger, the stacks and the quarantines. A thread that holds it calls only
 * the kernel: it fills objects and writes reports without the lock.
 */
#include "check/check.h"

#include "check/annotate.h"
#include "check/faults.h"
#include "check/guarded.h"
#include "check/home.h"
#include "check/report.h"
#include "check/stacks.h"
#include "core/config.h"
#include "core/large.h"
#include "core/os.h"
#include "core/region.h"
#include "tcache/thread_cache.h"

#include <errno.h>
#include <string.h>

/* Builds with sanitizers are for tests, which test the pools. */
#ifdef MEMORYBUCKET_SANITIZED
enum { FORWARDS_TO_SANITIZER = false };
#else
enum { FORWARDS_TO_SANITIZER = true };
#endif

/* A sanitizer watches its own malloc, so that serves all. Constant from mbi_check_init on. */
static bool forwards;

static MBI_SELDOM void begin_checks(void)
{
    if (config_checks(CHECK_USE_AFTER_FREE | CHECK_OVERFLOW) && !annotate_is_watched()
        && mbi_guarded_init()) {
        mbi_segv_take();
    }
    /* Larger objects are the system allocator's: the ledger guards them there. Quarantines are of
     * small slots (home.c). */
    mbi_config.pool_bytes_max = SMALL_BYTES_MAX;
    /* release [CHECKED-STORE]: pairs with [CHECKED-LOAD], which then also sees the above. */
    atomic_store_explicit(&mbi_checked, true, memory_order_release);
}

bool mbi_check_init(void)
{
    forwards = FORWARDS_TO_SANITIZER && annotate_sanitizer_is_here() && mbi_config.check == 0;
    if (forwards || annotate_memcheck_is_here() || mbi_config.check != 0) {
        begin_checks();
    }
    return !forwards;
}

void mbi_check_note_child(void)
{
    if (checked_is_on()) {
        mbi_ledger_generation++;
    }
}

/* Enters a new object in the ledger; false when there is no memory for the entry. */
static bool enter(struct object *object, const struct stack *now)
{
    mbi_check_lock();
    struct object *entry = mbi_ledger_enter(object_address(object));
    if (entry != NULL) {
        object->alloc_stack = mbi_stacks_put(now);
        object->generation = mbi_ledger_generation;
        *entry = *object;
    }
    mbi_check_unlock();
    return entry != NULL;
}

/*
 * `caller`: a return address in the code that called the allocator (check/stacks.h).
 *
 * Static, but named mbi_: its callers jump to it, so it is the library's outermost frame in a
 * stack, and reports know the library's frames by their names (symbols.c).
 */
static void *mbi_check_allocate(size_t size_bytes, size_t alignment_bytes, const void *caller)
{
    int saved_errno = errno;
    struct stack now;
    struct object object = {
        .size_bytes = size_bytes, .state = OBJECT_LIVE, .alloc_thread = mbi_os_thread()
    };
    mbi_stacks_take(caller, &now);
    if (!mbi_home_find(&object, alignment_bytes, &now)) {
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
    if (!enter(&object, &now)) { /* without an entry it could not be checked */
        mbi_home_undo(&object);
        errno = ENOMEM;
        return NULL;
    }
    if (object.home == HOME_SLOT) {
        annotate_live(start, size_bytes, object.room_bytes);
    } else if (object.home == HOME_LARGE && annotate_is_watched()) {
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

/* Copies an object's entry; false when there is none. */
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
 * Finds the system allocator's object that a pointer lies in, if it begins less than 512 bytes
 * before. Small objects lie there, too, when no slot has room for their canary.
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

/* Finds the object that a pointer lies in or beside. */
static bool find_near(const void *pointer, struct object *out)
{
    size_t class = region_class_of(pointer);
    size_t into;
    if (mbi_guarded_holds(pointer)) {
        return mbi_guarded_find(pointer, out);
    }
    enum pool_location where = class < SIZE_CLASS_COUNT
                                   ? mbi_pool_locate(pool_at(class), pointer, &into)
                                   : POOL_NOT_MAPPED;
    if (where == POOL_NOT_MAPPED) {
        return find_large_around(pointer, out);
    }
    return where == POOL_SLOT_INSIDE && look_up((const char *)pointer - into, out);
}

/* Reports a pointer that is no object's; false when it may be the system allocator's. */
static bool report_unknown(const void *pointer, enum use use, const struct stack *now)
{
    struct object near;
    bool found = find_near(pointer, &near);
    return mbi_faults_report_invalid(pointer, use, found ? &near : NULL, now);
}

/*
 * Copies an object's entry, with the state that the object had, and then marks the object as freed;
 * false when there is no entry.
 */
static bool mark_freed(const void *pointer, const struct stack *now, struct object *out)
{
    mbi_check_lock();
    struct object *entry = mbi_ledger_find((uintptr_t)pointer);
    if (entry != NULL) {
        *out = *entry;
        if (entry->state == OBJECT_LIVE) {
            entry->state = OBJECT_FREED;
            entry->free_stack = mbi_stacks_put(now);
            entry->free_thread = mbi_os_thread();
        }
    }
    mbi_check_unlock();
    return entry != NULL;
}

static void free_unknown(void *pointer, const struct stack *now)
{
    if (!report_unknown(pointer, USE_FREE, now)) {
        mbi_thread_cache_count_large_free();
        mbi_large_free(pointer);
    }
}

/* The first free stands: nothing changes. */
static void free_again(const struct object *object, const struct stack *now)
{
    if (config_checks(CHECK_DOUBLE_FREE)) {
        mbi_report_misuse(object, 0, "freed again", now, "double free",
                          "an object of %zu bytes was freed before", object->size_bytes);
    } else if (annotate_is_watched()) {
        annotate_freed((void *)object_address(object), 0); /* memcheck reports this */
    }
}

static void free_live(const struct object *object, size_t said_bytes, const struct stack *now)
{
    struct damage damage;
    if (config_checks(CHECK_SIZE) && said_bytes != CHECKED_SIZE_UNKNOWN
        && said_bytes != object->size_bytes) {
        mbi_report_misuse(object, 0, "freed", now, "size mismatch",
                          "freed as %zu bytes, allocated as %zu", said_bytes, object->size_bytes);
    }
    if (mbi_faults_find_damage(object, &damage)) {
        mbi_faults_report_damage(object, &damage, "freed", now);
    }
    mbi_home_keep(object, now);
}

void mbi_check_free(void *pointer, size_t size_bytes)
{
    int saved_errno = errno;
    struct stack now;
    struct object object;
    if (forwards) {
        mbi_large_free(pointer);
        errno = saved_errno;
        return;
    }
    mbi_stacks_take(__builtin_return_address(0), &now);
    if (!mark_freed(pointer, &now, &object)) {
        free_unknown(pointer, &now);
    } else if (object.state == OBJECT_FREED) {
        free_again(&object, &now);
    } else {
        free_live(&object, size_bytes, &now);
    }
    errno = saved_errno;
}

/* Always moves the object, so that a use of the old address is found. */
static void *mbi_check_move(void *old, size_t old_bytes, size_t size_bytes, size_t alignment_bytes)
{
    void *moved = mbi_check_allocate(size_bytes, alignment_bytes, NULL);
    if (moved != NULL) {
        memcpy(moved, old, size_min(old_bytes, size_bytes));
        mbi_check_free(old, CHECKED_SIZE_UNKNOWN);
    }
    return moved;
}

void *mbi_check_realloc(void *pointer, size_t size_bytes, size_t alignment_bytes)
{
    struct object object;
    if (!forwards && look_up(pointer, &object)) {
        if (object.state == OBJECT_LIVE) {
            return mbi_check_move(pointer, object.size_bytes, size_bytes, alignment_bytes);
        }
        mbi_check_free(pointer, CHECKED_SIZE_UNKNOWN); /* reports the second free */
        return mbi_check_allocate(size_bytes, alignment_bytes, NULL);
    }
    struct stack now;
    mbi_stacks_take(NULL, &now);
    if (!forwards && report_unknown(pointer, USE_FREE, &now)) {
        return mbi_check_allocate(size_bytes, alignment_bytes, NULL);
    }
    return mbi_large_realloc(pointer, size_max(size_bytes, 1));
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
            mbi_report_misuse(&object, 0, "measured", &now, "use after free",
                              "the usable size of an object of %zu bytes was asked for",
                              object.size_bytes);
        }
        return 0; /* nothing of it may be used */
    }
    return report_unknown(pointer, USE_MEASURE, &now) ? 0 : mbi_large_usable_bytes(pointer);
}
