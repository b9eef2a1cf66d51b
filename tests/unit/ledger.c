/* ledger: what is entered is found, through growing and removing. */
#include "check/ledger.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { ADDRESSES = 5000, TURNS = 200000 };

/* Close together and far apart, so that runs of places form. */
static uintptr_t address_of(size_t index)
{
    return index % 2 == 0 ? 0x10000 + index * 8 : 0x7f0000000000 + index * 0x100000;
}

Test(ledger, keeps_what_a_plain_table_keeps)
{
    static bool is_there[ADDRESSES];
    size_t count = 0;
    srand(1);
    for (int turn = 0; turn < TURNS; turn++) {
        size_t index = (size_t)rand() % ADDRESSES;
        uintptr_t address = address_of(index);
        struct object *object = mbi_ledger_find(address);
        cr_assert_eq(object != NULL, is_there[index]);
        if (object != NULL && rand() % 2 == 0) {
            cr_assert_eq(object->size_bytes, index);
            mbi_ledger_remove(address);
            is_there[index] = false;
            count--;
        } else {
            object = mbi_ledger_enter(address);
            cr_assert_eq(object_address(object), address);
            object->size_bytes = index;
            count += !is_there[index];
            is_there[index] = true;
        }
    }
    size_t place = 0;
    const struct object *object;
    while ((object = mbi_ledger_next(&place)) != NULL) {
        cr_assert(is_there[object->size_bytes]);
        cr_assert_eq(object_address(object), address_of(object->size_bytes));
        count--;
    }
    cr_assert_eq(count, 0, "each is walked over once");
}

Test(ledger, removing_what_is_not_there_changes_nothing)
{
    cr_assert_null(mbi_ledger_find(8));
    mbi_ledger_remove(8);
    cr_assert_not_null(mbi_ledger_enter(16));
    mbi_ledger_remove(8);
    cr_assert_not_null(mbi_ledger_find(16));
    size_t place = 0;
    cr_assert_not_null(mbi_ledger_next(&place));
    cr_assert_null(mbi_ledger_next(&place));
}
