/*
 * tile_index: the counts of each tile (64 KiB) of a span, and sets of tiles. A few words lead to a
 * set's lowest tile, however large the span is.
 *
 * Ladder: above base. Callers: free_map, which holds the pool's lock.
 *
 *   top       2 words    a bit for each word below that is not 0
 *   middle  128 words    a bit for each group whose members are not 0
 *   groups               64 tiles each: a bit for each that is in the set, and the tiles
 *
 * The memory is zero at first; the groups exist as far as the span's owner has made room. A word of
 * `middle` stands in the first of the 64 groups that it is about: so the index of a span's first 28
 * MiB is one page.
 */
#ifndef MEMORYBUCKET_CORE_TILE_INDEX_H
#define MEMORYBUCKET_CORE_TILE_INDEX_H

#include "core/base.h"

enum tile_set {
    TILES_HERE,  /* with slots in the free map, "here" */
    TILES_OPEN,  /* of these, with one that overlaps no sealed tile */
    TILES_READY, /* of these, with one that lies on pages in use only */
    TILES_GONE,  /* not sealed, with all pages given back */
    TILE_SETS
};

enum {
    TILES_PER_GROUP = 64,
    TILE_MIDDLE_WORDS = 128,
    TILE_TOP_WORDS = TILE_MIDDLE_WORDS / 64,
    TILES_MAX = TILES_PER_GROUP * TILE_MIDDLE_WORDS * 64
};

/* Under the lock of the pool whose span it is. */
struct tile {
    uint16_t slots;    /* here, and beginning in this tile; 8 Ki of 8 bytes at most */
    uint16_t ready;    /* of these, on no page that was given back */
    uint16_t released; /* a bit for each page that was given back */
    bool sealed;       /* all pages can only be read, as zeros */
    uint8_t huge;      /* a huge page begins here that came whole: 1, and how many runs of it went
                          that a child of fork may have shared; 0: none, or it was split */
};

struct tile_group {
    uint64_t members[TILE_SETS];
    uint64_t middle[TILE_SETS]; /* in each 64th group */
    struct tile tiles[TILES_PER_GROUP];
};

struct tile_index {
    uint64_t top[TILE_SETS][TILE_TOP_WORDS];
    struct tile_group groups[];
};

/* Bytes of an index with room for so many tiles. */
static inline size_t tile_index_bytes(size_t count)
{
    size_t groups = (count + TILES_PER_GROUP - 1) / TILES_PER_GROUP;
    return sizeof(struct tile_index) + groups * sizeof(struct tile_group);
}

static inline struct tile *tile_index_at(struct tile_index *tiles, size_t tile)
{
    return &tiles->groups[tile / TILES_PER_GROUP].tiles[tile % TILES_PER_GROUP];
}

static inline bool tile_index_has(const struct tile_index *tiles, enum tile_set set, size_t tile)
{
    const struct tile_group *group = &tiles->groups[tile / TILES_PER_GROUP];
    return (group->members[set] >> tile % TILES_PER_GROUP & 1U) != 0;
}

/* The word of a set that has the group's bit. */
static inline uint64_t *tile_index_middle(struct tile_index *tiles, enum tile_set set, size_t group)
{
    return &tiles->groups[round_down(group, 64)].middle[set];
}

/* Sets or clears a bit; true when that made the word 0 or no longer 0. */
static inline bool tile_index_assign_bit(uint64_t *word, size_t bit, bool value)
{
    uint64_t old = *word;
    uint64_t mask = (uint64_t)1 << bit % 64;
    *word = value ? old | mask : old & ~mask;
    return (old == 0) != (*word == 0);
}

/* Puts a tile into a set, or takes it out; also if that changes nothing. */
static inline void tile_index_assign(struct tile_index *tiles, enum tile_set set, size_t tile,
                                     bool member)
{
    size_t group = tile / TILES_PER_GROUP;
    if (tile_index_assign_bit(&tiles->groups[group].members[set], tile, member)
        && tile_index_assign_bit(tile_index_middle(tiles, set, group), group, member)) {
        tile_index_assign_bit(&tiles->top[set][group / 64 / 64], group / 64, member);
    }
}

/*
 * The first group from `from` on with members of a set; GROUPS_MAX when there is none. Looks at no
 * word of a group that may not exist: the words above say which are not 0.
 */
enum { GROUPS_MAX = TILES_MAX / TILES_PER_GROUP };
static inline size_t tile_index_next_group(struct tile_index *tiles, enum tile_set set, size_t from)
{
    while (from < GROUPS_MAX) {
        size_t middle = from / 64;
        uint64_t words = tiles->top[set][middle / 64] & (UINT64_MAX << middle % 64);
        if (words == 0) {
            from = (round_down(middle, 64) + 64) * 64;
            continue;
        }
        size_t found = round_down(middle, 64) + (size_t)__builtin_ctzll(words);
        from = size_max(from, found * 64);
        uint64_t groups = *tile_index_middle(tiles, set, from) & (UINT64_MAX << from % 64);
        if (groups != 0) {
            return found * 64 + (size_t)__builtin_ctzll(groups);
        }
        from = (found + 1) * 64;
    }
    return GROUPS_MAX;
}

/* The lowest tile of a set; TILES_MAX when there is none. */
static inline size_t tile_index_lowest(struct tile_index *tiles, enum tile_set set)
{
    size_t group = tile_index_next_group(tiles, set, 0);
    return group != GROUPS_MAX ? group * TILES_PER_GROUP
                                     + (size_t)__builtin_ctzll(tiles->groups[group].members[set])
                               : TILES_MAX;
}

/* The first tile of a set from `from` on, a tile of the index; TILES_MAX without one. */
static inline size_t tile_index_next(struct tile_index *tiles, enum tile_set set, size_t from)
{
    size_t group = from / TILES_PER_GROUP;
    uint64_t members = tiles->groups[group].members[set] & (UINT64_MAX << from % TILES_PER_GROUP);
    if (members == 0) {
        group = tile_index_next_group(tiles, set, group + 1);
        members = group != GROUPS_MAX ? tiles->groups[group].members[set] : 0;
    }
    return members != 0 ? group * TILES_PER_GROUP + (size_t)__builtin_ctzll(members) : TILES_MAX;
}

/* Whether the levels of a set agree, for the groups of so many tiles. */
static inline bool tile_index_check(struct tile_index *tiles, enum tile_set set, size_t count)
{
    bool agree = true;
    size_t words = 0;
    for (size_t group = 0; group * TILES_PER_GROUP < count; group++) {
        uint64_t middle = *tile_index_middle(tiles, set, group);
        bool any = tiles->groups[group].members[set] != 0;
        agree &= any == (middle >> group % 64 & 1U);
        if (group % 64 == 0) {
            agree &= (middle != 0) == (tiles->top[set][group / 64 / 64] >> group / 64 % 64 & 1U);
            words++;
        }
    }
    for (; words < TILE_MIDDLE_WORDS; words++) {
        agree &= (tiles->top[set][words / 64] >> words % 64 & 1U) == 0;
    }
    return agree;
}

#endif
