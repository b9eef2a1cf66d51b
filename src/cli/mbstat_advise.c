/*
 * mbstat_advise: the model is that as many slots go on moving between threads and the centre, in
 * larger batches. So refills change as the rounds do, inversely. What a thread may hold more is a
 * magazine, or two where it both gets and gives.
 */
#include "cli/mbstat_advise.h"

#include "cli/magazine_sizes.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    SCALE = 8,            /* times as many rounds */
    POOL_SHARE = 50,      /* a pool with less than one refill in so many of all is left alone */
    SELDOM_PER_S = 100,   /* so are all with fewer refills a second */
    LARGE_PER_S = 1000,   /* requests to the system allocator that a higher border may spare */
    BOTH_WAYS = 4,        /* a thread that gets and gives, if neither is so many times the other */
    MEMORY_MAX = 64 << 20 /* more in threads is not proposed */
};

struct live_advice {
    double seconds;
    double refills; /* a second */
    double large;   /* a second */
    uint64_t threads;
    bool both_ways;       /* most threads' objects come and go */
    double refills_then;
    uint64_t more_bytes; /* at most, in threads */
    double pools[MB_POOL_COUNT]; /* refills a second */
    uint16_t now[SIZE_CLASS_COUNT];
    uint16_t then[SIZE_CLASS_COUNT];
    char sizes[MAGAZINE_SIZES_BYTES];
    uint64_t thread_cache_mib; /* 0: as it is */
    bool higher_border;
};
_Static_assert(MB_POOL_COUNT == SIZE_CLASS_COUNT, "a pool for each class");

static double rate(uint64_t last, uint64_t first, double seconds)
{
    return last > first ? (double)(last - first) / seconds : 0;
}

/* A thread's row in an earlier reading, where it may be another one; zeros: it is new. */
static const uint64_t *row_of(const struct snapshot *snapshot, uint64_t thread)
{
    static const uint64_t none[THREAD_WORDS] = { 0 };
    for (uint64_t i = 0; i < snapshot->totals[TOTAL_thread_rows]; i++) {
        if (snapshot->threads[i][THREAD_thread] == thread) {
            return snapshot->threads[i];
        }
    }
    return none;
}

/* Whether threads that do most of the transfers both get and give magazines. */
static bool goes_both_ways(const struct snapshot *first, const struct snapshot *last)
{
    uint64_t one_way = 0;
    uint64_t both_ways = 0;
    for (uint64_t i = 0; i < last->totals[TOTAL_thread_rows]; i++) {
        const uint64_t *now = last->threads[i];
        const uint64_t *before = row_of(first, now[THREAD_thread]);
        if (now[THREAD_thread] == 0) {
            continue;
        }
        uint64_t got = now[THREAD_refills] - before[THREAD_refills];
        uint64_t gave = now[THREAD_flushes] - before[THREAD_flushes];
        bool both = got >= gave / BOTH_WAYS && gave >= got / BOTH_WAYS;
        both_ways += both ? got + gave : 0;
        one_way += both ? 0 : got + gave;
    }
    return both_ways > one_way;
}

static void choose_pool(struct live_advice *advice, size_t class, uint64_t slot_bytes)
{
    uint16_t now = advice->now[class];
    uint16_t then = magazine_sizes_scaled(now, (size_t)2 * SCALE);
    uint64_t magazines = advice->threads * (advice->both_ways ? 2 : 1);
    uint64_t more_bytes;
    while ((more_bytes = magazines * (uint64_t)(then - now) * slot_bytes)
               > MEMORY_MAX - advice->more_bytes
           && then > now) {
        then = then / 2 > now ? magazine_sizes_scaled(then, 1) : now;
    }
    advice->more_bytes += more_bytes;
    advice->then[class] = then;
}

static void look_at(struct live_advice *advice, const struct snapshot *first,
                    const struct snapshot *last)
{
    const uint64_t *totals = last->totals;
    advice->seconds = (double)(totals[TOTAL_published_ns] - first->totals[TOTAL_published_ns])
                      / 1e9;
    advice->threads = totals[TOTAL_threads];
    advice->large = rate(totals[TOTAL_large_allocs], first->totals[TOTAL_large_allocs],
                         advice->seconds);
    advice->both_ways = goes_both_ways(first, last);
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        advice->pools[class] = rate(last->pools[class][POOL_refills],
                                    first->pools[class][POOL_refills], advice->seconds);
        advice->refills += advice->pools[class];
        uint64_t rounds = last->pools[class][POOL_magazine_rounds];
        advice->now[class] = rounds != 0 ? (uint16_t)rounds : rounds_standard(class);
        advice->then[class] = advice->now[class];
    }
}

static void choose(struct live_advice *advice, const struct snapshot *last)
{
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        double refills = advice->pools[class];
        if (advice->refills >= SELDOM_PER_S && refills >= advice->refills / POOL_SHARE) {
            choose_pool(advice, class, last->pools[class][POOL_slot_bytes]);
        }
        advice->refills_then += refills * advice->now[class] / advice->then[class];
    }
    uint64_t border = last->totals[TOTAL_pool_max];
    uint64_t standard = THREAD_CACHE_BYTES_STANDARD / MIB
                        * (border > SMALL_BYTES_MAX ? THREAD_CACHE_UPPER_FACTOR : 1);
    if (advice->refills >= SELDOM_PER_S && advice->both_ways) {
        advice->thread_cache_mib = 4 * standard;
    }
    advice->higher_border = border < POOL_BYTES_MAX && advice->large >= LARGE_PER_S;
    magazine_sizes_write(advice->now, advice->then, advice->sizes);
}

/* ---- printing ------------------------------------------------------------------------------- */

/* Each proposal, with what stands before, between and behind the name and the value. */
static void print_settings(const struct live_advice *advice, const char *before,
                           const char *between, const char *behind, const char *separator)
{
    const char *apart = "";
    if (advice->sizes[0] != '\0') {
        printf("%sMB_MAGAZINE_SIZE%s%s%s", before, between, advice->sizes, behind);
        apart = separator;
    }
    if (advice->thread_cache_mib != 0) {
        printf("%s%sMB_THREAD_CACHE_MAX%s%" PRIu64 "M%s", apart, before, between,
               advice->thread_cache_mib, behind);
        apart = separator;
    }
    if (advice->higher_border) {
        printf("%s%sMB_POOL_MAX%s32K%s", apart, before, between, behind);
    }
}

static void print_json(const struct live_advice *advice, const struct snapshot_owner *owner)
{
    printf("{\"pid\":%" PRIu64 ",\"seconds\":%.3f,\"refills_per_second\":%.1f,"
           "\"refills_per_second_then\":%.1f,\"large_per_second\":%.1f,\"more_bytes\":%" PRIu64
           ",\"settings\":{",
           owner->process, advice->seconds, advice->refills, advice->refills_then, advice->large,
           advice->more_bytes);
    print_settings(advice, "\"", "\":\"", "\"", ",");
    printf("}}\n");
}

static void print_text(const struct live_advice *advice, const struct snapshot_owner *owner,
                       const struct snapshot *last)
{
    printf("process %" PRIu64 " (%s), in %.1f s:\n\n", owner->process, owner->name,
           advice->seconds);
    printf("%-8s %12s %12s\n", "slots of", "refills/s", "rounds");
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        if (advice->pools[class] > 0 && advice->pools[class] >= advice->refills / POOL_SHARE) {
            printf("%-8" PRIu64 " %12.1f %12u\n", last->pools[class][POOL_slot_bytes],
                   advice->pools[class], advice->now[class]);
        }
    }
    printf("%-8s %12.1f\nrequests above the border: %.1f a second\n\n", "all", advice->refills,
           advice->large);
    if (advice->sizes[0] == '\0' && advice->thread_cache_mib == 0 && !advice->higher_border) {
        printf("There is nothing to set: threads refill as seldom as need be.\n");
        return;
    }
    printf("   ");
    print_settings(advice, " ", "=", "", "");
    printf("\n\nwould leave %.1f refills a second%s, and %" PRIu64 " thread%s could hold %.1f MiB "
           "more.\n",
           advice->refills_then, advice->thread_cache_mib != 0 ? " or fewer" : "", advice->threads,
           advice->threads == 1 ? "" : "s", (double)advice->more_bytes / MIB);
}

bool mbstat_advise(const struct snapshot_owner *owner, const struct snapshot *first,
                   const struct snapshot *last, bool json)
{
    static struct live_advice advice;
    if (last->totals[TOTAL_published_ns] <= first->totals[TOTAL_published_ns]) {
        fprintf(stderr,
                "mbstat: process %" PRIu64 " has published nothing meanwhile: it sleeps, or has no "
                "need of the centre\n",
                owner->process);
        return false;
    }
    look_at(&advice, first, last);
    choose(&advice, last);
    if (json) {
        print_json(&advice, owner);
    } else {
        print_text(&advice, owner, last);
    }
    return true;
}
