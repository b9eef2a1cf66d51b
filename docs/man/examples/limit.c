/* mb_memory_limit_set, mb_out_of_memory_handler_set: A cache of the program that shrinks when memory is short: */
#include <memorybucket/memorybucket.h>
#include <stdio.h>

static void *cached[100000];
static size_t cached_count;

/* Frees half of the cache. 0 lets the request fail: nothing is left to free. */
static int shrink_cache(size_t size, void *argument)
{
    (void)size;
    (void)argument;
    size_t keep = cached_count / 2, freed = cached_count - keep;
    mb_free_batch(freed, cached + keep);
    cached_count = keep;
    return freed > 0;
}

int main(void)
{
    mb_memory_limit_set(4 << 20);
    mb_out_of_memory_handler_set(shrink_cache, NULL);
    for (int i = 0; i < 100000; i++) {
        void *object = mb_alloc(500);
        if (object == NULL) {
            perror("object");
            return 1;
        }
        cached[cached_count++] = object;
    }
    printf("%s\n", cached_count < 100000 ? "the cache shrank" : "all of it fits");
    return 0;
}
