/* libevent on MemoryBucket. */
#include <event2/buffer.h>
#include <event2/event.h>
#include <memorybucket/memorybucket.h>
#include <stdio.h>

static void *resize(void *object, size_t size)
{
    if (size == 0) { /* as free, for mb_realloc keeps an object of 0 bytes */
        mb_free(object);
        return NULL;
    }
    return mb_realloc(object, size);
}

static void use_memorybucket(void)
{
    event_set_mem_functions(mb_alloc, resize, mb_free);
}

static void count_call(evutil_socket_t socket, short what, void *calls)
{
    (void)socket;
    (void)what;
    ++*(int *)calls;
}

int main(void)
{
    use_memorybucket();
    struct event_base *base = event_base_new();
    if (base == NULL) {
        fputs("libevent does not start\n", stderr);
        return 1;
    }
    int calls = 0;
    struct event *events[100];
    for (int i = 0; i < 100; i++) {
        struct timeval soon = { 0, i };
        events[i] = evtimer_new(base, count_call, &calls);
        evtimer_add(events[i], &soon);
    }
    event_base_dispatch(base);
    for (int i = 0; i < 100; i++) {
        event_free(events[i]);
    }
    struct evbuffer *buffer = evbuffer_new();
    evbuffer_add_printf(buffer, "%d calls\n", calls);
    char *line = evbuffer_readln(buffer, NULL, EVBUFFER_EOL_LF);
    puts(line);
    mb_free(line); /* not free: the line is from mb_alloc */
    evbuffer_free(buffer);
    event_base_free(base);
    libevent_global_shutdown();
    return calls == 100 ? 0 : 1;
}
