/*
 * report_arguments: the command line of compare_report and memory_report:
 *   NAME_report RAW_FILE [--results FILE] [--plot-data DIR]
 */
#ifndef MEMORYBUCKET_BENCH_REPORT_ARGUMENTS_H
#define MEMORYBUCKET_BENCH_REPORT_ARGUMENTS_H

/* What was not given is NULL; `raw` is never. */
struct report_arguments {
    const char *raw;
    const char *results;
    const char *plot_data;
};

/*
 * For the report of bench/NAME.sh. After --help it ends the process with status 0, and with 2 when
 * the arguments cannot be used.
 */
struct report_arguments report_arguments_read(int argc, char **argv, const char *name);

#endif
