/*
 * The central free list under the C11 memory model: which order each access of the head needs.
 *
 * mirrors src/core/batch_stack.h: batch_stack_peek batch_stack_try_pop batch_stack_pop
 * mirrors src/core/batch_stack.h: batch_stack_push batch_stack_detach batch_list_pop batch_unpack
 * mirrors src/core/batch_stack.h: [HEAD-PUSH] [HEAD-LOAD] [HEAD-POP] [HEAD-GUESS] [PACKED]
 *
 * Shown: who pops a batch read the packed word that its pusher left (packed_seen), and its chain
 * without a race (race_free); also of batches that were further down, which others pushed. With any
 * one of the three orders weakened to relaxed this is not so. No x86 machine could show it, as it
 * orders these accesses by itself.
 *
 * The acquire in batch_stack_try_pop is the exception: what it sees was seen by [HEAD-LOAD] of the
 * same message, as no two messages have the same head within the tag's window. Variant
 * pop_relaxed_after_load holds. In batch_stack_detach, which starts from a relaxed guess, it
 * counts.
 *
 * Abstracted
 *   Two batches; a thread does up to OPERATIONS pushes, pops and detaches, in any order.
 *   A batch is its first slot's word, and one plain location for all the rest of its chain.
 *   The tag does not come round (stack.pml).
 *   A guess of the head is the last value when it is made: an older one makes the exchange fail.
 *   A popper's own writes to a slot cannot be read early by one whose exchange then succeeds: both
 *   exchanges would have read the same head. So views alone are enough here (views.inc.pml).
 *
 * Switches: WEAK_PUSH, WEAK_LOAD, WEAK_POP (both exchanges), WEAK_DETACH and WEAK_TRY_POP (one of
 * them), OPERATIONS, THREADS.
 *
 * variant orders                 holds
 * variant pop_relaxed_after_load holds                        -DWEAK_TRY_POP
 * variant weak_push              fails packed_seen|race_free  -DWEAK_PUSH
 * variant weak_load              fails packed_seen            -DWEAK_LOAD
 * variant weak_pop               fails race_free              -DWEAK_POP
 * variant weak_detach            fails race_free              -DWEAK_DETACH
 * deep    four_operations        holds                        -DOPERATIONS=4
 * deep    three_threads          holds                        -DTHREADS=3 -DOPERATIONS=2
 */
#ifndef OPERATIONS
#define OPERATIONS 3
#endif
#ifndef THREADS
#define THREADS 2
#endif
#define BATCHES 2

#ifdef WEAK_PUSH
#define PUSH_RELEASES 0
#else
#define PUSH_RELEASES 1
#endif
#ifdef WEAK_LOAD
#define LOAD_ACQUIRES 0
#else
#define LOAD_ACQUIRES 1
#endif
#if defined(WEAK_POP) || defined(WEAK_TRY_POP)
#define TRY_POP_ACQUIRES 0
#else
#define TRY_POP_ACQUIRES 1
#endif
#if defined(WEAK_POP) || defined(WEAK_DETACH)
#define DETACH_ACQUIRES 0
#else
#define DETACH_ACQUIRES 1
#endif

/* Locations: the head, the packed word and the rest of the chain of each batch. */
#define LOCATIONS (1 + 2 * BATCHES)
#define HEAD SYNC
#define WORD(batch) (batch)
#define CHAIN(batch) (BATCHES + (batch))
/* Each operation that succeeds appends to the head, and lets another push write its word again. */
#define MESSAGES (2 + 2 * OPERATIONS * THREADS)
#include "views.inc.pml"

/* A head: the first batch, and a tag that counts pops. */
#define FIRST(head) ((head) % 4)
#define NEXT_TAG(head) ((head) - FIRST(head) + 4)
#define TAG(head) ((head) - FIRST(head))
#define JUNK 3

bool packed_seen = true;
byte owner[BATCHES + 1]; /* the thread + 1; 0 is the centre */

/* What batch_unpack and the owner do: read the chain, and write to all of it. */
inline use_batch(me, batch)
{
    plain_read(me, CHAIN(batch));
    plain_write(me, CHAIN(batch));
    store(me, WORD(batch), JUNK);
    owner[batch] = 1 + me
}

inline pop(me)
{
    do
    :: load_sync(me, head, LOAD_ACQUIRES);
       if
       :: FIRST(head) == 0 -> break
       :: else
       fi;
       load(me, WORD(FIRST(head)), next);
       d_step {
           if
           :: VALUE(HEAD, latest[HEAD]) == head ->
               batch = FIRST(head);
               packed_seen = SEES_LAST(me, WORD(batch)) && next != JUNK;
               assert(packed_seen);
               update_sync(me, NEXT_TAG(head) + next, TRY_POP_ACQUIRES, 0)
           :: else
           fi;
           next = 0
       }
       if
       :: batch != 0 -> use_batch(me, batch); break
       :: else
       fi
    od;
    atomic { head = 0; batch = 0 }
}

inline push(me, pushed)
{
    d_step { owner[pushed] = 0; head = VALUE(HEAD, latest[HEAD]) }
    do
    :: store(me, WORD(pushed), FIRST(head));
       d_step {
           if
           :: VALUE(HEAD, latest[HEAD]) == head ->
               update_sync(me, TAG(head) + pushed, 0, PUSH_RELEASES);
               batch = 1
           :: else -> head = VALUE(HEAD, latest[HEAD])
           fi
       }
       if
       :: batch != 0 -> break
       :: else
       fi
    od;
    atomic { head = 0; batch = 0 }
}

inline detach(me)
{
    head = VALUE(HEAD, latest[HEAD]);
    do
    :: FIRST(head) == 0 -> break
    :: d_step {
           FIRST(head) != 0;
           if
           :: VALUE(HEAD, latest[HEAD]) == head ->
               update_sync(me, NEXT_TAG(head), DETACH_ACQUIRES, 0);
               batch = FIRST(head);
               head = 0
           :: else -> head = VALUE(HEAD, latest[HEAD])
           fi
       }
    od;
    do /* batch_list_pop */
    :: batch != 0 ->
       load(me, WORD(batch), next);
       d_step {
           packed_seen = SEES_LAST(me, WORD(batch)) && next != JUNK;
           assert(packed_seen)
       }
       use_batch(me, batch);
       atomic { batch = next; next = 0 }
    :: else -> break
    od;
    atomic { head = 0; batch = 0 }
}

proctype worker(byte me)
{
    byte left = OPERATIONS;
    byte head;
    byte next;
    byte batch;

    do
    :: left > 0 ->
       left--;
       if
       :: pop(me)
       :: detach(me)
       :: owner[1] == 1 + me -> push(me, 1)
       :: owner[2] == 1 + me -> push(me, 2)
       fi
    :: left == 0 -> break
    od
}

init {
    byte i;
    atomic {
        /* Each batch was written by its first owner. */
        for (i : 1 .. BATCHES) {
            owner[i] = i;
            append(i - 1, CHAIN(i), 0);
            append(i - 1, WORD(i), JUNK)
        }
        for (i : 0 .. THREADS - 1) {
            run worker(i)
        }
        i = 0
    }
}
