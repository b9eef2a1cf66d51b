#include "report_arguments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void usage(FILE *stream, const char *name)
{
    fprintf(stream,
            "Usage: %s_report RAW_FILE [--results FILE] [--plot-data DIR]\n"
            "  RAW_FILE         what bench/%s.sh measured, one value a line\n"
            "  --results FILE   append one JSON object a line\n"
            "  --plot-data DIR  write what %s.gnuplot draws into this directory\n",
            name, name, name);
}

struct report_arguments report_arguments_read(int argc, char **argv, const char *name)
{
    struct report_arguments arguments = { NULL, NULL, NULL };
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            usage(stdout, name);
            exit(EXIT_SUCCESS);
        }
        if (i + 1 < argc && strcmp(argv[i], "--results") == 0) {
            arguments.results = argv[++i];
        } else if (i + 1 < argc && strcmp(argv[i], "--plot-data") == 0) {
            arguments.plot_data = argv[++i];
        } else if (argv[i][0] != '-' && arguments.raw == NULL) {
            arguments.raw = argv[i];
        } else {
            fprintf(stderr, "%s_report: %s: no such option, or no value for it\n", name, argv[i]);
            usage(stderr, name);
            exit(2);
        }
    }
    if (arguments.raw == NULL) {
        usage(stderr, name);
        exit(2);
    }
    return arguments;
}
