/*
 * no_keys: a program on the drop-in that has used up every key of thread-specific data asks for
 * statistics, for which the drop-in would load liburcu, which ends the process without a key.
 */
#include "check.h"
#include "memorybucket/memorybucket.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

int main(void)
{
    pthread_key_t key;
    while (pthread_key_create(&key, NULL) == 0) {
    }
    int (*stats_get)(struct mb_stats *, size_t) = NULL;
    *(void **)&stats_get = dlsym(RTLD_DEFAULT, "mb_stats_get");
    CHECK(stats_get != NULL, "this is not the drop-in");
    static struct mb_stats stats;
    CHECK(stats_get(&stats, sizeof stats) == 0, "no statistics");
    return 0;
}
