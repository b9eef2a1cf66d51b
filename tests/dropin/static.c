/* static: a program that no library can be preloaded into, as it is linked statically. */
#include <stdio.h>

int main(void)
{
    puts("static");
    return 0;
}
