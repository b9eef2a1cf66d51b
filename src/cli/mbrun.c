/*
 * mbrun: starts a program on the drop-in malloc, or records what it asks its own malloc for.
 *
 * Puts libmemorybucket-malloc.so last in LD_PRELOAD and becomes the program. Last, so that tools
 * which watch malloc (heaptrack) stand in front of it, as they do in front of the C library's.
 * With --record it stays, and finishes the trace when the program has ended.
 */
#include "cli/mbrun_preload.h"
#include "cli/mbrun_record.h"
#include "cli/version.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DROPIN_NAME "libmemorybucket-malloc.so"

static const char usage[] =
    "Usage: mbrun [OPTIONS] PROGRAM [ARGS...]\n"
    "Runs PROGRAM with MemoryBucket as its malloc (through LD_PRELOAD), and with its exit status.\n"
    "\n"
    "The pools serve requests of up to 32 KiB, and the next malloc in link order what is larger.\n"
    "MB_POOL_MAX, from 512 to 32K bytes, sets another border.\n"
    "MB_STATS=1 writes what the pools served to stderr at its exit; memorybucket(7) has all\n"
    "variables.\n"
    "Set-user-ID and statically linked programs run without MemoryBucket, and mbrun says so.\n"
    "\n"
    "  -r, --record FILE      record in FILE what PROGRAM asks its own malloc for; see mbreplay\n"
    "  -m, --record-max SIZE  let FILE have SIZE bytes at most, 256K to 1T (1G); PROGRAM goes on\n"
    "  -h, --help             this text\n"
    "  -V, --version          the version of MemoryBucket\n"
    "\n"
    "Exit status: that of PROGRAM, or 127 when it is not found, 126 when it cannot be run, 125\n"
    "when mbrun itself fails.\n";

static const struct option options[] = {
    { "record", required_argument, NULL, 'r' },
    { "record-max", required_argument, NULL, 'm' },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { NULL, 0, NULL, 0 },
};

static const char *record_path;
static uint64_t record_max_bytes = RECORD_MAX_DEFAULT;

/* A number of bytes, with K, M, G or T; 0 where it is none, or not among those accepted. */
static uint64_t size_in(const char *text)
{
    static const char units[] = "KMGT";
    char *end = NULL;
    errno = 0;
    unsigned long long number = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
    if (number == 0 || errno != 0) {
        return 0;
    }
    const char *unit = *end != '\0' ? strchr(units, *end) : NULL;
    unsigned shift = unit != NULL ? 10 * (unsigned)(unit - units + 1) : 0;
    bool is_whole = end[unit != NULL] == '\0';
    return is_whole && number >= RECORD_MIN >> shift && number <= RECORD_MAX >> shift
               ? (uint64_t)number << shift
               : 0;
}

/* Up to PROGRAM: what follows that is for it. */
static void read_options(int argc, char **argv)
{
    static char name[] = "mbrun";
    argv[0] = name; /* with which getopt_long begins what it says */
    int option;
    bool has_max = false;
    while ((option = getopt_long(argc, argv, "+r:m:hV", options, NULL)) != -1) {
        switch (option) {
        case 'r': record_path = optarg; break;
        case 'm':
            has_max = true;
            record_max_bytes = size_in(optarg);
            if (record_max_bytes == 0) {
                fprintf(stderr, "mbrun: --record-max: %s: a size from 256K to 1T is accepted\n",
                        optarg);
                exit(EXIT_OWN);
            }
            break;
        case 'h': exit(help_print("mbrun", usage) ? EXIT_SUCCESS : EXIT_OWN);
        case 'V': exit(version_print("mbrun") ? EXIT_SUCCESS : EXIT_OWN);
        default: exit(EXIT_OWN); /* getopt_long has said what is wrong */
        }
    }
    if (optind >= argc) {
        fputs("mbrun: name a program; mbrun --help says more\n", stderr);
        exit(EXIT_OWN);
    }
    if (has_max && record_path == NULL) {
        fputs("mbrun: --record-max needs --record FILE\n", stderr);
        exit(EXIT_OWN);
    }
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    char **program = argv + optind;
    if (record_path != NULL) {
#ifdef MBRUN_RECORDS
        return mbrun_record(record_path, record_max_bytes, program);
#else
        fputs("mbrun: --record: this mbrun was built without zstd, which that needs\n", stderr);
        return EXIT_OWN;
#endif
    }
    int status = mbrun_preload(DROPIN_NAME, false);
    if (status != 0) {
        return status;
    }
    const char *why_not = mbrun_why_not_preloaded(program[0]);
    if (why_not != NULL) {
        fprintf(stderr, "mbrun: %s runs without MemoryBucket, as %s\n", program[0], why_not);
    }
    return mbrun_become(program);
}
