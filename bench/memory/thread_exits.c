#include "thread_exits.h"

#include "report.h"

#include <linux/perf_event.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSORS_MAX = 1024, RECORDS_BYTES = 256 << 10 };

/* One for each processor: for threads yet to come the kernel shares none between processors. */
static struct perf_event_mmap_page *buffers[PROCESSORS_MAX];
static unsigned buffer_count;

struct exit_record {
    struct perf_event_header header;
    uint32_t process, parent_process, thread, parent_thread;
    uint64_t time_ns;
};

bool thread_exits_watch(void)
{
    struct perf_event_attr attributes = {
        .size = sizeof attributes,
        .type = PERF_TYPE_SOFTWARE,
        .config = PERF_COUNT_SW_DUMMY,
        .task = 1,
        .inherit = 1,
        .exclude_kernel = 1,
        .exclude_hv = 1,
        .use_clockid = 1,
        .clockid = CLOCK_MONOTONIC,
    };
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const long processors = sysconf(_SC_NPROCESSORS_CONF);
    for (long processor = 0; processor < processors && processor < PROCESSORS_MAX; processor++) {
        int file = (int)syscall(SYS_perf_event_open, &attributes, 0, (int)processor, -1,
                                (unsigned long)PERF_FLAG_FD_CLOEXEC);
        if (file < 0) {
            return false;
        }
        void *buffer =
            mmap(NULL, page + RECORDS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (buffer == MAP_FAILED) {
            return false;
        }
        buffers[buffer_count++] = buffer; /* open: closing it would end the watching */
    }
    return true;
}

static void copy_out(const struct perf_event_mmap_page *buffer, uint64_t from, void *to,
                     size_t bytes)
{
    const unsigned char *data = (const unsigned char *)buffer + buffer->data_offset;
    for (size_t i = 0; i < bytes; i++) {
        ((unsigned char *)to)[i] = data[(from + i) % buffer->data_size];
    }
}

void thread_exits_read(void (*gone)(pid_t thread, double time_ns))
{
    for (unsigned i = 0; i < buffer_count; i++) {
        /* acquire: pairs with the kernel's release of data_head, as perf_event_open(2) asks. */
        const uint64_t head = __atomic_load_n(&buffers[i]->data_head, __ATOMIC_ACQUIRE);
        uint64_t tail = buffers[i]->data_tail;
        while (tail < head) {
            struct exit_record record;
            copy_out(buffers[i], tail, &record.header, sizeof record.header);
            if (record.header.size == 0) {
                report_die("the kernel's records of exits make no sense");
            }
            if (record.header.type == PERF_RECORD_LOST) {
                report_die("the kernel had no room for all records of exits");
            }
            if (record.header.type == PERF_RECORD_EXIT) {
                copy_out(buffers[i], tail, &record, sizeof record);
                gone((pid_t)record.thread, (double)record.time_ns);
            }
            tail += record.header.size;
        }
        buffers[i]->data_tail = tail;
    }
}
