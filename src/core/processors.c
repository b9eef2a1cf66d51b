/* processors: handing out ranks, and counting. */
#include "core/processors.h"

/* A longer list, or a higher number, is not read: such a machine has more than enough. */
enum { LIST_BYTES = 256, PROCESSOR_NUMBERS_MAX = 1 << 20 };

_Atomic uint8_t mbi_processor_twists[PROCESSORS_MAX];

static _Atomic uint64_t ranked[PROCESSOR_SET_WORDS]; /* a bit for each that has or gets a rank */
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

static bool read_processor(const char **list, uint64_t *number)
{
    return mbi_read_number(list, number) && *number <= PROCESSOR_NUMBERS_MAX;
}

unsigned mbi_processors_count(const char *list)
{
    uint64_t count = 0;
    do {
        uint64_t first;
        bool good = read_processor(&list, &first);
        uint64_t last = first;
        if (*list == '-') {
            list++;
            good = good && read_processor(&list, &last) && last >= first;
        }
        if (!good) {
            return 0;
        }
        count += last - first + 1;
    } while (*list++ == ',');
    return list[-1] == '\0' || list[-1] == '\n' ? (unsigned)count : 0;
}

unsigned mbi_processors_online(void)
{
    char list[LIST_BYTES];
    unsigned count = 0;
    if (mbi_os_read_file("/sys/devices/system/cpu/online", list, sizeof list)) {
        count = mbi_processors_count(list);
    }
    return count != 0 ? count : PROCESSORS_MAX;
}
