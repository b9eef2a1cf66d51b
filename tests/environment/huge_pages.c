/*
 * huge_pages [off]: with MB_HUGEPAGE=1 threads work as ever, and the kernel has been asked for huge
 * pages; without, it has been asked to make none, whatever it does for the rest of the process.
 */
#include "testing.h"

#include <unistd.h>

enum { THREADS = 2, OBJECTS = 100000 };

static void *run(void *argument)
{
    static _Thread_local void *objects[OBJECTS];
    use_objects(objects, OBJECTS, 64);
    return argument;
}

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

/* What the kernel says of the mapping that an address lies in: has it a flag? */
static bool has_flag(const void *address, const char *flag)
{
    char line[512];
    bool inside = false;
    bool asked = false;
    FILE *file = fopen("/proc/self/smaps", "r");
    CHECK(file != NULL, "no smaps");
    while (fgets(line, sizeof line, file) != NULL) {
        unsigned long long start;
        unsigned long long end;
        if (sscanf(line, "%llx-%llx ", &start, &end) == 2) {
            inside = start <= (uintptr_t)address && (uintptr_t)address < end;
        } else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
            asked = strstr(line, flag) != NULL;
        }
    }
    fclose(file);
    return asked;
}

int main(int argc, char **argv)
{
    bool off = argc == 2 && strcmp(argv[1], "off") == 0;
    if (getenv("MB_HUGEPAGE") == NULL) {
        setenv("MB_HUGEPAGE", off ? "0" : "1", 1);
        CHECK(argc == 1 || off, "usage: huge_pages [off]");
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
        puts("this kernel has no transparent huge pages: that they are asked for was not checked");
        return SKIPPED;
    }
    /* Enough that a huge page would have room: the kernel need not be told before. */
    static void *objects[OBJECTS];
    CHECK(mb_alloc_batch(64, OBJECTS, objects) == OBJECTS, "no memory");
    void *object = objects[OBJECTS - 1];
    CHECK(has_flag(object, " hg") == !off, "huge pages were %sasked for", off ? "" : "not ");
    CHECK(has_flag(object, " nh") == off, "small pages were %sasked for", off ? "not " : "");
    CHECK(!has_flag(&threads, " hg") && !has_flag(&threads, " nh"),
          "the whole process is so, and so nothing was shown");
    mb_free_batch(OBJECTS, objects);
    return 0;
}
