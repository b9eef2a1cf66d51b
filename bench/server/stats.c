/* stats: the sums, and `stats` in its kinds. */
#include "stats.h"
#include "allocator.h"
#include "budget.h"
#include "connection.h"
#include "expiry.h"
#include "options.h"
#include "worker.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* [RESET] relaxed: what `stats reset` takes off; a sum that is read beside it may be either. */
static struct counters at_reset;

uint64_t counters_commands(const struct counters *counters)
{
    return counter_read(&counters->cmd_get) + counter_read(&counters->cmd_set)
           + counter_read(&counters->cmd_meta) + counter_read(&counters->cmd_other);
}

void stats_sum(struct stats *sum)
{
    *sum = (struct stats){ 0 };
    for (unsigned i = 0; i < options.threads; i++) {
        const struct counters *counters = &workers[i].counters;
#define STATS_ADD(name, help) sum->name += counter_read(&counters->name);
        STATS_COUNTERS(STATS_ADD)
#undef STATS_ADD
    }
}

/* Sends a line of a stats reply. */
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

static void send_plain(struct connection *connection)
{
    struct stats sum;
    stats_sum(&sum);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    stat_send(connection, "pid %ld", (long)getpid());
    stat_send(connection, "uptime %u", expiry_now() - 2);
    stat_send(connection, "time %lld", (long long)time(NULL));
    stat_send(connection, "version %s", MBCACHED_VERSION);
    stat_send(connection, "libevent %s", event_get_version());
    stat_send(connection, "pointer_size %zu", 8 * sizeof(void *));
    stat_send(connection, "rusage_user %lld.%06ld", (long long)usage.ru_utime.tv_sec,
              usage.ru_utime.tv_usec);
    stat_send(connection, "rusage_system %lld.%06ld", (long long)usage.ru_stime.tv_sec,
              usage.ru_stime.tv_usec);
    stat_send(connection, "max_connections %u", options.connections_max);
    stat_send(connection, "curr_connections %u", connections_open());
    stat_send(connection, "curr_items %" PRIu64, sum.total_items - sum.items_removed);
    stat_send(connection, "bytes %zu", budget_cost());
    stat_send(connection, "limit_maxbytes %zu", options.memory_bytes);
    stat_send(connection, "threads %u", options.threads);
#define STATS_SEND(name, help)                                                                     \
    stat_send(connection, #name " %" PRIu64, sum.name - counter_read(&at_reset.name));
    STATS_COUNTERS(STATS_SEND)
#undef STATS_SEND
}

static void send_settings(struct connection *connection)
{
    stat_send(connection, "maxbytes %zu", options.memory_bytes);
    stat_send(connection, "maxconns %u", options.connections_max);
    stat_send(connection, "tcpport %u", options.port);
    stat_send(connection, "udpport 0");
    stat_send(connection, "inter %s", options.address);
    stat_send(connection, "verbosity %u", options.verbosity);
    stat_send(connection, "evictions on");
    stat_send(connection, "num_threads %u", options.threads);
    stat_send(connection, "item_size_max %zu", options.item_bytes_max);
    stat_send(connection, "cas_enabled yes");
    stat_send(connection, "flush_enabled yes");
    stat_send(connection, "binding_protocol ascii");
    stat_send(connection, "allocator %s", allocator_is_malloc ? "malloc" : "mb");
    stat_send(connection, "metrics_port %u", options.metrics_port);
}

/* There are no slab classes; all items are class 1. */
static void send_items(struct connection *connection)
{
    struct stats sum;
    stats_sum(&sum);
    if (sum.total_items > sum.items_removed) {
        stat_send(connection, "items:1:number %" PRIu64, sum.total_items - sum.items_removed);
        stat_send(connection, "items:1:mem_requested %zu", budget_cost());
        stat_send(connection, "items:1:evicted %" PRIu64, sum.evictions);
        stat_send(connection, "items:1:outofmemory %" PRIu64, sum.store_no_memory);
        stat_send(connection, "items:1:reclaimed %" PRIu64, sum.reclaimed);
    }
}

static void send_slabs(struct connection *connection)
{
    stat_send(connection, "active_slabs 0");
    stat_send(connection, "total_malloced %zu", budget_cost());
}

static void send_figure(const char *name, uint64_t value, void *connection)
{
    stat_send(connection, "%s %" PRIu64, name, value);
}

static void send_allocator(struct connection *connection)
{
    stat_send(connection, "allocator %s", allocator_is_malloc ? "malloc" : "mb");
    stat_send(connection, "items_cost %zu", budget_cost());
    stat_send(connection, "items_allowance %zu", budget_allowance());
    allocator_figures(send_figure, connection);
}

static void reset(void)
{
    struct stats sum;
    stats_sum(&sum);
#define STATS_RESET(name, help)                                                                    \
    atomic_store_explicit(&at_reset.name, sum.name, memory_order_relaxed); /* [RESET] */
    STATS_COUNTERS(STATS_RESET)
#undef STATS_RESET
}

void stats_command(struct connection *connection, const char *what)
{
    static const struct {
        const char *name;
        void (*send)(struct connection *connection);
    } kinds[] = {
        { "", send_plain },      { "settings", send_settings },   { "items", send_items },
        { "slabs", send_slabs }, { "allocator", send_allocator },
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(what, kinds[i].name) == 0) {
            kinds[i].send(connection);
            connection_reply(connection, "END");
            return;
        }
    }
    if (strcmp(what, "reset") == 0) {
        reset();
        connection_reply(connection, "RESET");
    } else if (strcmp(what, "sizes") == 0) {
        stat_send(connection, "sizes_status disabled");
        connection_reply(connection, "END");
    } else {
        connection_reply(connection, "ERROR");
    }
}
