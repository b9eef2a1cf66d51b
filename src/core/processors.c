/* processors: handing out ranks. */
#include "core/processors.h"

_Atomic uint8_t mbi_processor_twists[PROCESSORS_MAX];

static _Atomic uint64_t ranked[PROCESSOR_SET_WORDS]; /* a bit for each that has a rank, or is at it */
static _Atomic unsigned ranks;                       /* handed out so far */

static void processor_give_rank(unsigned number)
{
    unsigned rank = atomic_fetch_add_explicit(&ranks, 1, memory_order_relaxed); /* [RANK] */
    atomic_store_explicit(&mbi_processor_twists[number], (uint8_t)(rank ^ number),
                          memory_order_relaxed); /* [RANK] */
}

unsigned mbi_processors_add(const struct processor_set *set)
{
    for (unsigned word = 0; word < PROCESSOR_SET_WORDS; word++) {
        uint64_t known = atomic_load_explicit(&ranked[word], memory_order_relaxed); /* [RANK] */
        if ((set->words[word] & ~known) == 0) {
            continue;
        }
        /* Of two threads that add the same processor, one finds it missing. */
        known = atomic_fetch_or_explicit(&ranked[word], set->words[word],
                                         memory_order_relaxed); /* [RANK] */
        for (uint64_t left = set->words[word] & ~known; left != 0; left &= left - 1) {
            processor_give_rank(word * 64 + (unsigned)__builtin_ctzll(left));
        }
    }
    return atomic_load_explicit(&ranks, memory_order_relaxed); /* [RANK] */
}
