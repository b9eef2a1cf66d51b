/* mb_check_heap: With MB_CHECK=1 in the environment every object is looked at between two requests: */
#include <memorybucket/memorybucket.h>
#include <stdio.h>

int main(void)
{
    for (int request = 0; request < 3; request++) {
        char *answer = mb_alloc(64);
        snprintf(answer, 64, "answer %d", request);
        puts(answer);
        mb_free(answer);
        mb_check_heap(); /* aborts, with a report, at the first object that is damaged */
    }
    return 0;
}
