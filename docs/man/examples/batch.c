/* memorybucket, mb_alloc_batch, mb_free_batch: A thousand objects at once, and one more: */
#include <memorybucket/memorybucket.h>
#include <stdio.h>

int main(void)
{
    struct point { double x, y; } *points[1000];

    size_t count = mb_alloc_batch(sizeof *points[0], 1000, (void **)points);
    for (size_t i = 0; i < count; i++) {
        *points[i] = (struct point){ (double)i, 2.0 * (double)i };
    }
    printf("%zu points, the last at y = %g\n", count, points[count - 1]->y);
    mb_free_batch(count, (void **)points);

    char *name = mb_alloc(40); /* any pointer may be freed by any thread */
    mb_free(name);
    return 0;
}
