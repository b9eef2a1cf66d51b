/* mb_calloc, mb_realloc: A line of numbers that grows: */
#include <memorybucket/memorybucket.h>
#include <stdio.h>

int main(void)
{
    size_t room = 4;
    int *numbers = mb_calloc(room, sizeof *numbers);
    if (numbers == NULL) {
        perror("numbers");
        return 1;
    }
    for (size_t i = 0; i < 100; i++) {
        if (i == room) {
            int *longer = mb_realloc(numbers, 2 * room * sizeof *numbers);
            if (longer == NULL) {
                perror("numbers"); /* the old ones are still there */
                mb_free(numbers);
                return 1;
            }
            numbers = longer;
            room *= 2;
        }
        numbers[i] = (int)i;
    }
    printf("the last is %d\n", numbers[99]);
    mb_free(numbers);
    return 0;
}
