/*
 * dropin/figures: what the C library tells of its malloc and does to it: malloc_trim, mallinfo,
 * mallinfo2, malloc_stats and malloc_info.
 *
 * Ladder: above api and tcache. Only libmemorybucket-malloc.so is built from it.
 *
 * Contracts are those of the functions' manual pages. The figures are the sum of the pools' and of
 * the next allocator's; that one tells its own as it always does. mallopt stays the C library's: all
 * that it sets concerns the large objects, which are that one's.
 */
#include "memorybucket/memorybucket.h"

#include "api/stats.h"
#include "core/large.h"
#include "dropin/export.h"
#include "dropin/next_symbol.h"
#include "tcache/out_of_memory.h"
#include "tcache/startup.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

typedef struct mallinfo2 mallinfo2_function(void);
typedef void malloc_stats_function(void);
typedef int malloc_info_function(int options, FILE *stream);

EXPORT int malloc_trim(size_t keep_bytes)
{
    if (mbi_startup_patiently() == -EAGAIN) {
        return 0; /* a signal handler interrupted it */
    }
    bool pools_gave = mbi_out_of_memory_trim(keep_bytes) != 0;
    return mbi_large_give_back() || pools_gave;
}

/* All slots of the pools that are not live. */
static uint64_t free_slots(const struct mb_pool_stats *pool)
{
    return pool->carved > pool->live ? pool->carved - pool->live : 0;
}

static void add_pools(struct mallinfo2 *info)
{
    struct mb_stats *stats = mbi_stats_take(false);
    if (stats == NULL) {
        return;
    }
    uint64_t live_bytes = 0;
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        const struct mb_pool_stats *pool = &stats->pool[class];
        live_bytes += pool->live * pool->slot_bytes;
        info->ordblks += free_slots(pool);
    }
    /* Threads at work may make the terms disagree. */
    uint64_t free_bytes =
        stats->committed_bytes > live_bytes ? stats->committed_bytes - live_bytes : 0;
    info->uordblks += live_bytes;
    info->fordblks += free_bytes;
    info->arena += live_bytes + free_bytes;
    mbi_stats_drop(stats);
}

EXPORT struct mallinfo2 mallinfo2(void)
{
    struct mallinfo2 info = { 0 };
    void *symbol = mbi_next_symbol("mallinfo2");
    if (symbol != NULL) {
        info = ((mallinfo2_function *)(uintptr_t)symbol)();
    }
    add_pools(&info);
    return info;
}

/* The same in int, as far as that goes. */
EXPORT struct mallinfo mallinfo(void)
{
    struct mallinfo2 info = mallinfo2();
    return (struct mallinfo){
        .arena = (int)info.arena,
        .ordblks = (int)info.ordblks,
        .smblks = (int)info.smblks,
        .hblks = (int)info.hblks,
        .hblkhd = (int)info.hblkhd,
        .usmblks = (int)info.usmblks,
        .fsmblks = (int)info.fsmblks,
        .uordblks = (int)info.uordblks,
        .fordblks = (int)info.fordblks,
        .keepcost = (int)info.keepcost,
    };
}

EXPORT void malloc_stats(void)
{
    void *symbol = mbi_next_symbol("malloc_stats");
    if (symbol != NULL) {
        ((malloc_stats_function *)(uintptr_t)symbol)();
    }
    mb_stats_print(stderr);
}

static void print_pools(FILE *stream)
{
    struct mb_stats *stats = mbi_stats_take(true);
    if (stats == NULL) {
        return;
    }
    fprintf(stream,
            "<pools committed=\"%" PRIu64 "\" released=\"%" PRIu64 "\" resident=\"%" PRIu64 "\">\n",
            stats->committed_bytes, stats->released_bytes, stats->resident_bytes);
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        const struct mb_pool_stats *pool = &stats->pool[class];
        if (pool->carved != 0) {
            fprintf(stream, "<pool size=\"%" PRIu64 "\" live=\"%" PRIu64 "\" free=\"%" PRIu64 "\"/>\n",
                    pool->slot_bytes, pool->live, free_slots(pool));
        }
    }
    fputs("</pools>\n", stream);
    mbi_stats_drop(stats);
}

/* What the next allocator writes, without the end of its outermost element; NULL when unknown. */
static char *next_document(void)
{
    static const char end[] = "</malloc>";
    void *symbol = mbi_next_symbol("malloc_info");
    char *text = NULL;
    size_t bytes;
    FILE *memory = symbol != NULL ? open_memstream(&text, &bytes) : NULL;
    if (memory == NULL) {
        return NULL;
    }
    int error = ((malloc_info_function *)(uintptr_t)symbol)(0, memory);
    char *last = fclose(memory) == 0 && error == 0 ? strstr(text, end) : NULL;
    if (last == NULL) {
        mb_free(text);
        return NULL;
    }
    *last = '\0';
    return text;
}

/* One document: that of the next allocator, with an element for the pools at its end. */
EXPORT int malloc_info(int options, FILE *stream)
{
    if (options != 0) {
        return EINVAL;
    }
    char *next = next_document();
    fputs(next != NULL ? next : "<malloc version=\"1\">\n", stream);
    mb_free(next);
    print_pools(stream);
    fputs("</malloc>\n", stream);
    return 0;
}
