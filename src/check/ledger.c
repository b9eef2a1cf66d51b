/* ledger: the hash table of objects. */
#include "check/ledger.h"

#include "core/lock.h"
#include "core/os.h"

#include <stdlib.h>

enum { PLACES_FIRST = 1 << 10 };

/* Under the check lock. */
static struct object *entries;
static size_t places; /* a power of two */
static size_t used;
uint32_t mbi_ledger_generation;

/* Fibonacci hashing (Knuth, TAOCP 6.4): addresses differ in the middle bits. */
static size_t first_place(uintptr_t address)
{
    uint64_t hash = (address >> 3) * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(hash >> 32) & (places - 1);
}

/* The entry of this address, or the free place for it. */
static struct object *place_of(uintptr_t address)
{
    size_t place = first_place(address);
    while (entries[place].hidden != 0 && object_address(&entries[place]) != address) {
        place = (place + 1) & (places - 1);
    }
    return &entries[place];
}

struct object *mbi_ledger_find(uintptr_t address)
{
    struct object *object = places != 0 ? place_of(address) : NULL;
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
    size_t old_places = places;
    size_t new_places = old_places != 0 ? 2 * old_places : PLACES_FIRST;
    struct object *new = mbi_os_map(new_places * sizeof *new);
    if (new == NULL) {
        return false;
    }
    entries = new;
    places = new_places;
    for (size_t i = 0; i < old_places; i++) {
        if (old[i].hidden != 0) {
            *place_of(object_address(&old[i])) = old[i];
        }
    }
    if (old != NULL) {
        mbi_os_unreserve(old, old_places * sizeof *old);
    }
    return true;
}

struct object *mbi_ledger_enter(uintptr_t address)
{
    struct object *object = mbi_ledger_find(address);
    if (object != NULL) {
        return object;
    }
    if (2 * (used + 1) > places && !ledger_grow()) {
        return NULL;
    }
    object = place_of(address);
    *object = (struct object){ .hidden = object_hide(address) };
    used++;
    return object;
}

/* Later entries of the same run of places move up, so that each is still found (Knuth, R). */
void mbi_ledger_remove(uintptr_t address)
{
    struct object *object = mbi_ledger_find(address);
    if (object == NULL) {
        return;
    }
    size_t hole = (size_t)(object - entries);
    size_t place = (hole + 1) & (places - 1);
    for (; entries[place].hidden != 0; place = (place + 1) & (places - 1)) {
        size_t first = first_place(object_address(&entries[place]));
        /* The entry may move into the hole unless its first place lies cyclically behind it. */
        if (((place - first) & (places - 1)) >= ((place - hole) & (places - 1))) {
            entries[hole] = entries[place];
            hole = place;
        }
    }
    entries[hole].hidden = 0;
    used--;
}

struct object *mbi_ledger_next(size_t *place)
{
    while (*place < places) {
        struct object *object = &entries[(*place)++];
        if (object->hidden != 0) {
            return object;
        }
    }
    return NULL;
}

void mbi_check_lock(void)
{
    mbi_lock_set_patient(true);
    if (!mbi_lock_acquire(LOCK_CHECK)) {
        mbi_message("checked mode: a signal handler allocates or frees in the middle of another "
                    "call, which is not allowed");
        abort();
    }
}

void mbi_check_unlock(void)
{
    mbi_lock_release(LOCK_CHECK);
    mbi_lock_set_patient(false);
}
