/*
 * mbreplay: replays what a program asked its allocator for, on one allocator after another.
 *
 * Here is the command line. mbreplay_plan makes a trace ready, mbreplay_allocators starts a process
 * for each allocator and round, mbreplay_run is what these do, mbreplay_report prints what came
 * out.
 */
#include "cli/mbreplay_advise.h"
#include "cli/mbreplay_allocators.h"
#include "cli/mbreplay_base.h"
#include "cli/mbreplay_plan.h"
#include "cli/mbreplay_report.h"
#include "cli/mbreplay_summary.h"
#include "cli/version.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2, ROUNDS_STANDARD = 3 };

static const char usage[] =
    "Usage: mbreplay [OPTIONS] FILE\n"
    "Replays a trace that mbrun --record wrote, with its threads and as fast as it goes, on one\n"
    "allocator after another, and prints time and memory of each side by side. Allocators are\n"
    "system, mimalloc, jemalloc, tcmalloc, memorybucket, and paths of libraries.\n"
    "\n"
    "  -a, --allocators=LIST  those, separated by commas; by default the five, if installed\n"
    "  -r, --rounds=N         replays so many times on each, in turn: 1 to 100; 3 by default\n"
    "  -j, --json             prints JSON, an object on a line\n"
    "  -c, --chart=FILE       draws a chart with gnuplot: FILE ends in .svg or .png\n"
    "  -s, --summary          prints what the trace has, and replays nothing\n"
    "  -A, --advise           proposes MB_MAGAZINE_SIZE, MB_THREAD_CACHE_MAX and MB_POOL_MAX\n"
    "  -h, --help             writes this\n"
    "  -V, --version          writes the version of MemoryBucket\n"
    "\n"
    "Exit status: 0; 1 when the trace cannot be read, an allocator that was named is not there or\n"
    "did not do all that was recorded, or a file cannot be written; 2 when the command line is\n"
    "wrong.\n";

struct request {
    const char *path;
    const char *allocators; /* NULL: all */
    const char *chart;
    unsigned rounds;
    bool json;
    bool summary;
    bool advise;
};

static bool refuse(const char *option, const char *value, const char *accepted)
{
    mbreplay_say("%s=%s is not valid; accepted: %s", option, value, accepted);
    return false;
}

static bool read_rounds(const char *text, unsigned *rounds)
{
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    *rounds = (unsigned)number;
    return (*text >= '0' && *text <= '9' && *end == '\0' && number >= 1 && number <= ROUNDS_MAX)
           || refuse("--rounds", text, "1 to 100");
}

static const struct option options[] = {
    { "allocators", required_argument, NULL, 'a' },
    { "rounds", required_argument, NULL, 'r' },
    { "json", no_argument, NULL, 'j' },
    { "chart", required_argument, NULL, 'c' },
    { "summary", no_argument, NULL, 's' },
    { "advise", no_argument, NULL, 'A' },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { NULL, 0, NULL, 0 },
};

/* Takes one option; false after a line. */
static bool take_option(int option, struct request *request)
{
    switch (option) {
    case 'a': request->allocators = optarg; return true;
    case 'r': return read_rounds(optarg, &request->rounds);
    case 'j': request->json = true; return true;
    case 'c':
        request->chart = optarg;
        return mbreplay_report_has_format(optarg)
               || refuse("--chart", optarg, "a name that ends in .svg or .png");
    case 's': request->summary = true; return true;
    case 'A': request->advise = true; return true;
    default: return false; /* getopt_long has said what is wrong */
    }
}

/* ---- replaying ------------------------------------------------------------------------------ */

/* Leaves out those without a result. */
static size_t keep_replayed(struct allocator *allocators, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (allocators[i].rounds != 0) {
            if (kept != i) {
                memcpy(&allocators[kept], &allocators[i], sizeof allocators[i]);
            }
            kept++;
        }
    }
    return kept;
}

/* Replays in turn, so that what else the machine does meets all alike. False: not all is done. */
static bool replay_all(struct allocator *allocators, size_t count, const struct plan *plan,
                       int file, unsigned rounds)
{
    bool failed[ALLOCATORS_MAX] = { false };
    bool good = true;
    for (unsigned round = 0; round < rounds; round++) {
        for (size_t i = 0; i < count; i++) {
            failed[i] = failed[i] || !mbreplay_allocator_run(&allocators[i], plan, file);
            good = good && !failed[i];
        }
    }
    return good;
}

static bool replay(const struct request *request, struct mb_trace *trace)
{
    static struct allocator allocators[ALLOCATORS_MAX];
    bool complete;
    bool named = request->allocators != NULL;
    size_t count = mbreplay_allocators_find(named ? request->allocators : mbreplay_allocators_all,
                                            allocators, &complete);
    if (count == 0 || (named && !complete)) {
        return false;
    }
    int file;
    struct plan *plan = mbreplay_plan_make(trace, &file);
    if (plan->operations == 0) {
        mbreplay_say("%s: there is nothing in it to replay", request->path);
        return false;
    }
    bool good = replay_all(allocators, count, plan, file, request->rounds);
    struct replay_report report = { request->path, mb_trace_header(trace), plan, allocators,
                             keep_replayed(allocators, count) };
    if (report.count == 0) {
        return false;
    }
    if (request->json) {
        mbreplay_report_json(&report);
    } else {
        mbreplay_report_text(&report);
    }
    return (request->chart == NULL || mbreplay_report_chart(&report, request->chart)) && good;
}

static int run(const struct request *request)
{
    struct mb_trace *trace;
    char error[MB_TRACE_ERROR_MAX];
    bool good = true;
    if (mb_trace_open(request->path, &trace, error, sizeof error) != 0) {
        mbreplay_die("%s", error);
    }
    if (request->summary) {
        mbreplay_summary(request->path, trace);
    } else if (request->advise) {
        mbreplay_advise(request->path, trace, request->json);
    } else {
        good = replay(request, trace);
    }
    mb_trace_close(trace);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        mbreplay_die("standard output: %s", strerror(errno));
    }
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    if (mbreplay_allocator_is_child(argc, argv)) {
        return mbreplay_allocator_child(argc, argv);
    }
    struct request request = { .rounds = ROUNDS_STANDARD };
    static char name[] = "mbreplay";
    argv[0] = name; /* with which getopt_long begins what it says */
    int option;
    while ((option = getopt_long(argc, argv, "a:r:jc:sAhV", options, NULL)) != -1) {
        if (option == 'h') {
            return help_print("mbreplay", usage) ? EXIT_SUCCESS : EXIT_FAILURE;
        }
        if (option == 'V') {
            return version_print("mbreplay") ? EXIT_SUCCESS : EXIT_FAILURE;
        }
        if (!take_option(option, &request)) {
            return EXIT_USAGE;
        }
    }
    if (argc - optind != 1) {
        mbreplay_say("name one trace; mbreplay --help says more");
        return EXIT_USAGE;
    }
    request.path = argv[optind];
    return run(&request);
}
