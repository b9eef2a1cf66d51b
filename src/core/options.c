/* options: names, texts, and what is nearly a name. */
#include "core/options.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

enum { NAME_BYTES = 20, LETTERS_MAX = 24, PREFIX_LENGTH = 3 };

/* Arrays and no pointers: these the loader would have to relocate in each process. */
static const char names[][NAME_BYTES] = {
#define X(name, ...) #name,
    MBI_OPTIONS(X)
#undef X
};
static const char removed[][NAME_BYTES] = {
#define X(name) #name,
    MBI_REMOVED_OPTIONS(X)
#undef X
};

static char texts[OPTION_COUNT][OPTION_TEXT_BYTES]; /* the program's; empty: none */

const char *mbi_option_name(enum option option)
{
    return names[option];
}

enum option mbi_option_named(const char *name)
{
    enum option option = 0;
    while (option < OPTION_COUNT && strcmp(names[option], name) != 0) {
        option++;
    }
    return option;
}

bool mbi_option_is_in_environment(enum option option)
{
    return secure_getenv(names[option]) != NULL;
}

const char *mbi_option_recorded(enum option option)
{
    return texts[option][0] != '\0' ? texts[option] : NULL;
}

const char *mbi_option_text(enum option option)
{
    const char *text = secure_getenv(names[option]);
    return text != NULL ? text : mbi_option_recorded(option);
}

void mbi_option_record(enum option option, const char *text)
{
    text = text != NULL ? text : "";
    assert(strlen(text) < OPTION_TEXT_BYTES);
    memcpy(texts[option], text, strlen(text) + 1);
}

/* The letters of a name behind "MB_", as capitals and without underscores; how many. */
static size_t letters_of(const char *name, char letters[LETTERS_MAX])
{
    size_t count = 0;
    for (name += PREFIX_LENGTH; *name != '\0' && count < LETTERS_MAX; name++) {
        if (*name != '_') {
            letters[count++] = (char)(*name >= 'a' && *name <= 'z' ? *name - 'a' + 'A' : *name);
        }
    }
    return count;
}

/*
 * What makes the typed name of the meant one (Damerau's and Levenshtein's distance, weighed): a
 * letter that is missing or two that are swapped count 1, as slips of the hand are likely; a letter
 * too many or another one count 2, as they may make another word: STATUS is not STATS.
 */
static size_t distance(const char *typed, size_t typed_count, const char *meant, size_t meant_count)
{
    size_t rows[3][LETTERS_MAX + 1];
    for (size_t i = 0; i <= typed_count; i++) {
        size_t *row = rows[i % 3];
        const size_t *before = rows[(i + 2) % 3];
        row[0] = 2 * i;
        for (size_t j = 1; j <= meant_count; j++) {
            row[j] = row[j - 1] + 1;
            if (i == 0) {
                continue;
            }
            bool same = typed[i - 1] == meant[j - 1];
            row[j] = size_min(row[j], size_min(before[j] + 2, before[j - 1] + (same ? 0 : 2)));
            if (i > 1 && j > 1 && typed[i - 1] == meant[j - 2] && typed[i - 2] == meant[j - 1]) {
                row[j] = size_min(row[j], rows[(i + 1) % 3][j - 2] + 1);
            }
        }
    }
    return rows[typed_count % 3][meant_count];
}

/* The option that a name nearly is: 1 away from it for every 4 letters; OPTION_COUNT: none. */
static enum option nearest(const char *name)
{
    char typed[LETTERS_MAX];
    char meant[LETTERS_MAX];
    size_t typed_count = letters_of(name, typed);
    size_t least = SIZE_MAX;
    enum option found = OPTION_COUNT;
    for (enum option option = 0; option < OPTION_COUNT; option++) {
        size_t meant_count = letters_of(names[option], meant);
        size_t far = distance(typed, typed_count, meant, meant_count);
        if (far <= meant_count / 4 && far < least) {
            least = far;
            found = option;
        }
    }
    return found;
}

static void name_unknown(const char *variable)
{
    char name[LETTERS_MAX + PREFIX_LENGTH + 1];
    size_t length = strcspn(variable, "=");
    if (length >= sizeof name) {
        return; /* longer than any of the library's */
    }
    memcpy(name, variable, length);
    name[length] = '\0';
    for (size_t i = 0; i < sizeof removed / sizeof removed[0]; i++) {
        if (strcmp(name, removed[i]) == 0) {
            mbi_message("%s was removed and has no effect", name);
            return;
        }
    }
    enum option meant = mbi_option_named(name) != OPTION_COUNT ? OPTION_COUNT : nearest(name);
    if (meant != OPTION_COUNT) {
        mbi_message("%s has no effect; did you mean %s?", name, names[meant]);
    }
}

void mbi_options_name_unknown(void)
{
    if (environ == NULL || getauxval(AT_SECURE) != 0) {
        return; /* none yet, or that of a user that this process must not obey */
    }
    for (char **variable = environ; *variable != NULL; variable++) {
        if (strncmp(*variable, "MB_", PREFIX_LENGTH) == 0) {
            name_unknown(*variable);
        }
    }
}
