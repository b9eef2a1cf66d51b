/*
 * numbers: which of the numbers 0, 1, 2 ... live, of a trace's objects or threads.
 *
 * Ladder: below trace. Reader and writer number alike: what begins takes the number that became
 * free last, or else the next new one.
 */
#ifndef MEMORYBUCKET_TRACE_NUMBERS_H
#define MEMORYBUCKET_TRACE_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero is the empty one. Both arrays have `room` entries. */
struct mb_numbers {
    uint32_t *free; /* a stack of free_count numbers */
    bool *live;     /* of each number below `next` */
    size_t room;
    uint32_t free_count;
    uint32_t next; /* live ones and free ones */
};

/* Room for more. False without memory. */
bool mb_numbers_grow(struct mb_numbers *numbers);

static inline bool mb_numbers_is_live(const struct mb_numbers *numbers, uint64_t number)
{
    return number < numbers->next && numbers->live[number];
}

/* False without memory, and when all 32-bit numbers live. */
static inline bool mb_numbers_begin(struct mb_numbers *numbers, uint32_t *number)
{
    if (numbers->free_count > 0) {
        *number = numbers->free[--numbers->free_count];
    } else if (numbers->next == UINT32_MAX
               || (numbers->next == numbers->room && !mb_numbers_grow(numbers))) {
        return false;
    } else {
        *number = numbers->next++;
    }
    numbers->live[*number] = true;
    return true;
}

/* False when the number does not live. */
static inline bool mb_numbers_end(struct mb_numbers *numbers, uint32_t number)
{
    if (!mb_numbers_is_live(numbers, number)) {
        return false;
    }
    numbers->live[number] = false;
    numbers->free[numbers->free_count++] = number;
    return true;
}

/* Empty again; the memory stays for the next ones. */
void mb_numbers_clear(struct mb_numbers *numbers);

void mb_numbers_free(struct mb_numbers *numbers);

#endif
