/* stats: the sums, and `stats` in its kinds. */
#include "stats.h"

#include "command.h"
#include "connection.h"
#include "memory.h"
#include "table.h"
#include "worker.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const char *const names[] = {
#define STATS_NAME(name) #name,
    STATS_COUNTERS(STATS_NAME)
#undef STATS_NAME
};

static uint64_t sum_of(enum counter counter)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i <= options.threads; i++) { /* the one for /metrics, too */
        sum += worker_counted(&workers[i], counter);
    }
    return sum;
}

static uint64_t items_now(void)
{
    uint64_t removed = sum_of(COUNT_items_removed); /* first: workers go on counting */
    uint64_t stored = sum_of(COUNT_total_items);
    return stored > removed ? stored - removed : 0;
}

static void stats_figures(stats_figure *each, void *argument)
{
    for (enum counter i = 0; i < COUNTERS; i++) {
        each(names[i], sum_of(i), argument);
    }
    each("uptime", item_now() - item_start_s, argument);
    each("max_connections", options.connections_max, argument);
    each("curr_connections", connections_open(), argument);
    each("curr_items", items_now(), argument);
    each("bytes", memory_cost(), argument);
    each("bytes_allowed", memory_allowance(), argument);
    each("limit_maxbytes", options.memory_bytes, argument);
    each("threads", options.threads, argument);
}

static void __attribute__((format(printf, 2, 3)))
stat_send(struct connection *connection, const char *format, ...)
{
    char text[256] = "STAT ";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + 5, sizeof text - 5, format, arguments);
    va_end(arguments);
    connection_reply(connection, text);
}

static void figure_send(const char *name, uint64_t value, void *connection)
{
    stat_send(connection, "%s %" PRIu64, name, value);
}

static void send_plain(struct connection *connection)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    stat_send(connection, "pid %ld", (long)getpid());
    stat_send(connection, "time %ld", (long)time(NULL));
    stat_send(connection, "version " MBCACHED_VERSION);
    stat_send(connection, "libevent %s", event_get_version());
    stat_send(connection, "pointer_size %zu", 8 * sizeof(void *));
    const struct timeval *user = &usage.ru_utime;
    const struct timeval *system = &usage.ru_stime;
    stat_send(connection, "rusage_user %ld.%06ld", user->tv_sec, user->tv_usec);
    stat_send(connection, "rusage_system %ld.%06ld", system->tv_sec, system->tv_usec);
    stats_figures(figure_send, connection);
}

static void send_settings(struct connection *connection)
{
    stat_send(connection, "maxbytes %zu", options.memory_bytes);
    stat_send(connection, "maxconns %zu", options.connections_max);
    stat_send(connection, "tcpport %zu", options.port);
    stat_send(connection, "inter %s", options.address);
    stat_send(connection, "verbosity %u", options_verbosity());
    stat_send(connection, "num_threads %zu", options.threads);
    stat_send(connection, "item_size_max %zu", options.item_bytes_max);
    stat_send(connection, "udpport 0\r\nSTAT evictions on\r\nSTAT cas_enabled yes\r\n"
                          "STAT flush_enabled yes\r\nSTAT binding_protocol ascii");
    stat_send(connection, "allocator %s", options.use_malloc ? "malloc" : "mb");
}

/* There are no slab classes; all items are of class 1. */
static void send_items(struct connection *connection)
{
    table_sweep(connection->worker, 0, 1); /* as memcached, without those that flush_all ended */
    if (items_now() > 0) {
        stat_send(connection, "items:1:number %" PRIu64, items_now());
        stat_send(connection, "items:1:mem_requested %zu", memory_cost());
        stat_send(connection, "items:1:evicted %" PRIu64, sum_of(COUNT_evictions));
        stat_send(connection, "items:1:outofmemory %" PRIu64, sum_of(COUNT_store_no_memory));
        stat_send(connection, "items:1:reclaimed %" PRIu64, sum_of(COUNT_reclaimed));
    }
}

static void send_sizes(struct connection *connection)
{
    stat_send(connection, "sizes_status disabled");
}

static void send_allocator(struct connection *connection)
{
    stat_send(connection, "allocator %s", options.use_malloc ? "malloc" : "mb");
    memory_figures(figure_send, connection);
}

void stats_command(struct connection *connection, struct line *line)
{
    const char *what = line->count > 1 ? line->words[1].text : "";
    static const struct {
        const char *name;
        void (*send)(struct connection *connection);
    } kinds[] = { { "", send_plain },      { "settings", send_settings }, { "items", send_items },
                  { "sizes", send_sizes }, { "allocator", send_allocator } };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(what, kinds[i].name) == 0) {
            kinds[i].send(connection);
            connection_reply(connection, "END");
            return;
        }
    }
    connection_reply(connection, "ERROR");
}

/* --- GET /metrics: Prometheus' text form --- */

static void figure_add(const char *name, uint64_t value, void *page)
{
    evbuffer_add_printf(page, "mbcached_%s %" PRIu64 "\n", name, value);
}

void stats_http_line(struct connection *connection, const char *line)
{
    struct evbuffer *page = connection->output;
    if (connection->http_status == 0) {
        bool is_get = strncmp(line, "GET ", 4) == 0;
        bool is_ours = strncmp(line, "GET /metrics ", 13) == 0;
        connection->http_status = is_ours ? 200 : is_get ? 404 : 405;
    } else if (line[0] == '\n' || strncmp(line, "\r\n", 2) == 0) {
        evbuffer_add_printf(page, "HTTP/1.1 %u\r\nConnection: close\r\n"
                            "Content-Type: text/plain; version=0.0.4\r\n\r\n",
                            connection->http_status);
        if (connection->http_status == 200) {
            stats_figures(figure_add, page);
            memory_figures(figure_add, page);
        }
        connection->finishes = true;
    }
}
