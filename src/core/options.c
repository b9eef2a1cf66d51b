/* options: names, texts, and what is nearly a name. */
#include "core/options.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

enum { NAME_BYTES = 20, LETTERS_MAX = 24, PREFIX_LENGTH = 3, LONG_LETTERS = 8 };

/* Arrays: the loader would have to relocate pointers in each process. */
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
static bool has_texts; /* looked at first: most processes touch no page of the texts */

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

const char *mbi_option_given(enum option option)
{
    return secure_getenv(names[option]);
}

const char *mbi_option_recorded(enum option option)
{
    return has_texts && texts[option][0] != '\0' ? texts[option] : NULL;
}

void mbi_option_record(enum option option, const char *text)
{
    text = text != NULL ? text : "";
    assert(strlen(text) < OPTION_TEXT_BYTES);
    memcpy(texts[option], text, strlen(text) + 1);
    has_texts = true;
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
 * Whether the typed name is the option's with a slip: a letter is missing, two are swapped, or an S
 * is at the end. In long names a letter may also be too many, or another one; in short names that
 * makes another word, as STATUS is not STATS.
 */
static bool is_slip(const char *typed_name, const char *meant_name)
{
    char letters[2][LETTERS_MAX];
    const char *typed = letters[0];
    const char *meant = letters[1];
    size_t typed_left = letters_of(typed_name, letters[0]);
    size_t meant_left = letters_of(meant_name, letters[1]);
    size_t too_many_max = meant_left >= LONG_LETTERS ? 1 : 0;
    while (typed_left > 0 && meant_left > 0 && *typed == *meant) {
        typed++, meant++, typed_left--, meant_left--;
    }
    if (typed_left == 1 && meant_left == 0 && *typed == 'S') {
        return true;
    }
    while (typed_left > 0 && meant_left > 0 && typed[typed_left - 1] == meant[meant_left - 1]) {
        typed_left--, meant_left--;
    }
    if (typed_left == 2 && meant_left == 2) {
        return typed[0] == meant[1] && typed[1] == meant[0];
    }
    return typed_left <= too_many_max && meant_left <= 1;
}

/* Whether the typed name is that of an option without its last words: MB_DECAY. */
static bool is_beginning(const char *typed, const char *meant)
{
    size_t length = strlen(typed);
    return strncmp(typed, meant, length) == 0 && meant[length] == '_';
}

/* The one option that a name nearly is; OPTION_COUNT: none, or several. */
static MBI_SELDOM enum option nearest(const char *name)
{
    enum option found = OPTION_COUNT;
    for (enum option option = 0; option < OPTION_COUNT; option++) {
        if (is_slip(name, names[option]) || is_beginning(name, names[option])) {
            if (found != OPTION_COUNT) {
                return OPTION_COUNT;
            }
            found = option;
        }
    }
    return found;
}

/* Writes a line if it is an older version's variable, or nearly one; whether it did. */
static MBI_SELDOM bool name_unknown(const char *variable)
{
    char name[LETTERS_MAX + PREFIX_LENGTH + 1];
    size_t length = strcspn(variable, "=");
    if (length >= sizeof name) {
        return false; /* longer than any of the library's */
    }
    memcpy(name, variable, length);
    name[length] = '\0';
    for (size_t i = 0; i < sizeof removed / sizeof removed[0]; i++) {
        if (strcmp(name, removed[i]) == 0) {
            mbi_message("%s was removed and has no effect", name);
            return true;
        }
    }
    enum option meant = mbi_option_named(name) != OPTION_COUNT ? OPTION_COUNT : nearest(name);
    if (meant != OPTION_COUNT) {
        mbi_message("%s has no effect; did you mean %s?", name, names[meant]);
    }
    return meant != OPTION_COUNT;
}

static bool has_prefix(const char *variable)
{
    return strncmp(variable, "MB_", PREFIX_LENGTH) == 0;
}

void mbi_option_complain_of_name(const char *name)
{
    if (!has_prefix(name) || !name_unknown(name)) {
        mbi_message("there is no option %.60s", name);
    }
}

void mbi_options_name_unknown(void)
{
    if (environ == NULL || getauxval(AT_SECURE) != 0) {
        return; /* none yet, or that of a user that this process must not obey */
    }
    for (char **variable = environ; *variable != NULL; variable++) {
        if (has_prefix(*variable)) {
            (void)name_unknown(*variable);
        }
    }
}
