/*
 * MB_HUGEPAGE=1: threads work as ever, and the kernel gives huge pages if it has any.
 */
#include "testing.h"

#include <unistd.h>

enum { THREADS = 2, OBJECTS = 100000 };

static void *run(void *argument)
{
    static _Thread_local void *objects[OBJECTS];
    for (size_t i = 0; i < OBJECTS; i++) {
        objects[i] = mb_alloc(1 + i % 64);
        CHECK(objects[i] != NULL, "no memory");
        memset(objects[i], 0x33, 1 + i % 64);
    }
    mb_free_batch(OBJECTS, objects);
    return argument;
}

/* Exit status of a test that could not be made. */
enum { SKIPPED = 77 };

static bool kernel_has_them(void)
{
    char line[256] = "";
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    if (file != NULL) {
        (void)!fgets(line, sizeof line, file);
        fclose(file);
    }
    return file != NULL && strstr(line, "[never]") == NULL;
}

static unsigned long huge_kib(void)
{
    char line[256];
    unsigned long kib = 0;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    CHECK(file != NULL, "no smaps_rollup");
    while (fgets(line, sizeof line, file) != NULL) {
        (void)sscanf(line, "AnonHugePages: %lu", &kib);
    }
    fclose(file);
    return kib;
}

int main(int argc, char **argv)
{
    if (getenv("MB_HUGEPAGE") == NULL) {
        setenv("MB_HUGEPAGE", "1", 1);
        CHECK(argc == 1, "no arguments");
        execv("/proc/self/exe", argv);
        CHECK(false, "execv");
    }
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        threads[i] = start_thread(run, NULL);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    check_accounting(0);
    if (!kernel_has_them()) {
        puts("this kernel gives no transparent huge pages: that it does could not be checked");
        return SKIPPED;
    }
    CHECK(huge_kib() != 0, "no huge page was given");
    return 0;
}
