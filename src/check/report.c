/* report: formats and writes reports without allocating. */
#include "check/report.h"

#include "check/symbols.h"
#include "core/config.h"
#include "core/os.h"
#include "core/size_class.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void report_flush(struct report *report)
{
    if (!mbi_os_write_all(STDERR_FILENO, report->text, report->used)) {
        report->is_closed = errno == EBADF;
    }
    report->used = 0;
}

/* Formats in place, as a fault handler may have little stack. Leaves room for the line's end. */
static void report_add_line(struct report *report, const char *format, va_list arguments)
{
    if (report->room - report->used < REPORT_LINE_BYTES) {
        report_flush(report);
    }
    int wanted = vsnprintf(report->text + report->used, REPORT_LINE_BYTES, format, arguments);
    if (wanted > 0) {
        report->used += size_min((size_t)wanted, REPORT_LINE_BYTES - 1);
    }
    report->text[report->used++] = '\n';
}

void mbi_report_line(struct report *report, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    report_add_line(report, format, arguments);
    va_end(arguments);
}

static void report_open(struct report *report, const char *kind)
{
    report->is_closed = false;
    report->room = REPORT_BYTES;
    report->text = mbi_os_map(REPORT_BYTES);
    if (report->text == NULL) {
        report->text = report->line;
        report->room = sizeof report->line;
    }
    report->used = (size_t)snprintf(report->text, REPORT_LINE_BYTES, "memorybucket: %s: ", kind);
}

void mbi_report_begin(struct report *report, const char *kind, const char *format, ...)
{
    va_list arguments;
    report_open(report, kind);
    va_start(arguments, format);
    report_add_line(report, format, arguments);
    va_end(arguments);
}

/* Adds the functions of a stack, without the library's own at its inner end. */
static void report_add_stack(struct report *report, const struct stack *stack)
{
    enum { OWN_FRAMES_MAX = 10 };
    struct symbol symbol;
    uint32_t first = 0;
    for (uint32_t i = 0; i < stack->count && i < OWN_FRAMES_MAX; i++) {
        mbi_symbol_find(stack->frames[i], &symbol);
        if (symbol.ours) {
            first = i + 1;
        }
    }
    for (uint32_t i = first; i < stack->count; i++) {
        mbi_symbol_find(stack->frames[i], &symbol);
        if (symbol.file[0] == '\0') {
            mbi_report_line(report, "    #%u %p", i - first, stack->frames[i]);
        } else if (symbol.name[0] == '\0') {
            mbi_report_line(report, "    #%u %p (%s+0x%zx)", i - first, stack->frames[i],
                            symbol.file, symbol.file_offset);
        } else {
            mbi_report_line(report, "    #%u %s+0x%zx (%s+0x%zx)", i - first, symbol.name,
                            symbol.offset, symbol.file, symbol.file_offset);
        }
    }
    if (stack->count <= first) {
        mbi_report_line(report, "    (no stack was taken)");
    }
}

void mbi_report_stored(struct report *report, const char *doing, int32_t thread, uint32_t stack_id)
{
    struct stack stack;
    mbi_report_line(report, "  %s by thread %d:", doing, thread);
    mbi_stacks_get(stack_id, &stack);
    report_add_stack(report, &stack);
}

const char *mbi_report_pool(unsigned class, char name[POOL_NAME_BYTES])
{
    if (class < SIZE_CLASS_COUNT) {
        (void)snprintf(name, POOL_NAME_BYTES, "pool %u", class);
        return name;
    }
    return "no pool";
}

void mbi_report_object(struct report *report, const struct object *object)
{
    void *start = (void *)object_address(object);
    char pool[POOL_NAME_BYTES];
    switch (object->home) {
    case HOME_SLOT:
        mbi_report_line(report, "  object  %p, %zu bytes in a slot of %zu of pool %u", start,
                        object->size_bytes, object->room_bytes, object->class);
        break;
    case HOME_GUARDED:
        mbi_report_line(report, "  object  %p, %zu bytes on a guarded page (%s serves it)", start,
                        object->size_bytes, mbi_report_pool(object->class, pool));
        break;
    default:
        mbi_report_line(report, "  object  %p, %zu bytes of the system allocator", start,
                        object->size_bytes);
        break;
    }
    if (object->state == OBJECT_FREED) {
        mbi_report_stored(report, "freed", object->free_thread, object->free_stack);
    }
    mbi_report_stored(report, "allocated", object->alloc_thread, object->alloc_stack);
}

void mbi_report_here(struct report *report, const void *pointer, const char *doing,
                     const struct stack *stack)
{
    mbi_report_line(report, "  pointer %p", pointer);
    mbi_report_line(report, "  %s by thread %d:", doing, mbi_os_thread());
    report_add_stack(report, stack);
}

static void report_close(struct report *report)
{
    report_flush(report);
    if (report->text != report->line) {
        mbi_os_unreserve(report->text, REPORT_BYTES);
    }
}

void mbi_report_warm_up(void)
{
    struct report report;
    struct stack stack;
    mbi_stacks_warm_up();
    mbi_stacks_take(NULL, &stack);
    mbi_report_begin(&report, "", "%s", "");
    report_add_stack(&report, &stack);
    report.used = 0;
    report_close(&report);
}

void mbi_report_end(struct report *report)
{
    report_close(report);
    if (!mbi_config.check_continue) {
        abort();
    }
}

void mbi_report_end_if_open(struct report *report)
{
    report_close(report);
    if (!report->is_closed && !mbi_config.check_continue) {
        abort();
    }
}

void mbi_report_misuse(const struct object *object, size_t at, const char *doing,
                       const struct stack *now, const char *kind, const char *format, ...)
{
    struct report report;
    va_list arguments;
    report_open(&report, kind);
    va_start(arguments, format);
    report_add_line(&report, format, arguments);
    va_end(arguments);
    mbi_report_here(&report, (char *)object_address(object) + at, doing, now);
    mbi_report_object(&report, object);
    mbi_report_end(&report);
}
