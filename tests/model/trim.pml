/*
 * Trim against threads at work: batches grow old, become sorted, their page goes, is sealed, and
 * all come back.
 *
 * mirrors src/core/trim.c: mbi_trim_sort follow_chains mbi_trim_release release_pages
 * mirrors src/core/pool_sort.c: mbi_pool_age mbi_pool_take_surplus mbi_pool_sort
 * mirrors src/core/pool_sort.c: mbi_pool_begin_release mbi_pool_end_release
 * mirrors src/core/pool_sort.c: mbi_pool_take_old_batch_locked mbi_pool_take_sorted_locked
 * mirrors src/core/free_map.c: mbi_free_map_add mbi_free_map_take slot_reuse_pages page_reuse
 * mirrors src/core/free_map_bits.h: slot_released_pages page_set_released crossing_slot_add
 * mirrors src/core/uncharge.c: seal
 * mirrors src/core/free_map_release.c: mbi_free_map_begin_release mbi_free_map_end_release
 * mirrors src/core/free_map_release.c: mbi_free_map_note_released page_is_releasable
 * mirrors src/core/free_map_release.c: mbi_free_map_begin_seal mbi_free_map_end_seal mbi_free_map_unseal
 * mirrors src/core/pool.c: mbi_pool_obtain mbi_pool_pop_batch mbi_pool_push_batch
 * mirrors src/core/pool_sort.c: pool_take_sorted_of_locked
 * mirrors src/core/batch_stack.h: batch_stack_pop batch_stack_push batch_stack_detach
 * mirrors src/core/batch_stack.h: batch_list_pop
 *
 * Shown: no slot has two owners (owned_once), none is lost on the stack (none_lost) or on the lists
 * of old batches (lists_whole); no page goes while one of its slots is anybody's (page_is_free), so
 * what an owner wrote stays (live_intact); a page that is noted as gone has sorted slots only, but
 * while it is being sealed (released_is_sorted); nobody has a slot of a sealed page, which cannot
 * be written to (sealed_is_unowned); all of it never comes to a standstill. Also while a popper
 * that looked at a batch long ago still reads its word, which has become 0 with its page.
 *
 * Abstracted
 *   A batch is one slot, and the central free list is one stack: other stacks have other slots.
 *   A page is the slots 1 and 2; slot 3 lies on another one that never goes. With TWO_PAGES slot 2
 *   goes on in a second page, which it has for itself: a slot that overlaps several.
 *   All slots are carved. complete_last_page_locked and carving are not here; nor is the loose
 *   list: slots move on it under the pool's lock only, as they do between the lists here.
 *   One trimmer, as the trim lock makes sure; it does its steps in any order, for ever.
 *   A page becomes zeros slot by slot, at any time during the system call; reading it later gives
 *   zeros. The kernel may refuse; but not to unseal, which would leave all as it is.
 *   One thread's access at a time, in program order: the lists are under the lock, and for the
 *   stack see stack_orders.pml.
 *
 * Switches: THREADS, SLOTS, TAG_BITS, POPS_IN_PAUSE_MAX. These break it: DETACH_KEEPS_TAG;
 * AGE_BY_STORE (the stack is emptied by a store, not an exchange); AGE_OVERWRITES (also while there
 * is surplus);
 * TAKE_UNLOCKED (an old batch is taken without the lock); SORT_FIRST (slots are sorted, then the
 * chain is followed); RELEASE_KEEPS_SORTED (the page's slots can be taken during the system call);
 * RELEASE_LOOKS_AT_ONE (of the page's slots); RETAKE_FORGETS (that the page is in use again);
 * RETAKE_KEEPS_SEAL; SEAL_KEEPS_SORTED (the page's slots can be taken while it is being sealed);
 * RETAKE_ONE_PAGE (of those that a slot overlaps).
 *
 * variant trim                 holds
 * variant detach_keeps_tag     fails none_lost|owned_once      -DDETACH_KEEPS_TAG
 * variant detach_owners        fails owned_once                -DDETACH_KEEPS_TAG -DONLY_OWNERS
 * variant tag_comes_round      fails none_lost|owned_once      -DTAG_BITS=1 -DPOPS_IN_PAUSE_MAX=2
 * variant age_by_store         fails lists_whole|none_lost     -DAGE_BY_STORE
 * variant age_overwrites       fails lists_whole               -DAGE_OVERWRITES
 * variant take_unlocked        fails owned_once|lists_whole    -DTAKE_UNLOCKED
 * variant sort_first           fails follows_its_own           -DSORT_FIRST
 * variant release_keeps_sorted fails page_is_free              -DRELEASE_KEEPS_SORTED
 * variant release_looks_at_one fails page_is_free              -DRELEASE_LOOKS_AT_ONE
 * variant retake_forgets       fails released_is_sorted|page_is_free -DRETAKE_FORGETS
 * variant retake_keeps_seal    fails sealed_is_unowned         -DRETAKE_KEEPS_SEAL
 * variant seal_keeps_sorted    fails page_is_free|sealed_is_unowned -DSEAL_KEEPS_SORTED
 * variant two_pages            holds                           -DTWO_PAGES
 * variant retake_one_page      fails released_is_sorted|page_is_free|live_intact -DTWO_PAGES -DRETAKE_ONE_PAGE
 * deep    three_slots          holds                           -DSLOTS=3
 * deep    two_bits             holds                           -DTAG_BITS=2
 */
#ifndef THREADS
#define THREADS 2
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef TAG_BITS
#define TAG_BITS 1
#endif

#include "batch_stack.inc.pml"

/* Owners besides the centre and the threads' hands. */
#define TRIMMER THREADS
#define AGED (2 + THREADS)
#define SURPLUS (3 + THREADS)
#define SORTED (4 + THREADS)
#define RELEASING (5 + THREADS) /* sorted, but for the time of the system call */

#define PAGE_FIRST 1
#define PAGE_LAST 2

bool pool_lock;
byte aged;
byte surplus;
bool page_released;
bool page_sealed;
bool tail_released; /* the second page of PAGE_LAST, and what that has there */
byte tail;

/* Ghosts. */
bool lists_whole = true;
bool follows_its_own = true;
bool page_is_free = true;
bool live_intact = true;
bool released_is_sorted = true;
bool sealed_is_unowned = true;

#define LOCK atomic { !pool_lock -> pool_lock = true }
#define UNLOCK pool_lock = false

/* A list of old batches leads to all slots that belong to it. */
inline list_check(first, holder)
{
    cursor = first;
    found = 0;
    do
    :: cursor != 0 && cursor != JUNK && found <= SLOTS ->
        lists_whole = lists_whole && owner[cursor] == holder;
        found++;
        cursor = word[cursor]
    :: else -> break
    od;
    lists_whole = lists_whole && cursor == 0;
    expected = 0;
    for (cursor : 1 .. SLOTS) {
        expected = expected + (owner[cursor] == holder -> 1 : 0)
    }
    lists_whole = lists_whole && found == expected;
    cursor = 0;
    found = 0;
    expected = 0;
#ifdef ONLY_OWNERS
    lists_whole = true;
#endif
    assert(lists_whole)
}

/* batch_list_pop. */
inline list_pop(list, holder, new_holder)
{
    slot = list;
    list = word[slot];
    owned_once = owner[slot] == holder;
    assert(owned_once);
    owner[slot] = new_holder;
    list_check(list, holder)
}

/* mbi_pool_take_sorted_locked: the lowest; its page is in use again. */
inline take_sorted(me)
{
    slot = 1;
    do
    :: slot <= SLOTS && owner[slot] != SORTED -> slot++
    :: else -> break
    od;
    slot = (slot > SLOTS -> 0 : slot);
    if
    :: slot != 0 ->
        owner[slot] = HAND(me);
#ifndef RETAKE_KEEPS_SEAL
        page_sealed = page_sealed && slot > PAGE_LAST;
#endif
#ifndef RETAKE_ONE_PAGE
        tail_released = tail_released && slot != PAGE_LAST;
#endif
#ifndef RETAKE_FORGETS
        page_released = page_released && slot > PAGE_LAST
#endif
    :: else
    fi
}

/* mbi_pool_obtain, after the central stacks were found empty. */
inline obtain(me)
{
#ifdef TAKE_UNLOCKED
    if
    :: slot = aged;
       if
       :: slot != 0 ->
          aged = word[slot];
          d_step {
              owned_once = owner[slot] == AGED;
              assert(owned_once);
              owner[slot] = HAND(me)
          }
       :: else
       fi
    fi;
#endif
    if
    :: slot == 0 ->
       LOCK;
       d_step {
           if
           :: aged != 0 -> list_pop(aged, AGED, HAND(me))
           :: aged == 0 && surplus != 0 -> list_pop(surplus, SURPLUS, HAND(me))
           :: else -> take_sorted(me)
           fi
       }
       UNLOCK
    :: else
    fi
}

proctype worker(byte me)
{
    STACK_LOCALS;

    do
    :: stack_pop(me);
       if
       :: slot == 0 -> obtain(me)
       :: else
       fi;
       if
       :: slot != 0 ->
          atomic {
              sealed_is_unowned = !page_sealed || slot > PAGE_LAST;
              assert(sealed_is_unowned);
              word[slot] = JUNK;
#ifdef TWO_PAGES
              tail = (slot == PAGE_LAST -> JUNK : tail);
#endif
              slot = 0
          }
       :: else
       fi
    :: atomic {
           if
           :: owner[1] == HAND(me) -> slot = 1
           :: owner[2] == HAND(me) -> slot = 2
           :: SLOTS > 2 && owner[SLOTS] == HAND(me) -> slot = SLOTS
           fi;
           live_intact = word[slot] == JUNK;
#ifdef TWO_PAGES
           live_intact = live_intact && (slot != PAGE_LAST || tail == JUNK);
#endif
           assert(live_intact)
       }
       stack_push(me)
    od
}

/* mbi_pool_age. */
inline age()
{
    LOCK;
    if
#ifndef AGE_OVERWRITES
    :: surplus != 0
    :: surplus == 0 ->
#else
    :: true ->
#endif
       atomic {
           surplus = aged;
           aged = 0;
           for (slot : 1 .. SLOTS) {
               owner[slot] = (owner[slot] == AGED -> SURPLUS : owner[slot])
           }
           slot = 0
       }
#ifdef AGE_BY_STORE
       d_step { aged = head_first; seen_tag = head_tag }
       d_step {
           head_first = 0;
           head_tag = TAG_AFTER_DETACH;
           for (cursor : 1 .. SLOTS) {
               owner[cursor] = (owner[cursor] == CENTRE -> AGED : owner[cursor])
           }
           forget_seen()
       }
#else
       stack_detach(TRIMMER, aged, AGED);
#endif
       skip; /* spin allows no break into a d_step */
       d_step { list_check(aged, AGED); list_check(surplus, SURPLUS) }
    fi;
    UNLOCK
}

/* mbi_trim_sort, of one batch. */
inline sort()
{
    LOCK;
    d_step {
        if
        :: surplus != 0 -> list_pop(surplus, SURPLUS, HAND(TRIMMER))
        :: else
        fi
#ifdef SORT_FIRST
        ;
        owner[slot] = (slot != 0 -> SORTED : owner[slot])
#endif
    }
    UNLOCK;
    if
    :: slot != 0 ->
       d_step { /* follow_chains reads the slot's word */
           follows_its_own = owner[slot] == HAND(TRIMMER) || owner[slot] == SORTED;
           assert(follows_its_own)
       }
#ifndef SORT_FIRST
       LOCK;
       d_step { owner[slot] = SORTED; slot = 0 }
       UNLOCK
#else
       slot = 0
#endif
    :: else
    fi
}

inline zero(zeroed)
{
    d_step {
#if defined(RELEASE_KEEPS_SORTED) || defined(SEAL_KEEPS_SORTED)
        page_is_free = owner[zeroed] == SORTED || owner[zeroed] == RELEASING;
#else
        page_is_free = owner[zeroed] == RELEASING;
#endif
        assert(page_is_free);
        word[zeroed] = 0
    }
}

#ifdef RELEASE_LOOKS_AT_ONE
#define PAGE_CAN_GO (owner[PAGE_FIRST] == SORTED && !page_released)
#else
#define PAGE_CAN_GO (owner[PAGE_FIRST] == SORTED && owner[PAGE_LAST] == SORTED && !page_released)
#endif

inline page_assign(from, to)
{
    for (cursor : PAGE_FIRST .. PAGE_LAST) {
        owner[cursor] = (owner[cursor] == from -> to : owner[cursor])
    }
    cursor = 0
}

/* mbi_trim_release, of the one page there is. */
inline release()
{
    LOCK;
    d_step { /* mbi_free_map_begin_release */
        if
        :: PAGE_CAN_GO ->
            done = true;
#ifndef RELEASE_KEEPS_SORTED
            page_assign(SORTED, RELEASING)
#endif
        :: else
        fi
    }
    UNLOCK;
    if
    :: done ->
       if /* release_pages */
       :: zero(PAGE_FIRST);
          zero(PAGE_LAST)
       :: done = false /* refused */
       fi;
       LOCK;
       d_step { /* mbi_free_map_end_release, mbi_free_map_note_released */
           page_assign(RELEASING, SORTED);
           page_released = done;
           done = false
       }
       UNLOCK
    :: else
    fi
}

/* The same of the page that PAGE_LAST alone overlaps. */
inline release_tail()
{
    LOCK;
    d_step {
        done = owner[PAGE_LAST] == SORTED && !tail_released;
        owner[PAGE_LAST] = (done -> RELEASING : owner[PAGE_LAST])
    }
    UNLOCK;
    if
    :: done ->
       if
       :: d_step {
              page_is_free = owner[PAGE_LAST] == RELEASING;
              assert(page_is_free);
              tail = 0
          }
       :: done = false /* refused */
       fi;
       LOCK;
       d_step {
           owner[PAGE_LAST] = SORTED;
           tail_released = done;
           done = false
       }
       UNLOCK
    :: else
    fi
}

/* mbi_uncharge: another mapping, whose pages are zeros, takes the page's place. */
inline seal()
{
    LOCK;
    d_step { /* mbi_free_map_begin_seal */
        if
        :: page_released && !page_sealed ->
            done = true;
#ifndef SEAL_KEEPS_SORTED
            page_assign(SORTED, RELEASING)
#endif
        :: else
        fi
    }
    UNLOCK;
    if
    :: done ->
       if
       :: zero(PAGE_FIRST);
          zero(PAGE_LAST);
          page_sealed = true
       :: skip /* refused */
       fi;
       LOCK;
       d_step { /* mbi_free_map_end_seal */
           page_assign(RELEASING, SORTED);
           done = false
       }
       UNLOCK
    :: else
    fi
}

#define NOBODYS(number) (owner[number] == SORTED || owner[number] == RELEASING)

proctype trimmer()
{
    STACK_LOCALS;

    do
    :: age()
    :: sort()
    :: release()
#ifdef TWO_PAGES
    :: release_tail()
    :: d_step {
           tail_released && !pool_lock ->
           released_is_sorted = NOBODYS(PAGE_LAST);
           assert(released_is_sorted)
       }
#endif
    :: seal()
#ifndef RELEASE_KEEPS_SORTED /* which shall be seen to go further than this */
    :: d_step {
           page_released && !pool_lock ->
           released_is_sorted = NOBODYS(PAGE_FIRST) && NOBODYS(PAGE_LAST);
           assert(released_is_sorted)
       }
#endif
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
        run trimmer();
        i = 0
    }
}
