/*
 * shrink: delta debugging. Parts are left out, half of the program first, then smaller and smaller
 * ones; then each call's numbers are made plainer; and again, until nothing helps any more.
 */
#include "property/shrink.h"

#include "property/trial.h"
#include "testing.h"

/* Where it ends at the latest, however much might still be gained. */
enum { TRIALS_MAX = 5000 };
/* What is above was meant to be impossible; half of it might be possible, and take all memory. */
#define NUMBER_MAX ((size_t)1 << 20)

struct search {
    struct program *best;
    unsigned attempts;
    size_t trials;
};

static bool still_fails(struct search *search, const struct program *candidate)
{
    bool fails = false;
    for (unsigned i = 0; i < search->attempts && !fails && search->trials < TRIALS_MAX; i++) {
        search->trials++;
        fails = trial_fails(candidate, false);
    }
    return fails;
}

static struct program copy_without(const struct program *program, size_t first, size_t count)
{
    struct program copy = { .at_once = program->at_once };
    for (size_t i = 0; i < program->count; i++) {
        if (i - first >= count) {
            program_add_call(&copy, program->calls[i]);
        }
    }
    return copy;
}

/* Takes the candidate, which becomes the best one or is gone. */
static bool accept(struct search *search, struct program *candidate)
{
    if (!still_fails(search, candidate)) {
        program_clear(candidate);
        return false;
    }
    program_clear(search->best);
    *search->best = *candidate;
    return true;
}

static bool remove_parts(struct search *search)
{
    bool any = false;
    for (size_t part = (search->best->count + 1) / 2; part > 0; part /= 2) {
        /* From the end: what comes last is what depends on the rest. */
        for (size_t end = search->best->count; end > 0; end = end > part ? end - part : 0) {
            size_t first = end > part ? end - part : 0;
            struct program candidate = copy_without(search->best, first, end - first);
            any |= accept(search, &candidate);
        }
    }
    return any;
}

static bool try_call(struct search *search, size_t at, struct call call)
{
    const struct call *old = &search->best->calls[at];
    if (call.kind == old->kind && call.thread == old->thread && call.place == old->place
        && call.size == old->size && call.extra == old->extra) {
        return false;
    }
    struct program candidate = copy_without(search->best, 0, 0);
    candidate.calls[at] = call;
    return accept(search, &candidate);
}

/* The smallest value between 0 and *number for which it still fails, as far as halving finds it. */
static bool reduce_number(struct search *search, size_t at, size_t *(*number_of)(struct call *))
{
    bool any = false;
    size_t low = 0;
    for (;;) {
        struct call call = search->best->calls[at];
        size_t *number = number_of(&call);
        if (low >= *number || *number > NUMBER_MAX) {
            return any;
        }
        size_t middle = low + (*number - low) / 2;
        *number = middle;
        if (try_call(search, at, call)) {
            any = true;
        } else {
            low = middle + 1;
        }
    }
}

static size_t *size_of(struct call *call)
{
    return &call->size;
}

static size_t *extra_of(struct call *call)
{
    return &call->extra;
}

static bool simplify_calls(struct search *search)
{
    bool any = false;
    for (size_t at = 0; at < search->best->count; at++) {
        struct call call = search->best->calls[at];
        call.thread = 0;
        any |= try_call(search, at, call);
        any |= reduce_number(search, at, extra_of);
        any |= reduce_number(search, at, size_of);
    }
    return any;
}

/* The threads that a program really needs: a thread less at once is worth more than its calls. */
static void remove_threads(struct search *search)
{
    for (unsigned thread = 0; thread < PROGRAM_THREADS_MAX; thread++) {
        struct program candidate = { .at_once = search->best->at_once };
        for (size_t i = 0; i < search->best->count; i++) {
            if (search->best->calls[i].thread != thread) {
                program_add_call(&candidate, search->best->calls[i]);
            }
        }
        if (candidate.count < search->best->count) {
            (void)accept(search, &candidate);
        } else {
            program_clear(&candidate);
        }
    }
}

size_t shrink(struct program *program, unsigned attempts)
{
    struct search search = { .best = program, .attempts = attempts };
    remove_threads(&search);
    do {
        while (remove_parts(&search)) {
        }
    } while (simplify_calls(&search));
    return search.trials;
}
