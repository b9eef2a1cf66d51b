/* base: numbers from texts, and messages that need no allocation and little stack. */
#include "core/base.h"

#include "core/upcalls.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

bool mbi_read_number(const char **text, uint64_t *number)
{
    const char *cursor = *text;
    *number = 0;
    for (; *cursor >= '0' && *cursor <= '9'; cursor++) {
        if (__builtin_mul_overflow(*number, UINT64_C(10), number)
            || __builtin_add_overflow(*number, (uint64_t)(*cursor - '0'), number)) {
            return false;
        }
    }
    bool any = cursor != *text;
    *text = cursor;
    return any;
}

enum { LINE_BYTES_MAX = 256, DIGITS_MAX = 20 };

/* A line under construction; text that does not fit is left out. */
struct line {
    char text[LINE_BYTES_MAX];
    size_t used; /* at most LINE_BYTES_MAX - 1: there is room for the newline */
};

/* Control characters become '?': the text of a variable must not begin a new line. */
static void put_character(struct line *line, char character)
{
    bool prints = (unsigned char)character >= ' ' && character != 0x7F;
    if (line->used < LINE_BYTES_MAX - 1) {
        line->text[line->used++] = (char)(prints ? character : '?');
    }
}

static void put_text(struct line *line, const char *text, size_t length_max)
{
    for (size_t i = 0; i < length_max && text[i] != '\0'; i++) {
        put_character(line, text[i]);
    }
}

static void put_number(struct line *line, uint64_t number, unsigned base)
{
    char digits[DIGITS_MAX];
    size_t count = 0;
    do {
        digits[count++] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    while (count > 0) {
        put_character(line, digits[--count]);
    }
}

static void put_signed(struct line *line, long number)
{
    if (number < 0) {
        put_character(line, '-');
    }
    put_number(line, number < 0 ? -(uint64_t)number : (uint64_t)number, 10);
}

static void put_hexadecimal(struct line *line, uint64_t number)
{
    put_text(line, "0x", 2);
    put_number(line, number, 16);
}

/* Does what base.h promises without printf(3), which needs 2 KiB of stack. */
static void put_formatted(struct line *line, const char *format, va_list arguments)
{
    while (*format != '\0') {
        if (*format != '%') {
            put_character(line, *format++);
            continue;
        }
        size_t length_max = SIZE_MAX;
        format++;
        if (*format == '.') {
            format++;
            (void)mbi_read_number(&format, &length_max);
        }
        format += strspn(format, "#zl");
        bool is_long = format[-1] == 'z' || format[-1] == 'l';
        switch (*format++) {
        case 's': put_text(line, va_arg(arguments, const char *), length_max); break;
        case 'd': put_signed(line, va_arg(arguments, int)); break;
        case 'u':
            put_number(line, is_long ? va_arg(arguments, size_t) : va_arg(arguments, unsigned), 10);
            break;
        case 'x': put_hexadecimal(line, va_arg(arguments, uint64_t)); break;
        case 'p': put_hexadecimal(line, (uintptr_t)va_arg(arguments, void *)); break;
        default: assert(false); return;
        }
    }
}

MBI_SELDOM void mbi_message(const char *format, ...)
{
    struct line line = { .used = 0 };
    put_text(&line, "memorybucket: ", SIZE_MAX);
    va_list arguments;
    va_start(arguments, format);
    put_formatted(&line, format, arguments);
    va_end(arguments);
    line.text[line.used++] = '\n';

    /* Text that stderr does not take is lost. */
    (void)mbi_os_write(STDERR_FILENO, line.text, line.used);
}
