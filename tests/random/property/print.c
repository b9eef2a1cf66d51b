/*
 * print: a program as C that compiles alone, with the model's text in front of it.
 *
 * execute.c has the same calls: change both. The text is that of the headers when this file was
 * compiled, without their includes of each other.
 */
#include "property/program.h"

#include <stdlib.h>
#include <string.h>

#define EMBED(name, file)                                                                          \
    __asm__(".pushsection .rodata\n" #name ":\n.incbin \"" PROPERTY_DIR "/" file "\"\n.byte 0\n"   \
            ".popsection\n");                                                                      \
    extern const char(name)[] __attribute__((visibility("hidden")))

EMBED(print_model_text, "model.h");
EMBED(print_rest_text, "rest.h");
EMBED(print_turns_text, "turns.h");

static void print_text(const char *text, FILE *stream)
{
    while (*text != '\0') {
        const char *line_end = strchr(text, '\n') + 1;
        if (strncmp(text, "#include \"property/", 19) != 0) {
            fwrite(text, 1, (size_t)(line_end - text), stream);
        }
        text = line_end;
    }
    fputc('\n', stream);
}

/* A size as C: the impossible ones are near SIZE_MAX, or PTRDIFF_MAX, and are written so. */
struct number {
    char text[40];
};

static struct number number_of(size_t value)
{
    struct number number;
    if (value > PTRDIFF_MAX) {
        snprintf(number.text, sizeof number.text, "SIZE_MAX - %zu", SIZE_MAX - value);
    } else {
        snprintf(number.text, sizeof number.text, "%zu", value);
    }
    return number;
}

static void print_on_objects(const struct call *call, FILE *out)
{
    size_t place = call->place;
    struct number size_text = number_of(call->size);
    struct number extra_text = number_of(call->extra);
    const char *size = size_text.text;
    const char *extra = extra_text.text;
    switch (call->kind) {
    case CALL_ALLOC:
        fprintf(out, "object_made(%zu, mb_alloc(%s), %s);", place, size, size);
        break;
    case CALL_CALLOC:
        fprintf(out, "object_zeroed(%zu, mb_calloc(%s, %s), %s, %s);", place, extra, size, extra,
                size);
        break;
    case CALL_ALIGNED_ALLOC:
        fprintf(out, "object_aligned(%zu, mb_aligned_alloc(%s, %s), %s, %s);", place, extra, size,
                extra, size);
        break;
    case CALL_REALLOC:
        fprintf(out, "object_resized(%zu, mb_realloc(object_at(%zu), %s), %s);", place, place,
                size, size);
        break;
    case CALL_FREE:
        fprintf(out, "mb_free(object_taken(%zu)); errno_kept();", place);
        break;
    case CALL_FREE_SIZED:
        fprintf(out, "mb_free_sized(object_taken(%zu), %s); errno_kept();", place, size);
        break;
    case CALL_ALLOC_BATCH:
        fprintf(out, "batch_made(%zu, %s, mb_alloc_batch(%s, %s, batch_room(%s)), %s);", place,
                extra, size, extra, extra, size);
        break;
    case CALL_FREE_BATCH:
        fprintf(out, "mb_free_batch(%s, batch_taken(%zu, %s)); batch_freed(%s);", extra, place,
                extra, extra);
        break;
    default:
        fprintf(out, "object_share(%zu, %s);", place, extra);
        break;
    }
}

static void print_call(const struct call *call, bool at_once, FILE *out)
{
    static const char *const handlers[] = { "NULL", "handler_refuses", "handler_frees" };
    fputs("    ", out);
    switch (call->kind) {
    case CALL_FLUSH:
        fputs("mb_thread_flush();", out);
        break;
    case CALL_IDLE:
        fputs("mb_thread_idle();", out);
        break;
    case CALL_BUSY:
        fputs("mb_thread_busy();", out);
        break;
    case CALL_TRIM:
        fprintf(out, "(void)mb_trim(%zu);", call->size);
        break;
    case CALL_LIMIT:
        fprintf(out, "limit_set(%zu); /* mb_memory_limit_set */", call->size);
        break;
    case CALL_HANDLER:
        fprintf(out, "mb_out_of_memory_handler_set(%s, tables);", handlers[call->extra]);
        break;
    case CALL_STATS:
        fputs("stats_look(); /* mb_stats_get */", out);
        break;
    case CALL_BACKGROUND_START:
        fputs("background_start(); /* mb_background_start */", out);
        break;
    case CALL_BACKGROUND_STOP:
        fputs("background_stop(); /* mb_background_stop */", out);
        break;
    case CALL_INIT:
        fputs("EXPECT(mb_init() == 0, \"mb_init\");", out);
        break;
    case CALL_THREAD_EXIT:
        fputs("/* the thread ends here */", out);
        break;
    case CALL_CHECK:
        fputs(at_once ? "/* nothing to do but to be checked */" : "model_check();", out);
        break;
    case CALL_FINISH:
        fputs("model_finish();", out);
        break;
    default:
        print_on_objects(call, out);
        break;
    }
    fputs(" errno = 0;\n", out);
}

/* True when the call begins a function of its own: another thread's, or a new one's. */
static bool begins_step(const struct program *program, size_t at)
{
    return at == 0 || program->calls[at].thread != program->calls[at - 1].thread
           || program->calls[at - 1].kind == CALL_THREAD_EXIT;
}

static bool one_thread(const struct program *program)
{
    for (size_t i = 0; i < program->count; i++) {
        if (program->calls[i].thread != 0 || program->calls[i].kind == CALL_THREAD_EXIT) {
            return false;
        }
    }
    return !program->at_once;
}

static void print_threads(const struct program *program, FILE *out)
{
    size_t steps = 0;
    for (size_t i = 0; i < program->count; i++) {
        const struct call *call = &program->calls[i];
        if (begins_step(program, i)) {
            fprintf(out, "static void step_%zu(const void *argument)\n{\n    (void)argument;\n",
                    ++steps);
            if (program->at_once) {
                fprintf(out, "    own = &tables[%u];\n", call->thread);
            }
        }
        print_call(call, program->at_once, out);
        if (i + 1 == program->count || begins_step(program, i + 1)) {
            fputs("}\n\n", out);
        }
    }
    fputs("/* thread, whether it ends then, function */\nstatic const struct step steps[] = {\n",
          out);
    steps = 0;
    for (size_t i = 0; i < program->count; i++) {
        const struct call *call = &program->calls[i];
        if (i + 1 == program->count || begins_step(program, i + 1)) {
            fprintf(out, "    { %u, %s, step_%zu, NULL },\n", call->thread,
                    call->kind == CALL_THREAD_EXIT ? "true" : "false", ++steps);
        }
    }
    fprintf(out, "};\n\nint main(void)\n{\n");
    if (program->at_once) {
        fputs("    model_at_once = true;\n", out);
    }
    fprintf(out, "    turns_run_%s(steps, sizeof steps / sizeof steps[0]);\n",
            program->at_once ? "at_once" : "one_by_one");
    fputs("    model_finish();\n    return 0;\n}\n", out);
}

/* Where magazines are small, a short program goes further: so the environment belongs to it. */
static void print_environment(FILE *out)
{
    extern char **environ;
    for (char **variable = environ; *variable != NULL; variable++) {
        if (strncmp(*variable, "MB_", 3) == 0) {
            fprintf(out, " * %s\n", *variable);
        }
    }
}

void program_print(const struct program *program, const char *remark, FILE *out)
{
    fprintf(out, "/*\n * %s\n * The calls are at the end. To compile and run it:\n", remark);
    fputs(" *   cc -pthread this.c -Iinclude build/release/lib/libmemorybucket.a -lurcu-bp\n", out);
    fputs(" * Environment:\n", out);
    print_environment(out);
    fputs(" */\n#define _GNU_SOURCE\n", out);
    print_text(print_model_text, out);
    print_text(print_rest_text, out);
    if (!one_thread(program)) {
        print_text(print_turns_text, out);
        print_threads(program, out);
        return;
    }
    fputs("int main(void)\n{\n", out);
    for (size_t i = 0; i < program->count; i++) {
        print_call(&program->calls[i], false, out);
    }
    fputs("    model_finish();\n    return 0;\n}\n", out);
}
