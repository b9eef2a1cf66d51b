/*
 * block_map: what is known of each block of a span, and sets of blocks whose lowest one is found in
 * a few words, however large the span is.
 *
 * Ladder: above base. Callers: sorted, which holds the pool's lock.
 *
 *   top       2 words    a bit for each word below that is not 0
 *   middle  128 words    a bit for each group whose members are not 0
 *   groups               64 blocks each: a bit for each that is in the set, and the blocks
 *
 * The memory is zero at first; the groups exist as far as the span's owner has made room.
 */
#ifndef MEMORYBUCKET_CORE_BLOCK_MAP_H
#define MEMORYBUCKET_CORE_BLOCK_MAP_H

#include "core/base.h"

enum block_set {
    BLOCKS_HERE,  /* that have slots here */
    BLOCKS_OPEN,  /* of these, that have one that overlaps no sealed block */
    BLOCKS_READY, /* of these, where some lie on pages in use only */
    BLOCKS_GONE,  /* whose pages were all given back and are not sealed */
    BLOCK_SETS
};

enum {
    BLOCKS_PER_GROUP = 64,
    BLOCK_MIDDLE_WORDS = 128,
    BLOCK_TOP_WORDS = BLOCK_MIDDLE_WORDS / 64,
    BLOCKS_MAX = BLOCKS_PER_GROUP * BLOCK_MIDDLE_WORDS * 64
};

struct sorted_block {
    uint16_t slots;    /* here, and beginning in this block; 8 Ki of 8 bytes at most */
    uint16_t ready;    /* of these, on no page that was given back */
    uint16_t released; /* a bit a page */
    bool sealed;       /* all of them are, and can only be read */
};

struct block_group {
    uint64_t members[BLOCK_SETS];
    struct sorted_block blocks[BLOCKS_PER_GROUP];
};

struct block_map {
    uint64_t top[BLOCK_SETS][BLOCK_TOP_WORDS];
    uint64_t middle[BLOCK_SETS][BLOCK_MIDDLE_WORDS];
    struct block_group groups[];
};

/* Bytes of a map with room for so many blocks. */
static inline size_t block_map_bytes(size_t blocks)
{
    size_t groups = (blocks + BLOCKS_PER_GROUP - 1) / BLOCKS_PER_GROUP;
    return sizeof(struct block_map) + groups * sizeof(struct block_group);
}

static inline struct sorted_block *block_map_at(struct block_map *map, size_t block)
{
    return &map->groups[block / BLOCKS_PER_GROUP].blocks[block % BLOCKS_PER_GROUP];
}

static inline bool block_map_has(const struct block_map *map, enum block_set set, size_t block)
{
    const struct block_group *group = &map->groups[block / BLOCKS_PER_GROUP];
    return (group->members[set] >> block % BLOCKS_PER_GROUP & 1U) != 0;
}

/* Sets or clears a bit; true when that made the word 0 or no longer 0. */
static inline bool block_map_assign_bit(uint64_t *word, size_t bit, bool value)
{
    uint64_t old = *word;
    uint64_t mask = (uint64_t)1 << bit % 64;
    *word = value ? old | mask : old & ~mask;
    return (old == 0) != (*word == 0);
}

/* Puts a block into a set or takes it out; it may be there, or not, already. */
static inline void block_map_assign(struct block_map *map, enum block_set set, size_t block,
                                    bool member)
{
    size_t group = block / BLOCKS_PER_GROUP;
    if (block_map_assign_bit(&map->groups[group].members[set], block, member)
        && block_map_assign_bit(&map->middle[set][group / 64], group, member)) {
        block_map_assign_bit(&map->top[set][group / 64 / 64], group / 64, member);
    }
}

/* The lowest block of a set; BLOCKS_MAX when there is none. */
static inline size_t block_map_lowest(const struct block_map *map, enum block_set set)
{
    for (size_t top = 0; top < BLOCK_TOP_WORDS; top++) {
        if (map->top[set][top] != 0) {
            size_t middle = top * 64 + (size_t)__builtin_ctzll(map->top[set][top]);
            size_t group = middle * 64 + (size_t)__builtin_ctzll(map->middle[set][middle]);
            return group * BLOCKS_PER_GROUP
                   + (size_t)__builtin_ctzll(map->groups[group].members[set]);
        }
    }
    return BLOCKS_MAX;
}

/* The first block of a set from `from` on, which the map has room for; BLOCKS_MAX without one. */
static inline size_t block_map_next(const struct block_map *map, enum block_set set, size_t from)
{
    size_t group = from / BLOCKS_PER_GROUP;
    uint64_t members = map->groups[group].members[set] & (UINT64_MAX << from % BLOCKS_PER_GROUP);
    if (members == 0 && ++group / 64 < BLOCK_MIDDLE_WORDS) {
        size_t middle = group / 64;
        uint64_t groups = map->middle[set][middle] & (UINT64_MAX << group % 64);
        while (groups == 0 && ++middle < BLOCK_MIDDLE_WORDS) {
            groups = map->middle[set][middle];
        }
        if (groups != 0) {
            group = middle * 64 + (size_t)__builtin_ctzll(groups);
            members = map->groups[group].members[set];
        }
    }
    return members != 0 ? group * BLOCKS_PER_GROUP + (size_t)__builtin_ctzll(members) : BLOCKS_MAX;
}

/* Checks that the levels of a set agree, for the groups of so many blocks. */
static inline bool block_map_check(const struct block_map *map, enum block_set set, size_t blocks)
{
    for (size_t group = 0; group * BLOCKS_PER_GROUP < blocks; group++) {
        bool any = map->groups[group].members[set] != 0;
        if (any != ((map->middle[set][group / 64] >> group % 64 & 1U) != 0)) {
            return false;
        }
    }
    for (size_t middle = 0; middle < BLOCK_MIDDLE_WORDS; middle++) {
        bool any = map->middle[set][middle] != 0;
        if (any != ((map->top[set][middle / 64] >> middle % 64 & 1U) != 0)) {
            return false;
        }
    }
    return true;
}

#endif
