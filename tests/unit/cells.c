/* cells: aligned, apart from each other, and live once. */
#include "insight/cells.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

static void begin(void)
{
    cr_assert(mbi_cells_init());
}

Test(cells, of_all_sizes_are_apart, .init = begin)
{
    enum { CELLS = 3000 };
    static unsigned char *cells[CELLS];
    struct sample sample;
    for (size_t i = 0; i < CELLS; i++) {
        size_t bytes = 1 + i * 37 % 32768;
        size_t alignment = (size_t)1 << i % 13;
        cells[i] = mbi_cells_take(bytes, alignment);
        cr_assert_not_null(cells[i]);
        cr_assert(cells_have(cells[i]) && cells_have(cells[i] + bytes - 1));
        cr_assert_eq((uintptr_t)cells[i] % alignment, 0);
        cr_assert_eq((uintptr_t)cells[i] % 16, 0);
        cr_assert_geq(mbi_cells_bytes(cells[i]), bytes);
        cr_assert_eq(mbi_cells_bytes(cells[i] + bytes - 1), mbi_cells_bytes(cells[i]));
        memset(cells[i], (int)(i % 251), mbi_cells_bytes(cells[i]));
        sample = (struct sample){ .slot = cells[i], .parts = i };
        mbi_cells_publish(cells[i], &sample);
    }
    for (size_t i = 0; i < CELLS; i++) {
        size_t bytes = mbi_cells_bytes(cells[i]);
        cr_assert(cells[i][0] == i % 251 && cells[i][bytes - 1] == i % 251);
        cr_assert(!mbi_cells_remove(cells[i] + 8, &sample), "into a cell");
        cr_assert(mbi_cells_remove(cells[i], &sample));
        cr_assert(sample.slot == cells[i] && sample.parts == i);
        cr_assert(!mbi_cells_remove(cells[i], &sample), "again");
        mbi_cells_give_back(cells[i]);
    }
    cr_assert_not_null(mbi_cells_take(32768, 4096));
    cr_assert_null(mbi_cells_take(32769, 1));
    cr_assert_null(mbi_cells_take(1, 65536));
    void *last = (void *)(mbi_cells_range.start + mbi_cells_range.bytes - 32768);
    cr_assert(cells_have(last) && !mbi_cells_remove(last, &sample), "a cell that never was used");
}

/* What was given back last comes first, and a range that is used up gives no more. */
Test(cells, are_used_again, .init = begin)
{
    enum { CELLS = 1 << 17 };
    static void *cells[CELLS];
    void *first = mbi_cells_take(100, 8);
    mbi_cells_give_back(first);
    cr_assert_eq(mbi_cells_take(128, 8), first);
    mbi_cells_give_back(first);
    size_t count = 0;
    while (count < CELLS && (cells[count] = mbi_cells_take(128, 128)) != NULL) {
        count++;
    }
    cr_assert_eq(count, CELLS);
    cr_assert_null(mbi_cells_take(128, 8));
    cr_assert_null(mbi_cells_take(128, 8), "nor later");
    cr_assert_not_null(mbi_cells_take(16, 8), "another kind");
    mbi_cells_give_back(cells[77]);
    cr_assert_eq(mbi_cells_take(65, 8), cells[77]);
}

/* No two threads have the same one. */
static void *run(void *argument)
{
    enum { HELD = 50, TURNS = 20000 };
    uint32_t *held[HELD] = { NULL };
    uint32_t own = (uint32_t)(uintptr_t)argument;
    for (uint32_t i = 0; i < TURNS; i++) {
        uint32_t **one = &held[i * 7 % HELD];
        if (*one != NULL) {
            cr_assert_eq(**one, own);
            mbi_cells_give_back(*one);
        }
        *one = mbi_cells_take(16 + i % 32, 8);
        cr_assert_not_null(*one);
        **one = own;
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
