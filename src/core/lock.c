/* lock: words to sleep on, the gate, and what each thread holds. */
#include "core/lock.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>

struct lock mbi_locks[LOCK_COUNT];
_Thread_local bool mbi_lock_refused __attribute__((tls_model("initial-exec")));

enum { WORD_FREE, WORD_TAKEN, WORD_AWAITED };

/*
 * The gate. A thread that forks writes it before and after; every slow path reads it. `closed` is
 * 0, 1, or 2 when a thread may sleep until it is open. `closer` is the thread that closed it:
 * relaxed [CLOSER], as a thread acts only upon its own value, which it wrote itself.
 */
static struct {
    _Alignas(ISOLATION_BYTES) _Atomic uint32_t closed;
    _Atomic uintptr_t closer;
    int cancel_type; /* the closer's, while it is closed */
    unsigned depth;  /* the closer's: forks in handlers that interrupted a fork nest */
} gate;

/*
 * The locks that this thread has or is about to take. Written in an order that leaves them right
 * for a signal handler at any instruction: hence volatile. 8 bytes of static TLS.
 */
enum { HELD_MAX = 5 };
struct held_locks {
    volatile uint8_t names[HELD_MAX]; /* plus 1; 0: none */
    volatile uint8_t count;
    volatile uint8_t patient; /* calls of mbi_lock_set_patient under way */
    volatile uint8_t cancel_type;
};
static _Thread_local struct held_locks held __attribute__((tls_model("initial-exec")));
_Static_assert(LOCK_COUNT < UINT8_MAX, "a lock's name fits a byte");
_Static_assert(sizeof(struct held_locks) == 8, "what each thread holds is one word");

static uintptr_t self(void)
{
    return (uintptr_t)&held;
}

static bool is_held(unsigned name)
{
    for (unsigned i = 0; i < held.count; i++) {
        if (held.names[i] == name + 1) {
            return true;
        }
    }
    return false;
}

/* Whether this thread has one that comes later in the table: then it is in a signal handler. */
static bool has_later(unsigned name)
{
    for (unsigned i = 0; i < held.count; i++) {
        if (held.names[i] > name + 1) {
            return true;
        }
    }
    return false;
}

/*
 * Sets the type, not the state: a cancellation signal that was sent before ends a thread that has
 * disabled cancellation (glibc 2.36, sigcancel_handler), but not one whose type is deferred.
 */
int mbi_lock_defer_cancel(void)
{
    int type;
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
    return type;
}

void mbi_lock_restore_cancel(int type)
{
    if (MBI_UNLIKELY(type != PTHREAD_CANCEL_DEFERRED)) {
        pthread_setcanceltype(type, NULL);
    }
}

/*
 * An asynchronous thread may have been sent the signal already. glibc 2.36 then ends it in its next
 * cancellation point, also where cancellation is disabled. So it passes one here, with nothing in
 * hand: poll ends the thread, or returns when the signal has arrived.
 */
struct cancelling mbi_lock_forbid_cancel(void)
{
    struct cancelling before = { .type = mbi_lock_defer_cancel() };
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before.state);
    if (MBI_UNLIKELY(before.type != PTHREAD_CANCEL_DEFERRED)) {
        int saved_errno = errno;
        poll(NULL, 0, 0);
        errno = saved_errno;
    }
    return before;
}

void mbi_lock_allow_cancel(struct cancelling before)
{
    pthread_setcancelstate(before.state, NULL);
    mbi_lock_restore_cancel(before.type);
}

/*
 * Before the word is taken: a handler that forks must not wait for its own thread's word. The count
 * comes first, so that a handler's own locks go behind the name that is written next.
 */
static void held_push(unsigned name)
{
    unsigned count = held.count;
    int cancel_type = count == 0 ? mbi_lock_defer_cancel() : 0;
    held.count = (uint8_t)(count + 1);
    held.names[count] = (uint8_t)(name + 1);
    if (count == 0) {
        held.cancel_type = (uint8_t)cancel_type;
    }
}

static void held_pop(void)
{
    assert(held.count != 0);
    unsigned count = held.count - 1U;
    int cancel_type = held.cancel_type;
    held.names[count] = 0;
    held.count = (uint8_t)count;
    if (count == 0) {
        mbi_lock_restore_cancel(cancel_type);
    }
}

static bool word_try_take(struct lock *lock)
{
    uint32_t expected = WORD_FREE;
    /* seq_cst [LOCK-TAKE]: pairs with [LOCK-GIVE], and with [LOCK-LOOK] as lock.h says; on failure
     * nothing is taken. */
    return atomic_compare_exchange_strong_explicit(&lock->word, &expected, WORD_TAKEN,
                                                   memory_order_seq_cst, memory_order_relaxed);
}

/* The third mutex of Drepper's "Futexes are tricky" (2004): a thread that has slept leaves a 2. */
static void word_take(struct lock *lock)
{
    if (MBI_LIKELY(word_try_take(lock))) {
        return;
    }
    /* seq_cst [LOCK-TAKE]: as above. */
    while (atomic_exchange_explicit(&lock->word, WORD_AWAITED, memory_order_seq_cst)
           != WORD_FREE) {
        mbi_os_wait(&lock->word, WORD_AWAITED);
    }
}

static void word_give(struct lock *lock)
{
    /* release [LOCK-GIVE]: pairs with [LOCK-TAKE] and [LOCK-LOOK]. */
    if (atomic_exchange_explicit(&lock->word, WORD_FREE, memory_order_release) == WORD_AWAITED) {
        mbi_os_wake(&lock->word, 1);
    }
}

/* Whether this thread forks: it gets each lock then, even if a refused thread has the word. */
static bool is_closer(void)
{
    return MBI_UNLIKELY(atomic_load_explicit(&gate.closer, memory_order_relaxed) /* [CLOSER] */
                        == self());
}

bool mbi_lock_is_closed(void)
{
    /* seq_cst [GATE-LOOK]: pairs with [GATE-CLOSE] as lock.h says, and with [GATE-OPEN]. */
    return MBI_UNLIKELY(atomic_load_explicit(&gate.closed, memory_order_seq_cst) != 0)
           && !is_closer();
}

bool mbi_lock_has_any(void)
{
    return held.count != 0;
}

bool mbi_lock_is_available(void)
{
    return !mbi_lock_is_closed() && !mbi_lock_has_any();
}

/* Sleeps while another thread forks. */
static void gate_wait(void)
{
    uint32_t closed = 1;
    /* seq_cst [GATE-CLOSE]: it stays closed; 2 tells the thread that opens it to wake this one. */
    while (atomic_compare_exchange_strong_explicit(&gate.closed, &closed, 2, memory_order_seq_cst,
                                                   memory_order_seq_cst)
           || closed == 2) {
        mbi_os_wait(&gate.closed, 2);
        closed = 1;
    }
}

/* Whether the calling thread waits at this lock until another thread's fork has ended. */
static bool is_waiting_for_forks(unsigned name)
{
    enum { REFUSED, WAITS };
#define LOCK_KIND(NAME, count, at_fork) { LOCK_##NAME##_LAST, at_fork },
    static const struct {
        uint8_t last;
        uint8_t at_fork;
    } kinds[] = { LOCKS(LOCK_KIND) };
    size_t kind = 0;
    while (kinds[kind].last < name) {
        kind++;
    }
    return held.patient != 0 || kinds[kind].at_fork == WAITS;
}

/* A thread that forks waits for no lock, and so may take them in any order. */
static bool is_refused_to_holder(unsigned name)
{
    return is_held(name) || (has_later(name) && !is_closer()) || held.count == HELD_MAX;
}

static bool lock_take(unsigned name, bool waits)
{
    struct lock *lock = &mbi_locks[name];
    if (MBI_UNLIKELY(held.count != 0) && is_refused_to_holder(name)) {
        mbi_lock_refused = true;
        return false;
    }
    bool first = held.count == 0;
    held_push(name);
    if (is_closer()) {
        return true;
    }
    for (;;) {
        if (waits) {
            word_take(lock);
        } else if (!word_try_take(lock)) {
            break;
        }
        if (!first || MBI_LIKELY(!mbi_lock_is_closed())) {
            return true;
        }
        word_give(lock);
        if (!waits || !is_waiting_for_forks(name)) {
            mbi_lock_refused = true;
            break;
        }
        gate_wait();
    }
    held_pop();
    return false;
}

bool mbi_lock_acquire(unsigned name)
{
    return lock_take(name, true);
}

bool mbi_lock_try_acquire(unsigned name)
{
    return lock_take(name, false);
}

void mbi_lock_release(unsigned name)
{
    assert(is_held(name));
    if (!is_closer()) {
        word_give(&mbi_locks[name]);
    }
    held_pop();
}

void mbi_lock_set_patient(bool patient)
{
    held.patient = (uint8_t)(patient ? held.patient + 1 : held.patient - 1);
}

sigset_t mbi_lock_block_signals(void)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    return before;
}

void mbi_lock_restore_signals(const sigset_t *before)
{
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

static bool gate_try_close(int cancel_type)
{
    uint32_t open = 0;
    if (is_closer()) { /* a signal interrupted this thread's fork, and its handler forks */
        gate.depth++;
        return true;
    }
    /* seq_cst [GATE-CLOSE]: pairs with [GATE-LOOK] as lock.h says; on failure it is waited. */
    if (!atomic_compare_exchange_strong_explicit(&gate.closed, &open, 1, memory_order_seq_cst,
                                                 memory_order_relaxed)) {
        return false;
    }
    atomic_store_explicit(&gate.closer, self(), memory_order_relaxed); /* [CLOSER] */
    gate.depth = 1;
    gate.cancel_type = cancel_type;
    return true;
}

static void gate_close(int cancel_type)
{
    bool closed = false;
    while (!closed) {
        sigset_t before = mbi_lock_block_signals();
        closed = gate_try_close(cancel_type);
        mbi_lock_restore_signals(&before);
        if (!closed) {
            gate_wait();
        }
    }
}

void mbi_lock_close_gate(int cancel_type)
{
    gate_close(cancel_type);
    for (unsigned name = 0; name < LOCK_COUNT; name++) {
        struct lock *lock = &mbi_locks[name];
        /* seq_cst [LOCK-LOOK]: pairs with [LOCK-TAKE] as lock.h says, and acquires what [LOCK-GIVE]
         * releases. Only read, so that the child need not copy the table. */
        if (atomic_load_explicit(&lock->word, memory_order_seq_cst) != WORD_FREE
            && !is_held(name)) {
            word_take(lock);
            word_give(lock);
        }
    }
}

int mbi_lock_open_gate(void)
{
    sigset_t before = mbi_lock_block_signals();
    int cancel_type = gate.cancel_type;
    bool opens = --gate.depth == 0;
    if (opens) {
        atomic_store_explicit(&gate.closer, 0, memory_order_relaxed); /* [CLOSER] */
        /* seq_cst [GATE-OPEN]: pairs with [GATE-LOOK]; the looks for deferred items come after. */
        if (atomic_exchange_explicit(&gate.closed, 0, memory_order_seq_cst) == 2) {
            mbi_os_wake(&gate.closed, INT32_MAX);
        }
    }
    mbi_lock_restore_signals(&before);
    return opens ? cancel_type : PTHREAD_CANCEL_DEFERRED;
}

void mbi_lock_free_in_child(void)
{
    for (unsigned name = 0; name < LOCK_COUNT; name++) {
        _Atomic uint32_t *word = &mbi_locks[name].word;
        /* relaxed [LOCK-ALONE]: there is one thread; a refused one may have left a word taken. */
        if (atomic_load_explicit(word, memory_order_relaxed) != WORD_FREE && !is_held(name)) {
            atomic_store_explicit(word, WORD_FREE, memory_order_relaxed); /* [LOCK-ALONE] */
        }
    }
}
