/* sorted_check: whether bits, counts and sets agree with each other. */
#include "core/sorted_map.h"

/* A block's counts and bits agree with its slots; adds these to *slots. */
static bool block_check(const struct sorted *sorted, size_t block, size_t *slots)
{
    size_t here = 0;
    size_t ready = 0;
    size_t end = block_end_slot(sorted, block);
    for (size_t index = slots_of_blocks(sorted, block); index < end; index++) {
        if (slot_is_here(sorted, index)) {
            here++;
            ready += slot_is_ready(sorted, index);
        }
    }
    *slots += here;
    return here == block_at(sorted, block)->slots && ready == block_at(sorted, block)->ready
           && block_map_has(sorted->map, BLOCKS_HERE, block) == (here != 0)
           && block_map_has(sorted->map, BLOCKS_OPEN, block)
                  == block_is_open(sorted, block)
           && block_map_has(sorted->map, BLOCKS_READY, block) == (ready != 0)
           && block_map_has(sorted->map, BLOCKS_GONE, block) == block_is_gone(sorted, block);
}

bool mbi_sorted_check(const struct sorted *sorted)
{
    size_t slots = 0;
    size_t pages_released = 0;
    if (sorted->covered == 0) {
        return true; /* perhaps not even initialised: a span that was not needed yet */
    }
    size_t blocks = mbi_sorted_blocks(sorted, sorted->covered);
    for (size_t block = 0; block < blocks; block++) {
        if (!block_check(sorted, block, &slots)) {
            mbi_message("check: block %zu of %zu-byte slots miscounts its sorted slots", block,
                        sorted->slot_bytes);
            return false;
        }
    }
    for (enum block_set set = 0; set < BLOCK_SETS; set++) {
        if (!block_map_check(sorted->map, set, blocks)) {
            mbi_message("check: set %d of blocks of %zu-byte slots does not agree with itself",
                        (int)set, sorted->slot_bytes);
            return false;
        }
    }
    for (size_t page = 0; page < blocks * pages_per_block(sorted); page++) {
        if (!page_is_released(sorted, page)) {
            continue;
        }
        pages_released++;
        if (!bits_all_set(sorted, page_first_slot(sorted, page), page_end_slot(sorted, page))) {
            mbi_message("check: page %zu of %zu-byte slots was given back and is in use", page,
                        sorted->slot_bytes);
            return false;
        }
    }
    if (slots != sorted->slots || pages_released != sorted->pages_released) {
        mbi_message("check: %zu-byte slots: %zu sorted, %zu pages released, counted %zu and %zu",
                    sorted->slot_bytes, slots, pages_released, sorted->slots,
                    sorted->pages_released);
        return false;
    }
    return true;
}
