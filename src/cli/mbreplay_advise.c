/*
 * mbreplay_advise: tries configurations on the model.
 *
 * The classes hardly depend on each other. So all sizes' magazines are made larger together, step
 * by step and for a few bounds of the thread caches; then each class takes the step that suffices
 * for it. What is proposed was run as a whole: that is the prediction.
 */
#include "cli/mbreplay_advise.h"

#include "cli/magazine_sizes.h"
#include "cli/mbreplay_base.h"
#include "cli/mbreplay_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Magazines of a half, of one, two, four, eight and sixteen times the default. */
enum { SCALES = 6, SCALE_STANDARD = 1, BOUNDS = 4, BORDERS = 6 };

/* Of MB_THREAD_CACHE_MAX; 0: the default, which grows with the magazines. */
static const size_t bounds_tried[BOUNDS] = { 0, 32 * MIB, 128 * MIB, 512 * MIB };

static const size_t borders_tried[BORDERS] = { 16384, 8192, 4096, 2048, 1024, 512 };

enum {
    GAIN_LEFT = 5,        /* a fifth of what can be gained may be left */
    CLASS_SHARE = 20,     /* a class that has less than a twentieth of the refills stays as it is */
    WORTHWHILE = 2000,    /* so are all, with less than one refill in so many operations */
    LARGE_MORE = 1000,    /* a lower border may send one more of so many operations beyond it */
    MEMORY_LESS = 20,     /* if it spares a twentieth of the memory */
    ROOM_MIN = 256 << 10, /* memory that is not worth a word */
};

struct advice {
    const struct steps *trace;
    struct model_config standard;
    struct model_config proposed;
    struct model_result before;
    struct model_result after;
};

/* ---- choosing ------------------------------------------------------------------------------- */

/* malloc uses the second of two linear classes with slots of one size; an option sets both. */
static void scale_rounds(const struct advice *advice, struct model_config *config, size_t class,
                         unsigned scale)
{
    if (scale == SCALE_STANDARD) {
        return;
    }
    uint16_t rounds = magazine_sizes_scaled(advice->standard.rounds[class], (size_t)1 << scale);
    config->rounds[class] = rounds;
    if (class < LINEAR_CLASS_COUNT && class % 2 == 1) {
        config->rounds[class - 1] = rounds;
    }
}

/* With no more refills than this there is nothing to gain. */
static uint64_t worthwhile(const struct model_result *result)
{
    return result->operations / WORTHWHILE;
}

static bool refills_often(const struct advice *advice)
{
    return advice->before.refills > worthwhile(&advice->before);
}

static bool is_used(const struct advice *advice, size_t class)
{
    return advice->before.classes[class].operations != 0;
}

/* The smallest step that leaves little more refills of the class than the best does. */
static unsigned choose_scale(const struct advice *advice, const struct model_result tried[SCALES],
                             size_t class)
{
    uint64_t standard = tried[SCALE_STANDARD].classes[class].refills;
    uint64_t best = standard;
    for (unsigned scale = SCALE_STANDARD; scale < SCALES; scale++) {
        uint64_t refills = tried[scale].classes[class].refills;
        best = refills < best ? refills : best;
    }
    if (advice->before.classes[class].refills < advice->before.refills / CLASS_SHARE) {
        return SCALE_STANDARD;
    }
    uint64_t enough = size_max(best + (standard - best) / GAIN_LEFT / 2,
                               worthwhile(&advice->before) / CLASS_SHARE);
    unsigned scale = SCALE_STANDARD;
    while (tried[scale].classes[class].refills > enough) {
        scale++;
    }
    return scale;
}

/* The configuration with what suffices for each class, under a bound of the thread caches. */
static void combine(const struct advice *advice, size_t bound, struct model_config *config)
{
    struct model_result *tried = mbreplay_zeroed(SCALES, sizeof *tried);
    for (unsigned scale = SCALE_STANDARD; scale < SCALES; scale++) {
        *config = advice->standard;
        config->thread_cache_bytes = bound;
        for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
            if (is_used(advice, class)) {
                scale_rounds(advice, config, class, scale);
            }
        }
        mbreplay_model_run(advice->trace, config, &tried[scale]);
    }
    *config = advice->standard;
    config->thread_cache_bytes = bound;
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        if (is_used(advice, class)) {
            scale_rounds(advice, config, class, choose_scale(advice, tried, class));
        }
    }
    free(tried);
}

/* Whether one is to be preferred to what was chosen so far, which needs no more options. */
static bool is_better(const struct model_result *one, const struct model_result *chosen)
{
    bool same_memory = one->bytes < chosen->bytes + ROOM_MIN;
    return one->bytes + ROOM_MIN < chosen->bytes
           || (same_memory && one->refills + worthwhile(one) < chosen->refills);
}

/*
 * Of the configurations that leave no more than a part of what can be gained, the one that takes
 * least memory. They are: larger magazines; a larger bound; both.
 */
static void choose_caches(struct advice *advice)
{
    enum { WITHOUT_MAGAZINES = BOUNDS - 1, TRIED = WITHOUT_MAGAZINES + BOUNDS };
    struct model_config *configs = mbreplay_zeroed(TRIED, sizeof *configs);
    struct model_result *results = mbreplay_zeroed(TRIED, sizeof *results);
    uint64_t least = advice->before.refills;
    for (unsigned i = 0; i < TRIED; i++) {
        if (i != 0 && i <= WITHOUT_MAGAZINES) {
            configs[i] = advice->standard;
            configs[i].thread_cache_bytes = bounds_tried[i];
        } else {
            combine(advice, bounds_tried[i == 0 ? 0 : i - WITHOUT_MAGAZINES], &configs[i]);
        }
        mbreplay_model_run(advice->trace, &configs[i], &results[i]);
        least = results[i].refills < least ? results[i].refills : least;
    }
    uint64_t enough = least + (advice->before.refills - least) / GAIN_LEFT;
    bool chosen = advice->before.refills <= enough;
    for (unsigned i = 0; i < TRIED; i++) {
        if (results[i].refills <= enough && (!chosen || is_better(&results[i], &advice->after))) {
            advice->proposed = configs[i];
            advice->after = results[i];
            chosen = true;
        }
    }
    free(configs);
    free(results);
}

/* Whether a border spares memory, and sends hardly more requests to the system allocator. */
static bool border_helps(const struct advice *advice, const struct model_result *result)
{
    const struct model_result *now = &advice->after;
    return result->large <= advice->before.large + result->operations / LARGE_MORE
           && result->refills <= now->refills + now->refills / GAIN_LEFT
           && result->bytes + ROOM_MIN < now->bytes
           && result->bytes <= now->bytes - now->bytes / MEMORY_LESS;
}

/* The highest border of those that help, unless a lower one helps more. */
static void choose_border(struct advice *advice)
{
    struct model_result *results = mbreplay_zeroed(BORDERS, sizeof *results);
    struct model_config config = advice->proposed;
    unsigned best = BORDERS;
    for (unsigned i = 0; i < BORDERS; i++) {
        config.pool_bytes = borders_tried[i];
        mbreplay_model_run(advice->trace, &config, &results[i]);
        if (border_helps(advice, &results[i])
            && (best == BORDERS || results[i].bytes + ROOM_MIN < results[best].bytes)) {
            best = i;
        }
    }
    if (best != BORDERS) {
        advice->proposed.pool_bytes = borders_tried[best];
        advice->after = results[best];
    }
    free(results);
}

/* ---- as the options' texts ------------------------------------------------------------------ */

enum { SETTINGS = 3 };

struct setting {
    const char *name;
    char value[MAGAZINE_SIZES_BYTES];
};

static size_t write_settings(const struct advice *advice, struct setting settings[SETTINGS])
{
    size_t count = 0;
    const struct model_config *proposed = &advice->proposed;
    magazine_sizes_write(advice->standard.rounds, proposed->rounds, settings[0].value);
    if (settings[0].value[0] != '\0') {
        settings[count++].name = "MB_MAGAZINE_SIZE";
    }
    if (proposed->thread_cache_bytes != 0) {
        settings[count].name = "MB_THREAD_CACHE_MAX";
        snprintf(settings[count++].value, MAGAZINE_SIZES_BYTES, "%zuM",
                 proposed->thread_cache_bytes / MIB);
    }
    if (proposed->pool_bytes != advice->standard.pool_bytes) {
        settings[count].name = "MB_POOL_MAX";
        snprintf(settings[count++].value, MAGAZINE_SIZES_BYTES, "%zu", proposed->pool_bytes);
    }
    return count;
}

/* ---- printing ------------------------------------------------------------------------------- */

static double per_thousand(uint64_t count, const struct model_result *of)
{
    return of->operations != 0 ? 1000.0 * (double)count / (double)of->operations : 0;
}

static void print_line(const char *name, const struct model_result *result)
{
    printf("%-10s %12.3f %16.3f %12.1f\n", name, per_thousand(result->refills, result),
           per_thousand(result->large, result), (double)result->bytes / MIB);
}

static void print_class(const struct advice *advice, size_t class)
{
    const struct model_counts *before = &advice->before.classes[class];
    const struct model_counts *after = &advice->after.classes[class];
    printf("%-10zu %12.3f %16.3f %12u %12u %12.3f\n", size_class_slot_bytes(class),
           per_thousand(before->operations, &advice->before),
           per_thousand(before->refills, &advice->before), advice->standard.rounds[class],
           advice->proposed.rounds[class], per_thousand(after->refills, &advice->after));
}

static void print_text(const char *path, const struct advice *advice,
                       const struct setting *settings, size_t count)
{
    printf("%s: %" PRIu64 " operations\n\n", path, advice->before.operations);
    printf("%-10s %12s %16s %12s\n", "", "refills", "above the border", "MiB");
    print_line("now", &advice->before);
    if (count == 0) {
        printf("\nThere is nothing to set: with the defaults it refills as seldom as need be.\n");
        return;
    }
    print_line("then", &advice->after);
    printf("\nof 1,000 operations; MiB of slots that pools made, and of larger objects. Set:\n\n");
    fputs("   ", stdout);
    for (size_t i = 0; i < count; i++) {
        printf(" %s=%s", settings[i].name, settings[i].value);
    }
    putchar('\n');
    if (!refills_often(advice)) {
        return;
    }
    printf("\n%-10s %12s %16s %12s %12s %12s\n", "slots of", "operations", "refills now",
           "rounds now", "then", "refills then");
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        if (advice->before.classes[class].refills != 0
            && advice->before.classes[class].refills >= advice->before.refills / CLASS_SHARE) {
            print_class(advice, class);
        }
    }
}

static void print_result(const char *name, const struct model_result *result)
{
    printf(",\"%s\":{\"refills\":%" PRIu64 ",\"refills_per_thousand\":%.4f,\"large\":%" PRIu64
           ",\"bytes\":%" PRIu64 "}",
           name, result->refills, per_thousand(result->refills, result), result->large,
           result->bytes);
}

static void print_json(const struct advice *advice, const struct setting *settings, size_t count)
{
    printf("{\"operations\":%" PRIu64 ",\"settings\":{", advice->before.operations);
    for (size_t i = 0; i < count; i++) {
        printf("%s\"%s\":\"%s\"", i != 0 ? "," : "", settings[i].name, settings[i].value);
    }
    putchar('}');
    print_result("now", &advice->before);
    print_result("then", &advice->after);
    printf("}\n");
}

void mbreplay_advise(const char *path, struct mb_trace *trace, bool json)
{
    struct setting *settings = mbreplay_zeroed(SETTINGS, sizeof *settings);
    struct advice *advice = mbreplay_zeroed(1, sizeof *advice);
    struct steps *steps = mbreplay_steps_read(trace);
    advice->trace = steps;
    mbreplay_model_standard(&advice->standard);
    mbreplay_model_run(steps, &advice->standard, &advice->before);
    advice->proposed = advice->standard;
    advice->after = advice->before;
    if (refills_often(advice)) {
        choose_caches(advice);
    }
    choose_border(advice);
    size_t count = write_settings(advice, settings);
    if (json) {
        print_json(advice, settings, count);
    } else {
        print_text(path, advice, settings, count);
    }
    mbreplay_steps_free(steps);
    free(advice);
    free(settings);
}
