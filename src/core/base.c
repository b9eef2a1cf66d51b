/* base: messages that need no allocation. */
#include "core/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void mbi_message(const char *format, ...)
{
    static const char prefix[] = "memorybucket: ";
    char line[256];
    size_t used = sizeof prefix - 1;
    memcpy(line, prefix, used);

    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(line + used, sizeof line - used - 1, format, arguments);
    va_end(arguments);
    if (wanted < 0) {
        return;
    }
    size_t room = sizeof line - used - 2;
    used += (size_t)wanted < room ? (size_t)wanted : room;
    for (size_t i = 0; i < used; i++) {
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7F) {
            line[i] = '?'; /* what a variable holds must not make lines of its own */
        }
    }
    line[used++] = '\n';

    /* A message that stderr does not take is lost: there is nobody else to tell. */
    (void)mbi_os_write(STDERR_FILENO, line, used);
}
