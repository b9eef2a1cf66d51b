/* numbers: growing, beginning and ending. */
#include "trace/numbers.h"

#include <stdlib.h>

enum { ROOM_FIRST = 64 };

bool mb_numbers_grow(struct mb_numbers *numbers)
{
    size_t room = numbers->room > 0 ? numbers->room * 2 : ROOM_FIRST;
    uint32_t *free_numbers = realloc(numbers->free, room * sizeof *free_numbers);
    if (free_numbers == NULL) {
        return false;
    }
    numbers->free = free_numbers;
    bool *live = realloc(numbers->live, room * sizeof *live);
    if (live == NULL) {
        return false;
    }
    numbers->live = live;
    numbers->room = room;
    return true;
}

void mb_numbers_clear(struct mb_numbers *numbers)
{
    numbers->free_count = 0;
    numbers->next = 0;
}

void mb_numbers_free(struct mb_numbers *numbers)
{
    free(numbers->free);
    free(numbers->live);
    *numbers = (struct mb_numbers){ 0 };
}
