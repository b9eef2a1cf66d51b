/* text: words and numbers. */
#include "text.h"

#include <ctype.h>
#include <errno.h>
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
