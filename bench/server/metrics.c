/*
 * metrics: GET /metrics on a port of its own, in Prometheus' text form, for --metrics-port. Its
 * connections are like all others, and count among them; each has one answer.
 */
#include "stats.h"

#include "allocator.h"
#include "connection.h"

#include <inttypes.h>
#include <string.h>

static void figure_add(const char *name, uint64_t value, void *page)
{
    evbuffer_add_printf(page, "mbcached_%s %" PRIu64 "\n", name, value);
}

void metrics_line(struct connection *connection, const char *line)
{
    struct evbuffer *page = connection->output;
    if (connection->http_status == 0) {
        bool is_get = strncmp(line, "GET ", 4) == 0;
        connection->http_status = !is_get ? 405 : strncmp(line, "GET /metrics ", 13) == 0 ? 200 : 404;
    } else if (line[0] == '\n' || strncmp(line, "\r\n", 2) == 0) {
        evbuffer_add_printf(page,
                            "HTTP/1.1 %u\r\nConnection: close\r\n"
                            "Content-Type: text/plain; version=0.0.4\r\n\r\n",
                            connection->http_status);
        if (connection->http_status == 200) {
            stats_figures(figure_add, page);
            allocator_figures(figure_add, page);
        }
        connection_finish(connection);
    }
}
