/*
 * metrics_server: a program that serves GET /metrics on 127.0.0.1, for Prometheus.
 *
 * Usage: metrics_server PORT    0: any port; prints the one it has; ends with standard input
 * Compiled with: gcc metrics_server.c $(pkg-config --cflags --libs memorybucket libmicrohttpd)
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <memorybucket/memorybucket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, int fd)
{
    off_t bytes = lseek(fd, 0, SEEK_END);
    struct MHD_Response *response = MHD_create_response_from_fd((size_t)bytes, fd); /* closes it */
    if (response == NULL) {
        close(fd);
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", "text/plain; version=0.0.4");
    enum MHD_Result queued = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

/* The text goes to a file in memory first: its length is known then, and no client delays it. */
static enum MHD_Result serve(void *unused, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, const char *upload,
                             size_t *upload_bytes, void **state)
{
    (void)unused, (void)version, (void)upload, (void)upload_bytes, (void)state;
    int fd = memfd_create("metrics", MFD_CLOEXEC);
    if (fd < 0) {
        return MHD_NO;
    }
    if (strcmp(method, "GET") != 0 || strcmp(url, "/metrics") != 0) {
        dprintf(fd, "Here is GET /metrics only.\n");
        return answer(connection, MHD_HTTP_NOT_FOUND, fd);
    }
    int error = mb_stats_write(fd, MB_STATS_PROMETHEUS);
    if (error != 0) {
        dprintf(fd, "%s\n", strerror(-error));
        return answer(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, fd);
    }
    return answer(connection, MHD_HTTP_OK, fd);
}

int main(int argc, char **argv)
{
    char *end = NULL;
    unsigned long port = argc == 2 ? strtoul(argv[1], &end, 10) : 0;
    if (end == NULL || end == argv[1] || *end != '\0' || port > 65535) {
        fprintf(stderr, "Usage: metrics_server PORT, 0 to 65535\n");
        return 2;
    }
    struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, (uint16_t)port, NULL, NULL, serve, NULL,
                         MHD_OPTION_SOCK_ADDR, &here, MHD_OPTION_END);
    if (daemon == NULL) {
        fprintf(stderr, "metrics_server: port %lu: %s\n", port, strerror(errno));
        return 1;
    }
    printf("%u\n", MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    fflush(stdout);
    do { /* the program's work, for which this stands */
        mb_free(mb_alloc(64));
    } while (getchar() != EOF);
    MHD_stop_daemon(daemon);
    return 0;
}
