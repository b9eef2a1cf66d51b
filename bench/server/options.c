/* options: the command line, with memcached's letters where it has the same option. */
#include "options.h"
#include "stats.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options options = {
    .address = "127.0.0.1",
    .port = 11211,
    .memory_bytes = (size_t)64 << 20,
    .item_bytes_max = (size_t)1 << 20,
    .connections_max = 1024,
    .threads = 4,
};

static const char help[] =
    "mbcached: an in-memory cache that speaks memcached's text protocol, written on mb_alloc.\n"
    "Usage: mbcached [OPTION...]\n"
    "  -p, --port=PORT             TCP port (11211); 0: any that is free\n"
    "  -l, --listen=ADDRESS        IPv4 address to listen on (127.0.0.1)\n"
    "  -m, --memory-limit=MB       memory for items, in megabytes (64)\n"
    "  -c, --conn-limit=N          connections at a time (1024)\n"
    "  -t, --threads=N             threads, each with its own event loop (4)\n"
    "  -I, --max-item-size=BYTES   largest item, 1k to 512m; k and m are understood (1m)\n"
    "  -U, --udp-port=0            accepted for memcached's sake: there is no UDP\n"
    "  -v, -vv                     say what happens on stderr: connections; commands, too\n"
    "      --allocator=mb|malloc   MemoryBucket, or the malloc that is linked or preloaded (mb)\n"
    "      --metrics-port=PORT     serve GET /metrics there (off); 0: off\n"
    "  -h, --help                  print this\n"
    "  -V, --version               print the version\n"
    "It listens on this machine alone unless -l says otherwise. SIGTERM and SIGINT end it, once\n"
    "what was received is answered. Commands of its own: mb_trim gives free memory back to the\n"
    "operating system; stats allocator shows the allocator's figures.\n";

enum { OPTION_ALLOCATOR = 256, OPTION_METRICS_PORT };

static const struct option long_options[] = {
    { "port", required_argument, NULL, 'p' },
    { "listen", required_argument, NULL, 'l' },
    { "memory-limit", required_argument, NULL, 'm' },
    { "conn-limit", required_argument, NULL, 'c' },
    { "threads", required_argument, NULL, 't' },
    { "max-item-size", required_argument, NULL, 'I' },
    { "udp-port", required_argument, NULL, 'U' },
    { "verbose", no_argument, NULL, 'v' },
    { "allocator", required_argument, NULL, OPTION_ALLOCATOR },
    { "metrics-port", required_argument, NULL, OPTION_METRICS_PORT },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { NULL, 0, NULL, 0 },
};

static _Noreturn void refuse(const char *what, const char *value, const char *accepted)
{
    fprintf(stderr, "mbcached: %s: \"%s\" is not accepted; it takes %s\n", what, value, accepted);
    exit(2);
}

/* A number with an optional k, m or g where `units` says so; refused unless low..high. */
static unsigned long long number_read(const char *what, const char *text, unsigned long long low,
                                      unsigned long long high, bool units)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    unsigned shift = 0;
    if (units && *end != '\0') {
        const char *found = strchr("kKmMgG", *end);
        shift = found != NULL ? 10U * (1U + (unsigned)(found - "kKmMgG") / 2) : 0;
        end += found != NULL;
    }
    if (errno != 0 || end == text || *end != '\0' || strchr(text, '-') != NULL
        || number > (high >> shift) || (number << shift) < low) {
        char accepted[80];
        snprintf(accepted, sizeof accepted, "a number from %llu to %llu", low, high);
        refuse(what, text, accepted);
    }
    return number << shift;
}

static bool allocator_read(const char *text)
{
    if (strcmp(text, "mb") != 0 && strcmp(text, "malloc") != 0) {
        refuse("--allocator", text, "mb or malloc");
    }
    return strcmp(text, "malloc") == 0;
}

static void option_take(int option, const char *value)
{
    switch (option) {
    case 'p':
        options.port = (uint16_t)number_read("-p", value, 0, 65535, false);
        break;
    case 'l':
        options.address = value;
        break;
    case 'm':
        options.memory_bytes = (size_t)number_read("-m", value, 1, 1 << 24, false) << 20;
        break;
    case 'c':
        options.connections_max = (unsigned)number_read("-c", value, 1, 1000000, false);
        break;
    case 't':
        options.threads = (unsigned)number_read("-t", value, 1, WORKERS_MAX, false);
        break;
    case 'I':
        options.item_bytes_max = number_read("-I", value, 1024, 512ULL << 20, true);
        break;
    case 'U':
        number_read("-U", value, 0, 0, false);
        break;
    case OPTION_ALLOCATOR:
        options.use_malloc = allocator_read(value);
        break;
    case OPTION_METRICS_PORT:
        options.metrics_port = (uint16_t)number_read("--metrics-port", value, 0, 65535, false);
        options.metrics = options.metrics_port != 0;
        break;
    case 'v':
        options.verbosity++;
        break;
    case 'h':
        fputs(help, stdout);
        exit(0);
    case 'V':
        puts("mbcached " MBCACHED_VERSION);
        exit(0);
    default:
        fputs("mbcached: --help has the options\n", stderr);
        exit(2);
    }
}

void options_read(int argc, char **argv)
{
    int option;
    while ((option = getopt_long(argc, argv, "p:l:m:c:t:I:U:vhV", long_options, NULL)) != -1) {
        option_take(option, optarg);
    }
    if (optind < argc) {
        refuse("argument", argv[optind], "options only (--help)");
    }
}
