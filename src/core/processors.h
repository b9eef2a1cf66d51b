/*
 * processors: which processors the process runs on, and each one's rank among them.
 *
 * Ladder: above os. Callers: startup adds what it sees, pool chooses its central stacks by rank.
 *
 *   allowed   0  .  2  .  4  .  6        processors, by the kernel's numbers
 *   rank      0     1     2     3        in the order in which they were seen
 *
 * By their numbers processors 0, 2, 4 and 6 would use only half of eight stacks. Processors are
 * only added: each thread has a set of its own, which may change at any time.
 *
 * Lock-free. relaxed [RANK]: any rank is right, as it only says where a thread begins to look.
 * Read-modify-writes give each processor another one.
 */
#ifndef MEMORYBUCKET_CORE_PROCESSORS_H
#define MEMORYBUCKET_CORE_PROCESSORS_H

#include "core/os.h"

/*
 * A look-up is number ^ twist: one load, and no test whether the processor has a rank. Its twist is
 * 0 at first, which gives its number, and then rank ^ number, which gives its rank.
 */
extern MBI_HIDDEN _Atomic uint8_t mbi_processor_twists[PROCESSORS_MAX];

/* The rank of a processor; its number while it has none. The low byte of it counts. */
MBI_HOT_INLINE unsigned processor_rank(unsigned number)
{
    return number ^ atomic_load_explicit(&mbi_processor_twists[number % PROCESSORS_MAX],
                                         memory_order_relaxed); /* [RANK] */
}

/* Gives the set's processors ranks if they have none. Returns how many processors have one. */
unsigned mbi_processors_add(const struct processor_set *set);

/* How many processors the machine has online; PROCESSORS_MAX when unknown. Reads a file. */
unsigned mbi_processors_online(void);

/* How many processors are in a list such as the kernel's "0-3,8"; 0 when it is no such list. */
unsigned mbi_processors_count(const char *list);

#endif
