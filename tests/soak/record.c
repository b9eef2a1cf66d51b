/* record: figures twice a second and once a day, and whether the days' are flat. */
#include "soak.h"

#include "line_fit.h"

#include <inttypes.h>
#include <math.h>
#include <time.h>

enum { DAYS_MAX = 10000, SAMPLE_NS = 500 * 1000 * 1000 };

/*
 * What "flat" means, at quiet, after the warm-up:
 *   the median of the last days is at most this share and this much above that of the first ones;
 *   the least-squares line rises by no more than this much from the first to the last, or its slope
 *   is within so many standard errors of none.
 * And memory comes back: of what is committed beyond the live bytes at the peak of a day, no more
 * than this share is still committed at quiet.
 */
static const double tolerated_share = 0.05;
static const double tolerated_bytes = 4 << 20;
static const double slope_errors_max = 3;
static const double kept_share_max = 0.5;
enum { WARM_UP_DAYS_MIN = 5, WARM_UP_SHARE = 5, JUDGED_DAYS_MIN = 6 };

enum figure { RESIDENT, COMMITTED, FIGURES };
static const char *const figure_names[FIGURES] = { "resident", "committed" };

static struct {
    double bytes[FIGURES];
    double live_bytes;
    double peak_committed_bytes;
} days[DAYS_MAX];
static unsigned day_count;

struct sample {
    struct mb_stats stats;
    uint64_t resident_bytes;
    uint64_t live_bytes;
    uint64_t known_live_bytes;
};

/* Samples are taken by the recorder and by the director: one at a time. */
static pthread_mutex_t sample_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ending = PTHREAD_COND_INITIALIZER;
static FILE *table;
static bool ends;
static unsigned current_day;
static double peak_committed_bytes;
static double started_at;
static pthread_t recorder;

double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Freed before allocated: an object that comes and goes meanwhile is not counted as freed alone. */
static uint64_t known_live_of_class(size_t class)
{
    uint64_t freed = 0;
    uint64_t allocated = 0;
    for (size_t i = 0; i < TALLIES; i++) {
        freed += counter_read(&soak_tallies[i].freed[class]);
    }
    for (size_t i = 0; i < TALLIES; i++) {
        allocated += counter_read(&soak_tallies[i].allocated[class]);
    }
    return allocated > freed ? allocated - freed : 0;
}

uint64_t known_live_objects(void)
{
    uint64_t live = 0;
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        live += known_live_of_class(class);
    }
    return live;
}

void check_known_live(void)
{
    static struct mb_stats stats;
    CHECK(mb_stats_get(&stats, sizeof stats) == 0, "no statistics");
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        uint64_t known = known_live_of_class(class);
        const struct mb_pool_stats *pool = &stats.pool[class];
        CHECK(pool->live == known,
              "pool %zu: %" PRIu64 " slots are live, the test holds %" PRIu64 "; carved %" PRIu64
              ", in magazines %" PRIu64 ", parked %" PRIu64 ", central %" PRIu64 ", loose %" PRIu64
              ", sorted %" PRIu64 ", orphaned %" PRIu64,
              class, pool->live, known, pool->carved, pool->magazines, pool->parked, pool->central,
              pool->loose, pool->sorted, pool->orphaned);
    }
}

static void take_sample(struct sample *sample)
{
    sample->known_live_bytes = 0;
    sample->live_bytes = 0;
    CHECK(mb_stats_get(&sample->stats, sizeof sample->stats) == 0, "no statistics");
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        const struct mb_pool_stats *pool = &sample->stats.pool[class];
        sample->live_bytes += pool->live * pool->slot_bytes;
        sample->known_live_bytes += known_live_of_class(class) * pool->slot_bytes;
    }
    sample->resident_bytes = process_resident_bytes();
}

static const struct sample *sample_locked(void)
{
    static struct sample sample;
    take_sample(&sample);
    if ((double)sample.stats.committed_bytes > peak_committed_bytes) {
        peak_committed_bytes = (double)sample.stats.committed_bytes;
    }
    if (table != NULL) {
        const struct phase *phase = phase_of_turn(stage_turn_now());
        fprintf(table,
                "%.3f\t%u\t%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64
                "\t%" PRIu64 "\n",
                seconds_now() - started_at, current_day, phase != NULL ? phase->name : "quiet",
                sample.resident_bytes, sample.stats.committed_bytes, sample.live_bytes,
                sample.known_live_bytes, sample.stats.resident_bytes, sample.stats.threads);
    }
    return &sample;
}

void record_sample(unsigned day)
{
    pthread_mutex_lock(&sample_lock);
    current_day = day;
    (void)sample_locked();
    pthread_mutex_unlock(&sample_lock);
}

void record_day(unsigned day)
{
    pthread_mutex_lock(&sample_lock);
    const struct sample *sample = sample_locked();
    CHECK(sample->live_bytes == sample->known_live_bytes,
          "%" PRIu64 " bytes are live, the test holds %" PRIu64, sample->live_bytes,
          sample->known_live_bytes);
    if (day_count < DAYS_MAX) {
        days[day_count].bytes[RESIDENT] = (double)sample->resident_bytes;
        days[day_count].bytes[COMMITTED] = (double)sample->stats.committed_bytes;
        days[day_count].live_bytes = (double)sample->live_bytes;
        days[day_count].peak_committed_bytes = peak_committed_bytes;
        day_count++;
    }
    peak_committed_bytes = 0;
    current_day = day + 1;
    pthread_mutex_unlock(&sample_lock);
}

static void *record(void *argument)
{
    struct timespec next;
    clock_gettime(CLOCK_REALTIME, &next);
    pthread_mutex_lock(&sample_lock);
    while (!ends) {
        (void)sample_locked();
        next.tv_nsec += SAMPLE_NS;
        next.tv_sec += next.tv_nsec / 1000000000;
        next.tv_nsec %= 1000000000;
        while (!ends && pthread_cond_timedwait(&ending, &sample_lock, &next) == 0) {
        }
    }
    pthread_mutex_unlock(&sample_lock);
    return argument;
}

void record_start(const char *path)
{
    started_at = seconds_now();
    memset(days, 1, sizeof days); /* touched now: it is not to grow later */
    if (path != NULL) {
        table = fopen(path, "w");
        CHECK(table != NULL, "%s cannot be written", path);
        fputs("seconds\tday\tphase\tresident\tcommitted\tlive\tknown_live\tpools_resident\t"
              "threads\n",
              table);
    }
    recorder = start_thread(record, NULL);
}

void record_end(void)
{
    pthread_mutex_lock(&sample_lock);
    ends = true;
    pthread_cond_signal(&ending);
    pthread_mutex_unlock(&sample_lock);
    pthread_join(recorder, NULL);
    if (table != NULL) {
        bool written = ferror(table) == 0;
        CHECK(fclose(table) == 0 && written, "not all of the figures could be written");
    }
}

/* In bytes a day. What the days differ by has little to do with each other: each is a point. */
static struct line_fit fit_days(enum figure figure, unsigned from)
{
    static double numbers[DAYS_MAX];
    static double bytes[DAYS_MAX];
    unsigned count = day_count - from;
    for (unsigned i = 0; i < count; i++) {
        numbers[i] = i;
        bytes[i] = days[from + i].bytes[figure];
    }
    return line_through(numbers, bytes, count);
}

static double median_of_three(enum figure figure, unsigned from)
{
    double a = days[from].bytes[figure];
    double b = days[from + 1].bytes[figure];
    double c = days[from + 2].bytes[figure];
    return fmax(fmin(a, b), fmin(fmax(a, b), c));
}

static const double mib = 1 << 20;

static bool figure_is_flat(enum figure figure, unsigned from)
{
    double first = median_of_three(figure, from);
    double last = median_of_three(figure, day_count - 3);
    double allowed = first * (1 + tolerated_share) + tolerated_bytes;
    struct line_fit line = fit_days(figure, from);
    double rise = line.slope * (day_count - 1 - from);
    bool level = last <= allowed;
    bool steady = rise <= tolerated_bytes || line.slope <= slope_errors_max * line.slope_error;
    printf("%s at quiet: %.2f MiB on days %u to %u, %.2f on days %u to %u: %s, %.2f is allowed\n",
           figure_names[figure], first / mib, from + 1, from + 3, last / mib, day_count - 2,
           day_count, level ? "level" : "NOT LEVEL", allowed / mib);
    printf("%s a day: %+.1f KiB, standard error %.1f, %+.2f MiB from day %u to %u: %s\n",
           figure_names[figure], line.slope / 1024, line.slope_error / 1024, rise / mib, from + 1,
           day_count, steady ? "steady" : "IT RISES");
    return level && steady;
}

static bool memory_came_back(unsigned from)
{
    double kept = 0;
    double peak = 0;
    double live = 0;
    unsigned count = day_count - from;
    for (unsigned i = from; i < day_count; i++) {
        kept += (days[i].bytes[COMMITTED] - days[i].live_bytes) / count;
        peak += (days[i].peak_committed_bytes - days[i].live_bytes) / count;
        live += days[i].live_bytes / count;
    }
    bool came = kept <= kept_share_max * peak;
    printf("days' mean: %.1f MiB are live at quiet, beyond that %.1f are committed, %.1f at the "
           "peak: %s\n",
           live / mib, kept / mib, peak / mib, came ? "it came back" : "IT DID NOT COME BACK");
    return came;
}

bool record_is_flat(void)
{
    unsigned from = day_count / WARM_UP_SHARE;
    from = from > WARM_UP_DAYS_MIN ? from : WARM_UP_DAYS_MIN;
    if (day_count < from + JUDGED_DAYS_MIN) {
        printf("%u days: flatness is judged from %d days on\n", day_count,
               WARM_UP_DAYS_MIN + JUDGED_DAYS_MIN);
        return true;
    }
    bool flat = true;
    for (enum figure figure = 0; figure < FIGURES; figure++) {
        flat = figure_is_flat(figure, from) && flat;
    }
    return memory_came_back(from) && flat;
}
