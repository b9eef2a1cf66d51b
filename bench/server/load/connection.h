/*
 * connection: one connection to the server, the requests that are under way on it, and the check
 * of their replies. mbload.c owns it, and calls it when its socket is ready.
 *
 *   sent, in order:   requests[head] ... requests[head + count - 1]   (a ring of --pipeline)
 *   not yet sent:     out.bytes[out.start .. out.end)
 *   not yet parsed:   in.bytes[in.start .. in.end), and a zero byte
 */
#ifndef MEMORYBUCKET_BENCH_LOAD_CONNECTION_H
#define MEMORYBUCKET_BENCH_LOAD_CONNECTION_H

#include "histogram.h"
#include "keyspace.h"

enum count {
    GETS, SETS, HITS, /* answered; a hit is a get with a value */
    STORED, STORED_BYTES, /* sets that were acknowledged, the bytes of their keys and values */
    REFUSED, /* sets for which the server had no memory */
    ERRORS, /* replies that are none, and connections that were lost */
    WRONG, /* values that are not what was stored */
    STALE, /* values older than one that was acknowledged before they were asked for */
    UNANSWERED, /* requests without a reply seconds after the end */
    RECONNECTS,
    COUNTS,
};

struct tally {
    uint64_t count[COUNTS];
    struct histogram latency; /* ns, from the moment a request is handed to the socket */
};

/* A thread; nothing else touches it, or its connections, while it runs. */
struct worker {
    unsigned number; /* serves connection `number`, and each options.threads further on */
    int epoll;
    uint64_t random; /* the state of the draws */
    uint64_t now_ns; /* read whenever a socket is ready */
    bool stopping;   /* nothing new is asked for */
    bool complained; /* the first error is shown, the others are counted */
    unsigned open;   /* connections that are not done */
    struct tally tally;
};

struct connection {
    int socket; /* -1: none */
    unsigned number;
    uint32_t version;    /* of the last set */
    unsigned since_open; /* requests */
    uint32_t filled;     /* keys */
    struct buffer {
        char *bytes;
        size_t start, end, capacity;
    } in, out;
    struct request {
        uint64_t start_ns;
        uint32_t key;
        uint32_t version; /* of a set: the one that it stores; of a get: the least that may come */
        uint32_t bytes;   /* of a set: of key and value */
        bool is_get;
    } *requests;
    unsigned head, count;
};

/* Takes memory, and opens it. */
void connection_start(struct connection *connection, struct worker *worker, unsigned number);

/* Its socket is ready: receives, checks, asks anew; at its end closes, and worker->open falls. */
void connection_ready(struct connection *connection, struct worker *worker);

/* Gives up what is under way, counts it, and frees all. */
void connection_end(struct connection *connection, struct worker *worker);

#endif
