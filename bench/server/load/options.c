/* options: a table of what there is, and the checks of what was given. */
#include "options.h"

#include "report.h"

#include <getopt.h>
#include <netdb.h>
#include <string.h>

struct options options = { .connections = 50, .threads = 1, .seconds = 2, .pipeline = 1,
                           .keys = 100000, .zipf = 0.99, .get_share = 0.9,
                           .key_sizes = { SIZES_ETC, 0, 0 }, .value_sizes = { SIZES_ETC, 0, 0 } };

static const struct known {
    const char *name, *help;
    enum { ADDRESS, COUNT, SHARE, SIZES, FLAG, PATH, HELP } kind;
    unsigned least, most;
    void *into;
} known[] = {
    { "connect", "HOST:PORT of the server", ADDRESS, 0, 0, &options.address },
    { "connections", "50 unless told", COUNT, 1, 60000, &options.connections },
    { "threads", "1 unless told", COUNT, 1, THREADS_MAX, &options.threads },
    { "seconds", "2 unless told; a fill must end within them", COUNT, 1, 86400, &options.seconds },
    { "pipeline", "requests under way at once, 1 unless told", COUNT, 1, 1024, &options.pipeline },
    { "churn", "requests after which a connection is opened anew; 0, the default: never", COUNT, 0,
      1000000000, &options.churn },
    { "keys", "100000 unless told", COUNT, 1, 1000000000, &options.keys },
    { "zipf", "0.99 unless told; 0: all keys alike", SHARE, 0, 10, &options.zipf },
    { "get-share", "0.9 unless told; the others are sets", SHARE, 0, 1, &options.get_share },
    { "values", "etc unless told, or usr, or LEAST-MOST: bytes", SIZES, 0,
      VALUE_BYTES_MAX, &options.value_sizes },
    { "key-sizes", "the same", SIZES, KEY_BYTES_MIN, KEY_BYTES_MAX, &options.key_sizes },
    { "seed", "another has other sizes in another order", COUNT, 0, 1000000000, &options.seed },
    { "fill", "stores every key once, and ends", FLAG, 0, 0, &options.fill },
    { "verify", "checks each value that comes, byte for byte", FLAG, 0, 0, &options.verify },
    { "no-misses", "a miss or a refusal is an error", FLAG, 0, 0, &options.no_misses },
    { "json", "a file for the figures, one a line", PATH, 0, 0, &options.json },
    { "help", "this", HELP, 0, 0, NULL },
};
enum { KNOWN_COUNT = sizeof known / sizeof known[0] };

static void read_address(char *text)
{
    char *port = strrchr(text, ':');
    struct addrinfo *found, wanted = { .ai_socktype = SOCK_STREAM };
    if (port == NULL || port == text || port[1] == '\0') {
        report_refuse("--connect %s: accepted is HOST:PORT", text);
    }
    *port++ = '\0';
    int status = getaddrinfo(text, port, &wanted, &found);
    if (status != 0) {
        report_refuse("--connect %s:%s: %s", text, port, gai_strerror(status));
    }
    memcpy(&options.address, found->ai_addr, found->ai_addrlen);
    options.address_bytes = found->ai_addrlen;
    freeaddrinfo(found);
}

static void show_help(void)
{
    puts("mbload: a load for servers that speak memcached's text protocol");
    for (const struct known *one = known; one < known + KNOWN_COUNT; one++) {
        printf(one->most == 0 ? "  --%s: %s\n" : "  --%s: %s, %u to %u\n", one->name, one->help,
               one->least, one->most);
    }
    puts("Exit status: 0; 1 for errors, wrong values or what else failed; 2 for a bad option.");
    exit(EXIT_SUCCESS);
}

static void read_share(const char *text, const struct known *one)
{
    char *end;
    double value = *(double *)one->into = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= one->least && value <= one->most)) {
        report_refuse("--%s %s: accepted is a number from %u to %u", one->name, text, one->least,
                      one->most);
    }
}

static void read_sizes(const char *text, const struct known *one)
{
    struct sizes *sizes = one->into;
    int end = 0;
    *sizes = (struct sizes){ SIZES_UNIFORM, one->least, one->least };
    if (strcmp(text, "etc") == 0 || strcmp(text, "usr") == 0) {
        sizes->kind = text[0] == 'e' ? SIZES_ETC : SIZES_USR;
        return;
    }
    /* Nine digits cannot overflow: NOLINTNEXTLINE(cert-err34-c) */
    if (sscanf(text, "%9zu-%9zu%n", &sizes->low, &sizes->high, &end) != 2 || text[end] != '\0' ||
        strpbrk(text, " +") != NULL || sizes->low < one->least || sizes->high > one->most ||
        sizes->low > sizes->high) {
        report_refuse("--%s %s: accepted are etc, usr and LEAST-MOST, bytes from %u to %u",
                      one->name, text, one->least, one->most);
    }
}

static void take(const struct known *one, char *text)
{
    char name[32];
    snprintf(name, sizeof name, "--%s", one->name);
    switch (one->kind) {
    case ADDRESS: read_address(text); break;
    case COUNT:
        *(unsigned *)one->into = report_parse_count(text, name, one->least, one->most);
        break;
    case SHARE: read_share(text, one); break;
    case FLAG: *(bool *)one->into = true; break;
    case PATH: *(const char **)one->into = text; break;
    case HELP: show_help(); break;
    case SIZES: read_sizes(text, one); break;
    }
}

void options_read(int argc, char **argv)
{
    struct option names[KNOWN_COUNT + 1] = { 0 };
    for (int i = 0; i < KNOWN_COUNT; i++) {
        bool alone = known[i].kind == FLAG || known[i].kind == HELP;
        names[i] = (struct option){ known[i].name, alone ? 0 : required_argument, NULL, i };
    }
    int which;
    while ((which = getopt_long(argc, argv, "", names, NULL)) >= 0) {
        if (which >= KNOWN_COUNT) {
            report_refuse("--help has the options"); /* getopt has said what is wrong */
        }
        take(&known[which], optarg);
    }
    if (optind < argc) {
        report_refuse("%s: no such option; --help has them", argv[optind]);
    }
    if (options.address_bytes == 0) {
        report_refuse("--connect HOST:PORT is missing; --help has the options");
    }
    if (options.threads > options.connections || options.connections > options.keys) {
        report_refuse("%u threads, %u connections, %u keys: accepted are at least as many "
                      "connections as threads, and as many keys as connections",
                      options.threads, options.connections, options.keys);
    }
}
