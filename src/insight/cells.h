/*
 * cells: memory for small objects that are samples of a heap profile, and what is known of each.
 *
 * Ladder: above core/region. Callers: profile. Any thread, without a lock; a signal handler or a
 * fork at any moment finds each cell free or taken.
 *
 *   | 16 | 16 | ...     | 32 | 32 | ...     ...     | 32K | 32K | ...      objects of each kind
 *   | struct cell | struct cell | ...                                       one for each object
 *
 * An object is a power of two, and aligned to its size. Its number follows from its address, and so
 * do its kind and its cell: a free looks nothing up. Cells that were used last are used next, so
 * a program with few live samples touches few pages. They lie in this copy's place, outside all
 * spans: so their frees leave the fast path by themselves, and other copies of the library find
 * whose they are.
 *
 *   take      [CELL-POP] CAS on the kind's free list, acquire; or a cell that never was used
 *   publish   [CELL-PUT] store of `live`, release, once the record is written
 *   remove    [CELL-REMOVE] CAS of `live` to false, acquire: of two, a double free, one succeeds
 *   give_back [CELL-PUSH] CAS on the free list, release
 *
 * ABA: a list's head has a number that each change raises. A stale popper may read the link of a
 * cell that was taken meanwhile, which is never unmapped; its CAS fails.
 */
#ifndef MEMORYBUCKET_INSIGHT_CELLS_H
#define MEMORYBUCKET_INSIGHT_CELLS_H

#include "insight/samples.h"

/* Reserves address space for them; false without. Once, before all other calls. */
bool mbi_cells_init(void);

/* In a line of its own. */
struct cell {
    _Alignas(LINE_BYTES) struct sample sample;
    _Atomic uint32_t next; /* the number of the next free cell of the kind, and one; 0: none */
    _Atomic bool live;
};

/*
 * A cell and uninitialised memory of that size and alignment; NULL without, or if either is too
 * large. The caller fills the sample in.
 */
struct cell *mbi_cells_take(size_t size_bytes, size_t alignment_bytes, void **object);

/* From now on the cell is that of a live sample. */
static inline void cells_publish(struct cell *cell)
{
    /* release [CELL-PUT]: pairs with [CELL-REMOVE]. */
    atomic_store_explicit(&cell->live, true, memory_order_release);
}

/* Ends that; NULL if the pointer, which lies among the objects, is not a live sample's. */
struct cell *mbi_cells_remove(const void *object);

/* After remove, or without publish: others may take the cell. */
void mbi_cells_give_back(struct cell *cell);

/* The bytes of the object that the pointer lies in. */
size_t mbi_cells_bytes(const void *pointer);

/* Where they are; written by init, and empty before. */
struct cells_range {
    uintptr_t start;
    size_t bytes;
};
extern MBI_HIDDEN struct cells_range mbi_cells_range;

static inline bool cells_have(const void *pointer)
{
    return (uintptr_t)pointer - mbi_cells_range.start < mbi_cells_range.bytes;
}

#endif
