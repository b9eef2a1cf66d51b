/* metrics: one page over HTTP. */
#include "metrics.h"

#include "allocator.h"
#include "options.h"
#include "stats.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct evhttp *server; /* NULL without --metrics-port */

static void figure_add(const char *name, uint64_t value, void *page)
{
    evbuffer_add_printf(page, "mbcached_%s %" PRIu64 "\n", name, value);
}

static void on_metrics(struct evhttp_request *request, void *unused)
{
    (void)unused;
    struct evbuffer *page = evbuffer_new();
    if (page == NULL) {
        evhttp_send_error(request, HTTP_INTERNAL, NULL);
        return;
    }
    stats_figures(figure_add, page);
    allocator_figures(figure_add, page);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
                      "text/plain; version=0.0.4");
    evhttp_send_reply(request, HTTP_OK, "OK", page);
    evbuffer_free(page);
}

void metrics_start(struct event_base *base)
{
    enum { REQUEST_BYTES_MAX = 8192, TIMEOUT_S = 10 };
    if (options.metrics_port == 0) {
        return;
    }
    server = evhttp_new(base);
    uint16_t port = (uint16_t)options.metrics_port;
    if (server == NULL || evhttp_bind_socket(server, options.address, port) != 0) {
        fprintf(stderr, "mbcached: cannot serve metrics on %s:%u: %s\n", options.address, port,
                strerror(errno));
        exit(1);
    }
    evhttp_set_allowed_methods(server, EVHTTP_REQ_GET);
    evhttp_set_max_headers_size(server, REQUEST_BYTES_MAX);
    evhttp_set_max_body_size(server, REQUEST_BYTES_MAX);
    evhttp_set_timeout(server, TIMEOUT_S);
    evhttp_set_cb(server, "/metrics", on_metrics, NULL);
    fprintf(stderr, "mbcached: metrics on %s:%u\n", options.address, port);
}

void metrics_stop(void)
{
    if (server != NULL) {
        evhttp_free(server);
    }
}
