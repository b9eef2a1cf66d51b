/*
 * mbcached: an in-memory cache that speaks memcached's text protocol.
 *
 * The ladder, each step calling those below it:
 *   main        options, signals, start and end
 *   worker      threads, loops, ticks
 *   connection  bytes in and out, bounded; which command is next
 *   command, get, meta, stats    the protocol's words
 *   store       the cache's operations on one key
 *   table       where items are found, the order of a key's changes, and which items go first
 *   item, reclaim    an item's life: from when, until when
 *   memory      MemoryBucket or malloc, and how much of it
 * Beside them, without state of others: text (words), options.
 */
#include "item.h"
#include "memory.h"
#include "options.h"
#include "table.h"
#include "worker.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

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
