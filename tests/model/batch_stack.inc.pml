/*
 * The tagged central stack as Promela steps: what stack.pml and trim.pml share.
 *
 * Owns the head, the slots' words and the ghosts that follow them; included once, after SLOTS,
 * THREADS and TAG_BITS. A batch is one slot here, by its number; 0 is none.
 *
 * Each access to shared memory is a step of its own; what is joined to one step (d_step, atomic) is
 * one atomic instruction of the code, or touches nothing that others read.
 */
#define TAGS (1 << TAG_BITS)
#ifdef ONLY_OWNERS
#define JUNK 0 /* could be right: the error is not noticed before a slot has two owners */
#else
#define JUNK (SLOTS + 1) /* what an owner writes into a slot: no batch's number */
#endif
#define NO_PAUSE 255
#define THREADS_MAX 4

/*
 * As many pops as may fall into one popper's pause. Runs that have more are not looked at: below
 * TAGS that is the assumption under which the tag is right, and TAGS shows that it is tight.
 */
#ifndef POPS_IN_PAUSE_MAX
#define POPS_IN_PAUSE_MAX (TAGS - 1)
#endif

byte head_first;
byte head_tag;
byte word[SLOTS + 1]; /* of a batch on a list: the next batch; of another: anything */

/* Ghosts: the code has nothing like them. */
#define CENTRE 0
#define HAND(thread) (1 + (thread))
byte owner[SLOTS + 1];         /* who has the slot */
byte pause_pops[THREADS_MAX];  /* pops since the thread looked at the head, or NO_PAUSE */
bool owned_once = true;        /* what is popped was in the centre */
bool none_lost = true;         /* the stack leads to all that is in the centre, and to no more */
hidden byte cursor; /* hidden: used inside d_steps only, where it is no state */
hidden byte found;
hidden byte expected;

#define PAUSE_HAS_ROOM(other, me) \
    ((other) == (me) || pause_pops[other] == NO_PAUSE || pause_pops[other] < POPS_IN_PAUSE_MAX)
#define WINDOW_OPEN(me) \
    (PAUSE_HAS_ROOM(0, me) && PAUSE_HAS_ROOM(1, me) \
     && PAUSE_HAS_ROOM(2, me) && PAUSE_HAS_ROOM(3, me))

#define PAUSE_COUNT(thread) \
    if \
    :: pause_pops[thread] != NO_PAUSE && pause_pops[thread] < POPS_IN_PAUSE_MAX -> \
        pause_pops[thread]++ \
    :: else \
    fi

/* A pop took place, which the caller made sure that WINDOW_OPEN allows. */
inline pauses_count_pop(me)
{
    pause_pops[me] = NO_PAUSE;
    PAUSE_COUNT(0);
    PAUSE_COUNT(1);
    PAUSE_COUNT(2);
    PAUSE_COUNT(3)
}

/* The stack and the ghosts agree. */
inline stack_check()
{
    cursor = head_first;
    found = 0;
    do
    :: cursor != 0 && cursor != JUNK && found <= SLOTS ->
        if
        :: owner[cursor] != CENTRE -> none_lost = false
        :: else
        fi;
        found++;
        cursor = word[cursor]
    :: else -> break
    od;
    none_lost = none_lost && cursor == 0;
    expected = 0;
    for (cursor : 1 .. SLOTS) {
        expected = expected + (owner[cursor] == CENTRE -> 1 : 0)
    }
    none_lost = none_lost && found == expected;
    cursor = 0;
    found = 0;
    expected = 0;
#ifdef ONLY_OWNERS
    none_lost = true;
#endif
    assert(none_lost)
}

#ifdef POP_KEEPS_TAG
#define TAG_AFTER_POP seen_tag
#else
#define TAG_AFTER_POP ((seen_tag + 1) % TAGS)
#endif
#ifdef DETACH_KEEPS_TAG
#define TAG_AFTER_DETACH seen_tag
#else
#define TAG_AFTER_DETACH ((seen_tag + 1) % TAGS)
#endif

/* Of each process that uses the stack. */
#define STACK_LOCALS \
    byte seen_first; \
    byte seen_tag; \
    byte seen_next; \
    byte slot; \
    bool done

inline forget_seen()
{
    seen_first = 0;
    seen_tag = 0;
    seen_next = 0;
    done = false
}

/* batch_stack_pop: peek and try_pop until one is got, in `slot`; 0 when the stack is empty. */
inline stack_pop(me)
{
    do
    :: d_step { /* batch_stack_peek: [HEAD-LOAD] */
           seen_first = head_first;
           seen_tag = head_tag;
           pause_pops[me] = (seen_first == 0 -> NO_PAUSE : 0)
       }
       if
       :: atomic { seen_first == 0 -> slot = 0; forget_seen(); break }
       :: else -> seen_next = word[seen_first] /* [PACKED] */
       fi;
       atomic { /* batch_stack_try_pop: [HEAD-POP] */
           if
           :: head_first == seen_first && head_tag == seen_tag && WINDOW_OPEN(me) ->
               d_step {
                   head_first = seen_next;
                   head_tag = TAG_AFTER_POP;
                   pauses_count_pop(me);
                   slot = seen_first;
                   owned_once = owner[slot] == CENTRE;
                   assert(owned_once);
                   owner[slot] = HAND(me);
                   stack_check();
                   forget_seen();
                   done = true
               }
           :: !(head_first == seen_first && head_tag == seen_tag) ->
               pause_pops[me] = NO_PAUSE;
               forget_seen()
           fi
       }
       if
       :: atomic { done -> done = false; break }
       :: !done
       fi
    od
}

/* batch_stack_push of `slot`. */
inline stack_push(me)
{
    d_step { seen_first = head_first; seen_tag = head_tag } /* [HEAD-GUESS] */
    do
    :: word[slot] = seen_first; /* [PACKED] */
       d_step {                 /* [HEAD-PUSH] */
           if
           :: head_first == seen_first && head_tag == seen_tag ->
               head_first = slot;
               owner[slot] = CENTRE;
               stack_check();
               slot = 0;
               done = true
           :: else ->
               seen_first = head_first;
               seen_tag = head_tag
           fi
       }
       if
       :: atomic { done -> forget_seen(); break }
       :: !done
       fi
    od
}

/* batch_stack_detach: `list` becomes the first of all batches, and `holder` owns them. */
inline stack_detach(me, list, holder)
{
    d_step { seen_first = head_first; seen_tag = head_tag } /* [HEAD-GUESS] */
    do
    :: atomic { seen_first == 0 -> list = 0; forget_seen(); break }
    :: atomic { /* [HEAD-POP] */
           seen_first != 0;
           if
           :: head_first == seen_first && head_tag == seen_tag && WINDOW_OPEN(me) ->
               d_step {
                   head_first = 0;
                   head_tag = TAG_AFTER_DETACH;
                   pauses_count_pop(me);
                   list = seen_first;
                   for (cursor : 1 .. SLOTS) {
                       owner[cursor] = (owner[cursor] == CENTRE -> holder : owner[cursor])
                   }
                   cursor = 0;
                   forget_seen()
               }
               break
           :: !(head_first == seen_first && head_tag == seen_tag) ->
               seen_first = head_first;
               seen_tag = head_tag
           fi
       }
    od
}
