#include "give_back.h"

#include "harness.h"
#include "report.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

enum { TBBMALLOC_CLEAN_ALL_BUFFERS = 0 };

static union {
    void *symbol;
    size_t (*mb_trim)(size_t);
    int (*malloc_trim)(size_t);
    void (*mi_collect)(bool);
    int (*mallctl)(const char *, void *, size_t *, void *, size_t);
    void (*release_free_memory)(void);
    int (*scalable_allocation_command)(int, void *);
} purge;

static union {
    void *symbol;
    void (*mb_thread_idle)(void);
    void (*mi_collect)(bool);
    int (*mallctl)(const char *, void *, size_t *, void *, size_t);
} idle;

static void purge_memorybucket(void)
{
    purge.mb_trim(0);
}

static void idle_memorybucket(void)
{
    idle.mb_thread_idle();
}

static void purge_glibc(void)
{
    purge.malloc_trim(0);
}

static void purge_mimalloc(void)
{
    purge.mi_collect(true);
}

static void idle_mimalloc(void)
{
    idle.mi_collect(false);
}

static void tell_jemalloc(const char *what)
{
    int status = purge.mallctl(what, NULL, NULL, NULL, 0);
    if (status != 0) {
        report_die("jemalloc's %s: %s", what, strerror(status));
    }
}

static void purge_jemalloc(void)
{
    tell_jemalloc("thread.tcache.flush");
    tell_jemalloc("arena.4096.purge"); /* MALLCTL_ARENAS_ALL */
}

static void idle_jemalloc(void)
{
    tell_jemalloc("thread.idle");
}

static void purge_tcmalloc(void)
{
    purge.release_free_memory();
}

static void purge_tbbmalloc(void)
{
    purge.scalable_allocation_command(TBBMALLOC_CLEAN_ALL_BUFFERS, NULL);
}

static const struct allocator {
    const char *library; /* the beginning of its file's name */
    const char *purge_symbol;
    void (*purge)(void);
    const char *idle_symbol; /* NULL: none */
    void (*idle)(void);
} allocators[] = {
    { "libmemorybucket", "mb_trim", purge_memorybucket, "mb_thread_idle", idle_memorybucket },
    { "libc.so", "malloc_trim", purge_glibc, NULL, NULL },
    { "libmimalloc", "mi_collect", purge_mimalloc, "mi_collect", idle_mimalloc },
    { "libjemalloc", "mallctl", purge_jemalloc, "mallctl", idle_jemalloc },
    { "libtcmalloc", "MallocExtension_ReleaseFreeMemory", purge_tcmalloc, NULL, NULL },
    { "libtbbmalloc", "scalable_allocation_command", purge_tbbmalloc, NULL, NULL },
};
static const struct allocator *serving;

void give_back_start(void)
{
    const char *library = harness_library_of(dlsym(RTLD_DEFAULT, "malloc"));
    const char *slash = strrchr(library, '/');
    const char *name = slash != NULL ? slash + 1 : library;
    for (size_t i = 0; i < sizeof allocators / sizeof allocators[0]; i++) {
        if (strncmp(name, allocators[i].library, strlen(allocators[i].library)) == 0) {
            serving = &allocators[i];
            purge.symbol = dlsym(RTLD_DEFAULT, serving->purge_symbol);
            idle.symbol = serving->idle_symbol != NULL ? dlsym(RTLD_DEFAULT, serving->idle_symbol)
                                                       : NULL;
        }
    }
}

bool give_back_purge(void)
{
    if (purge.symbol == NULL) {
        return false;
    }
    serving->purge();
    return true;
}

bool give_back_idle(void)
{
    if (idle.symbol == NULL) {
        return false;
    }
    serving->idle();
    return true;
}
