/*
 * The central free list: threads that pop, push and detach all the time, as long as they like.
 *
 * mirrors src/core/batch_stack.h: batch_stack_peek batch_stack_try_pop batch_stack_pop
 * mirrors src/core/batch_stack.h: batch_stack_push batch_stack_detach batch_list_pop batch_unpack
 *
 * Shown: no batch has two owners (owned_once), and the stack always leads to every batch that is in
 * the centre (none_lost), as long as fewer than 2^TAG_BITS pops fall into one popper's pause.
 *
 * Abstracted
 *   A batch is one slot: the code reads and writes only the first slot's word on the way, and the
 *   others go where it goes. stack_orders.pml has the rest of the chain.
 *   The tag has TAG_BITS bits instead of 32: the argument needs only that it counts modulo a number
 *   which is above the pops of one pause.
 *   All threads see one memory, each access at once: stack_orders.pml has weaker ones.
 *   Owners write one value, JUNK, which no batch has: any use of it is an error, whatever a real
 *   owner would have written there.
 *   Slot numbers: no address arithmetic; unit tests have that.
 *
 * Switches: THREADS, SLOTS, TAG_BITS, POPS_IN_PAUSE_MAX. POP_KEEPS_TAG and DETACH_KEEPS_TAG break
 * the code; ONLY_OWNERS looks at owners alone, to see the error go as far as two of them.
 *
 * variant tag               holds                      -DTAG_BITS=2 -DTHREADS=2 -DSLOTS=3
 * variant three_threads     holds                      -DTAG_BITS=1 -DTHREADS=3
 * variant no_tag            fails owned_once|none_lost -DTAG_BITS=0 -DPOPS_IN_PAUSE_MAX=3
 * variant no_tag_owners     fails owned_once           -DTAG_BITS=0 -DPOPS_IN_PAUSE_MAX=3 -DONLY_OWNERS
 * variant tag_comes_round   fails owned_once|none_lost -DTAG_BITS=2 -DPOPS_IN_PAUSE_MAX=4
 * variant comes_round_owners fails owned_once          -DTAG_BITS=2 -DPOPS_IN_PAUSE_MAX=4 -DONLY_OWNERS
 * variant pop_keeps_tag     fails owned_once|none_lost -DTAG_BITS=2 -DPOP_KEEPS_TAG
 * variant detach_keeps_tag  fails owned_once|none_lost -DTAG_BITS=2 -DDETACH_KEEPS_TAG
 * deep    three_bits        holds                      -DTAG_BITS=3 -DTHREADS=2 -DSLOTS=3
 * deep    three_by_two      holds                      -DTAG_BITS=2 -DTHREADS=3
 * deep    three_by_three    holds                      -DTAG_BITS=1 -DTHREADS=3 -DSLOTS=3
 */
#ifndef THREADS
#define THREADS 2
#endif
#ifndef SLOTS
#define SLOTS 2
#endif

#include "batch_stack.inc.pml"

#define LIST_OF(thread) (1 + THREADS + (thread))

/* batch_list_pop, and the owner's first write (batch_unpack). */
inline list_pop(me)
{
    d_step {
        slot = list;
        list = word[slot];
        owned_once = owner[slot] == LIST_OF(me);
        assert(owned_once);
        owner[slot] = HAND(me);
        word[slot] = JUNK;
        slot = 0
    }
}

proctype worker(byte me)
{
    STACK_LOCALS;
    byte list;

    do
    :: stack_pop(me);
       if
       :: slot != 0 -> d_step { word[slot] = JUNK; slot = 0 } /* batch_unpack */
       :: else
       fi
    :: list == 0 -> stack_detach(me, list, LIST_OF(me))
    :: list != 0 -> list_pop(me)
    :: atomic {
           if
           :: owner[1] == HAND(me) -> slot = 1
           :: owner[2] == HAND(me) -> slot = 2
           :: SLOTS > 2 && owner[SLOTS] == HAND(me) -> slot = SLOTS
           fi
       }
       stack_push(me)
    od
}

init {
    byte i;
    atomic {
        for (i : 0 .. THREADS_MAX - 1) {
            pause_pops[i] = NO_PAUSE
        }
        for (i : 1 .. SLOTS) {
            word[i] = i - 1
        }
        head_first = SLOTS;
        for (i : 0 .. THREADS - 1) {
            run worker(i)
        }
        i = 0
    }
}
