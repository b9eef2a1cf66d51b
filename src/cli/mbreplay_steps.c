/* mbreplay_steps: chooses classes as the drop-in does. */
#include "cli/mbreplay_steps.h"

#include "cli/mbreplay_base.h"

#include <stdlib.h>

/* Where an object is: in a class, or large. */
struct home {
    uint64_t size;
    uint8_t class; /* SIZE_CLASS_COUNT: large */
};

static void step_add(struct steps *steps, enum class_step_kind kind, uint32_t thread,
                     const struct home *home)
{
    if (steps->count == steps->room) {
        steps->room = steps->room != 0 ? 2 * steps->room : 4096;
        steps->steps = mbreplay_grow(steps->steps, steps->room, sizeof *steps->steps);
    }
    struct class_step *step = &steps->steps[steps->count++];
    *step = (struct class_step){ thread, home->class, (uint8_t)kind };
    if (home->class == SIZE_CLASS_COUNT && kind != STEP_END) {
        uint64_t units = home->size / LARGE_UNIT;
        step->kind = kind == STEP_TAKE ? STEP_LARGE_TAKE : STEP_LARGE_GIVE;
        step->thread = units < UINT32_MAX ? (uint32_t)units : UINT32_MAX;
    }
}

/* As malloc and aligned_alloc choose with a border of 32 KiB; below it is the same with others. */
static struct home home_for(uint64_t size, uint32_t alignment)
{
    size_t class = SIZE_CLASS_COUNT;
    size_t wanted = size_max(size, 1);
    if (alignment > ABI_ALIGNMENT_BYTES) {
        class = size_class_of_aligned(alignment, wanted, POOL_BYTES_MAX);
    } else if (wanted <= LINEAR_BYTES_MAX) {
        class = size_class_from_offset(size_class_offset_of_abi_aligned(wanted));
    } else if (wanted <= POOL_BYTES_MAX) {
        class = size_class_of_doubling(wanted);
    }
    return (struct home){ size, (uint8_t)class };
}

/* Whether realloc leaves an object where it is: api_stays. */
static bool home_stays(const struct home *old, const struct home *new)
{
    if (old->class == SIZE_CLASS_COUNT) {
        return false;
    }
    size_t slot_bytes = size_class_slot_bytes(old->class);
    return old->class == new->class || (new->size <= slot_bytes && new->size > slot_bytes / 2);
}

static void read_resize(struct steps *steps, const struct mb_trace_event *event,
                        struct home *home)
{
    struct home new = home_for(event->size, 0);
    if (!home_stays(home, &new)) {
        step_add(steps, STEP_TAKE, event->thread, &new);
        step_add(steps, STEP_GIVE, event->thread, home);
        *home = new;
    }
}

struct steps *mbreplay_steps_read(struct mb_trace *trace)
{
    const struct mb_trace_header *header = mb_trace_header(trace);
    struct steps *steps = mbreplay_zeroed(1, sizeof *steps);
    struct home *homes = mbreplay_zeroed(header->objects, sizeof *homes);
    steps->threads = header->threads;
    struct mb_trace_event event;
    int got;
    while ((got = mb_trace_next(trace, &event)) == 1) {
        struct home *home = &homes[event.object];
        steps->operations += event.kind <= MB_TRACE_RESIZE;
        switch (event.kind) {
        case MB_TRACE_ALLOCATE:
            *home = home_for(event.size, event.alignment);
            step_add(steps, STEP_TAKE, event.thread, home);
            break;
        case MB_TRACE_FREE: step_add(steps, STEP_GIVE, event.thread, home); break;
        case MB_TRACE_RESIZE: read_resize(steps, &event, home); break;
        case MB_TRACE_THREAD_EXIT: step_add(steps, STEP_END, event.thread, home); break;
        case MB_TRACE_THREAD_START: break;
        }
    }
    free(homes);
    if (got < 0) {
        mbreplay_die("%s", mb_trace_error(trace));
    }
    return steps;
}

void mbreplay_steps_free(struct steps *steps)
{
    free(steps->steps);
    free(steps);
}
