#include "resident.h"

#include "harness.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static double own_bytes;

/* A line of smaps_rollup, in KiB there. */
static double field_bytes(const char *text, const char *key)
{
    const char *line = strstr(text, key);
    if (line == NULL) {
        report_die("/proc/self/smaps_rollup has no %s", key);
    }
    return strtod(line + strlen(key), NULL) * 1024;
}

struct resident resident_now(void)
{
    char text[4096];
    int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    ssize_t length = file >= 0 ? read(file, text, sizeof text - 1) : -1;
    if (length <= 0) {
        report_die("/proc/self/smaps_rollup: %s", strerror(errno));
    }
    close(file);
    text[length] = '\0';
    return (struct resident){ .all = field_bytes(text, "\nRss:") - own_bytes,
                              .anonymous = field_bytes(text, "\nAnonymous:") - own_bytes,
                              .lazy_free = field_bytes(text, "\nLazyFree:") };
}

void resident_rows(const char *phase, struct resident resident)
{
    char metric[64];
    snprintf(metric, sizeof metric, "%s_bytes", phase);
    harness_row(metric, "bytes", resident.all);
    snprintf(metric, sizeof metric, "%s_anonymous_bytes", phase);
    harness_row(metric, "bytes", resident.anonymous);
    snprintf(metric, sizeof metric, "%s_lazyfree_bytes", phase);
    harness_row(metric, "bytes", resident.lazy_free);
}

static size_t whole_pages(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

void *resident_own_map(size_t bytes)
{
    size_t mapped = whole_pages(bytes);
    void *memory = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        report_die("no %zu bytes for the benchmark's own use: %s", mapped, strerror(errno));
    }
    madvise(memory, mapped, MADV_NOHUGEPAGE); /* refused where there are none */
    memset(memory, 0, mapped);
    own_bytes += (double)mapped;
    return memory;
}

void resident_own_unmap(void *memory, size_t bytes)
{
    munmap(memory, whole_pages(bytes));
    own_bytes -= (double)whole_pages(bytes);
}

double resident_own_bytes(void)
{
    return own_bytes;
}

struct series series_create(void)
{
    return (struct series){
        .samples = resident_own_map(SERIES_SAMPLES_MAX * sizeof(struct series_sample))
    };
}

void series_begin(struct series *series)
{
    series->began_ns = harness_now_ns();
}

struct series_sample series_take(struct series *series)
{
    struct series_sample sample = { .seconds = (harness_now_ns() - series->began_ns) / 1e9,
                                    .bytes = resident_now().all };
    if (series->count < SERIES_SAMPLES_MAX) {
        series->samples[series->count++] = sample;
    }
    return sample;
}

void series_write(const struct series *series, const char *path)
{
    if (strcmp(path, "-") == 0) {
        return;
    }
    FILE *stream = report_open(path, "w");
    for (unsigned i = 0; i < series->count; i++) {
        fprintf(stream, "%.3f %.4f\n", series->samples[i].seconds,
                series->samples[i].bytes / (1 << 20));
    }
    report_close(stream, path);
}
