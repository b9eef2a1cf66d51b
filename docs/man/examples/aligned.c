/* mb_aligned_alloc, mb_free_sized: A counter in a cache line of its own: */
#include <memorybucket/memorybucket.h>
#include <stdio.h>

int main(void)
{
    unsigned long *counter = mb_aligned_alloc(64, 64);
    if (counter == NULL) {
        perror("counter");
        return 1;
    }
    *counter = 1;
    printf("%lu\n", *counter);
    mb_free_sized(counter, 64);
    return 0;
}
