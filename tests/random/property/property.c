/*
 * property: random programs of API calls against the model; see program.h, model.h and rest.h.
 *
 * A program that fails is made as short as it can, and printed on stdout as C that compiles alone;
 * everything else is said on stderr. Each program's random numbers come from a seed of its own:
 * the one given, and those that follow it.
 */
#include "property/execute.h"
#include "property/shrink.h"
#include "property/trial.h"
#include "testing.h"

#include <errno.h>
#include <time.h>

/* So many run in one process: starting it takes as long as a program, and what one leaves behind
 * (free memory, sorted slots) is what the next finds. */
enum { PROGRAMS_PER_PROCESS = 50, ATTEMPTS_AT_ONCE = 20, THREADS_MAX = PROGRAM_THREADS_MAX,
       INPUT_BYTES_MAX = 1 << 16 };

static const char usage[] =
    "Usage: property [--seed N|today] [--programs N] [--length CALLS] [--threads N] [--at-once]\n"
    "                [--print] [--input FILE]\n"
    "  --seed      the first program's seed, up to 18 digits; the others have the next ones\n"
    "              (today: the date, YYYYMMDD); default 1\n"
    "  --programs  how many; default 200\n"
    "  --length    calls of a program, for each thread where they run at once; default 200\n"
    "  --threads   1 to 8; default 4\n"
    "  --at-once   threads run at once; otherwise they take turns, in an order of the seed's\n"
    "  --print     prints the first program as C instead of running any\n"
    "  --input     runs the one program whose bytes are in FILE, as the fuzzer leaves them\n"
    "Status 0: all held. 1: a program failed; its shortest form is on stdout.\n";

struct options {
    uint64_t seed;
    size_t programs;
    size_t length;
    unsigned threads;
    bool at_once;
    bool print;
    const char *input; /* NULL: random programs */
};

static _Noreturn void refuse(const char *what)
{
    fprintf(stderr, "property: %s\n%s", what, usage);
    exit(2);
}

static uint64_t number_between(const char *option, const char *text, uint64_t low, uint64_t high)
{
    char *end;
    char complaint[200];
    errno = 0;
    uint64_t number = text != NULL ? strtoull(text, &end, 10) : 0;
    if (text == NULL || *text < '0' || *text > '9' || *end != '\0' || errno != 0 || number < low
        || number > high) {
        snprintf(complaint, sizeof complaint, "%s wants a number from %llu to %llu, not %.40s",
                 option, (unsigned long long)low, (unsigned long long)high,
                 text != NULL ? text : "nothing");
        refuse(complaint);
    }
    return number;
}

static uint64_t date_of_today(void)
{
    time_t now = time(NULL);
    struct tm date;
    CHECK(gmtime_r(&now, &date) != NULL, "no date");
    return (uint64_t)(date.tm_year + 1900) * 10000 + (uint64_t)(date.tm_mon + 1) * 100
           + (uint64_t)date.tm_mday;
}

static struct options options_read(char **argument)
{
    const uint64_t seed_max = UINT64_C(999999999999999999);
    struct options options = { .seed = 1, .programs = 200, .length = 200, .threads = 4 };
    for (argument++; *argument != NULL; argument++) {
        const char *name = *argument;
        if (strcmp(name, "--at-once") == 0) {
            options.at_once = true;
        } else if (strcmp(name, "--print") == 0) {
            options.print = true;
        } else if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
            fputs(usage, stdout);
            exit(0);
        } else if (strcmp(name, "--input") == 0 && argument[1] != NULL) {
            options.input = *++argument;
        } else if (strcmp(name, "--seed") == 0 && argument[1] != NULL
                   && strcmp(argument[1], "today") == 0) {
            options.seed = date_of_today();
            argument++;
        } else if (strcmp(name, "--seed") == 0) {
            options.seed = number_between(name, *++argument, 0, seed_max);
        } else if (strcmp(name, "--programs") == 0) {
            options.programs = number_between(name, *++argument, 1, 1000000000);
        } else if (strcmp(name, "--length") == 0) {
            options.length = number_between(name, *++argument, 1, 1000000);
        } else if (strcmp(name, "--threads") == 0) {
            options.threads = (unsigned)number_between(name, *++argument, 1, THREADS_MAX);
        } else {
            char complaint[200];
            snprintf(complaint, sizeof complaint, "%.40s: no such option", name);
            refuse(complaint);
        }
    }
    return options;
}

static bool fails_in_any(const struct program *program, unsigned attempts, bool loud)
{
    bool fails = false;
    for (unsigned i = 0; i < attempts && !fails; i++) {
        fails = trial_fails(program, loud);
    }
    return fails;
}

static struct program program_read(const char *path)
{
    static uint8_t bytes[INPUT_BYTES_MAX];
    struct program program = { .at_once = false };
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "property: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    program_add_bytes(&program, bytes, fread(bytes, 1, sizeof bytes, file));
    fclose(file);
    return program;
}

/* All that the process ran until it failed, as one program. */
static struct program programs_joined(const struct options *options, uint64_t first, uint64_t last)
{
    struct program joined = { .at_once = options->at_once };
    for (uint64_t seed = first; seed <= last; seed++) {
        program_add_random(&joined, seed, options->length, options->threads);
        if (seed < last && !options->at_once) {
            program_add_call(&joined, (struct call){ .kind = CALL_FINISH });
        }
    }
    return joined;
}

static void shrink_and_print(struct program *program, unsigned attempts, const char *remark)
{
    size_t length = program->count;
    size_t trials = shrink(program, attempts);
    fprintf(stderr, "Of %zu calls, %zu are enough (found in %zu trials). They say:\n", length,
            program->count, trials);
    (void)fails_in_any(program, attempts, true);
    fprintf(stderr, "(%s)\nTo repeat: %s\n", trial_outcome(), remark);
    program_print(program, remark, stdout);
}

static void report_failure(const struct options *options, uint64_t first, uint64_t seed)
{
    unsigned attempts = options->at_once ? ATTEMPTS_AT_ONCE : 1;
    char remark[200];
    snprintf(remark, sizeof remark,
             "property --seed %llu --programs %llu --length %zu --threads %u%s",
             (unsigned long long)seed, 1ULL, options->length, options->threads,
             options->at_once ? " --at-once" : "");
    fprintf(stderr, "The program of seed %llu fails: %s\n", (unsigned long long)seed,
            trial_outcome());

    struct program program = programs_joined(options, seed, seed);
    if (!fails_in_any(&program, attempts, false)) {
        program_clear(&program);
        program = programs_joined(options, first, seed);
        unsigned long long count = seed - first + 1;
        snprintf(remark, sizeof remark,
                 "property --seed %llu --programs %llu --length %zu --threads %u%s",
                 (unsigned long long)first, count, options->length, options->threads,
                 options->at_once ? " --at-once" : "");
        fprintf(stderr, "It does not fail alone; with the %llu before it:\n", count - 1);
        if (!fails_in_any(&program, attempts, false)) {
            fprintf(stderr, "Nor do these in %u attempts: no shortest program\nTo repeat: %s\n",
                    attempts, remark);
            program_clear(&program);
            return;
        }
    }
    shrink_and_print(&program, attempts, remark);
    program_clear(&program);
}

static int run_input(const struct options *options)
{
    char remark[200];
    struct program program = program_read(options->input);
    snprintf(remark, sizeof remark, "property --input %.150s", options->input);
    bool fails = trial_fails(&program, false);
    if (fails) {
        shrink_and_print(&program, 1, remark);
    } else {
        fprintf(stderr, "It holds: %zu calls.\n", program.count);
    }
    program_clear(&program);
    return fails;
}

int main(int argc, char **argv)
{
    (void)argc;
    trial_run_if_asked(argv);
    struct options options = options_read(argv);
    if (options.print) {
        struct program program = programs_joined(&options, options.seed, options.seed);
        program_print(&program, "property --print", stdout);
        program_clear(&program);
        return 0;
    }
    if (options.input != NULL) {
        return run_input(&options);
    }
    fprintf(stderr, "%zu programs of %zu calls, %u threads %s, seeds from %llu\n",
            options.programs, options.length, options.threads,
            options.at_once ? "at once" : "one by one", (unsigned long long)options.seed);
    for (size_t done = 0; done < options.programs;) {
        size_t left = options.programs - done;
        size_t count = left < PROGRAMS_PER_PROCESS ? left : PROGRAMS_PER_PROCESS;
        size_t passed = trial_count_passes(options.at_once, options.seed + done, count,
                                           options.length, options.threads);
        if (passed < count) {
            report_failure(&options, options.seed + done, options.seed + done + passed);
            return 1;
        }
        done += count;
    }
    fputs("All of them hold.\n", stderr);
    return 0;
}
