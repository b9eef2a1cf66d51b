/* ledger: the hash table of objects. */
#include "check/ledger.h"

#include "core/lock.h"
#include "core/os.h"

#include <stdlib.h>

enum { CAPACITY_FIRST = 1 << 10 };

/* Under the check lock. */
static struct object *entries;
static size_t capacity; /* a power of two */
static size_t used;
uint32_t mbi_ledger_generation;

/* Fibonacci hashing (Knuth, TAOCP 6.4): addresses differ in the middle bits. */
static size_t first_index(uintptr_t address)
{
    uint64_t hash = (address >> 3) * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(hash >> 32) & (capacity - 1);
}

/* The entry of this address, or the free one where it belongs. */
static struct object *entry_of(uintptr_t address)
{
    size_t index = first_index(address);
    while (entries[index].hidden != 0 && object_address(&entries[index]) != address) {
        index = (index + 1) & (capacity - 1);
    }
    return &entries[index];
}

struct object *mbi_ledger_find(uintptr_t address)
{
    struct object *object = capacity != 0 ? entry_of(address) : NULL;
    return object != NULL && object->hidden != 0 ? object : NULL;
}

bool mbi_ledger_copy(uintptr_t address, struct object *out)
{
    const struct object *object = mbi_ledger_find(address);
    if (object != NULL) {
        *out = *object;
    }
    return object != NULL;
}

/* Doubles the table; false without memory. */
static bool ledger_grow(void)
{
    struct object *old = entries;
    size_t old_capacity = capacity;
    size_t new_capacity = old_capacity != 0 ? 2 * old_capacity : CAPACITY_FIRST;
    struct object *new = mbi_os_map(new_capacity * sizeof *new);
    if (new == NULL) {
        return false;
    }
    entries = new;
    capacity = new_capacity;
    for (size_t i = 0; i < old_capacity; i++) {
        if (old[i].hidden != 0) {
            *entry_of(object_address(&old[i])) = old[i];
        }
    }
    if (old != NULL) {
        mbi_os_unreserve(old, old_capacity * sizeof *old);
    }
    return true;
}

struct object *mbi_ledger_enter(uintptr_t address)
{
    struct object *object = mbi_ledger_find(address);
    if (object != NULL) {
        return object;
    }
    if (2 * (used + 1) > capacity && !ledger_grow()) {
        return NULL;
    }
    object = entry_of(address);
    *object = (struct object){ .hidden = object_hide(address) };
    used++;
    return object;
}

/* Later entries of the same run move up, so that each is still found (Knuth, TAOCP 6.4, R). */
void mbi_ledger_remove(uintptr_t address)
{
    struct object *object = mbi_ledger_find(address);
    if (object == NULL) {
        return;
    }
    size_t hole = (size_t)(object - entries);
    size_t index = (hole + 1) & (capacity - 1);
    for (; entries[index].hidden != 0; index = (index + 1) & (capacity - 1)) {
        size_t first = first_index(object_address(&entries[index]));
        /* The entry may move into the hole unless its first index lies cyclically behind it. */
        if (((index - first) & (capacity - 1)) >= ((index - hole) & (capacity - 1))) {
            entries[hole] = entries[index];
            hole = index;
        }
    }
    entries[hole].hidden = 0;
    used--;
}

struct object *mbi_ledger_next(size_t *index)
{
    while (*index < capacity) {
        struct object *object = &entries[(*index)++];
        if (object->hidden != 0) {
            return object;
        }
    }
    return NULL;
}

void mbi_check_lock(void)
{
    if (!mbi_lock_acquire(LOCK_CHECK)) {
        mbi_message("checked mode: a signal handler allocates or frees in the middle of another "
                    "call, which is not allowed");
        abort();
    }
}

void mbi_check_unlock(void)
{
    mbi_lock_release(LOCK_CHECK);
}
