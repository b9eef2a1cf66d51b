/* dropin/epochs: liburcu, loaded by the first walk. MEMORYBUCKET_LIBURCU is its file's name. */
#include "core/upcalls.h"

#include <dlfcn.h>

typedef void epoch_function(void);

/*
 * Found by threads that walk for the first time, possibly by several at once, which then write the same;
 * no lock, as one of them may be called by the dynamic linker, for which another one waits.
 * relaxed [EPOCHS-FUNCTION]: read only by a thread that has seen them in use.
 */
static _Atomic(epoch_function *) read_lock;
static _Atomic(epoch_function *) read_unlock;
static _Atomic(epoch_function *) synchronize;

/* Decided once. Set after the functions: release [EPOCHS-DECIDE] pairs with acquire [EPOCHS-LOOK]. */
enum { UNDECIDED, NONE, IN_USE };
static _Atomic int decision;

static epoch_function *function(_Atomic(epoch_function *) *place)
{
    return atomic_load_explicit(place, memory_order_relaxed); /* [EPOCHS-FUNCTION] */
}

static bool find(void *library, const char *name, _Atomic(epoch_function *) *place)
{
    void *symbol = library != NULL ? dlsym(library, name) : NULL;
    if (symbol == NULL) {
        return false;
    }
    atomic_store_explicit(place, (epoch_function *)(uintptr_t)symbol,
                          memory_order_relaxed); /* [EPOCHS-FUNCTION] */
    return true;
}

bool mbi_epochs_in_use(void)
{
    return atomic_load_explicit(&decision, memory_order_acquire) == IN_USE; /* [EPOCHS-LOOK] */
}

bool mbi_epochs_load(void)
{
    if (atomic_load_explicit(&decision, memory_order_acquire) == UNDECIDED) { /* [EPOCHS-LOOK] */
        void *library = dlopen(MEMORYBUCKET_LIBURCU, RTLD_NOW | RTLD_NODELETE);
        bool all = find(library, "urcu_bp_read_lock", &read_lock)
                   && find(library, "urcu_bp_read_unlock", &read_unlock)
                   && find(library, "urcu_bp_synchronize_rcu", &synchronize);
        int undecided = UNDECIDED;
        /* [EPOCHS-DECIDE]; when another thread was first, what it found holds. */
        (void)atomic_compare_exchange_strong_explicit(&decision, &undecided, all ? IN_USE : NONE,
                                                      memory_order_release, memory_order_relaxed);
    }
    return mbi_epochs_in_use();
}

void mbi_epochs_read_lock(void)
{
    function(&read_lock)();
}

void mbi_epochs_read_unlock(void)
{
    function(&read_unlock)();
}

void mbi_epochs_synchronize(void)
{
    function(&synchronize)();
}
