/* execute: each call, made and checked. print.c has the same calls as text: change both. */
#include "property/execute.h"

#include "property/rest.h"
#include "property/turns.h"
#include "testing.h"

#include "core/config.h"

_Static_assert((int)PROGRAM_BATCH_MAX == (int)BATCH_MAX
                   && (int)PROGRAM_SHARED_PLACES == (int)SHARED_PLACES
                   && (int)PROGRAM_THREADS_MAX == (int)TURNS_THREADS_MAX
                   && (int)PROGRAM_THREADS_MAX <= (int)TABLES,
               "programs stay within the model");

/* Beyond what the public header offers: the pools' own walk of all that they hold. */
static void check_pools(void)
{
    size_t count = objects_collect();
    uint64_t pooled = 0;
    for (size_t i = 0; i < count; i++) {
        pooled += every_object[i]->pooled;
    }
    if (!background) {
        (void)check_accounting(pooled);
    }
}

static void check_own(void)
{
    for (size_t place = 0; place < PLACES; place++) {
        const struct object *object = &own->at[place];
        object_check(object, object->memory, object->memory != NULL ? object->usable : 0);
    }
}

static void handler_set(size_t which)
{
    static mb_out_of_memory_handler *const handlers[] = { NULL, handler_refuses, handler_frees };
    mb_out_of_memory_handler_set(handlers[which], tables);
}

static void run_on_objects(const struct call *call)
{
    size_t place = call->place;
    size_t size = call->size;
    size_t extra = call->extra;
    switch (call->kind) {
    case CALL_ALLOC:
        object_made(place, mb_alloc(size), size);
        break;
    case CALL_CALLOC:
        object_zeroed(place, mb_calloc(extra, size), extra, size);
        break;
    case CALL_ALIGNED_ALLOC:
        object_aligned(place, mb_aligned_alloc(extra, size), extra, size);
        break;
    case CALL_REALLOC:
        object_resized(place, mb_realloc(object_at(place), size), size);
        break;
    case CALL_FREE:
        mb_free(object_taken(place));
        errno_kept();
        break;
    case CALL_FREE_SIZED:
        mb_free_sized(object_taken(place), size);
        errno_kept();
        break;
    case CALL_ALLOC_BATCH:
        batch_made(place, extra, mb_alloc_batch(size, extra, batch_room(extra)), size);
        break;
    case CALL_FREE_BATCH:
        mb_free_batch(extra, batch_taken(place, extra));
        batch_freed(extra);
        break;
    default:
        object_share(place, extra);
        break;
    }
}

static void run_call(const void *argument)
{
    const struct call *call = argument;
    if (model_at_once) {
        own = &tables[call->thread];
    }
    switch (call->kind) {
    case CALL_FLUSH:
        mb_thread_flush();
        break;
    case CALL_IDLE:
        mb_thread_idle();
        break;
    case CALL_BUSY:
        mb_thread_busy();
        break;
    case CALL_TRIM:
        (void)mb_trim(call->size);
        break;
    case CALL_LIMIT:
        limit_set(call->size);
        break;
    case CALL_HANDLER:
        handler_set(call->extra);
        break;
    case CALL_STATS:
        stats_look();
        break;
    case CALL_BACKGROUND_START:
        background_start();
        break;
    case CALL_BACKGROUND_STOP:
        background_stop();
        break;
    case CALL_INIT:
        CHECK(mb_init() == 0, "mb_init");
        break;
    case CALL_THREAD_EXIT:
        break;
    case CALL_CHECK:
        if (model_at_once) {
            check_own();
        } else {
            model_check();
            check_pools();
        }
        break;
    case CALL_FINISH:
        model_finish();
        break;
    default:
        run_on_objects(call);
        break;
    }
    errno = 0;
}

/* Where blocks are small, too, a short program goes further. */
static void set_block_bytes(void)
{
    const char *bytes = getenv("PROPERTY_BLOCK_BYTES");
    if (bytes != NULL) {
        (void)mb_init();
        mbi_config.block_bytes = strtoul(bytes, NULL, 10);
    }
}

void execute(const struct program *program)
{
    set_block_bytes();
    struct step *steps = calloc(program->count + 1, sizeof *steps);
    CHECK(steps != NULL, "no memory for %zu steps", program->count);
    for (size_t i = 0; i < program->count; i++) {
        const struct call *call = &program->calls[i];
        steps[i] = (struct step){ .thread = call->thread, .last = call->kind == CALL_THREAD_EXIT,
                                  .run = run_call, .argument = call };
    }
    model_at_once = program->at_once;
    if (program->at_once) {
        turns_run_at_once(steps, program->count);
    } else {
        turns_run_one_by_one(steps, program->count);
    }
    free(steps);
    model_finish();
    check_pools();
}
