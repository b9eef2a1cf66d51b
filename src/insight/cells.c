/* cells: objects by kind, a free list for each, and what is known of them. */
#include "insight/cells.h"

#include "core/region.h"

enum { CELL_LOG2_MIN = 4, CELL_LOG2_MAX = 15, KINDS = CELL_LOG2_MAX - CELL_LOG2_MIN + 1 };
/* So many cells of each kind at most, or fewer where address space is short. */
enum { CELLS_LOG2_MAX = 17, CELLS_LOG2_MIN = CELL_LOG2_MAX - CELL_LOG2_MIN };
/* Cells are made usable by so many bytes, which are a cell at least. */
enum { COMMIT_BYTES = 64 << 10 };

/* A head: how often it was changed, and the number of the first free cell, and one. */
enum { HEAD_BITS = 24 };
_Static_assert((int)CELLS_LOG2_MAX < (int)HEAD_BITS, "a cell's number fits");

struct kind {
    _Alignas(LINE_BYTES) _Atomic uint64_t head;
    _Atomic uint64_t used; /* cells that were taken, or asked for when there was no more */
    _Atomic uint64_t committed;
};

static struct kind kinds[KINDS];
struct cells_range mbi_cells_range;

/* Written by init. */
static unsigned cells_log2;
static struct cell *cells; /* of a kind, one behind the other */

static size_t area_bytes(unsigned log2)
{
    return ((size_t)2 << (CELL_LOG2_MAX + log2)) - ((size_t)1 << (CELL_LOG2_MIN + log2));
}

static size_t cell_bytes(unsigned kind)
{
    return (size_t)1 << (CELL_LOG2_MIN + kind);
}

/*
 * Each kind before it has half as much as the next. As there are no fewer cells of a kind than
 * smallest cells in a largest one, all are aligned to their size.
 */
static uintptr_t kind_start(unsigned kind)
{
    return mbi_cells_range.start + ((cell_bytes(kind) - cell_bytes(0)) << cells_log2);
}

/* In this copy's place; elsewhere where it has none, or where something lies there already. */
static char *reserve(size_t bytes)
{
    char *spare = mbi_region_spare();
    return spare != NULL && bytes <= REGION_SPARE_BYTES && mbi_os_reserve_at(spare, bytes)
               ? spare
               : mbi_os_reserve(bytes);
}

bool mbi_cells_init(void)
{
    const size_t largest = cell_bytes(KINDS - 1);
    for (cells_log2 = CELLS_LOG2_MAX; cells_log2 >= CELLS_LOG2_MIN; cells_log2--) {
        size_t bytes = area_bytes(cells_log2) + largest; /* to be aligned */
        char *start = reserve(bytes);
        if (start != NULL) {
            cells = mbi_os_reserve((sizeof *cells * KINDS) << cells_log2);
            mbi_cells_range.start = round_up((uintptr_t)start, largest);
            mbi_cells_range.bytes = cells != NULL ? area_bytes(cells_log2) : 0;
            return cells != NULL;
        }
    }
    return false;
}

static unsigned kind_of_size(size_t bytes)
{
    size_t least = size_max(bytes, (size_t)1 << CELL_LOG2_MIN);
    return 64 - (unsigned)__builtin_clzll(least - 1) - CELL_LOG2_MIN;
}

/* Kinds double, so the highest bit of the offset, counted from the smallest kind's range, tells. */
static unsigned kind_of(const void *pointer)
{
    uintptr_t offset = (uintptr_t)pointer - mbi_cells_range.start;
    uintptr_t doublings = (offset >> (CELL_LOG2_MIN + cells_log2)) + 1;
    return 63 - (unsigned)__builtin_clzll(doublings);
}

static size_t number_of(const void *pointer, unsigned kind)
{
    return ((uintptr_t)pointer - kind_start(kind)) >> (CELL_LOG2_MIN + kind);
}

static struct cell *cell_of(unsigned kind, size_t number)
{
    return &cells[((size_t)kind << cells_log2) + number];
}

/* Makes cells usable up to `end`. Two threads may commit the same, which changes nothing. */
static bool commit_to(unsigned kind, uint64_t end)
{
    uint64_t count = size_max(COMMIT_BYTES / cell_bytes(kind), 1);
    size_t page_bytes = mbi_os_page_bytes();
    uint64_t from = counter_read(&kinds[kind].committed);
    while (from < end) {
        char *first = (char *)kind_start(kind) + from * cell_bytes(kind);
        uintptr_t known = round_down((uintptr_t)cell_of(kind, from), page_bytes);
        uintptr_t known_end = round_up((uintptr_t)cell_of(kind, from + count), page_bytes);
        if (!mbi_os_commit(first, count * cell_bytes(kind))
            || !mbi_os_commit((void *)known, known_end - known)) {
            return false;
        }
        /* relaxed [CELL-ROOM]: a number that says what the kernel did already. */
        if (atomic_compare_exchange_strong_explicit(&kinds[kind].committed, &from, from + count,
                                                    memory_order_relaxed, memory_order_relaxed)) {
            from += count;
        }
    }
    return true;
}

/* A free cell's number; SIZE_MAX without one. */
static size_t pop(unsigned kind)
{
    /* relaxed [CELL-HEAD]: the CAS orders. */
    uint64_t head = atomic_load_explicit(&kinds[kind].head, memory_order_relaxed);
    while ((head & ((1U << HEAD_BITS) - 1)) != 0) {
        size_t number = (head & ((1U << HEAD_BITS) - 1)) - 1;
        /* relaxed [CELL-NEXT]: a stale one is of a cell that is taken, and the CAS fails. */
        uint64_t next = atomic_load_explicit(&cell_of(kind, number)->next, memory_order_relaxed);
        uint64_t changed = ((head >> HEAD_BITS) + 1) << HEAD_BITS | next;
        /* acquire [CELL-POP]: pairs with [CELL-PUSH]. */
        if (atomic_compare_exchange_weak_explicit(&kinds[kind].head, &head, changed,
                                                  memory_order_acquire, memory_order_acquire)) {
            return number;
        }
    }
    return SIZE_MAX;
}

/* One that never was used. */
static size_t carve(unsigned kind)
{
    if (counter_read(&kinds[kind].used) >> cells_log2 != 0) { /* and stop counting */
        return SIZE_MAX;
    }
    /* relaxed [CELL-ROOM]: hands out numbers of untouched cells. */
    uint64_t number = atomic_fetch_add_explicit(&kinds[kind].used, 1, memory_order_relaxed);
    return number >> cells_log2 == 0 && commit_to(kind, number + 1) ? number : SIZE_MAX;
}

struct cell *mbi_cells_take(size_t size_bytes, size_t alignment_bytes, void **object)
{
    size_t bytes = size_max(size_bytes, alignment_bytes);
    if (bytes > cell_bytes(KINDS - 1)) {
        return NULL;
    }
    unsigned kind = kind_of_size(bytes);
    size_t number = pop(kind);
    number = number != SIZE_MAX ? number : carve(kind);
    if (number == SIZE_MAX) {
        return NULL;
    }
    *object = (void *)(kind_start(kind) + number * cell_bytes(kind));
    return cell_of(kind, number);
}

struct cell *mbi_cells_remove(const void *object)
{
    unsigned kind = kind_of(object);
    size_t number = number_of(object, kind);
    bool live = true;
    /* Not one into a cell, or of a cell that never was used. */
    if (number >= counter_read(&kinds[kind].committed)
        || (uintptr_t)object % cell_bytes(kind) != 0) {
        return NULL;
    }
    struct cell *cell = cell_of(kind, number);
    /* acquire [CELL-REMOVE]: pairs with [CELL-PUT]. */
    return atomic_compare_exchange_strong_explicit(&cell->live, &live, false, memory_order_acquire,
                                                   memory_order_relaxed)
               ? cell
               : NULL;
}

void mbi_cells_give_back(struct cell *cell)
{
    size_t place = (size_t)(cell - cells);
    unsigned kind = (unsigned)(place >> cells_log2);
    size_t number = place & (((size_t)1 << cells_log2) - 1);
    /* relaxed [CELL-HEAD]: the CAS orders. */
    uint64_t head = atomic_load_explicit(&kinds[kind].head, memory_order_relaxed);
    uint64_t changed;
    do {
        uint32_t first = (uint32_t)(head & ((1U << HEAD_BITS) - 1));
        atomic_store_explicit(&cell->next, first, memory_order_relaxed); /* [CELL-NEXT] */
        changed = ((head >> HEAD_BITS) + 1) << HEAD_BITS | (number + 1);
        /* release [CELL-PUSH]: pairs with [CELL-POP]. */
    } while (!atomic_compare_exchange_weak_explicit(&kinds[kind].head, &head, changed,
                                                    memory_order_release, memory_order_relaxed));
}

size_t mbi_cells_bytes(const void *pointer)
{
    return cell_bytes(kind_of(pointer));
}
