/* heap: walking the ledger. */
#include "check/heap.h"

#include "check/faults.h"
#include "check/report.h"
#include "check/symbols.h"
#include "core/config.h"
#include "core/os.h"
#include "core/size_class.h"
#include "tcache/checked.h"

static bool object_is_damaged(const struct object *object, struct damage *damage)
{
    return object->state == OBJECT_LIVE ? mbi_faults_find_overflow(object, damage)
                                        : mbi_faults_find_written(object, damage);
}

/* Any damaged object that was not reported yet, which it now counts as; false without one. */
static bool find_damaged(struct object *out, struct damage *damage)
{
    bool found = false;
    size_t place = 0;
    struct object *object;
    mbi_check_lock();
    while (!found && (object = mbi_ledger_next(&place)) != NULL) {
        found = object_is_damaged(object, damage);
        if (found) {
            *out = *object;
            object->reported = true;
        }
    }
    mbi_check_unlock();
    return found;
}

/* From the start after each report: entries move while the lock is not held. */
size_t mbi_heap_check(void)
{
    struct stack now;
    struct object object;
    struct damage damage;
    size_t count = 0;
    mbi_stacks_take(NULL, &now);
    while (find_damaged(&object, &damage)) {
        count++;
        if (object.state == OBJECT_LIVE) {
            mbi_faults_report_overflow(&object, &damage, &now, "found");
        } else {
            mbi_faults_report_written(&object, &damage, &now);
        }
    }
    return count;
}

/* Live objects that were allocated in one place. */
struct leak {
    size_t bytes;
    size_t count;
    int32_t thread;
    unsigned class;
    uintptr_t example;
    size_t example_bytes;
};

/* By the number of their stack: leaks[0 .. stacks_end). */
static void add_up(struct leak *leaks, size_t stacks_end)
{
    size_t place = 0;
    const struct object *object;
    mbi_check_lock();
    while ((object = mbi_ledger_next(&place)) != NULL) {
        if (object->state == OBJECT_LIVE && object->size_bytes <= SMALL_BYTES_MAX
            && object->alloc_stack < stacks_end && mbi_check_is_of_this_process(object)) {
            struct leak *leak = &leaks[object->alloc_stack];
            leak->bytes += object->size_bytes;
            leak->count++;
            leak->thread = object->alloc_thread;
            leak->class = object->class;
            leak->example = object_address(object);
            leak->example_bytes = object->size_bytes;
        }
    }
    mbi_check_unlock();
}

/*
 * The C library keeps some objects for ever: what the dynamic linker allocates for threads and
 * modules, and what was allocated before stacks could be taken, which is while it starts up.
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

/* Forgets those; what the others add up to. */
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
    struct stack stack;
    char pool[POOL_NAME_BYTES];
    size_t left = all.count;
    mbi_report_begin(&report, "leak", "%zu bytes in %zu small objects were never freed", all.bytes,
                     all.count);
    for (int i = 0; i < GROUPS_MAX && left != 0; i++) {
        uint32_t id = biggest(leaks, stacks_end);
        struct leak *leak = &leaks[id];
        mbi_report_line(&report, "  %zu bytes in %zu objects, such as %p of %zu (%s)", leak->bytes,
                        leak->count, (void *)leak->example, leak->example_bytes,
                        mbi_report_pool(leak->class, pool));
        mbi_report_line(&report, "  allocated by thread %d:", leak->thread);
        mbi_stacks_get(id, &stack);
        mbi_report_stack(&report, &stack);
        left -= leak->count;
        *leak = (struct leak){ .bytes = 0 };
    }
    if (left != 0) {
        mbi_report_line(&report, "  and %zu objects of other places, which have less each", left);
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
    if (!checked_is_on() || !config_checks(CHECK_ALL)) {
        return;
    }
    (void)mbi_heap_check();
    if (config_checks(CHECK_LEAK)) {
        check_leaks();
    }
}
