/* heap: checks all objects at once, by walks over the ledger. */
#include "check/check.h"
#include "check/faults.h"
#include "check/report.h"
#include "check/symbols.h"
#include "core/config.h"
#include "core/os.h"
#include "core/size_class.h"

/* Copies a damaged object that was not reported, and marks it as reported; false without one. */
static bool take_damaged(struct object *out, struct damage *damage)
{
    bool found = false;
    size_t index = 0;
    struct object *object;
    mbi_check_lock();
    while (!found && (object = mbi_ledger_next(&index)) != NULL) {
        found = mbi_faults_find_damage(object, damage);
        if (found) {
            *out = *object;
            object->reported = true;
        }
    }
    mbi_check_unlock();
    return found;
}

/* Starts anew after each report: entries move while the lock is not held. */
size_t mbi_heap_check(void)
{
    struct stack now;
    struct object object;
    struct damage damage;
    size_t count = 0;
    mbi_stacks_take(NULL, &now);
    while (take_damaged(&object, &damage)) {
        count++;
        mbi_faults_report_damage(&object, &damage, "found", &now);
    }
    return count;
}

/* The live objects that one stack allocated, and one of them as an example. */
struct leak {
    size_t bytes;
    size_t count;
    struct object example;
};

/* Fills leaks[0 .. stacks_end), by the number of the stack. */
static void add_up(struct leak *leaks, size_t stacks_end)
{
    size_t index = 0;
    const struct object *object;
    mbi_check_lock();
    while ((object = mbi_ledger_next(&index)) != NULL) {
        if (object->state == OBJECT_LIVE && object->size_bytes <= SMALL_BYTES_MAX
            && object->alloc_stack < stacks_end && object->generation == mbi_ledger_generation) {
            struct leak *leak = &leaks[object->alloc_stack];
            leak->bytes += object->size_bytes;
            leak->count++;
            leak->example = *object;
        }
    }
    mbi_check_unlock();
}

/*
 * Whether the objects of a stack are no leaks: the dynamic linker keeps them, for threads and
 * modules, or any code allocated them before stacks could be taken.
 */
static bool is_the_systems(uint32_t stack_id)
{
    struct stack stack;
    if (stack_id == STACK_LOST) {
        return false;
    }
    mbi_stacks_get(stack_id, &stack);
    uint32_t i = 0;
    while (i < stack.count && mbi_symbol_is_own(stack.frames[i])) {
        i++;
    }
    return i == stack.count || mbi_symbol_is_loaders(stack.frames[i]);
}

/* Forgets those objects; returns the sum of the others. */
static struct leak leave_out_the_systems(struct leak *leaks, size_t stacks_end)
{
    struct leak all = { .bytes = 0 };
    for (uint32_t id = 0; id < stacks_end; id++) {
        if (leaks[id].count != 0 && is_the_systems(id)) {
            leaks[id] = (struct leak){ .bytes = 0 };
        }
        all.bytes += leaks[id].bytes;
        all.count += leaks[id].count;
    }
    return all;
}

static uint32_t biggest(const struct leak *leaks, size_t stacks_end)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < stacks_end; i++) {
        bool is_more = leaks[i].bytes != leaks[best].bytes ? leaks[i].bytes > leaks[best].bytes
                                                           : leaks[i].count > leaks[best].count;
        best = is_more ? i : best;
    }
    return best;
}

static void report_leaks(struct leak *leaks, size_t stacks_end, struct leak all)
{
    enum { GROUPS_MAX = 100 };
    struct report report;
    char pool[POOL_NAME_BYTES];
    size_t left = all.count;
    mbi_report_begin(&report, "leak", "%zu bytes in %zu small objects were never freed", all.bytes,
                     all.count);
    for (int i = 0; i < GROUPS_MAX && left != 0; i++) {
        uint32_t id = biggest(leaks, stacks_end);
        struct leak *leak = &leaks[id];
        mbi_report_line(&report, "  %zu bytes in %zu objects, such as %p of %zu (%s)", leak->bytes,
                        leak->count, (void *)object_address(&leak->example),
                        leak->example.size_bytes, mbi_report_pool(leak->example.class, pool));
        mbi_report_stored(&report, "allocated", leak->example.alloc_thread, id);
        left -= leak->count;
        *leak = (struct leak){ .bytes = 0 };
    }
    if (left != 0) {
        mbi_report_line(&report, "  and %zu objects from places that have fewer bytes each", left);
    }
    mbi_report_end_if_open(&report);
}

static void check_leaks(void)
{
    mbi_check_lock();
    size_t stacks_end = mbi_stacks_end();
    mbi_check_unlock();
    struct leak *leaks = mbi_os_map(stacks_end * sizeof *leaks);
    if (leaks == NULL) {
        mbi_message("MB_CHECK: no memory to look for leaks");
        return;
    }
    add_up(leaks, stacks_end);
    struct leak all = leave_out_the_systems(leaks, stacks_end);
    if (all.count != 0) {
        report_leaks(leaks, stacks_end, all);
    }
    mbi_os_unreserve(leaks, stacks_end * sizeof *leaks);
}

void mbi_heap_check_at_exit(void)
{
    if (!config_checks(CHECK_ALL)) {
        return;
    }
    (void)mbi_heap_check();
    if (config_checks(CHECK_LEAK)) {
        check_leaks();
    }
}
