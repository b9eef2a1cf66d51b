/*
 * leaky: a server that forgets to end one session in fifty. It dumps a heap profile, by a signal to
 * itself, when it is warm and at its end, and prints what it leaked in between.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SESSION_BYTES = 680, REPLY_BYTES = 3000, BODY_BYTES = 50000, LEAK_SHARE = 50 };
enum { WARM_REQUESTS = 20000, REQUESTS = 200000, CACHE = 500 };

struct session {
    unsigned number;
    char data[SESSION_BYTES - sizeof(unsigned)];
};
static void *cache[CACHE];

__attribute__((noinline)) static struct session *begin_session(unsigned number)
{
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        abort();
    }
    session->number = number;
    return session;
}

__attribute__((noinline)) static void end_session(struct session *session)
{
    if (session->number % LEAK_SHARE != 0) { /* the fault */
        free(session);
    }
}

__attribute__((noinline)) static void cache_reply(unsigned number)
{
    void **place = &cache[number % CACHE];
    free(*place);
    *place = malloc(REPLY_BYTES);
    if (*place == NULL) {
        abort();
    }
    memset(*place, 'x', REPLY_BYTES);
}

__attribute__((noinline)) static void read_body(unsigned number)
{
    char *body = malloc(BODY_BYTES);
    if (body == NULL) {
        abort();
    }
    body[number % BODY_BYTES] = 'x';
    __asm__ volatile("" : : "r"(body) : "memory");
    free(body);
}

__attribute__((noinline)) static void handle_requests(unsigned first, unsigned end)
{
    for (unsigned number = first; number < end; number++) {
        struct session *session = begin_session(number);
        cache_reply(number);
        if (number % 20 == 0) {
            read_body(number);
        }
        end_session(session);
    }
}

int main(void)
{
    /* A compiler makes two calls of this one: mbprof adds them up, by their lines. */
    const unsigned ends[] = { 0, WARM_REQUESTS, WARM_REQUESTS + REQUESTS };
    for (size_t dump = 1; dump < sizeof ends / sizeof *ends; dump++) {
        handle_requests(ends[dump - 1], ends[dump]);
        raise(SIGUSR2);
    }
    printf("leaked %u objects of %zu bytes\n", REQUESTS / LEAK_SHARE, sizeof(struct session));
    return 0;
}
