/* home: finds memory for objects, and keeps that of freed ones in quarantine. */
#include "check/home.h"

#include "check/annotate.h"
#include "check/faults.h"
#include "check/guarded.h"
#include "core/config.h"
#include "core/large.h"
#include "core/region.h"
#include "tcache/checked.h"
#include "tcache/thread_cache.h"

/* At most so much waits in quarantine: of each pool; of all objects of the system allocator. */
#define POOL_QUARANTINE_BYTES ((size_t)512 << 10)
#define LARGE_QUARANTINE_BYTES ((size_t)16 << 20)
#define LARGE_OBJECT_BYTES_MAX ((size_t)1 << 20) /* larger ones do not wait */

/* The canary: behind an object of the system allocator; in a slot, at least. */
enum { LARGE_CANARY_BYTES = 16, SLOT_CANARY_BYTES = 1 };

/* Under the check lock. */
static struct quarantine of_pools[SMALL_CLASS_COUNT];
static struct quarantine of_large;

/* Whether freed memory waits: memory in use again hides misuse of the old object. */
static bool quarantines(void)
{
    return config_checks(CHECK_USE_AFTER_FREE | CHECK_DOUBLE_FREE);
}

size_t mbi_home_quarantined(size_t class)
{
    if (!checked_is_on()) {
        return 0;
    }
    mbi_check_lock();
    size_t count = of_pools[class].count;
    mbi_check_unlock();
    return count;
}

static void report_if_written(const struct object *freed, const struct stack *now)
{
    struct damage damage;
    if (mbi_faults_find_damage(freed, &damage)) {
        mbi_faults_report_damage(freed, &damage, "found", now);
    }
}

/*
 * Takes the slot that has waited longest in a pool's quarantine, if that is too full or the slot is
 * needed; 0 otherwise, and without one.
 */
static uintptr_t reuse_slot(size_t class, bool needed, const struct stack *now)
{
    struct object object = { .state = OBJECT_FREED };
    size_t bytes_max = quarantines() || annotate_is_watched() ? POOL_QUARANTINE_BYTES : 0;
    mbi_check_lock();
    if (needed || of_pools[class].bytes > bytes_max) {
        struct object *oldest = quarantine_take(&of_pools[class]);
        if (oldest != NULL) {
            object = *oldest;
            oldest->filled = false; /* mbi_heap_check may meet it before it is entered again */
        }
    }
    mbi_check_unlock();
    report_if_written(&object, now);
    return object_address(&object);
}

/* Takes a needed slot of the class, or of a larger class that is aligned alike. */
static uintptr_t reuse_needed_slot(size_t class, size_t alignment_bytes, const struct stack *now)
{
    uintptr_t start = 0;
    while (start == 0 && class < SMALL_CLASS_COUNT) {
        start = reuse_slot(class, true, now);
        class = size_class_next_aligned(class, alignment_bytes);
    }
    return start;
}

/* Fills in where an object is; false when `start` is 0: there is no memory for it. */
static bool set_home(struct object *object, uintptr_t start, enum object_home home,
                     size_t room_bytes)
{
    object->hidden = object_hide(start);
    object->home = (uint8_t)home;
    object->room_bytes = room_bytes;
    return start != 0;
}

static bool find_guarded(struct object *object, size_t alignment_bytes)
{
    size_t room_bytes = 0;
    mbi_check_lock();
    void *start = mbi_guarded_take(object->size_bytes, alignment_bytes, &room_bytes);
    mbi_check_unlock();
    return set_home(object, (uintptr_t)start, HOME_GUARDED, room_bytes);
}

/* In a slot of the class, or in what serves it when the pool has nothing. */
static bool find_in_pool(struct object *object, size_t class, size_t alignment_bytes,
                          const struct stack *now)
{
    uintptr_t start = reuse_slot(class, false, now);
    start = start != 0 ? start : (uintptr_t)mbi_thread_cache_take(class);
    start = start != 0 ? start : reuse_needed_slot(class, alignment_bytes, now);
    start = start != 0 ? start : (uintptr_t)mbi_thread_cache_spill(class, alignment_bytes);
    /* Spilling calls the program's out-of-memory handler, which may have freed a slot. */
    start = start != 0 ? start : reuse_needed_slot(class, alignment_bytes, now);
    size_t found = region_class_of((const void *)start);
    if (found >= SIZE_CLASS_COUNT) {
        return set_home(object, start, HOME_LARGE, size_class_slot_bytes(class));
    }
    object->class = (uint8_t)found;
    return set_home(object, start, HOME_SLOT, size_class_slot_bytes(found));
}

static bool find_large(struct object *object, size_t alignment_bytes)
{
    size_t canary = config_checks(CHECK_OVERFLOW) ? LARGE_CANARY_BYTES : 0;
    size_t bytes;
    if (__builtin_add_overflow(object->size_bytes, canary, &bytes)) {
        bytes = SIZE_MAX; /* which the system allocator refuses */
    }
    void *start = alignment_bytes > ABI_ALIGNMENT_BYTES
                      ? mbi_large_aligned_alloc(alignment_bytes, bytes)
                      : mbi_large_alloc(bytes);
    mbi_thread_cache_begin_large_alloc();
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the ledger hides the address */
    return set_home(object, (uintptr_t)start, HOME_LARGE, bytes);
}

bool mbi_home_find(struct object *object, size_t alignment_bytes, const struct stack *now)
{
    size_t canary = config_checks(CHECK_OVERFLOW) || annotate_is_watched() ? SLOT_CANARY_BYTES : 0;
    if (object->size_bytes > SMALL_BYTES_MAX) {
        return find_large(object, alignment_bytes);
    }
    /* For reports; SIZE_CLASS_COUNT when no pool serves such an object. */
    object->class = (uint8_t)size_class_of_aligned(alignment_bytes, object->size_bytes,
                                                   SMALL_BYTES_MAX);
    if (find_guarded(object, alignment_bytes)) {
        return true;
    }
    size_t class = size_class_of_aligned(alignment_bytes, object->size_bytes + canary,
                                         SMALL_BYTES_MAX);
    return class < SIZE_CLASS_COUNT ? find_in_pool(object, class, alignment_bytes, now)
                                    : find_large(object, alignment_bytes);
}

void mbi_home_undo(const struct object *object)
{
    if (object->home == HOME_SLOT) {
        mbi_pool_free_direct(pool_at(object->class), (struct slot *)object_address(object));
    } else if (object->home == HOME_LARGE) {
        mbi_large_free((void *)object_address(object));
    }
}

/* Fills the object if its bytes are checked later, and puts it in quarantine. */
static void fill_and_keep(const struct object *object, struct quarantine *quarantine)
{
    bool fills = config_checks(CHECK_USE_AFTER_FREE);
    if (fills) {
        mbi_faults_poison(object);
    }
    if (object->home == HOME_SLOT) {
        annotate_freed((void *)object_address(object), object->room_bytes);
    }
    mbi_check_lock();
    struct object *entry = mbi_ledger_find(object_address(object));
    entry->filled = fills;
    quarantine_put(quarantine, entry);
    mbi_check_unlock();
}

/* Takes the oldest of the system allocator's objects, if their quarantine is too full. */
static bool take_oldest_large(struct object *oldest)
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
    mbi_thread_cache_count_large_free();
    if (quarantines() && !annotate_is_watched() && object->room_bytes <= LARGE_OBJECT_BYTES_MAX) {
        fill_and_keep(object, &of_large);
    } else {
        mbi_check_lock();
        mbi_ledger_remove(object_address(object));
        mbi_check_unlock();
        mbi_large_free((void *)object_address(object));
    }
    while (take_oldest_large(&oldest)) {
        report_if_written(&oldest, now);
        mbi_large_free((void *)object_address(&oldest));
    }
}

void mbi_home_keep(const struct object *object, const struct stack *now)
{
    if (object->home == HOME_LARGE) {
        keep_large(object, now);
    } else if (object->home == HOME_SLOT) {
        fill_and_keep(object, &of_pools[object->class]);
    } else {
        mbi_check_lock();
        mbi_guarded_free(mbi_ledger_find(object_address(object)));
        mbi_check_unlock();
    }
}
