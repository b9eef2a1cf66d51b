/*
 * lock: the library's mutexes, all in one table, and what fork does to them.
 *
 * Ladder: above os and size_class. Callers: all that stands above config.
 *
 * No lock is held while the system allocator, liburcu or a callback of the program is called.
 *
 * Fork. The C library's fork takes locks of its own after every fork handler has run (stdio's list,
 * the name services'), and their owners may be inside malloc. So a thread that forks holds no lock
 * meanwhile, and no thread waits for it: it closes a gate, waits until every lock has been given
 * back once, and goes on. A thread that comes to a lock while the gate is closed is refused, and
 * does without:
 *
 *   any thread  [LOCK-TAKE] takes the word    then [GATE-LOOK]  closed? gives it back, is refused
 *   the forker  [GATE-CLOSE] closes the gate  then [LOCK-LOOK]  taken? waits until it is given back
 *
 * All four are sequentially consistent, so one of the two sees the other (Dekker): the fork waits
 * for each thread that got past its look. Only a thread without a lock is refused. One that has a
 * lock gets further ones, gives the first of them back last, and the fork waits for that. The fork
 * looks at the outermost locks first, so none is held when it has looked at all. A refused thread
 * may hold a word for an instant, and changes nothing under it. Model: tests/model/fork_gate.pml.
 *
 * A thread that has a lock is not cancelled asynchronously, and calls no cancellation point.
 *
 * Signals. A handler that interrupts a lock's holder is refused that lock and those before it in
 * the table: the threads that have these may wait for the holder. If it forks, the fork waits for
 * every lock but those that the interrupted thread has or was about to take. Another thread may
 * have one of the latter: the child must then not return from the handler.
 */
#ifndef MEMORYBUCKET_CORE_LOCK_H
#define MEMORYBUCKET_CORE_LOCK_H

#include "core/os.h"
#include "core/size_class.h"

#include <signal.h>

/*
 * All locks in their order, outermost first; fork looks at them in this order, too.
 * X(NAME, how many, what happens to a thread that wants one while another thread forks)
 *   REFUSED  the thread does without; a patient one waits (mbi_lock_set_patient)
 *   WAITS    the thread waits until the fork has ended: it cannot do without
 */
#define LOCKS(X)                        \
    X(INIT, 1, REFUSED)                 \
    X(TRIM, 1, REFUSED)                 \
    X(REGISTRY, 1, REFUSED)             \
    X(POOLS, SIZE_CLASS_COUNT, REFUSED) \
    X(HANDLER, 1, REFUSED)              \
    X(CHECK, 1, WAITS)

#define LOCK_NAMES(NAME, count, at_fork) \
    LOCK_##NAME, LOCK_##NAME##_LAST = LOCK_##NAME + (count) - 1,
enum lock_name { LOCKS(LOCK_NAMES) LOCK_COUNT };

/* 0: free; 1: taken; 2: taken, and a thread may sleep until it is given back. */
struct lock {
    _Alignas(LINE_BYTES) _Atomic uint32_t word;
};

extern MBI_HIDDEN struct lock mbi_locks[LOCK_COUNT];

/*
 * Takes a lock; waits while another thread has it. False, and nothing is taken, if another thread
 * forks, the table says REFUSED and the calling thread has no lock yet; or in a signal handler that
 * interrupted the holder of the lock, or of a later one. Preserves errno.
 */
bool mbi_lock_acquire(unsigned name);

/*
 * Set where acquire or try_acquire refuses the calling thread a lock, and not where another thread
 * has it. For callers that clear it first.
 */
extern MBI_HIDDEN _Thread_local bool mbi_lock_refused __attribute__((tls_model("initial-exec")));

/* Does not wait: false also when another thread has the lock. */
bool mbi_lock_try_acquire(unsigned name);

void mbi_lock_release(unsigned name);

/*
 * Between true and false the calling thread waits for forks to end instead of being refused; pairs
 * may nest. For calls that cannot do without the lock, and that no forking thread waits for:
 * startup by mb_init and its kin, the options, the setting of the out-of-memory handler.
 */
void mbi_lock_set_patient(bool patient);

/* Whether another thread forks right now: a hint that spares vain attempts. */
bool mbi_lock_is_closed(void);

/* Whether the calling thread has a lock, which a signal handler in this thread is refused. */
bool mbi_lock_has_any(void);

/*
 * Whether the calling thread would be refused no lock now. A thread that was refused one and left
 * an item behind (left_behind.h) asks this afterwards, and if so takes the item itself: the thread
 * that opened the gate may have looked before.
 */
bool mbi_lock_is_available(void);

/*
 * Around a fork, in the thread that forks. Close returns when no other thread holds a lock. Until
 * the gate is open again only this thread gets locks, and does not change their words. The child
 * frees the words that refused threads had taken for an instant. Pairs may nest, as a signal
 * handler may fork in the middle of a fork: the last open counts. In between the thread is not
 * cancelled asynchronously: close gets what mbi_lock_defer_cancel returned, and open returns it.
 */
void mbi_lock_close_gate(int cancel_type);
void mbi_lock_free_in_child(void);
int mbi_lock_open_gate(void);

/*
 * Between the two the calling thread is not cancelled asynchronously, so it loses nothing that it
 * has in hand. Defer returns what restore takes.
 */
int mbi_lock_defer_cancel(void);
void mbi_lock_restore_cancel(int type);

/*
 * Between the two the calling thread is not cancelled at all: for calls that may be cancellation
 * points.
 */
struct cancelling {
    int state;
    int type;
};
struct cancelling mbi_lock_forbid_cancel(void);
void mbi_lock_allow_cancel(struct cancelling before);

/* Around work that a signal handler, which may fork, must find done or not begun. */
sigset_t mbi_lock_block_signals(void);
void mbi_lock_restore_signals(const sigset_t *before);

#endif
