/* mb_option_set, mb_init: A program that wants its memory back sooner, unless its user says otherwise: */
#include <memorybucket/memorybucket.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    int failed = mb_option_set("MB_DECAY_MS", "200");
    if (failed != 0) {
        fprintf(stderr, "MB_DECAY_MS: %s\n", strerror(-failed));
    }
    failed = mb_init();
    if (failed != 0) { /* all calls still work */
        fprintf(stderr, "MemoryBucket: %s\n", strerror(-failed));
    }
    puts("ready");
    return 0;
}
