/*
 * magazine_sizes: the rounds of classes as a value of MB_MAGAZINE_SIZE.
 *
 * Ladder: above core/rounds. Callers: what proposes options, mbreplay and mbstat.
 */
#ifndef MEMORYBUCKET_CLI_MAGAZINE_SIZES_H
#define MEMORYBUCKET_CLI_MAGAZINE_SIZES_H

#include "core/rounds.h"

/* Room for any value. */
enum { MAGAZINE_SIZES_BYTES = SIZE_CLASS_COUNT * 24 };

/* So many times as many rounds, a half as 1, as the option takes them. */
static inline uint16_t magazine_sizes_scaled(size_t rounds, size_t halves)
{
    return (uint16_t)size_min(round_up(rounds * halves / 2, MAGAZINE_ROUNDS_STEP),
                              MAGAZINE_ROUNDS_MAX);
}

/* The value that turns `now` into `then`; "" where they are the same. */
void magazine_sizes_write(const uint16_t now[], const uint16_t then[],
                          char text[MAGAZINE_SIZES_BYTES]);

#endif
