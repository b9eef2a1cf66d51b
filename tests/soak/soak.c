/*
 * soak: months of a server in minutes.
 *
 * A day of some seconds has phases of load and of quiet, each with its own sizes (cast.c), and
 * what else happens to a process: storms of threads, forks, memory limits, trims (events.c). At the
 * end of each day all threads rest. Then the accounting equation holds, live is to the slot what
 * the test holds, and every object still has its pattern. After the last day memory must be as
 * after the first ones (record.c).
 *
 * usage: soak [--minutes M | --days N] [--day-ms MS] [--table FILE] [--seed N] [--no-flatness]
 * Status: 0, 1 when memory is not flat, 2 for bad usage, 130 when a signal ended it early. An error
 * of the allocator aborts.
 */
#include "soak.h"

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <time.h>
#include <unistd.h>

enum { TRIM_EACH_DAYS = 4, LIMIT_EACH_DAYS = 5, BUSY_TRIM_EACH_DAYS = 3, INTERRUPTED = 130 };

struct options {
    double minutes;
    unsigned days; /* 0: as many as the minutes hold */
    unsigned day_ms;
    uint64_t seed;
    const char *table;
    bool judges_flatness;
};

struct tally soak_tallies[TALLIES];
struct actor soak_director;
_Atomic bool soak_refusals_allowed;
volatile sig_atomic_t soak_interrupted;
static uint64_t seed;

struct actor actor_of(size_t tally, uint64_t number)
{
    uint64_t random = seed ^ (number * UINT64_C(0x9e3779b97f4a7c15));
    random += random == 0;
    (void)random_next(&random);
    return (struct actor){ &soak_tallies[tally], random };
}

static void interrupt(int number)
{
    (void)number;
    soak_interrupted = 1;
}

static bool parse_unsigned(const char *text, uint64_t limit, uint64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0 && *value <= limit;
}

static void fail_usage(const char *what)
{
    fprintf(stderr,
            "soak: %s\nusage: soak [--minutes M | --days N] [--day-ms MS] [--table FILE] "
            "[--seed N] [--no-flatness]\n",
            what);
    exit(2);
}

static struct options read_options(int argc, char **argv)
{
    static const struct option known[] = {
        { "minutes", required_argument, NULL, 'm' }, { "days", required_argument, NULL, 'd' },
        { "day-ms", required_argument, NULL, 'l' },  { "table", required_argument, NULL, 't' },
        { "seed", required_argument, NULL, 's' },    { "no-flatness", no_argument, NULL, 'n' },
        { NULL, 0, NULL, 0 },
    };
    struct options options = { 8, 0, 6000, (uint64_t)time(NULL), NULL, true };
    const char *seed_text = getenv("SOAK_SEED");
    uint64_t value;
    if (seed_text != NULL && !parse_unsigned(seed_text, UINT64_MAX, &options.seed)) {
        fail_usage("SOAK_SEED is not a number");
    }
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        char *end = NULL;
        switch (option) {
        case 'm':
            options.minutes = strtod(optarg, &end);
            if (end == optarg || *end != '\0' || !(options.minutes > 0 && options.minutes <= 1e4)) {
                fail_usage("minutes are a number above 0, at most 10000");
            }
            break;
        case 'd':
            if (!parse_unsigned(optarg, 10000, &value) || value == 0) {
                fail_usage("days are 1 to 10000");
            }
            options.days = (unsigned)value;
            break;
        case 'l':
            if (!parse_unsigned(optarg, 3600 * 1000, &value) || value < 100) {
                fail_usage("a day has 100 to 3600000 ms");
            }
            options.day_ms = (unsigned)value;
            break;
        case 't': options.table = optarg; break;
        case 's':
            if (!parse_unsigned(optarg, UINT64_MAX, &options.seed)) {
                fail_usage("the seed is not a number");
            }
            break;
        case 'n': options.judges_flatness = false; break;
        default: fail_usage("no such option");
        }
    }
    if (optind < argc) {
        fail_usage("there is an argument too many");
    }
    return options;
}

/* In steps, so that a signal between the look and the sleep is not slept through. */
static void sleep_until(double deadline)
{
    while (!soak_interrupted && seconds_now() < deadline) {
        double left = deadline - seconds_now();
        usleep(left > 0.05 ? 50000 : (unsigned)(left > 0 ? left * 1e6 : 0));
    }
}

/* The phase's events, evenly over its time. None is left out where time is short. */
static void direct_phase(const struct phase *phase, unsigned day, double seconds)
{
    double start = seconds_now();
    size_t count = strlen(phase->events);
    for (size_t i = 0; i < count && !soak_interrupted; i++) {
        sleep_until(start + seconds * (double)(i + 1) / (double)(count + 2));
        if (phase->events[i] != 't' || day % BUSY_TRIM_EACH_DAYS == 0) {
            event_run(phase->events[i], phase);
        }
    }
    sleep_until(start + seconds);
}

static void check_at_quiet(void)
{
    uint64_t held = cast_check_long_lived() + events_check_legacy();
    CHECK(known_live_objects() <= held, "the tallies know %llu objects, and there are %llu",
          (unsigned long long)known_live_objects(), (unsigned long long)held);
    check_known_live();
    check_accounting(known_live_objects());
}

static void live_through_day(unsigned day, double seconds)
{
    for (size_t i = 0; i < PHASES && !soak_interrupted; i++) {
        double phase_seconds = seconds * soak_phases[i].share_percent / 100;
        stage_set_turn(stage_turn_now() + 1, phase_seconds);
        direct_phase(&soak_phases[i], day, phase_seconds);
        record_sample(day);
    }
    cast_to_quiet(day);
    events_forbid_refusals();
    check_at_quiet();
    record_day(day);
    if (day % LIMIT_EACH_DAYS == LIMIT_EACH_DAYS - 1) {
        event_limit_at_rest();
    }
    if (day % TRIM_EACH_DAYS == TRIM_EACH_DAYS - 1) {
        event_trim_at_rest();
        check_at_quiet();
    }
}

static void print_summary(unsigned days, double seconds)
{
    uint64_t objects = 0;
    uint64_t large = 0;
    uint64_t refused = 0;
    for (size_t i = 0; i < TALLIES; i++) {
        for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
            objects += counter_read(&soak_tallies[i].allocated[class]);
        }
        large += counter_read(&soak_tallies[i].large);
        refused += counter_read(&soak_tallies[i].refused);
    }
    printf("%u days in %.0f s: %.1f million objects, %.1f million large ones, %llu requests "
           "refused under a limit\n",
           days, seconds, (double)objects / 1e6, (double)large / 1e6, (unsigned long long)refused);
    events_print();
}

int main(int argc, char **argv)
{
    struct options options = read_options(argc, argv);
    struct sigaction action = { .sa_handler = interrupt, .sa_flags = SA_RESTART };
    seed = options.seed;
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    /* The system allocator's own arenas shall not blur what the process has resident. */
    mallopt(M_ARENA_MAX, 1);
    soak_director = actor_of(0, 0);

    double start = seconds_now();
    unsigned day = 0;
    cast_start();
    record_start(options.table);
    check_at_quiet();
    while (!soak_interrupted
           && (options.days > 0 ? day < options.days
                                : seconds_now() - start + options.day_ms * 5e-4
                                      < options.minutes * 60)) {
        live_through_day(day, options.day_ms * 1e-3);
        day++;
    }
    record_end();
    cast_end();
    mail_drop_all();
    events_drop_legacy();
    check_known_live();
    check_accounting(0);

    print_summary(day, seconds_now() - start);
    if (soak_interrupted) {
        puts("ended early by a signal: not judged");
        return INTERRUPTED;
    }
    if (!options.judges_flatness) {
        return 0;
    }
    if (TEST_IS_SANITIZED) {
        puts("a sanitizer keeps freed memory back: flatness is not judged");
        return 0;
    }
    bool flat = record_is_flat();
    puts(flat ? "flat" : "NOT FLAT");
    return flat ? 0 : 1;
}
