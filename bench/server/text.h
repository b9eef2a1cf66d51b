/* text: words and numbers of the protocol, read as memcached reads them. No state. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TEXT_U64_MAX = 24, TEXT_WORDS_MAX = 24 };

struct word {
    char *text; /* ends with a zero byte */
    size_t length;
};

/*
 * Splits a line, which ends with a zero byte, at spaces, in place. What is beyond the last word
 * that there is room for stays with it, unsplit.
 */
size_t text_split(char *line, struct word words[TEXT_WORDS_MAX]);

/* The whole text as a number, within its type's range. */
bool text_to_i32(const char *text, int32_t *number);
bool text_to_u64(const char *text, uint64_t *number);
