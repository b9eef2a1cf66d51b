/*
 * size_class: the table that leads from a size above LINEAR_BYTES_MAX to its class.
 *
 * Ladder: above chain.
 *
 * A doubling has eight steps of so many entries, by the doubling: 1, 2, 4, 8 and 16. Its first two
 * classes take a step each, and the other three take two.
 */
#include "core/size_class.h"

#define ENTRIES_1(class) (class)
#define ENTRIES_2(class) ENTRIES_1(class), ENTRIES_1(class)
#define ENTRIES_4(class) ENTRIES_2(class), ENTRIES_2(class)
#define ENTRIES_8(class) ENTRIES_4(class), ENTRIES_4(class)
#define ENTRIES_16(class) ENTRIES_8(class), ENTRIES_8(class)
#define ENTRIES_32(class) ENTRIES_16(class), ENTRIES_16(class)
#define DOUBLING(step, two_steps, first) \
    step(first), step((first) + 1), two_steps((first) + 2), two_steps((first) + 3), \
        two_steps((first) + 4)

enum {
    DOUBLING_1 = LINEAR_CLASS_COUNT,
    DOUBLING_2 = DOUBLING_1 + DOUBLING_CLASSES,
    DOUBLING_3 = DOUBLING_2 + DOUBLING_CLASSES,
    DOUBLING_4 = DOUBLING_3 + DOUBLING_CLASSES,
    DOUBLING_5 = DOUBLING_4 + DOUBLING_CLASSES,
};

const uint8_t mbi_size_classes[SIZE_CLASSES_LENGTH] = {
    [LINEAR_BYTES_MAX / DOUBLING_STEP_BYTES] = DOUBLING(ENTRIES_1, ENTRIES_2, DOUBLING_1),
    DOUBLING(ENTRIES_2, ENTRIES_4, DOUBLING_2),
    DOUBLING(ENTRIES_4, ENTRIES_8, DOUBLING_3),
    DOUBLING(ENTRIES_8, ENTRIES_16, DOUBLING_4),
    DOUBLING(ENTRIES_16, ENTRIES_32, DOUBLING_5),
};
