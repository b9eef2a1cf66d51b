/*
 * mbprof: makes something readable of the heap profile's dumps.
 *
 * Ladder: a program's own, above the other files of its name.
 */
#include "cli/mbprof_dump.h"
#include "cli/mbprof_pprof.h"
#include "cli/mbprof_symbols.h"
#include "cli/version.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
    "Usage: mbprof top [OPTIONS] DUMP         the functions and stacks that hold most\n"
    "       mbprof diff [OPTIONS] DUMP DUMP   what lives now and did not earlier, by stack\n"
    "       mbprof folded [OPTIONS] DUMP      a line for each stack, for flame graphs\n"
    "       mbprof pprof [OPTIONS] DUMP       pprof's own format, with all names in it\n"
    "Reads what MB_PROFILE, MB_PROFILE_SIGNAL and mb_profile_dump write. Names come from the\n"
    "files that the process had mapped, as they are now.\n"
    "\n"
    "  -m, --metric METRIC   inuse_space (default), inuse_objects, alloc_space or alloc_objects\n"
    "  -n, --number N        so many stacks at most (top and diff; 10)\n"
    "  -o, --output FILE     writes there and not to the standard output\n"
    "  -h, --help            this text\n"
    "  -V, --version         the version of MemoryBucket\n"
    "\n"
    "Exit status: 0, or 1 when a dump cannot be read or the output cannot be written, or 2 when\n"
    "the call is wrong.\n";

enum { EXIT_USAGE = 2, STACKS_STANDARD = 10, STACKS_MAX = 1000000, FRAMES_SHOWN = 24 };

static enum metric metric = INUSE_SPACE;
static size_t stacks_max = STACKS_STANDARD;
static const char *output_path;

static _Noreturn void die_of_usage(const char *what, const char *value, const char *accepted)
{
    fprintf(stderr, "mbprof: %s%s%s; accepted: %s\n", what, value[0] != '\0' ? ": " : "", value,
            accepted);
    exit(EXIT_USAGE);
}

static enum metric metric_named(const char *name)
{
    for (enum metric one = 0; one < METRICS; one++) {
        if (strcmp(name, mbprof_metric_names[one]) == 0) {
            return one;
        }
    }
    die_of_usage("--metric", name, "inuse_space, inuse_objects, alloc_space, alloc_objects");
}

static size_t number_in(const char *text)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || number < 1 || number > STACKS_MAX) {
        die_of_usage("--number", text, "1 to 1000000");
    }
    return number;
}

static int compare_values(const void *one, const void *other)
{
    int64_t a = ((const struct dump_stack *)one)->values[metric];
    int64_t b = ((const struct dump_stack *)other)->values[metric];
    return (a < b) - (a > b);
}

static void sort_by_metric(struct dump *dump)
{
    if (dump->stack_count != 0) {
        qsort(dump->stacks, dump->stack_count, sizeof *dump->stacks, compare_values);
    }
}

static struct dump_stack sum_of(const struct dump *dump)
{
    struct dump_stack sum = { .count = 0 };
    for (size_t i = 0; i < dump->stack_count; i++) {
        for (size_t one = 0; one < METRICS; one++) {
            sum.values[one] += dump->stacks[i].values[one];
        }
    }
    return sum;
}

static void print_frames(const struct dump_stack *stack)
{
    for (size_t i = 0; i < stack->count && i < FRAMES_SHOWN; i++) {
        const struct symbol_info *symbol = mbprof_symbol(stack->addresses[i]);
        printf("    %s", symbol->name);
        if (symbol->file != NULL) {
            printf("  %s:%d", symbol->file, symbol->line);
        }
        putchar('\n');
    }
    if (stack->count == 0) {
        printf("    (no stack could be taken)\n");
    } else if (stack->count > FRAMES_SHOWN) {
        printf("    (%zu callers more)\n", stack->count - FRAMES_SHOWN);
    }
}

static double percent(int64_t part, int64_t whole)
{
    return whole != 0 ? 100.0 * (double)part / (double)whole : 0;
}

/* The stacks with the largest values, as long as they are positive. */
static void print_stacks(const struct dump *dump, const struct dump_stack *sum)
{
    size_t shown = 0;
    for (; shown < dump->stack_count && shown < stacks_max; shown++) {
        const struct dump_stack *stack = &dump->stacks[shown];
        if (stack->values[metric] <= 0) {
            break;
        }
        printf("\n%5.1f %%  %" PRId64 " bytes in %" PRId64 " objects live; %" PRId64 " in %" PRId64
               " allocated\n",
               percent(stack->values[metric], sum->values[metric]), stack->values[INUSE_SPACE],
               stack->values[INUSE_OBJECTS], stack->values[ALLOC_SPACE],
               stack->values[ALLOC_OBJECTS]);
        print_frames(stack);
    }
    if (shown == 0) {
        printf("\nno stack has any %s\n", mbprof_metric_names[metric]);
    }
}

static void print_sum(const char *what, const struct dump_stack *sum)
{
    printf("%s: %" PRId64 " bytes in %" PRId64 " objects live, %" PRId64 " in %" PRId64
           " allocated; by %s\n",
           what, sum->values[INUSE_SPACE], sum->values[INUSE_OBJECTS], sum->values[ALLOC_SPACE],
           sum->values[ALLOC_OBJECTS], mbprof_metric_names[metric]);
}

static void run_top(struct dump *dump)
{
    struct dump_stack sum = sum_of(dump);
    mbprof_symbols_join(dump);
    sort_by_metric(dump);
    print_sum("estimated", &sum);
    print_stacks(dump, &sum);
}

/* From which the earlier one is subtracted. */
static void run_diff(struct dump *later)
{
    struct dump_stack sum = sum_of(later);
    mbprof_symbols_join(later);
    sort_by_metric(later);
    print_sum("grown by", &sum);
    struct dump_stack positive = { .count = 0 };
    for (size_t i = 0; i < later->stack_count && later->stacks[i].values[metric] > 0; i++) {
        positive.values[metric] += later->stacks[i].values[metric];
    }
    print_stacks(later, &positive);
}

/* Separators in a name would make another stack of it. */
static void print_folded_name(const char *name)
{
    for (; *name != '\0'; name++) {
        putchar(*name == ';' || *name == '\n' ? ':' : *name);
    }
}

static void run_folded(struct dump *dump)
{
    mbprof_symbols_join(dump);
    for (size_t i = 0; i < dump->stack_count; i++) {
        const struct dump_stack *stack = &dump->stacks[i];
        if (stack->values[metric] <= 0) {
            continue;
        }
        for (size_t at = stack->count; at > 0; at--) {
            print_folded_name(mbprof_symbol(stack->addresses[at - 1])->name);
            fputs(at > 1 ? ";" : "", stdout);
        }
        printf("%s %" PRId64 "\n", stack->count == 0 ? "(no stack)" : "", stack->values[metric]);
    }
}

static const struct option options[] = {
    { "metric", required_argument, NULL, 'm' }, { "number", required_argument, NULL, 'n' },
    { "output", required_argument, NULL, 'o' }, { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },       { NULL, 0, NULL, 0 },
};

static void read_options(int argc, char **argv)
{
    static char name[] = "mbprof";
    argv[0] = name; /* with which getopt_long begins what it says */
    int option;
    while ((option = getopt_long(argc, argv, "m:n:o:hV", options, NULL)) != -1) {
        switch (option) {
        case 'm': metric = metric_named(optarg); break;
        case 'n': stacks_max = number_in(optarg); break;
        case 'o': output_path = optarg; break;
        case 'h': exit(help_print("mbprof", usage) ? EXIT_SUCCESS : EXIT_FAILURE);
        case 'V': exit(version_print("mbprof") ? EXIT_SUCCESS : EXIT_FAILURE);
        default: exit(EXIT_USAGE); /* getopt_long has said what is wrong */
        }
    }
}

static void refuse_to_overwrite(const char *dump_path)
{
    struct stat output;
    struct stat dump;
    if (output_path != NULL && stat(output_path, &output) == 0 && S_ISREG(output.st_mode)
        && stat(dump_path, &dump) == 0 && output.st_dev == dump.st_dev
        && output.st_ino == dump.st_ino) {
        mbprof_die("%s: is the dump itself; name another file for the output", output_path);
    }
}

/* The standard output becomes the file that was asked for. */
static void open_output(void)
{
    if (output_path == NULL) {
        return;
    }
    int file = open(output_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file < 0 || dup2(file, STDOUT_FILENO) < 0) {
        mbprof_die("%s: %s", output_path, strerror(errno));
    }
    close(file);
}

static void close_output(void)
{
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        mbprof_die("%s: %s", output_path != NULL ? output_path : "the standard output",
                   strerror(errno));
    }
}

int main(int argc, char **argv)
{
    static const char *const commands[] = { "top", "diff", "folded", "pprof" };
    enum { TOP, DIFF, FOLDED, PPROF, COMMANDS };
    read_options(argc, argv);
    int command = 0;
    const char *name = optind < argc ? argv[optind++] : "";
    while (command < COMMANDS && strcmp(name, commands[command]) != 0) {
        command++;
    }
    if (command == COMMANDS) {
        die_of_usage(*name != '\0' ? "no such command" : "no command", name,
                     "top, diff, folded, pprof; mbprof --help says more");
    }
    int wanted = command == DIFF ? 2 : 1;
    if (argc - optind != wanted) {
        die_of_usage("a wrong number of dumps", "", command == DIFF ? "two, the earlier one first"
                                                                    : "one");
    }
    struct dump dump;
    struct dump earlier;
    mbprof_dump_read(&dump, argv[argc - 1]);
    if (command == DIFF) {
        mbprof_dump_read(&earlier, argv[optind]);
        mbprof_dump_subtract(&dump, &earlier);
    }
    mbprof_symbols_open(&dump);
    for (int i = optind; i < argc; i++) {
        refuse_to_overwrite(argv[i]);
    }
    open_output(); /* from here on what was there is gone: all that was given is read */
    switch (command) {
    case TOP: run_top(&dump); break;
    case DIFF: run_diff(&dump); break;
    case FOLDED: run_folded(&dump); break;
    default:
        if (output_path == NULL && isatty(STDOUT_FILENO)) {
            die_of_usage("pprof", "a terminal", "-o FILE, or a pipe");
        }
        mbprof_symbols_join(&dump);
        mbprof_pprof_write(&dump, STDOUT_FILENO,
                           output_path != NULL ? output_path : "the standard output");
    }
    close_output();
    return EXIT_SUCCESS;
}
