/* faults: patterns in memory, and what is wrong with a pointer. */
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

/* Finds the first byte that is not `value`; false when all are. */
static bool find_other(const unsigned char *start, size_t bytes, unsigned char value, size_t *at)
{
    /* Fast where nothing is wrong: the first byte is right, and each equals the next one. */
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

void mbi_faults_poison(const struct object *object)
{
    annotate_open(object_start(object), object->room_bytes);
    memset(object_start(object), FREED_BYTE, object->room_bytes);
}

bool mbi_faults_find_damage(const struct object *object, struct damage *damage)
{
    bool is_live = object->state == OBJECT_LIVE;
    size_t from = is_live ? object->size_bytes : 0;
    size_t bytes = object->room_bytes - from;
    unsigned char *start = object_start(object) + from;
    size_t at = 0;
    if (object->reported || !(is_live ? config_checks(CHECK_OVERFLOW) : object->filled)) {
        return false;
    }
    annotate_open(start, bytes);
    bool found = find_other(start, bytes, is_live ? CANARY_BYTE : FREED_BYTE, &at);
    if (found) {
        *damage = (struct damage){ .at = from + at, .value = start[at] };
    }
    annotate_close(start, bytes);
    return found;
}

void mbi_faults_report_damage(const struct object *object, const struct damage *damage,
                              const char *doing, const struct stack *now)
{
    bool is_live = object->state == OBJECT_LIVE;
    mbi_report_misuse(object, damage->at, doing, now, is_live ? "overflow" : "use after free",
                      "byte %zu of an object of %zu bytes was written (0x%02x)%s", damage->at,
                      object->size_bytes, damage->value, is_live ? "" : " after it was freed");
}

/* The upper end of the main thread's stack; from the dynamic linker, or the static program. */
extern void *faults_libc_stack_end __asm__("__libc_stack_end");

/*
 * Whether an address lies on the calling thread's stack: between this frame and the thread's own
 * data, which glibc puts at the stack's upper end. False in a coroutine, which is far from it.
 */
static bool is_on_stack(const void *pointer)
{
    const uintptr_t stack_bytes_max = (uintptr_t)64 << 20;
    uintptr_t from = (uintptr_t)__builtin_frame_address(0);
    uintptr_t main_end = (uintptr_t)faults_libc_stack_end;
    uintptr_t thread_end = (uintptr_t)pthread_self();
    size_t bytes = size_min(main_end - from, thread_end - from);
    return bytes <= stack_bytes_max && (uintptr_t)pointer - from < bytes;
}

enum { DESCRIPTION_BYTES = 256 };

/* What is wrong with a pointer into a pool's span; NULL where the pool has nothing mapped. */
static const char *describe_in_pool(const void *pointer, size_t class, char out[DESCRIPTION_BYTES])
{
    struct pool *pool = pool_at(class);
    size_t into;
    switch (mbi_pool_locate(pool, pointer, &into)) {
    case POOL_SLOT_START:
        (void)snprintf(out, DESCRIPTION_BYTES, "this slot of %u bytes (pool %zu) is not allocated",
                       pool->slot_bytes, class);
        return out;
    case POOL_SLOT_INSIDE:
        (void)snprintf(out, DESCRIPTION_BYTES, "it points %zu bytes into a slot of %u (pool %zu)",
                       into, pool->slot_bytes, class);
        return out;
    case POOL_NOT_CARVED:
        (void)snprintf(out, DESCRIPTION_BYTES,
                       "pool %zu (slots of %u bytes) has not carved that far", class,
                       pool->slot_bytes);
        return out;
    default:
        return NULL;
    }
}

static const char *describe_near(const void *pointer, const struct object *near,
                                 char out[DESCRIPTION_BYTES])
{
    uintptr_t start = object_address(near);
    uintptr_t end = start + near->size_bytes;
    uintptr_t at = (uintptr_t)pointer;
    const char *where = at < start ? "before" : at < end ? "into" : "behind the end of";
    uintptr_t bytes = at < start ? start - at : at < end ? at - start : at - end;
    (void)snprintf(out, DESCRIPTION_BYTES, "it points %zu bytes %s an object of %zu", (size_t)bytes,
                   where, near->size_bytes);
    return out;
}

/* The same for a pointer near no known object; NULL when it may be the system allocator's. */
static const char *describe(const void *pointer, char out[DESCRIPTION_BYTES])
{
    struct symbol symbol;
    size_t class = region_class_of(pointer);
    const char *what = class < SIZE_CLASS_COUNT ? describe_in_pool(pointer, class, out) : NULL;
    if (what != NULL) {
        return what;
    }
    if (mbi_guarded_holds(pointer)) {
        return "it points before or behind an object";
    }
    if (is_on_stack(pointer)) {
        return "it points to the thread's stack";
    }
    mbi_symbol_find((const char *)pointer + 1, &symbol);
    if (symbol.file[0] != '\0') {
        (void)snprintf(out, DESCRIPTION_BYTES, "it points into %.180s", symbol.file);
        return out;
    }
    if ((uintptr_t)pointer % ABI_ALIGNMENT_BYTES != 0) {
        return "no allocator gives such an address";
    }
    if (!mbi_os_is_mapped(pointer)) {
        return "no memory is mapped there";
    }
    return LARGE_IS_ALL_OURS != 0 ? "no object begins there" : NULL;
}

bool mbi_faults_report_invalid(const void *pointer, enum use use, const struct object *near,
                               const struct stack *now)
{
    char text[DESCRIPTION_BYTES];
    const char *what = near != NULL ? describe_near(pointer, near, text) : describe(pointer, text);
    if (what == NULL) {
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
