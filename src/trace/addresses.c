/* addresses: growing, and ending. */
#include "trace/addresses.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM_FIRST = 1024 };

static bool is_empty(const struct mb_addresses_leaf *leaf)
{
    static const struct mb_addresses_leaf empty;
    return memcmp(leaf, &empty, sizeof empty) == 0;
}

/* Empty leaves go; at least a quarter of the room is then there for new ones. */
static bool grow(struct mb_addresses *addresses)
{
    size_t count = 0;
    for (size_t i = 0; i < addresses->room; i++) {
        struct mb_addresses_block *block = &addresses->blocks[i];
        count += block->leaf != NULL && !is_empty(block->leaf);
    }
    struct mb_addresses larger = { .room = ROOM_FIRST, .count = count };
    while (count * 4 > larger.room) {
        larger.room *= 2;
    }
    larger.shift = 64U - (unsigned)__builtin_ctzl(larger.room);
    larger.blocks = calloc(larger.room, sizeof *larger.blocks);
    if (larger.blocks == NULL) {
        return false;
    }
    for (size_t i = 0; i < addresses->room; i++) {
        struct mb_addresses_block *block = &addresses->blocks[i];
        if (block->leaf != NULL && is_empty(block->leaf)) {
            free(block->leaf);
        } else if (block->leaf != NULL) {
            *mb_addresses_block(&larger, block->key) = *block;
        }
    }
    free(addresses->blocks);
    *addresses = larger;
    return true;
}

struct mb_addresses_leaf *mb_addresses_add_leaf(struct mb_addresses *addresses, uint64_t key)
{
    if (addresses->count * 2 >= addresses->room && !grow(addresses)) {
        return NULL;
    }
    struct mb_addresses_leaf *leaf = calloc(1, sizeof *leaf);
    if (leaf != NULL) {
        *mb_addresses_block(addresses, key) = (struct mb_addresses_block){ key, leaf };
        addresses->count++;
    }
    return leaf;
}

void mb_addresses_free(struct mb_addresses *addresses)
{
    for (size_t i = 0; i < addresses->room; i++) {
        free(addresses->blocks[i].leaf);
    }
    free(addresses->blocks);
    *addresses = (struct mb_addresses){ 0 };
}
