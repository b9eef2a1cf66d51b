/*
 * dropin/figures: malloc_trim, mallinfo, mallinfo2, malloc_stats and malloc_info.
 *
 * Ladder: above api and tcache. Only libmemorybucket-malloc.so is built from it.
 *
 * Contracts are those of the manual pages. The figures are the sum of the pools' and of the next
 * allocator's. mallopt is in next_memory.c, and the C library's but for a note.
 */
#include "memorybucket/memorybucket.h"

#include "api/stats.h"
#include "core/large.h"
#include "dropin/names.h"
#include "tcache/out_of_memory.h"
#include "tcache/startup.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <string.h>

typedef struct mallinfo2 mallinfo2_function(void);
typedef void malloc_stats_function(void);
typedef int malloc_info_function(int options, FILE *stream);

EXPORT int malloc_trim(size_t keep_bytes)
{
    if (mbi_startup_patiently() == -EAGAIN) {
        return 0; /* a signal handler interrupted the start */
    }
    bool pools_gave = mbi_out_of_memory_trim(keep_bytes) != 0;
    return mbi_large_give_back() || pools_gave;
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
        info->ordblks += size_above(pool->carved, pool->live);
    }
    uint64_t free_bytes = size_above(stats->committed_bytes, live_bytes);
    info->uordblks += live_bytes;
    info->fordblks += free_bytes;
    info->arena += live_bytes + free_bytes;
    mbi_stats_drop(stats);
}

EXPORT struct mallinfo2 mallinfo2(void)
{
    struct mallinfo2 info = { 0 };
    mallinfo2_function *next = (mallinfo2_function *)mbi_next_symbol("mallinfo2");
    if (next != NULL) {
        info = next();
    }
    add_pools(&info);
    return info;
}

/* The same in int; larger values are cut off, as by glibc. */
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
    malloc_stats_function *next = (malloc_stats_function *)mbi_next_symbol("malloc_stats");
    if (next != NULL) {
        next();
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
            "<pools max=\"%" PRIu64 "\" committed=\"%" PRIu64 "\" released=\"%" PRIu64
            "\" resident=\"%" PRIu64 "\">\n",
            stats->pool_max, stats->committed_bytes, stats->released_bytes, stats->resident_bytes);
    for (size_t class = 0; class < MB_POOL_COUNT; class++) {
        const struct mb_pool_stats *pool = &stats->pool[class];
        if (pool->carved != 0) {
            fprintf(stream,
                    "<pool size=\"%" PRIu64 "\" live=\"%" PRIu64 "\" free=\"%" PRIu64 "\"/>\n",
                    pool->slot_bytes, pool->live, size_above(pool->carved, pool->live));
        }
    }
    fputs("</pools>\n", stream);
    mbi_stats_drop(stats);
}

/*
 * The next allocator's document without the end of its outermost element; NULL when there is none.
 * The C library allocates it by the malloc in use, which may not be ours: so in_use_free frees it.
 */
static char *next_document(void)
{
    static const char end[] = "</malloc>";
    malloc_info_function *next = (malloc_info_function *)mbi_next_symbol("malloc_info");
    char *text = NULL;
    size_t bytes;
    FILE *memory = next != NULL ? open_memstream(&text, &bytes) : NULL;
    if (memory == NULL) {
        return NULL;
    }
    int error = next(0, memory);
    char *last = fclose(memory) == 0 && error == 0 ? strstr(text, end) : NULL;
    if (last == NULL) {
        in_use_free(text);
        return NULL;
    }
    *last = '\0';
    return text;
}

/* Writes the next allocator's document, with an element for the pools at its end. */
EXPORT int malloc_info(int options, FILE *stream)
{
    if (options != 0) {
        return EINVAL;
    }
    char *next = next_document();
    fputs(next != NULL ? next : "<malloc version=\"1\">\n", stream);
    in_use_free(next);
    print_pools(stream);
    fputs("</malloc>\n", stream);
    return 0;
}
