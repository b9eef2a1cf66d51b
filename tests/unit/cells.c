/* cells: aligned, apart from each other, and live once. */
#include "insight/cells.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

static void begin(void)
{
    cr_assert(mbi_cells_init());
}

struct taken {
    struct cell *cell;
    unsigned char *object;
};

static struct taken take(size_t bytes, size_t alignment)
{
    void *object = NULL;
    struct cell *cell = mbi_cells_take(bytes, alignment, &object);
    return (struct taken){ cell, object };
}

Test(cells, of_all_sizes_are_apart, .init = begin)
{
    enum { CELLS = 3000 };
    static struct taken cells[CELLS];
    for (size_t i = 0; i < CELLS; i++) {
        size_t bytes = 1 + i * 37 % 32768;
        size_t alignment = (size_t)1 << i % 13;
        cells[i] = take(bytes, alignment);
        unsigned char *object = cells[i].object;
        cr_assert_not_null(cells[i].cell);
        cr_assert(cells_have(object) && cells_have(object + bytes - 1));
        cr_assert_eq((uintptr_t)object % alignment, 0);
        cr_assert_eq((uintptr_t)object % 16, 0);
        cr_assert_geq(mbi_cells_bytes(object), bytes);
        cr_assert_eq(mbi_cells_bytes(object + bytes - 1), mbi_cells_bytes(object));
        memset(object, (int)(i % 251), mbi_cells_bytes(object));
        cells[i].cell->sample = (struct sample){ .slot = object, .parts = i };
        cells_publish(cells[i].cell);
    }
    for (size_t i = 0; i < CELLS; i++) {
        unsigned char *object = cells[i].object;
        size_t bytes = mbi_cells_bytes(object);
        cr_assert(object[0] == i % 251 && object[bytes - 1] == i % 251);
        cr_assert_null(mbi_cells_remove(object + 8), "into a cell");
        struct cell *cell = mbi_cells_remove(object);
        cr_assert_eq(cell, cells[i].cell);
        cr_assert(cell->sample.slot == object && cell->sample.parts == i);
        cr_assert_null(mbi_cells_remove(object), "again");
        mbi_cells_give_back(cell);
    }
    cr_assert_not_null(take(32768, 4096).cell);
    cr_assert_null(take(32769, 1).cell);
    cr_assert_null(take(1, 65536).cell);
    void *last = (void *)(mbi_cells_range.start + mbi_cells_range.bytes - 32768);
    cr_assert(cells_have(last) && mbi_cells_remove(last) == NULL, "a cell that never was used");
}

/* What was given back last comes first, and a range that is used up gives no more. */
Test(cells, are_used_again, .init = begin)
{
    enum { CELLS = 1 << 17 };
    static struct taken cells[CELLS];
    struct taken first = take(100, 8);
    mbi_cells_give_back(first.cell);
    struct taken again = take(128, 8);
    cr_assert(again.cell == first.cell && again.object == first.object);
    mbi_cells_give_back(first.cell);
    size_t count = 0;
    while (count < CELLS && (cells[count] = take(128, 128)).cell != NULL) {
        count++;
    }
    cr_assert_eq(count, CELLS);
    cr_assert_null(take(128, 8).cell);
    cr_assert_null(take(128, 8).cell, "nor later");
    cr_assert_not_null(take(16, 8).cell, "another kind");
    mbi_cells_give_back(cells[77].cell);
    again = take(65, 8);
    cr_assert(again.cell == cells[77].cell && again.object == cells[77].object);
}

/* No two threads have the same one. */
static void *run(void *argument)
{
    enum { HELD = 50, TURNS = 20000 };
    struct taken held[HELD] = { { NULL, NULL } };
    unsigned char own = (unsigned char)(uintptr_t)argument;
    for (uint32_t i = 0; i < TURNS; i++) {
        struct taken *one = &held[i * 7 % HELD];
        if (one->cell != NULL) {
            cr_assert_eq(*one->object, own);
            mbi_cells_give_back(one->cell);
        }
        *one = take(16 + i % 32, 8);
        cr_assert_not_null(one->cell);
        *one->object = own;
    }
    return NULL;
}

Test(cells, belong_to_one_thread, .init = begin)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, run, (void *)(i + 1)), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}
