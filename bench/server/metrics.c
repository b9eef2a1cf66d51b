/* metrics: one page over HTTP. */
#include "metrics.h"
#include "allocator.h"
#include "budget.h"
#include "connection.h"
#include "options.h"
#include "stats.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static struct evhttp *server; /* NULL without --metrics-port */

static void gauge_add(struct evbuffer *page, const char *name, const char *help, uint64_t value)
{
    evbuffer_add_printf(page, "# HELP mbcached_%s %s\n# TYPE mbcached_%s gauge\nmbcached_%s %" PRIu64
                              "\n", name, help, name, name, value);
}

static void counter_line_add(struct evbuffer *page, const char *name, const char *help,
                             uint64_t value)
{
    evbuffer_add_printf(page, "# HELP mbcached_%s_total %s\n# TYPE mbcached_%s_total counter\n"
                              "mbcached_%s_total %" PRIu64 "\n", name, help, name, name, value);
}

static void figure_add(const char *name, uint64_t value, void *page)
{
    evbuffer_add_printf(page, "# TYPE mbcached_allocator_%s gauge\nmbcached_allocator_%s %" PRIu64
                              "\n", name, name, value);
}

static void page_write(struct evbuffer *page)
{
    struct stats sum;
    stats_sum(&sum);
#define METRICS_ADD(name, help) counter_line_add(page, #name, help, sum.name);
    STATS_COUNTERS(METRICS_ADD)
#undef METRICS_ADD
    gauge_add(page, "items", "Items now", sum.total_items - sum.items_removed);
    gauge_add(page, "items_bytes", "Bytes that items take up", budget_cost());
    gauge_add(page, "items_allowance_bytes", "Bytes that items may take up", budget_allowance());
    gauge_add(page, "limit_bytes", "What -m says", options.memory_bytes);
    gauge_add(page, "connections", "Connections now", connections_open());
    allocator_figures(figure_add, page);
}

static void on_metrics(struct evhttp_request *request, void *unused)
{
    (void)unused;
    struct evbuffer *page = evbuffer_new();
    if (page == NULL) {
        evhttp_send_error(request, HTTP_INTERNAL, NULL);
        return;
    }
    page_write(page);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
                      "text/plain; version=0.0.4");
    evhttp_send_reply(request, HTTP_OK, "OK", page);
    evbuffer_free(page);
}

void metrics_start(struct event_base *base)
{
    enum { REQUEST_BYTES_MAX = 8192, TIMEOUT_S = 10 };
    if (!options.metrics) {
        return;
    }
    server = evhttp_new(base);
    if (server == NULL || evhttp_bind_socket(server, options.address, options.metrics_port) != 0) {
        fprintf(stderr, "mbcached: cannot serve metrics on %s:%u\n", options.address,
                options.metrics_port);
        exit(1);
    }
    evhttp_set_allowed_methods(server, EVHTTP_REQ_GET);
    evhttp_set_max_headers_size(server, REQUEST_BYTES_MAX);
    evhttp_set_max_body_size(server, REQUEST_BYTES_MAX);
    evhttp_set_timeout(server, TIMEOUT_S);
    evhttp_set_cb(server, "/metrics", on_metrics, NULL);
    fprintf(stderr, "mbcached: metrics on %s:%u\n", options.address, options.metrics_port);
}

void metrics_stop(void)
{
    if (server != NULL) {
        evhttp_free(server);
    }
}
