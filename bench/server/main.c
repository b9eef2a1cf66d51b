/*
 * mbcached: an in-memory cache that speaks memcached's text protocol.
 *
 * The ladder, each step calling those below it:
 *   main        options, signals, start and end
 *   worker      threads, loops, ticks
 *   connection  bytes in and out, bounded; which command is next
 *   command, get, meta, stats, metrics    the protocol's words
 *   store       the cache's operations on one key
 *   clock       the order of a key's changes, and which items go first
 *   table       where items are found
 *   item, budget, reclaim    an item's memory: from when, how much, until when
 *   allocator   MemoryBucket or malloc
 * Beside them, without state of others: expiry (time), text (words), options.
 */
#include "allocator.h"
#include "budget.h"
#include "clock.h"
#include "expiry.h"
#include "item.h"
#include "options.h"
#include "table.h"
#include "worker.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

/* As many descriptors as -c needs; or fewer connections, so that accept never lacks one. */
static void files_allow(void)
{
    enum { FILES_BESIDE = 64 };
    rlim_t beside = FILES_BESIDE + 4 * options.threads;
    struct rlimit limit;
    rlim_t wanted = options.connections_max + beside;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) {
        return;
    }
    struct rlimit raised = { wanted, limit.rlim_max < wanted ? wanted : limit.rlim_max };
    if (setrlimit(RLIMIT_NOFILE, &raised) != 0) {
        raised = (struct rlimit){ limit.rlim_max, limit.rlim_max };
        setrlimit(RLIMIT_NOFILE, &raised);
        options.connections_max = limit.rlim_max > beside ? limit.rlim_max - beside : 1;
        fprintf(stderr, "mbcached: -c is %zu, as no more files may be open\n",
                options.connections_max);
    }
}

int main(int argc, char **argv)
{
    options_read(argc, argv);
    allocator_start();

    /* Blocked in all threads, so that only the wait below takes them. */
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    signal(SIGPIPE, SIG_IGN);

    files_allow();
    expiry_start();
    item_start();
    budget_start();
    clock_start();
    table_start();
    workers_start();

    int signal_number;
    sigwait(&ends, &signal_number);
    workers_drain();
    return 0;
}
