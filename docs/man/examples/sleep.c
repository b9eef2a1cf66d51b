/* mb_thread_idle, mb_thread_busy, mb_trim, mb_background_start, mb_background_stop: A thread that waits for work keeps no memory from the others: */
#include <memorybucket/memorybucket.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
    /* Memory goes back also while the process sleeps. */
    int failed = mb_background_start();
    if (failed != 0) {
        fprintf(stderr, "no background thread: %s\n", strerror(-failed));
    }
    void *work[100];
    for (int i = 0; i < 100; i++) {
        work[i] = mb_alloc(200);
    }
    for (int i = 0; i < 100; i++) {
        mb_free(work[i]);
    }
    mb_thread_idle();
    usleep(1000); /* in place of the wait */
    mb_thread_busy();
    printf("given back by hand: %zu bytes\n", mb_trim(0));
    mb_background_stop();
    return 0;
}
