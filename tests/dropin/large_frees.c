/*
 * large_frees buffers | told DROPIN: how often the drop-in asks for the size of a large object that is freed. It does
 * while that may change what it tells the C library's malloc: not when the threshold is at its highest (buffers), and
 * not when the program has told malloc something itself (told). Starts itself on the drop-in.
 */
#include "check.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

unsigned long sizes_asked_for(void);

enum { LARGE_BYTES = 200000, BUFFER_BYTES = 31 << 20, BUFFERS = 8, FREES = 100 };

static void allocate_and_free(size_t bytes)
{
    void *object = malloc(bytes);
    CHECK(object != NULL, "no memory");
    memset(object, 1, 100);
    free(object);
}

/* How often the size was asked for while so many were freed. */
static unsigned long asked_in(size_t frees)
{
    unsigned long before = sizes_asked_for();
    for (size_t i = 0; i < frees; i++) {
        allocate_and_free(LARGE_BYTES);
    }
    return sizes_asked_for() - before;
}

static void *free_in_thread(void *frees)
{
    (void)asked_in(*(size_t *)frees);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc == 3) {
        static const char *const deciding[] = { "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_THRESHOLD_",
                                                "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES" };
        for (size_t i = 0; i < sizeof deciding / sizeof deciding[0]; i++) { /* with these nothing is looked at */
            CHECK(unsetenv(deciding[i]) == 0, "unsetenv");
        }
        CHECK(setenv("LD_PRELOAD", argv[2], 1) == 0, "setenv");
        execl("/proc/self/exe", argv[0], argv[1], (char *)NULL);
    }
    CHECK(argc == 2 && (strcmp(argv[1], "buffers") == 0 || strcmp(argv[1], "told") == 0), "buffers or told");
    CHECK(asked_in(FREES) == FREES, "nothing is looked at: is this the drop-in?");
    pthread_t thread;
    static size_t frees = FREES;
    CHECK(pthread_create(&thread, NULL, free_in_thread, &frees) == 0, "no thread");
    if (strcmp(argv[1], "told") == 0) {
        CHECK(mallopt(M_TRIM_THRESHOLD, 1 << 20) == 1, "mallopt");
    } else {
        for (int i = 0; i < BUFFERS; i++) {
            allocate_and_free(BUFFER_BYTES);
        }
    }
    CHECK(pthread_join(thread, NULL) == 0, "join");
    unsigned long asked = asked_in(FREES);
    CHECK(asked == 0, "%lu sizes of %d are asked for when nothing depends on them", asked, FREES);
    return 0;
}
