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
 * All four are sequentially consistent, so one of the two sees the other (Dekker): a thread that
 * got past its look had the word before the fork looked there, and is waited for. Only a thread
 * without a lock is refused: one that has a lock gets further ones, gives the first of them back
 * last, and is waited for. As the fork looks at the outermost locks first, none is held when it has
 * looked at all. A refused thread may still hold a word for an instant, and changes nothing under
 * it. tests/model/fork_gate.pml is a model of this.
 *
 * While a thread has a lock it is not cancelled asynchronously, and makes no call that is a
 * cancellation point.
 *
 * Signals. A handler that interrupts the holder of a lock and comes to the same lock is refused,
 * too; and a fork from there waits for every lock but those that the interrupted thread has or was
 * about to take. With other threads about, one of these may be theirs: the child must then not
 * return from the handler.
 */
#ifndef MEMORYBUCKET_CORE_LOCK_H
#define MEMORYBUCKET_CORE_LOCK_H

#include "core/os.h"
#include "core/size_class.h"

#include <signal.h>

/*
 * The table, in lock order, outermost first, in which fork looks at them, too. X(NAME, how many,
 * what happens to a thread that comes there while another one forks)
 *   REFUSED  it is refused, and does without; a patient thread waits (mbi_lock_set_patient)
 *   WAITS    it waits until the fork has ended, as nothing can do without
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

/* All free from the start: there is nothing to initialise. */
extern MBI_HIDDEN struct lock mbi_locks[LOCK_COUNT];

/*
 * Takes a lock; waits while another thread has it. False, and nothing is taken, where another
 * thread forks and the table says so, unless the calling thread has a lock already; and where it
 * has this very lock, as a signal handler interrupted it. Preserves errno.
 */
bool mbi_lock_acquire(unsigned name);

/* The same without waiting: false also when another thread has it. */
bool mbi_lock_try_acquire(unsigned name);

void mbi_lock_release(unsigned name);

/*
 * Between true and false the calling thread waits for forks to end instead of being refused; pairs
 * may nest. For calls that cannot do without the lock, and that no forking thread waits for:
 * startup by mb_init and its kin, the options, the setting of the out-of-memory handler.
 */
void mbi_lock_set_patient(bool patient);

/* Whether another thread forks right now: a hint, to spare vain attempts. */
bool mbi_lock_is_closed(void);

/* Whether the calling thread has a lock: a signal handler that interrupted it is refused it. */
bool mbi_lock_has_any(void);

/*
 * Whether the calling thread would be refused no lock now. A thread that was refused one, and left
 * something to the thread that opens the gate, asks for this afterwards, and if so sees to that
 * itself: the thread that opened the gate may have looked before.
 */
bool mbi_lock_is_available(void);

/*
 * Around a fork, in the thread that forks. Close returns when no other thread holds a lock; until
 * the gate is open again only this thread gets any, and leaves their words alone. The child frees
 * words that other threads, which were being refused, had taken for an instant. Pairs may nest, as
 * a signal handler may fork in the middle of a fork: the last open counts. In between the thread is
 * not cancelled asynchronously: close gets what mbi_lock_defer_cancel returned, and open returns
 * what is to be restored.
 */
void mbi_lock_close_gate(int cancel_type);
void mbi_lock_free_in_child(void);
int mbi_lock_open_gate(void);

/*
 * Between the two the calling thread is not cancelled asynchronously, and what it has in hand is
 * not lost: defer returns what restore takes.
 */
int mbi_lock_defer_cancel(void);
void mbi_lock_restore_cancel(int type);

/*
 * Between the two the calling thread is not cancelled, whatever it calls: for calls of others that
 * may be cancellation points.
 */
struct cancelling {
    int state;
    int type;
};
struct cancelling mbi_lock_forbid_cancel(void);
void mbi_lock_allow_cancel(struct cancelling before);

/* For what a signal handler, which may fork, must find done or not begun. Two system calls. */
sigset_t mbi_lock_block_signals(void);
void mbi_lock_restore_signals(const sigset_t *before);

#endif
