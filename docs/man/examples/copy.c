/* mb_alloc, mb_free, mb_usable_size: A copy of a text: */
#include <memorybucket/memorybucket.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    static const char text[] = "hello";
    char *copy = mb_alloc(sizeof text);
    if (copy == NULL) {
        perror("copy");
        return 1;
    }
    memcpy(copy, text, sizeof text);
    printf("%s, with room for %zu bytes\n", copy, mb_usable_size(copy));
    mb_free(copy);
    return 0;
}
