/* faults: patterns in memory, and the reports. */
#include "check/faults.h"

#include "check/annotate.h"
#include "check/guarded.h"
#include "check/report.h"
#include "check/symbols.h"
#include "core/config.h"
#include "core/large.h"
#include "core/os.h"
#include "core/pool.h"
#include "core/region.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* The first byte that is not `value`; false when all are. */
static bool find_other(const unsigned char *start, size_t bytes, unsigned char value, size_t *at)
{
    /* Quickly where nothing is wrong: each byte is equal to the next one. */
    if (bytes == 0
        || (start[0] == value && (bytes == 1 || memcmp(start, start + 1, bytes - 1) == 0))) {
        return false;
    }
    for (*at = 0; *at < bytes && start[*at] == value; ++*at) {
    }
    return *at < bytes;
}

static unsigned char *object_start(const struct object *object)
{
    return (unsigned char *)object_address(object);
}

void mbi_faults_set_canary(const struct object *object)
{
    memset(object_start(object) + object->size_bytes, CANARY_BYTE,
           object->room_bytes - object->size_bytes);
}

bool mbi_faults_find_overflow(const struct object *object, struct damage *damage)
{
    unsigned char *slack = object_start(object) + object->size_bytes;
    size_t bytes = object->room_bytes - object->size_bytes;
    size_t at = 0;
    if (!config_checks(CHECK_OVERFLOW) || object->reported) {
        return false;
    }
    annotate_open(slack, bytes);
    bool found = find_other(slack, bytes, CANARY_BYTE, &at);
    if (found) {
        *damage = (struct damage){ .at = object->size_bytes + at, .value = slack[at] };
    }
    annotate_close(slack, bytes);
    return found;
}

void mbi_faults_poison(const struct object *object)
{
    annotate_open(object_start(object), object->room_bytes);
    memset(object_start(object), FREED_BYTE, object->room_bytes);
}

bool mbi_faults_find_written(const struct object *object, struct damage *damage)
{
    unsigned char *start = object_start(object);
    size_t at = 0;
    if (!object->filled || object->reported) {
        return false;
    }
    annotate_open(start, object->room_bytes);
    bool found = find_other(start, object->room_bytes, FREED_BYTE, &at);
    if (found) {
        *damage = (struct damage){ .at = at, .value = start[at] };
    }
    annotate_close(start, object->room_bytes);
    return found;
}

void mbi_faults_report_overflow(const struct object *object, const struct damage *damage,
                                const struct stack *now, const char *when)
{
    struct report report;
    mbi_report_begin(&report, "overflow", "byte %zu of an object of %zu bytes was written (0x%02x)",
                     damage->at, object->size_bytes, damage->value);
    mbi_report_here(&report, object_start(object) + damage->at, when, now);
    mbi_report_object(&report, object);
    mbi_report_end(&report);
}

void mbi_faults_report_written(const struct object *object, const struct damage *damage,
                               const struct stack *now)
{
    struct report report;
    mbi_report_begin(&report, "use after free",
                     "byte %zu of an object of %zu bytes was written (0x%02x) after it was freed",
                     damage->at, object->size_bytes, damage->value);
    mbi_report_here(&report, object_start(object) + damage->at, "found", now);
    mbi_report_object(&report, object);
    mbi_report_end(&report);
}

void mbi_faults_report_double_free(const struct object *object, const struct stack *now)
{
    struct report report;
    mbi_report_begin(&report, "double free", "an object of %zu bytes was freed before",
                     object->size_bytes);
    mbi_report_here(&report, object_start(object), "freed again", now);
    mbi_report_object(&report, object);
    mbi_report_end(&report);
}

void mbi_faults_report_measured(const struct object *object, const struct stack *now)
{
    struct report report;
    mbi_report_begin(&report, "use after free",
                     "the usable size of an object of %zu bytes was asked for", object->size_bytes);
    mbi_report_here(&report, object_start(object), "measured", now);
    mbi_report_object(&report, object);
    mbi_report_end(&report);
}

void mbi_faults_report_size(const struct object *object, size_t said_bytes,
                            const struct stack *now)
{
    struct report report;
    mbi_report_begin(&report, "size mismatch", "freed as %zu bytes, allocated as %zu", said_bytes,
                     object->size_bytes);
    mbi_report_here(&report, object_start(object), "freed", now);
    mbi_report_object(&report, object);
    mbi_report_end(&report);
}

/* The top of the main thread's stack; the dynamic linker's, or the static program's. */
extern void *faults_libc_stack_end __asm__("__libc_stack_end");

/*
 * Whether an address lies on the calling thread's stack, below the frame it was called from. glibc
 * has a thread's own data at the upper end of its stack. A coroutine is on another stack: then the
 * two are far apart, and nothing is known.
 */
static bool is_on_stack(const void *pointer)
{
    const uintptr_t stack_bytes_max = (uintptr_t)64 << 20;
    uintptr_t from = (uintptr_t)__builtin_frame_address(0);
    uintptr_t main_end = (uintptr_t)faults_libc_stack_end;
    uintptr_t thread_end = (uintptr_t)pthread_self();
    uintptr_t to = main_end - from < thread_end - from ? main_end : thread_end;
    return to - from <= stack_bytes_max && (uintptr_t)pointer - from < to - from;
}

/*
 * What is wrong with a pointer into a pool's span that is no object's start. False when it is
 * somebody else's.
 */
static bool describe_in_pool(const void *pointer, size_t class, char *out, size_t room)
{
    struct pool *pool = &mbi_pools[class];
    size_t into;
    switch (mbi_pool_locate(pool, pointer, &into)) {
    case POOL_SLOT_START:
        (void)snprintf(out, room, "this slot of %zu bytes (pool %zu) is not allocated",
                       pool->slot_bytes, class);
        break;
    case POOL_SLOT_INSIDE:
        (void)snprintf(out, room, "it points %zu bytes into a slot of %zu (pool %zu)", into,
                       pool->slot_bytes, class);
        break;
    case POOL_NOT_CARVED:
        (void)snprintf(out, room, "pool %zu (slots of %zu bytes) has not got that far", class,
                       pool->slot_bytes);
        break;
    default:
        return false;
    }
    return true;
}

/* What is wrong with a pointer near an object. */
static void describe_near(const void *pointer, const struct object *near, char *out, size_t room)
{
    uintptr_t start = object_address(near);
    uintptr_t end = start + near->size_bytes;
    uintptr_t at = (uintptr_t)pointer;
    const char *where = at < start ? "before" : at < end ? "into" : "behind the end of";
    uintptr_t bytes = at < start ? start - at : at < end ? at - start : at - end;
    (void)snprintf(out, room, "it points %zu bytes %s an object of %zu", (size_t)bytes, where,
                   near->size_bytes);
}

bool mbi_faults_report_invalid(const void *pointer, enum use use, const struct object *near,
                               const struct stack *now)
{
    enum { POINTERS_ALIGNED_BYTES = 16 }; /* of what the system allocator gives */
    char what[256];
    struct symbol symbol;
    size_t class = region_class_of(pointer);
    mbi_symbol_find((const char *)pointer + 1, &symbol);
    if (near != NULL) {
        describe_near(pointer, near, what, sizeof what);
    } else if (class < SIZE_CLASS_COUNT && describe_in_pool(pointer, class, what, sizeof what)) {
        /* said */
    } else if (mbi_guarded_holds(pointer)) {
        (void)snprintf(what, sizeof what, "it points before or behind an object");
    } else if (is_on_stack(pointer)) {
        (void)snprintf(what, sizeof what, "it points to the thread's stack");
    } else if (symbol.file[0] != '\0') {
        (void)snprintf(what, sizeof what, "it points into %.180s", symbol.file);
    } else if ((uintptr_t)pointer % POINTERS_ALIGNED_BYTES != 0) {
        (void)snprintf(what, sizeof what, "no allocator gives such an address");
    } else if (!mbi_os_is_mapped(pointer)) {
        (void)snprintf(what, sizeof what, "no memory is mapped there");
    } else if (LARGE_IS_ALL_OURS != 0) {
        (void)snprintf(what, sizeof what, "no object begins there");
    } else {
        return false;
    }
    struct report report;
    mbi_report_begin(&report, use == USE_FREE ? "invalid free" : "invalid pointer", "%s", what);
    mbi_report_here(&report, pointer, use == USE_FREE ? "freed" : "measured", now);
    if (near != NULL) {
        mbi_report_object(&report, near);
    }
    mbi_report_end(&report);
    return true;
}
