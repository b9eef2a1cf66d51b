/*
 * dropin/liburcu: the epochs of core/upcalls.h, by liburcu, which the first walk loads.
 * MEMORYBUCKET_LIBURCU is the library's file name.
 */
#include "core/upcalls.h"
#include "dropin/names.h"

#include <dlfcn.h>
#include <pthread.h>

typedef void epoch_function(void);

/* Called only by a thread that has seen IN_USE. */
static _Atomic uintptr_t read_lock;
static _Atomic uintptr_t read_unlock;
static _Atomic uintptr_t synchronize;

/* Decided once, after the search: release [EPOCHS-DECIDE] pairs with acquire [EPOCHS-LOOK]. */
enum { UNDECIDED, NONE, IN_USE };
static _Atomic int decision;

/* Finding nothing keeps what another thread may have found. */
static bool find(void *library, const char *name, _Atomic uintptr_t *function)
{
    uintptr_t symbol = library != NULL ? (uintptr_t)dlsym(library, name) : 0;
    if (symbol != 0) {
        found_set(function, symbol);
    }
    return symbol != 0;
}

bool mbi_epochs_in_use(void)
{
    return atomic_load_explicit(&decision, memory_order_acquire) == IN_USE; /* [EPOCHS-LOOK] */
}

/* liburcu's constructor creates a key, and ends the process when it gets none. */
static bool a_key_is_left(void)
{
    pthread_key_t key;
    return pthread_key_create(&key, NULL) == 0 && pthread_key_delete(key) == 0;
}

bool mbi_epochs_load(void)
{
    if (atomic_load_explicit(&decision, memory_order_acquire) == UNDECIDED) { /* [EPOCHS-LOOK] */
        void *library =
            a_key_is_left() ? dlopen(MEMORYBUCKET_LIBURCU, RTLD_NOW | RTLD_NODELETE) : NULL;
        bool all = find(library, "urcu_bp_read_lock", &read_lock)
                   && find(library, "urcu_bp_read_unlock", &read_unlock)
                   && find(library, "urcu_bp_synchronize_rcu", &synchronize);
        int undecided = UNDECIDED;
        /* [EPOCHS-DECIDE]; when another thread decided first, its answer holds. */
        (void)atomic_compare_exchange_strong_explicit(&decision, &undecided, all ? IN_USE : NONE,
                                                      memory_order_release, memory_order_relaxed);
    }
    return mbi_epochs_in_use();
}

void mbi_epochs_read_lock(void)
{
    FOUND(epoch_function, read_lock)();
}

void mbi_epochs_read_unlock(void)
{
    FOUND(epoch_function, read_unlock)();
}

void mbi_epochs_synchronize(void)
{
    FOUND(epoch_function, synchronize)();
}
