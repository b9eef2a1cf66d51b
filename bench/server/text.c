/* text: words and numbers. */
#include "text.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

size_t text_split(char *line, struct word words[TEXT_WORDS_MAX])
{
    size_t count = 0;
    char *at = line;
    for (;;) {
        at += strspn(at, " ");
        if (*at == '\0') {
            return count;
        }
        size_t length = count + 1 < TEXT_WORDS_MAX ? strcspn(at, " ") : strlen(at);
        words[count++] = (struct word){ at, length };
        at += length;
        if (*at == '\0') {
            return count;
        }
        *at++ = '\0';
    }
}

/* A number may be followed by white space, as a value is that decr has filled up. */
static bool number_ends(const char *text, const char *end)
{
    return end != text && errno == 0 && (*end == '\0' || isspace((unsigned char)*end));
}

bool text_to_i32(const char *text, int32_t *number)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    *number = (int32_t)value;
    return number_ends(text, end);
}

/* strtoull takes a minus sign, and wraps round; a zero may have one. */
bool text_to_u64(const char *text, uint64_t *number)
{
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return number_ends(text, end) && ((int64_t)*number >= 0 || strchr(text, '-') == NULL);
}

bool text_to_flags(const char *text, uint32_t *flags)
{
    uint64_t number;
    bool is_number = text_to_u64(text, &number);
    *flags = (uint32_t)number;
    return is_number;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t text_base64_decode(char *text, size_t length)
{
    size_t pads = length >= 2 ? (size_t)(text[length - 1] == '=') + (text[length - 2] == '=') : 0;
    if (length == 0 || length % 4 != 0) {
        return 0;
    }
    size_t out = 0;
    for (size_t i = 0; i < length; i += 4) {
        uint32_t group = 0;
        for (size_t k = i; k < i + 4; k++) {
            bool is_pad = k >= length - pads;
            const char *found = is_pad ? alphabet : memchr(alphabet, text[k], 64);
            if (found == NULL) {
                return 0;
            }
            group = group << 6 | (uint32_t)(found - alphabet);
        }
        text[out++] = (char)(group >> 16);
        text[out++] = (char)(group >> 8);
        text[out++] = (char)group;
    }
    return out - pads;
}

size_t text_base64_encode(char *out, const char *bytes, size_t length)
{
    size_t written = 0;
    for (size_t i = 0; i < length; i += 3) {
        uint32_t group = 0;
        for (size_t k = i; k < i + 3; k++) {
            group = group << 8 | (k < length ? (unsigned char)bytes[k] : 0U);
        }
        for (unsigned k = 0; k < 4; k++) {
            bool is_pad = i + k > length;
            out[written++] = is_pad ? '=' : alphabet[group >> (18 - 6 * k) & 63];
        }
    }
    return written;
}
