/* mb_stats_get, mb_stats_get_quick, mb_stats_print: How much memory do the pools hold? */
#include <memorybucket/memorybucket.h>
#include <inttypes.h>
#include <stdio.h>

int main(void)
{
    static struct mb_stats stats; /* 17 KiB: too much for small stacks */
    void *object = mb_alloc(100);
    if (mb_stats_get_quick(&stats, sizeof stats) == 0) {
        printf("%" PRIu64 " bytes committed\n", stats.committed_bytes);
    }
    if (mb_stats_get(&stats, sizeof stats) == 0) { /* looks at each page, too */
        printf("%" PRIu64 " bytes in memory\n", stats.resident_bytes);
    }
    mb_stats_print(stdout); /* all of it, as a table */
    mb_free(object);
    return 0;
}
