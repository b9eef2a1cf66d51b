/*
 * mbstat: shows the statistics that a process publishes (MB_EXPORT, mb_export_start).
 *
 * Here are the command line and what is written to files and pipes; mbstat_source finds and reads
 * the process, mbstat_view is the live view, mbstat_report makes a page of a recording.
 */
#include "cli/mbstat_advise.h"
#include "cli/mbstat_report.h"
#include "cli/mbstat_source.h"
#include "cli/mbstat_view.h"
#include "cli/version.h"
#include "insight/format.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };

static const char usage[] =
    "Usage: mbstat [OPTIONS] PID|NAME\n"
    "Shows the statistics of a process that publishes them: one that was started with "
    "MB_EXPORT=1,\n"
    "or that called mb_export_start.\n"
    "\n"
    "Without an option it shows them live, like top(1); the key h lists the keys.\n"
    "\n"
    "  -1, --once         writes them once, as a table\n"
    "  -j, --json         writes them as JSON, an object on a line\n"
    "  -p, --prometheus   writes them in Prometheus's text format\n"
    "  -i, --interval=S   seconds between two readings: 0.1 to 3600, 1 by default\n"
    "  -n, --count=N      ends after N readings: 1 to 1000000000; 1 by default for the "
    "three above\n"
    "  -l, --list         names your processes that publish statistics\n"
    "  -c, --clean        takes away what processes left that were killed\n"
    "  -r, --record=FILE  writes JSON lines to FILE, until the process ends or Ctrl-C\n"
    "  -R, --report=FILE  writes an HTML page with charts to FILE: of 60 readings, or --count\n"
    "  -f, --from=FILE    makes the page of a recording; no process is named then\n"
    "  -A, --advise       looks for --interval, and proposes options; with --json as an object\n"
    "  -h, --help         writes this\n"
    "  -V, --version      writes the version of MemoryBucket\n"
    "\n"
    "Exit status: 0; 1 when the process cannot be shown, or a file not written; 2 when the "
    "command\n"
    "line is wrong.\n";

struct request {
    const char *wanted;
    const char *record;
    const char *report;
    const char *from;
    double interval_s;
    unsigned long count;           /* 0: no end */
    enum mb_stats_format format;
    bool has_format;
    bool list;
    bool clean;
    bool advise;
};

static volatile sig_atomic_t interrupted;

static void interrupt(int signal_number)
{
    interrupted = signal_number;
}

/* Ctrl-C and SIGTERM end a recording, whose last line is whole then. */
static void catch_interrupts(void)
{
    struct sigaction action = { .sa_handler = interrupt };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static int write_to_stream(void *stream, const char *text, size_t bytes)
{
    return fwrite(text, 1, bytes, stream) == bytes ? 0 : -errno;
}

static bool write_reading(FILE *to, const struct source *source, const struct snapshot *snapshot,
                          enum mb_stats_format format)
{
    return mbi_format_write(snapshot, &source->owner, source_now_ns(), format, write_to_stream, to)
               == 0
           && fflush(to) == 0;
}

static void sleep_for(double seconds)
{
    time_t whole = (time_t)seconds;
    struct timespec pause = { whole, (long)((seconds - (double)whole) * 1e9) };
    if (!interrupted) {
        nanosleep(&pause, NULL);
    }
}

static struct snapshot snapshot;

/* The process, and its first reading; false after a line. */
static bool open_first(const struct request *request, struct source *source)
{
    if (!source_open(request->wanted, source)) {
        return false;
    }
    bool good = source_read_first(source, &snapshot);
    if (!good) {
        source_close(source);
    }
    return good;
}

/*
 * Writes the reading that is there, and more until there are `count`, the process ends, or a signal
 * comes.
 */
static bool write_readings(FILE *to, const char *path, struct source *source,
                           const struct request *request, unsigned long count)
{
    enum source_state state = SOURCE_READ;
    for (unsigned long done = 1; state == SOURCE_READ || state == SOURCE_NONE; done++) {
        if (!write_reading(to, source, &snapshot, request->format)) {
            return report_say_error(path);
        }
        if (done == count || interrupted) {
            break;
        }
        sleep_for(request->interval_s);
        state = interrupted ? SOURCE_ENDED : source_read(source, &snapshot);
    }
    if (state == SOURCE_DAMAGED) {
        source_say(source, state);
    }
    return state != SOURCE_DAMAGED;
}

/* What two readings say, --interval apart. */
static bool advise(const struct request *request)
{
    static struct snapshot last;
    struct source source;
    if (!open_first(request, &source)) {
        return false;
    }
    sleep_for(request->interval_s);
    enum source_state state = source_read(&source, &last);
    bool good = state == SOURCE_READ || state == SOURCE_NONE;
    if (!good) {
        source_say(&source, state);
    }
    good = good
           && mbstat_advise(&source.owner, &snapshot, &last,
                            request->has_format && request->format == MB_STATS_JSON);
    source_close(&source);
    return good;
}

static bool close_file(FILE *file, const char *path, bool good)
{
    bool written = fclose(file) == 0;
    return good && (written || report_say_error(path));
}

static bool write_formatted(const struct request *request)
{
    struct source source;
    if (!open_first(request, &source)) {
        return false;
    }
    bool good = write_readings(stdout, "standard output", &source, request,
                               request->count != 0 ? request->count : 1);
    source_close(&source);
    return good;
}

/* A file that was there stays where there is nothing to record. */
static bool record(const struct request *request)
{
    struct source source;
    if (!open_first(request, &source)) {
        return false;
    }
    catch_interrupts();
    FILE *file = fopen(request->record, "we");
    bool good = file != NULL || report_say_error(request->record);
    if (file != NULL) {
        good = close_file(file, request->record,
                          write_readings(file, request->record, &source, request, request->count));
    }
    source_close(&source);
    return good;
}

/* The readings that a report is made of, from its first byte on; NULL after a line. */
static FILE *open_readings(const struct request *request)
{
    enum { READINGS = 60 };
    FILE *readings = request->from != NULL ? fopen(request->from, "re") : tmpfile();
    const char *name = request->from != NULL ? request->from : "a temporary file";
    if (readings == NULL) {
        report_say_error(name);
        return NULL;
    }
    if (request->from == NULL) {
        struct source source;
        bool good = open_first(request, &source);
        if (good) {
            good = write_readings(readings, name, &source, request,
                                  request->count != 0 ? request->count : READINGS);
            source_close(&source);
        }
        if (!good) {
            fclose(readings);
            return NULL;
        }
        rewind(readings);
    }
    return readings;
}

static bool report(const struct request *request)
{
    catch_interrupts();
    FILE *readings = open_readings(request);
    if (readings == NULL) {
        return false;
    }
    bool good = report_write(request->report, readings,
                             request->from != NULL ? request->from : "readings");
    fclose(readings);
    return good;
}

/* ---- the command line ----------------------------------------------------------------------- */

static bool refuse(const char *option, const char *value, const char *accepted)
{
    fprintf(stderr, "mbstat: %s=%s is not valid; accepted: %s\n", option, value, accepted);
    return false;
}

static bool read_interval(const char *text, double *seconds)
{
    char *end;
    *seconds = strtod(text, &end);
    bool is_plain = text[strspn(text, "0123456789.")] == '\0';
    return (is_plain && end != text && *end == '\0' && *seconds >= 0.1 && *seconds <= 3600)
           || refuse("--interval", text, "0.1 to 3600 seconds");
}

static bool read_count(const char *text, unsigned long *count)
{
    char *end;
    errno = 0;
    *count = strtoul(text, &end, 10);
    return (text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *count >= 1
            && *count <= 1000000000)
           || refuse("--count", text, "1 to 1000000000");
}

static void set_format(struct request *request, enum mb_stats_format format)
{
    request->format = format;
    request->has_format = true;
}

static const struct option options[] = {
    { "once", no_argument, NULL, '1' },
    { "json", no_argument, NULL, 'j' },
    { "prometheus", no_argument, NULL, 'p' },
    { "interval", required_argument, NULL, 'i' },
    { "count", required_argument, NULL, 'n' },
    { "list", no_argument, NULL, 'l' },
    { "clean", no_argument, NULL, 'c' },
    { "record", required_argument, NULL, 'r' },
    { "report", required_argument, NULL, 'R' },
    { "from", required_argument, NULL, 'f' },
    { "advise", no_argument, NULL, 'A' },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { NULL, 0, NULL, 0 },
};

/* Takes one option; false after a line. */
static bool take_option(int option, struct request *request)
{
    switch (option) {
    case '1': set_format(request, MB_STATS_TEXT); return true;
    case 'j': set_format(request, MB_STATS_JSON); return true;
    case 'p': set_format(request, MB_STATS_PROMETHEUS); return true;
    case 'i': return read_interval(optarg, &request->interval_s);
    case 'n': return read_count(optarg, &request->count);
    case 'l': request->list = true; return true;
    case 'c': request->clean = true; return true;
    case 'r': request->record = optarg; return true;
    case 'R': request->report = optarg; return true;
    case 'f': request->from = optarg; return true;
    case 'A': request->advise = true; return true;
    default: return false; /* getopt_long has said what is wrong */
    }
}

/* What is left behind the options: whether it goes together with them. */
static bool take_rest(int argc, char **argv, struct request *request)
{
    bool needs_process = !request->list && !request->clean && request->from == NULL;
    const char *flaw = NULL;
    if (argc - optind > 1) {
        flaw = "name one process only";
    } else if (needs_process && argc == optind) {
        flaw = "name a process by its number or its name; --list shows which there are";
    } else if (!needs_process && argc != optind) {
        flaw = "--list, --clean and --from take no process";
    } else if (request->from != NULL && request->report == NULL) {
        flaw = "--from needs --report";
    } else if ((request->record != NULL) + (request->report != NULL) + request->has_format > 1) {
        flaw = "--record, --report and a format do not go together";
    }
    if (request->advise
        && (!needs_process || request->record != NULL || request->report != NULL
            || (request->has_format && request->format != MB_STATS_JSON))) {
        flaw = "--advise goes together with --json and --interval only";
    }
    request->wanted = argv[optind];
    if (flaw != NULL) {
        fprintf(stderr, "mbstat: %s\n", flaw);
    }
    return flaw == NULL;
}

static int show_live(const struct request *request)
{
    struct source source;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        fputs("mbstat: there is no terminal; --once, --json or --prometheus need none\n", stderr);
        return EXIT_FAILURE;
    }
    if (!open_first(request, &source)) {
        return EXIT_FAILURE;
    }
    int status = view_run(&source, &snapshot, request->interval_s, request->count);
    source_close(&source);
    return status;
}

static int run(struct request *request)
{
    bool good = true;
    if (request->clean) {
        printf("%u removed\n", source_clean());
    }
    if (request->list) {
        good = source_list();
    } else if (request->advise) {
        good = advise(request);
    } else if (request->record != NULL) {
        set_format(request, MB_STATS_JSON);
        good = record(request);
    } else if (request->report != NULL) {
        set_format(request, MB_STATS_JSON);
        good = report(request);
    } else if (request->has_format) {
        good = write_formatted(request);
    } else if (!request->clean) {
        return show_live(request);
    }
    if (fflush(stdout) != 0 && good) {
        good = report_say_error("standard output");
    }
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct request request = { .interval_s = 1 };
    static char name[] = "mbstat";
    argv[0] = name; /* with which getopt_long begins what it says */
    int option;
    while ((option = getopt_long(argc, argv, "1jpi:n:lcr:R:f:AhV", options, NULL)) != -1) {
        if (option == 'h') {
            return help_print("mbstat", usage) ? EXIT_SUCCESS : EXIT_FAILURE;
        }
        if (option == 'V') {
            return version_print("mbstat") ? EXIT_SUCCESS : EXIT_FAILURE;
        }
        if (!take_option(option, &request)) {
            return EXIT_USAGE;
        }
    }
    if (!take_rest(argc, argv, &request)) {
        return EXIT_USAGE;
    }
    return run(&request);
}
