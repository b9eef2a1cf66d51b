/*
 * Prints a trace: its header, a line for each event, and at the end how many bytes live. Status 1 where it is refused.
 * Usage: record_dump TRACE [quiet]
 */
#include "trace/trace.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    static const char *const kinds[] = { "allocate", "free", "resize", "start", "exit" };
    struct mb_trace *trace;
    char error[MB_TRACE_ERROR_MAX];
    if (argc < 2 || mb_trace_open(argv[1], &trace, error, sizeof error) != 0) {
        fprintf(stderr, "%s\n", argc < 2 ? "record_dump TRACE [quiet]" : error);
        return 1;
    }
    const struct mb_trace_header *header = mb_trace_header(trace);
    printf("program %s\nevents %llu\nthreads %u\nobjects %u\nduration_ns %llu\nstart_ns %llu\npage %u\ntruncated %d\n",
           header->program, (unsigned long long)header->events, header->threads, header->objects,
           (unsigned long long)header->duration_ns, (unsigned long long)header->start_ns, header->page_bytes,
           header->truncated);
    struct mb_trace_event event;
    unsigned long long counts[5] = { 0 };
    int status;
    while ((status = mb_trace_next(trace, &event)) == 1) {
        counts[event.kind]++;
        if (argc == 2) {
            printf("event %llu %u %s %u %llu %u %d\n", (unsigned long long)event.time_ns, event.thread,
                   kinds[event.kind], event.object, (unsigned long long)event.size, event.alignment, event.zeroed);
        }
    }
    if (status < 0) {
        fprintf(stderr, "%s\n", mb_trace_error(trace));
        return 1;
    }
    for (int kind = 0; kind < 5; kind++) {
        printf("count_%s %llu\n", kinds[kind], counts[kind]);
    }
    mb_trace_close(trace);
    return 0;
}
