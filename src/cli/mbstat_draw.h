/*
 * mbstat_draw: what the live view's screen shows.
 *
 * Ladder: above mbstat_rates and mbstat_source. Callers: mbstat_view, which has the keys and the
 * terminal.
 */
#ifndef MEMORYBUCKET_CLI_MBSTAT_DRAW_H
#define MEMORYBUCKET_CLI_MBSTAT_DRAW_H

#include "cli/mbstat_rates.h"
#include "cli/mbstat_source.h"

enum page { SCREEN_POOLS, SCREEN_POOL, SCREEN_THREADS, SCREEN_HELP };

/* What the table of pools may be sorted by; its columns, from left to right. */
enum column { BY_SIZE, BY_LIVE, BY_CACHED, BY_CENTRAL, BY_SORTED, BY_BACK, BY_REFILLS, BY_FLUSHES,
              BY_RETRIES, BY_WAITS, BY_MAGAZINE, BY_USE, COLUMNS };

struct view {
    struct source *source;
    struct snapshot *shown; /* what is on the screen; it stays while the view is paused */
    struct rates rates;
    enum page screen;
    bool paused;
    bool blocks;   /* the terminal has UTF-8 */
    size_t sort;   /* column */
    size_t chosen; /* pool, by its row in the snapshot */
    size_t first;  /* of the lines on the screen */
    size_t order[SNAPSHOT_THREADS_MAX]; /* rows, as they are shown */
    size_t rows;
    const char *note; /* on the last line, until the next key */
};

/* Draws the screen anew. */
void draw_view(struct view *view);

/* Brings the pools that were used into `order`, by the column that is sorted by. */
void draw_order_pools(struct view *view);

/* Where the chosen pool is in `order`; 0 where it is not. */
size_t draw_place_of_chosen(const struct view *view);

/* How many rows the terminal has room for. */
size_t draw_row_lines(void);

#endif
