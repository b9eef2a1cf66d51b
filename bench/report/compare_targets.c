#include "compare_targets.h"

#include "compare_metrics.h"
#include "sheet.h"

#include <math.h>
#include <string.h>

/* Against whom. Time: theirs / ours, and more is better. Memory: ours / theirs, less is better. */
enum reference { BEST_PEER, GLIBC, BEST_OF_THREE };

static const char *const three_peers[] = { "mimalloc", "jemalloc", "tcmalloc" };
enum { THREE = sizeof three_peers / sizeof three_peers[0] };

/* `library` is asked of the better of dropin and called. */
struct target {
    const char *workload; /* NULL: each */
    enum metric metric;
    enum reference reference;
    unsigned threads; /* 0: any number */
    double library;   /* 0: nothing is asked */
    double inlined;   /* 0: nothing is asked */
};

static const struct target targets[] = {
    { "pair", WALL_TIME, BEST_PEER, 0, 1.05, 2.0 },
    { "round-100-fifo", WALL_TIME, BEST_PEER, 0, 1.05, 1.3 },
    { "round-100-lifo", WALL_TIME, BEST_PEER, 0, 1.05, 1.3 },
    { "round-10k-fifo", WALL_TIME, BEST_PEER, 0, 1.05, 1.3 },
    { "round-10k-lifo", WALL_TIME, BEST_PEER, 0, 1.05, 1.3 },
    { "random-1k", WALL_TIME, BEST_PEER, 0, 1.1, 1.2 },
    { "random-100k", WALL_TIME, BEST_PEER, 0, 1.1, 1.15 },
    { "xfer", WALL_TIME, BEST_PEER, 2, 1.5, 0 },
    { "xfer", WALL_TIME, BEST_PEER, 8, 1.5, 0 },
    { "server", WALL_TIME, BEST_PEER, 2, 1.0, 0 },
    { "server", WALL_TIME, BEST_PEER, 8, 1.0, 0 },
    { "oversubscribed", WALL_TIME, BEST_PEER, 64, 1.0, 0 },
    { "oversubscribed", WALL_TIME, BEST_PEER, 256, 1.0, 0 },
    { "churn", WALL_TIME, BEST_PEER, 0, 1.0, 0 },
    { "mixed-1000", WALL_TIME, GLIBC, 0, 1.0, 0 },
    { "mixed-1000-100k", WALL_TIME, GLIBC, 0, 1.0, 0 },
    { "latency-xfer", LATENCY_P99_9, BEST_PEER, 0, 1.0, 0 },
    { "latency-random", LATENCY_P99_9, BEST_PEER, 0, 1.0, 0 },
    { "latency-xfer", LATENCY_P99_99, BEST_PEER, 0, 1.0, 0 },
    { "latency-random", LATENCY_P99_99, BEST_PEER, 0, 1.0, 0 },
    { NULL, PEAK_MEMORY, BEST_OF_THREE, 0, 1.10, 1.10 },
};
enum { TARGETS = sizeof targets / sizeof targets[0] };
static const struct target no_target;

/* What is shown of each row, in this order; `all`: also where nothing is asked. */
static const struct section {
    enum metric metric;
    enum reference reference;
    bool all;
} sections[] = {
    { WALL_TIME, BEST_PEER, true },       { WALL_TIME, GLIBC, false },
    { LATENCY_P99_9, BEST_PEER, true },   { LATENCY_P99_99, BEST_PEER, true },
    { PEAK_MEMORY, BEST_OF_THREE, true },
};
enum { SECTIONS = sizeof sections / sizeof sections[0] };

static const struct target *find_target(unsigned row, const struct section *section)
{
    for (unsigned i = 0; i < TARGETS; i++) {
        const struct target *target = &targets[i];
        if (target->metric == section->metric && target->reference == section->reference &&
            (target->threads == 0 || target->threads == sheet.row[row].threads) &&
            (target->workload == NULL || strcmp(target->workload, sheet.row[row].workload) == 0)) {
            return target;
        }
    }
    return &no_target;
}

/* The allocator to compare with; sheet.allocators when it was not measured. */
static unsigned find_reference(unsigned row, const struct section *section)
{
    if (section->reference == BEST_PEER) {
        return sheet_best_peer(row, section->metric);
    }
    unsigned candidates = section->reference == GLIBC ? 1 : THREE;
    unsigned best = sheet.allocators;
    for (unsigned i = 0; i < candidates; i++) {
        const char *name = section->reference == GLIBC ? "glibc" : three_peers[i];
        unsigned allocator = sheet_find_allocator(name);
        if (allocator == sheet.allocators ||
            sheet.samples[row][allocator][section->metric].runs == 0) {
            continue;
        }
        if (best == sheet.allocators || sheet_median(row, allocator, section->metric) <
                                            sheet_median(row, best, section->metric)) {
            best = allocator;
        }
    }
    return best;
}

/* NAN when one of the two was not measured, or is 0. */
static double ratio_of(unsigned row, const struct section *section, enum form form,
                       unsigned reference)
{
    unsigned allocator = sheet_find_allocator(form_names[form]);
    if (allocator == sheet.allocators || reference == sheet.allocators) {
        return (double)NAN;
    }
    double ours = sheet_median(row, allocator, section->metric);
    double theirs = sheet_median(row, reference, section->metric);
    if (!(ours > 0) || !(theirs > 0)) {
        return (double)NAN;
    }
    return section->reference == BEST_OF_THREE ? ours / theirs : theirs / ours;
}

enum verdict { UNJUDGED, MET, MISSED };
static const char *const verdict_names[] = { "-", "met", "missed" };

static enum verdict judge(const struct section *section, double ratio, double asked)
{
    if (isnan(ratio) || asked <= 0) {
        return UNJUDGED;
    }
    bool met = section->reference == BEST_OF_THREE ? ratio <= asked : ratio >= asked;
    return met ? MET : MISSED;
}

static enum verdict better(enum verdict a, enum verdict b)
{
    if (a == MET || b == MET) {
        return MET;
    }
    return a == MISSED || b == MISSED ? MISSED : UNJUDGED;
}

static void print_ratio(double ratio, enum verdict verdict)
{
    if (isnan(ratio)) {
        printf("  %-14s", "-");
    } else {
        printf("  %7.3f %-6s", ratio, verdict == UNJUDGED ? "" : verdict_names[verdict]);
    }
}

static void format_asked(char text[20], const struct section *section, const struct target *target)
{
    const char *sign = section->reference == BEST_OF_THREE ? "<=" : ">=";
    if (target->library <= 0) {
        snprintf(text, 20, "-");
    } else if (target->inlined <= 0) {
        snprintf(text, 20, "%s %.2f / -", sign, target->library);
    } else {
        snprintf(text, 20, "%s %.2f / %.2f", sign, target->library, target->inlined);
    }
}

/* One line; adds its verdicts to the counts. */
static void print_line(unsigned row, const struct section *section, const struct target *target,
                       unsigned counts[])
{
    char label[SHEET_LABEL_BYTES];
    char what[SHEET_LABEL_BYTES + 20];
    char asked[20];
    sheet_label(label, row);
    snprintf(what, sizeof what, "%s %s", label, metric_forms[section->metric].name);
    format_asked(asked, section, target);

    unsigned reference = find_reference(row, section);
    printf("%-37s  %-10s  %-14s", what,
           reference == sheet.allocators ? "-" : sheet.allocator[reference], asked);
    enum verdict verdicts[FORMS];
    for (enum form form = 0; form < FORMS; form++) {
        double ratio = ratio_of(row, section, form, reference);
        verdicts[form] =
            judge(section, ratio, form == FORM_INLINED ? target->inlined : target->library);
        print_ratio(ratio, verdicts[form]);
    }
    enum verdict library = better(verdicts[FORM_DROPIN], verdicts[FORM_CALLED]);
    printf("  %s\n", verdict_names[library]);
    counts[library] += target->library > 0;
    counts[verdicts[FORM_INLINED]] += target->inlined > 0;
}

void targets_print(void)
{
    bool peers = false;
    for (unsigned allocator = 0; allocator < sheet.allocators; allocator++) {
        peers = peers || sheet_form(allocator) == FORM_NONE;
    }
    unsigned counts[] = { [UNJUDGED] = 0, [MET] = 0, [MISSED] = 0 };
    if (!peers) {
        printf("\nTargets: no peer was measured, so no targets can be judged.\n");
    } else {
        printf("\nTargets, by medians. Time and latency: the best peer's (of mixed-1000 also "
               "glibc's) divided by\nMemoryBucket's, more is better. Memory: MemoryBucket's "
               "divided by the best of mimalloc, jemalloc\nand tcmalloc, less is better. Asked: "
               "of the better of dropin and called / of inlined.\n");
        printf("%-37s  %-10s  %-14s  %-14s  %-14s  %-14s  %s\n", "target", "against", "asked",
               form_names[FORM_DROPIN], form_names[FORM_CALLED], form_names[FORM_INLINED],
               "dropin or called");
        for (unsigned i = 0; i < SECTIONS; i++) {
            for (unsigned row = 0; row < sheet.rows; row++) {
                const struct target *target = find_target(row, &sections[i]);
                if (sheet_has(row, sections[i].metric) &&
                    (sections[i].all || target != &no_target)) {
                    print_line(row, &sections[i], target, counts);
                }
            }
        }
        printf("A line counts once for the better of dropin and called, and once for inlined where "
               "that is asked.\n");
    }
    if (counts[UNJUDGED] != 0) {
        printf("%u targets could not be judged, for want of an allocator\n", counts[UNJUDGED]);
    }
    printf("%u targets met, %u missed\n", counts[MET], counts[MISSED]);
}
