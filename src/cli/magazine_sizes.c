/* magazine_sizes: classes side by side that get the same rounds are one range. */
#include "cli/magazine_sizes.h"

#include <stdio.h>

/* The least size that a class serves. */
static size_t low_of(size_t class)
{
    if (class < LINEAR_CLASS_COUNT) {
        return class * SIZE_STEP_BYTES + 1;
    }
    return (class == LINEAR_CLASS_COUNT ? LINEAR_BYTES_MAX : size_class_slot_bytes(class - 1)) + 1;
}

static size_t high_of(size_t class)
{
    return class < LINEAR_CLASS_COUNT ? (class + 1) * SIZE_STEP_BYTES
                                      : size_class_slot_bytes(class);
}

void magazine_sizes_write(const uint16_t now[], const uint16_t then[],
                          char text[MAGAZINE_SIZES_BYTES])
{
    size_t at = 0;
    text[0] = '\0';
    for (size_t class = 0; class < SIZE_CLASS_COUNT; class++) {
        if (then[class] == now[class]) {
            continue;
        }
        size_t last = class;
        while (last + 1 < SIZE_CLASS_COUNT && then[last + 1] == then[class]
               && then[last + 1] != now[last + 1]) {
            last++;
        }
        at += (size_t)snprintf(text + at, MAGAZINE_SIZES_BYTES - at, "%s%zu-%zu:%u",
                               at != 0 ? "," : "", low_of(class), high_of(last), then[class]);
        class = last;
    }
}
