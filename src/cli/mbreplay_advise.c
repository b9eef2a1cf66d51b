/*
 * mbreplay_advise: tries configurations on the model.
 *
 * The classes hardly depend on each other. So all sizes' magazines are made larger together, step
 * by step and for a few bounds of the thread caches; then each class takes the step that suffices
 * for it. What is proposed was run as a whole: that is the prediction.
 */
#include "cli/mbreplay_advise.h"

#include "cli/mbreplay_base.h"
#include "cli/mbreplay_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Magazines of a half, of one, two, four, eight and sixteen times the default. */
enum { SCALES = 6, SCALE_STANDARD = 1, BOUNDS = 4, BORDERS = 7 };

/* Of MB_THREAD_CACHE_MAX; 0: the default, which grows with the magazines. */
static const size_t bounds_tried[BOUNDS] = { 0, 32 * MIB, 128 * MIB, 512 * MIB };

static const size_t borders_tried[BORDERS] = { 512, 1024, 2048, 4096, 8192, 16384, 32768 };

enum {
    GAIN_LEFT = 5,        /* a fifth of what can be gained may be left */
    CLASS_SHARE = 100,    /* a class that has less than a hundredth of the refills stays as it is */
    WORTHWHILE = 2000,    /* so are all, with less than one refill in so many operations */
    LARGE_MORE = 1000,    /* a lower border may send one more of so many operations beyond it */
    MEMORY_LESS = 20,     /* if it spares a twentieth of the memory */
    ROOM_MIN = 256 << 10, /* memory that is not worth a word */
};

struct advice {
    const struct model_trace *trace;
    struct model_config standard;
    struct model_config proposed;
    struct model_result before;
    struct model_result after;
};

/* ---- choosing ------------------------------------------------------------------------------- */

static uint16_t scaled(uint16_t rounds, unsigned scale)
{
    size_t wanted = round_up((size_t)rounds * (1U << scale) / 2, MAGAZINE_ROUNDS_STEP);
    return (uint16_t)size_min(wanted, MAGAZINE_ROUNDS_MAX);
}

/* malloc uses the second of two linear classes with slots of one size; an option sets both. */
static void set_rounds(struct model_config *config, size_t class, uint16_t rounds)
{
    config->rounds[class] = rounds;
    if (class < LINEAR_CLASS_COUNT && class % 2 == 1) {
        config->rounds[class - 1] = rounds;
    }
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
    unsigned scale = SCALE_STANDARD;
    while (tried[scale].classes[class].refills > best + (standard - best) / (2 * GAIN_LEFT)) {
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
            if (is_used(advice, class) && scale != SCALE_STANDARD) {
                set_rounds(config, class, scaled(advice->standard.rounds[class], scale));
            }
        }
        mbreplay_model_run(advice->trace, config, &tried[scale]);
    }
    *config = advice->standard;
    config->thread_cache_bytes = bound;
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        unsigned scale = is_used(advice, class) ? choose_scale(advice, tried, class)
                                                : SCALE_STANDARD;
        if (scale != SCALE_STANDARD) {
            set_rounds(config, class, scaled(advice->standard.rounds[class], scale));
        }
    }
    free(tried);
}

/*
 * Of the combinations that leave no more than a part of what can be gained, the one that takes
 * least memory; the one with fewer options where that is about the same.
 */
static void choose_caches(struct advice *advice)
{
    struct model_config *configs = mbreplay_zeroed(BOUNDS, sizeof *configs);
    struct model_result *results = mbreplay_zeroed(BOUNDS, sizeof *results);
    uint64_t least = advice->before.refills;
    for (unsigned i = 0; i < BOUNDS; i++) {
        combine(advice, bounds_tried[i], &configs[i]);
        mbreplay_model_run(advice->trace, &configs[i], &results[i]);
        least = results[i].refills < least ? results[i].refills : least;
    }
    uint64_t enough = least + (advice->before.refills - least) / GAIN_LEFT;
    bool chosen = advice->before.refills <= enough;
    for (unsigned i = 0; i < BOUNDS; i++) {
        if (results[i].refills <= enough
            && (!chosen || results[i].bytes + ROOM_MIN < advice->after.bytes)) {
            advice->proposed = configs[i];
            advice->after = results[i];
            chosen = true;
        }
    }
    free(configs);
    free(results);
}

/* The lowest border that spares memory, and sends hardly more requests to the system allocator. */
static void choose_border(struct advice *advice)
{
    struct model_result *result = mbreplay_zeroed(1, sizeof *result);
    uint64_t refills_max = advice->after.refills + advice->after.refills / GAIN_LEFT;
    for (unsigned i = 0; i < BORDERS; i++) {
        struct model_config config = advice->proposed;
        config.pool_bytes = borders_tried[i];
        mbreplay_model_run(advice->trace, &config, result);
        if (result->large <= advice->before.large + result->operations / LARGE_MORE
            && result->refills <= refills_max
            && result->bytes + ROOM_MIN < advice->after.bytes
            && result->bytes <= advice->after.bytes - advice->after.bytes / MEMORY_LESS) {
            advice->proposed = config;
            advice->after = *result;
            break;
        }
    }
    free(result);
}

/* ---- as the options' texts ------------------------------------------------------------------ */

/* The least size that a class serves. */
static size_t low_of(size_t class)
{
    if (class < LINEAR_CLASS_COUNT) {
        return class * SIZE_STEP_BYTES + 1;
    }
    return (class == LINEAR_CLASS_COUNT ? LINEAR_BYTES_MAX : size_class_slot_bytes(class - 1)) + 1;
}

/* MB_MAGAZINE_SIZE's value; "" where all is as by default. */
static void write_sizes(const struct advice *advice, char *text, size_t bytes)
{
    const uint16_t *now = advice->standard.rounds;
    const uint16_t *then = advice->proposed.rounds;
    size_t at = 0;
    text[0] = '\0';
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        if (then[class] == now[class]) {
            continue;
        }
        size_t last = class;
        while (last + 1 < SIZE_CLASS_COUNT && then[last + 1] == then[class]
               && then[last + 1] != now[last + 1]) {
            last++;
        }
        at += (size_t)snprintf(text + at, bytes - at, "%s%zu-%zu:%u", at != 0 ? "," : "",
                               low_of(class), size_class_slot_bytes(last), then[class]);
        class = last;
    }
}

enum { SIZES_BYTES = SIZE_CLASS_COUNT * 24, SETTINGS = 3 };

struct setting {
    const char *name;
    char value[SIZES_BYTES];
};

static size_t write_settings(const struct advice *advice, struct setting settings[SETTINGS])
{
    size_t count = 0;
    const struct model_config *proposed = &advice->proposed;
    write_sizes(advice, settings[0].value, SIZES_BYTES);
    if (settings[0].value[0] != '\0') {
        settings[count++].name = "MB_MAGAZINE_SIZE";
    }
    if (proposed->thread_cache_bytes != 0) {
        settings[count].name = "MB_THREAD_CACHE_MAX";
        snprintf(settings[count++].value, SIZES_BYTES, "%zuM", proposed->thread_cache_bytes / MIB);
    }
    if (proposed->pool_bytes != advice->standard.pool_bytes) {
        settings[count].name = "MB_POOL_MAX";
        snprintf(settings[count++].value, SIZES_BYTES, "%zu", proposed->pool_bytes);
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
    printf("\nof 1,000 operations; MiB of slots that pools made, and of larger objects. Set:\n\n   ");
    for (size_t i = 0; i < count; i++) {
        printf(" %s=%s", settings[i].name, settings[i].value);
    }
    printf("\n\n%-10s %12s %16s %12s %12s %12s\n", "slots of", "operations", "refills now", "rounds now",
           "then", "refills then");
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
    struct model_trace *steps = mbreplay_model_read(trace);
    if (steps == NULL) {
        exit(EXIT_FAILURE);
    }
    advice->trace = steps;
    mbreplay_model_standard(&advice->standard);
    mbreplay_model_run(steps, &advice->standard, &advice->before);
    advice->proposed = advice->standard;
    advice->after = advice->before;
    if (advice->before.refills > advice->before.operations / WORTHWHILE) {
        choose_caches(advice);
    }
    choose_border(advice);
    size_t count = write_settings(advice, settings);
    if (json) {
        print_json(advice, settings, count);
    } else {
        print_text(path, advice, settings, count);
    }
    mbreplay_model_free(steps);
    free(advice);
    free(settings);
}
