/* A program on MemoryBucket. */
#include <memorybucket/memorybucket.h>
#include <stdio.h>

int main(void)
{
    char *text = mb_alloc(40);
    snprintf(text, 40, "served from the pools up to %d", MB_SMALL_MAX);
    puts(text);
    mb_free(text);
    return 0;
}
