/* What a program of somebody else does with the installed library. */
#include <memorybucket/memorybucket.h>

#include <string.h>

int main(void)
{
    char *text = mb_alloc(40);
    if (text == NULL || mb_usable_size(text) != 40) {
        return 1;
    }
    strcpy(text, "installed");
    mb_free(text);
    return 0;
}
