/*
 * mbcached: an in-memory cache that speaks memcached's text protocol.
 *
 * The ladder, each step calling those below it:
 *   main        the command line, signals, start and end
 *   worker      threads, loops, ticks
 *   connection  bytes in and out, bounded; which command is next
 *   command, meta, stats    the protocol's words
 *   store       the cache's operations on one key
 *   table       where items are found, the order of a key's changes, and which items go first
 *   item, reclaim    an item's life: from when, until when
 *   memory      MemoryBucket or malloc, and how much of it
 * Beside them, without state of others: text (words), options.
 *
 * The command line has memcached's letters where it has the same option.
 */
#include "item.h"
#include "memory.h"
#include "options.h"
#include "table.h"
#include "worker.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

struct options options = { .address = "127.0.0.1", .port = 11211, .threads = 4,
                           .memory_bytes = (size_t)64 << 20, .item_bytes_max = (size_t)1 << 20,
                           .connections_max = 1024 };

static const char help[] =
    "mbcached: an in-memory cache that speaks memcached's text protocol, written on mb_alloc.\n"
    "Usage: mbcached [OPTION...]\n"
    "  -p PORT                 TCP port (11211); 0: any that is free\n"
    "  -l ADDRESS              IPv4 address to listen on (127.0.0.1)\n"
    "  -m MEGABYTES            memory for items (64)\n"
    "  -c N                    connections at a time (1024)\n"
    "  -t N                    threads, each with its own event loop (4)\n"
    "  -I BYTES                largest item, from 1k to half of -m; k and m are understood (1m)\n"
    "  -U 0                    accepted for memcached's sake: there is no UDP\n"
    "  -v, -vv                 say on stderr what happens: connections; commands, too\n"
    "  --allocator=mb|malloc   MemoryBucket, or the malloc that is linked or preloaded (mb)\n"
    "  --metrics-port=PORT     serve GET /metrics there; 0: off (0)\n"
    "  --help, --version       print this, or the version\n"
    "It listens on this machine alone unless -l says otherwise. SIGTERM and SIGINT end it, once\n"
    "what was received is answered. Commands of its own: mb_trim gives free memory back to the\n"
    "operating system; stats allocator shows the allocator's figures.\n";

enum { OPTION_ALLOCATOR = 256, OPTION_METRICS_PORT };

static const struct option long_options[] = {
    { "allocator", required_argument, NULL, OPTION_ALLOCATOR },
    { "metrics-port", required_argument, NULL, OPTION_METRICS_PORT },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { NULL, 0, NULL, 0 },
};

static size_t udp_port;

static const struct number {
    int option;
    const char *name;
    size_t *number;
    size_t low;
    size_t high;
    unsigned shift; /* of the unit that it is given in */
} numbers[] = {
    { 'p', "-p", &options.port, 0, 65535, 0 },
    { 'm', "-m", &options.memory_bytes, 1, 1 << 24, 20 },
    { 'c', "-c", &options.connections_max, 1, 1000000, 0 },
    { 't', "-t", &options.threads, 1, WORKERS_MAX, 0 },
    { 'I', "-I", &options.item_bytes_max, 1024, (size_t)512 << 20, 0 },
    { 'U', "-U", &udp_port, 0, 0, 0 },
    { OPTION_METRICS_PORT, "--metrics-port", &options.metrics_port, 0, 65535, 0 },
};

static _Noreturn void refuse(const char *what, const char *value, const char *accepted)
{
    fprintf(stderr, "mbcached: %s: \"%s\" is not accepted; it takes %s\n", what, value, accepted);
    exit(2);
}

/* A decimal number; -I may end with k or m. */
static void number_take(const struct number *number, const char *text)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    unsigned shift = 0;
    if (number->option == 'I' && *end != '\0' && strchr("kKmM", *end) != NULL) {
        shift = *end == 'k' || *end == 'K' ? 10 : 20;
        end++;
    }
    if (errno != 0 || end == text || *end != '\0' || strchr(text, '-') != NULL
        || value > number->high >> shift || value << shift < number->low) {
        char accepted[80];
        snprintf(accepted, sizeof accepted, "a number from %zu to %zu", number->low, number->high);
        refuse(number->name, text, accepted);
    }
    *number->number = value << shift << number->shift;
}

static void option_take(int option, const char *value)
{
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (numbers[i].option == option) {
            number_take(&numbers[i], value);
            return;
        }
    }
    if (option == 'l') {
        options.address = value;
    } else if (option == 'v') {
        atomic_fetch_add_explicit(&options.verbosity, 1, memory_order_relaxed); /* [VERBOSITY] */
    } else if (option == OPTION_ALLOCATOR && strcmp(value, "mb") != 0) {
        options.use_malloc = true;
        if (strcmp(value, "malloc") != 0) {
            refuse("--allocator", value, "mb or malloc");
        }
    } else if (option != OPTION_ALLOCATOR) {
        bool is_asked = option == 'h' || option == 'V';
        fputs(option == 'h'   ? help
              : option == 'V' ? "mbcached " MBCACHED_VERSION "\n"
                              : "mbcached: --help has the options\n", is_asked ? stdout : stderr);
        exit(is_asked ? 0 : 2);
    }
}

static void options_read(int argc, char **argv)
{
    int option;
    while ((option = getopt_long(argc, argv, "p:l:m:c:t:I:U:vhV", long_options, NULL)) != -1) {
        option_take(option, optarg);
    }
    if (optind < argc) {
        refuse("argument", argv[optind], "options only (--help)");
    }
    if (options.item_bytes_max > options.memory_bytes / 2) {
        fputs("mbcached: -I: an item may take half of -m at most\n", stderr);
        exit(2);
    }
}

/* --- the start and the end --- */

/* As many descriptors as are allowed; where -c needs more, connections wait (worker.c). */
static void files_allow(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        if (limit.rlim_max < options.connections_max) {
            fprintf(stderr, "mbcached: -c: no more than %zu files may be open\n",
                    (size_t)limit.rlim_max);
        }
    }
}

int main(int argc, char **argv)
{
    options_read(argc, argv);
    memory_start();

    /* Blocked in all threads, so that only the wait below takes them. */
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    signal(SIGPIPE, SIG_IGN);

    files_allow();
    item_start();
    table_start();
    workers_start();

    int signal_number;
    sigwait(&ends, &signal_number);
    workers_drain();
    return 0;
}
