/* mbstat_draw: tables, bars and sparklines. */
#include "cli/mbstat_draw.h"

#include <ncurses.h>
#include <stdio.h>
#include <string.h>

enum { HEAD_LINES = 4 };

/* ---- numbers -------------------------------------------------------------------------------- */

/* At most five columns: "999", "1.0K", "12.3M". */
static const char *short_number(double number, double unit, char text[16])
{
    static const char units[] = " KMGTPE";
    size_t i = 0;
    while (number >= (i == 0 ? 999.5 : 999.95) && i + 2 < sizeof units) {
        number /= unit;
        i++;
    }
    if (i == 0) {
        snprintf(text, 16, number > 0 && number < 9.95 ? "%.1f" : "%.0f", number);
    } else {
        snprintf(text, 16, number < 99.95 ? "%.1f%c" : "%.0f%c", number, units[i]);
    }
    return text;
}

static const char *bytes_text(double bytes, char text[16])
{
    return short_number(bytes, 1024, text);
}

/* A count or a rate; "." for none, which is easier on the eye. */
static const char *rate_text(double rate, char text[16])
{
    return rate == 0 ? "." : short_number(rate, 1000, text);
}

/* ---- pools ---------------------------------------------------------------------------------- */

static const char *const heads[COLUMNS] = {
    "size",   "live",   "cache",  "centr",  "sort", "back",
    "refl/s", "flsh/s", "retr/s", "wait/s", "mag.", "in use",
};
/* With a blank between two they fit 80 columns. */
static const int widths[COLUMNS] = { 5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 4, 10 };

static double column_of(const struct view *view, size_t row, size_t column)
{
    const uint64_t *pool = view->shown->pools[row];
    const double *now = view->rates.now[row];
    double slot_bytes = (double)pool[POOL_slot_bytes];
    switch (column) {
    case BY_LIVE: return (double)pool[POOL_live] * slot_bytes;
    case BY_CACHED: return (double)snapshot_cached_slots(pool) * slot_bytes;
    case BY_CENTRAL: return (double)(pool[POOL_central] + pool[POOL_loose]) * slot_bytes;
    case BY_SORTED: return (double)pool[POOL_sorted] * slot_bytes;
    case BY_BACK: return (double)pool[POOL_released_bytes];
    case BY_REFILLS: return now[SERIES_REFILLS];
    case BY_FLUSHES: return now[SERIES_FLUSHES];
    case BY_RETRIES: return now[SERIES_RETRIES];
    case BY_WAITS: return now[SERIES_WAITS];
    case BY_MAGAZINE: return (double)pool[POOL_magazine_rounds];
    case BY_USE: return snapshot_occupancy(pool);
    default: return (double)pool[POOL_size_bytes];
    }
}

/* Sizes go up, all else goes down; rows that are alike go by size. */
static bool goes_before(const struct view *view, size_t a, size_t b)
{
    double of_a = column_of(view, a, view->sort);
    double of_b = column_of(view, b, view->sort);
    return view->sort != BY_SIZE && of_a != of_b ? of_a > of_b : a < b;
}

void draw_order_pools(struct view *view)
{
    view->rows = 0;
    for (size_t row = 0; row < MB_POOL_COUNT; row++) {
        if (!snapshot_has_pool(view->shown->pools[row])) {
            continue;
        }
        size_t at = view->rows++;
        for (; at > 0 && goes_before(view, row, view->order[at - 1]); at--) {
            view->order[at] = view->order[at - 1];
        }
        view->order[at] = row;
    }
}

size_t draw_place_of_chosen(const struct view *view)
{
    size_t place = 0;
    while (place < view->rows && view->order[place] != view->chosen) {
        place++;
    }
    return place < view->rows ? place : 0;
}

size_t draw_row_lines(void)
{
    return LINES > HEAD_LINES + 2 ? (size_t)LINES - HEAD_LINES - 2 : 1;
}

static void draw_bar(unsigned percent)
{
    enum { WIDTH = 5 };
    char bar[WIDTH + 1];
    for (unsigned i = 0; i < WIDTH; i++) {
        bar[i] = i * 100 / WIDTH < percent ? '#' : '.';
    }
    bar[WIDTH] = '\0';
    printw(" [%s]%3u", bar, percent);
}

static void draw_pool(const struct view *view, size_t row)
{
    char text[16];
    for (size_t column = 0; column < BY_USE; column++) {
        double value = column_of(view, row, column);
        bool is_bytes = column >= BY_LIVE && column <= BY_BACK;
        bool is_rate = column >= BY_REFILLS && column <= BY_WAITS;
        if (is_bytes) {
            bytes_text(value, text);
        } else if (!is_rate) {
            snprintf(text, sizeof text, "%.0f", value);
        }
        printw("%*s%s", widths[column], is_rate ? rate_text(value, text) : text,
               column + 1 < BY_USE ? " " : "");
    }
    draw_bar(snapshot_occupancy(view->shown->pools[row]));
}

static void draw_pools(struct view *view)
{
    draw_order_pools(view);
    size_t lines = draw_row_lines();
    size_t place = draw_place_of_chosen(view);
    if (view->rows > 0) {
        view->chosen = view->order[place];
    }
    view->first = place < view->first ? place : view->first;
    view->first = place >= view->first + lines ? place - lines + 1 : view->first;
    size_t first_max = view->rows > lines ? view->rows - lines : 0;
    view->first = view->first < first_max ? view->first : first_max;
    attron(A_REVERSE);
    move(HEAD_LINES, 0);
    for (size_t column = 0; column < COLUMNS; column++) {
        if (column == view->sort) {
            attron(A_UNDERLINE | A_BOLD);
        }
        printw("%*s", widths[column], heads[column]);
        attroff(A_UNDERLINE | A_BOLD);
        printw("%s", column + 1 < COLUMNS ? " " : "");
    }
    attroff(A_REVERSE);
    for (size_t i = 0; i < lines && view->first + i < view->rows; i++) {
        size_t row = view->order[view->first + i];
        move(HEAD_LINES + 1 + (int)i, 0);
        if (row == view->chosen) {
            attron(A_BOLD);
        }
        draw_pool(view, row);
        printw("%s", row == view->chosen ? "<" : "");
        attroff(A_BOLD);
    }
    if (view->rows == 0) {
        mvprintw(HEAD_LINES + 1, 0, "no pool had been used when the figures were written");
    }
}

/* ---- one pool ------------------------------------------------------------------------------- */

static void draw_sparkline(const struct view *view, const float *values, size_t count, float most)
{
    static const char *const blocks[] = { " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
    static const char *const letters[] = { " ", "_", ".", ":", "-", "=", "+", "*", "#" };
    for (size_t i = 0; i < count; i++) {
        size_t step = most > 0 ? (size_t)(values[i] / most * 8 + 0.5f) : 0;
        step = values[i] > 0 && step == 0 ? 1 : step;
        addstr((view->blocks ? blocks : letters)[step]);
    }
}

static void draw_one_pool(struct view *view)
{
    static const char *const names[SERIES_COUNT] = { "live",     "cached",     "committed",
                                                     "refills/s", "flushes/s", "retries/s",
                                                     "waits/s" };
    const uint64_t *pool = view->shown->pools[view->chosen];
    float values[HISTORY_MAX];
    uint64_t central_slots = pool[POOL_central] + pool[POOL_loose];
    char text[16];
    enum { LABELS = 26 };
    size_t room = COLS > LABELS + 1 ? (size_t)COLS - LABELS - 1 : 1;
    mvprintw(HEAD_LINES, 0, "requests of up to %llu bytes: slots of %llu, magazines of %llu",
             (unsigned long long)pool[POOL_size_bytes], (unsigned long long)pool[POOL_slot_bytes],
             (unsigned long long)pool[POOL_magazine_rounds]);
    mvprintw(HEAD_LINES + 1, 0, "slots: %llu live, %llu cached, %llu central, %llu sorted; %s back",
             (unsigned long long)pool[POOL_live], (unsigned long long)snapshot_cached_slots(pool),
             (unsigned long long)central_slots,
             (unsigned long long)pool[POOL_sorted],
             bytes_text((double)pool[POOL_released_bytes], text));
    for (enum series series = 0; series < SERIES_COUNT; series++) {
        size_t count = rates_history(&view->rates, view->chosen, series, values,
                                     room < HISTORY_MAX ? room : HISTORY_MAX);
        float most = 0;
        for (size_t i = 0; i < count; i++) {
            most = values[i] > most ? values[i] : most;
        }
        bool is_bytes = series <= SERIES_COMMITTED;
        char most_text[16];
        double now = view->rates.now[view->chosen][series];
        mvprintw(HEAD_LINES + 3 + (int)series * 2, 0, "%-9s %6s max %6s ", names[series],
                 is_bytes ? bytes_text(now, text) : short_number(now, 1000, text),
                 is_bytes ? bytes_text((double)most, most_text)
                          : short_number((double)most, 1000, most_text));
        draw_sparkline(view, values, count, most);
    }
}

/* ---- threads -------------------------------------------------------------------------------- */

/* Those that have most come first. */
static void order_threads(struct view *view)
{
    const struct snapshot *shown = view->shown;
    view->rows = 0;
    for (size_t row = 0; row < shown->totals[TOTAL_thread_rows]; row++) {
        size_t at = view->rows++;
        uint64_t cached = shown->threads[row][THREAD_cached_bytes];
        for (; at > 0 && shown->threads[view->order[at - 1]][THREAD_cached_bytes] < cached; at--) {
            view->order[at] = view->order[at - 1];
        }
        view->order[at] = row;
    }
}

static void name_of_thread(const struct view *view, uint64_t thread, char name[20])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%llu/task/%llu/comm",
             (unsigned long long)view->source->owner.process, (unsigned long long)thread);
    FILE *file = thread != 0 ? fopen(path, "re") : NULL;
    if (file == NULL || fgets(name, 20, file) == NULL) {
        memcpy(name, "-", sizeof "-");
    }
    name[strcspn(name, "\n")] = '\0';
    if (file != NULL) {
        fclose(file);
    }
}

static void draw_threads(struct view *view)
{
    static const char *const states[] = { "at work", "idle", "parked" };
    order_threads(view);
    size_t lines = draw_row_lines();
    size_t last = view->rows > lines ? view->rows - lines : 0;
    view->first = view->first < last ? view->first : last;
    attron(A_REVERSE);
    mvprintw(HEAD_LINES, 0, "%8s %-16s %-8s %7s %9s %9s %8s %8s", "thread", "name", "state",
             "cached", "refills", "flushes", "retries", "large");
    attroff(A_REVERSE);
    for (size_t i = 0; i < lines && view->first + i < view->rows; i++) {
        const uint64_t *row = view->shown->threads[view->order[view->first + i]];
        char name[20];
        char text[4][16];
        char cached[16];
        uint64_t state = row[THREAD_state] <= THREAD_PARKED ? row[THREAD_state] : THREAD_AT_WORK;
        name_of_thread(view, row[THREAD_thread], name);
        mvprintw(HEAD_LINES + 1 + (int)i, 0, "%8llu %-16s %-8s %7s %9s %9s %8s %8s",
                 (unsigned long long)row[THREAD_thread], name, states[state],
                 bytes_text((double)row[THREAD_cached_bytes], cached),
                 rate_text((double)row[THREAD_refills], text[0]),
                 rate_text((double)row[THREAD_flushes], text[1]),
                 rate_text((double)row[THREAD_cas_retries], text[2]),
                 rate_text((double)row[THREAD_large_allocs], text[3]));
    }
}

/* ---- the screen ----------------------------------------------------------------------------- */

static void draw_head(const struct view *view)
{
    const uint64_t *totals = view->shown->totals;
    uint64_t now_ns = source_now_ns();
    uint64_t published_ns = totals[TOTAL_published_ns];
    char text[6][16];
    mvprintw(0, 0, "mbstat %s (%llu)%s", view->source->owner.name,
             (unsigned long long)view->source->owner.process, view->paused ? "  PAUSED" : "");
    mvprintw(0, 50, "figures %.1f s old",
             now_ns > published_ns ? (double)(now_ns - published_ns) / 1e9 : 0.0);
    mvprintw(1, 0, "committed %s   resident %s   given back %s   limit %s",
             bytes_text((double)totals[TOTAL_committed_bytes], text[0]),
             bytes_text((double)totals[TOTAL_process_resident_bytes], text[1]),
             bytes_text((double)totals[TOTAL_released_bytes], text[2]),
             totals[TOTAL_memory_limit] != 0
                 ? bytes_text((double)totals[TOTAL_memory_limit], text[3])
                 : "none");
    mvprintw(2, 0, "threads %llu (%llu idle, %llu parked)   caches %s of %s   large %s (%s/s)",
             (unsigned long long)totals[TOTAL_threads],
             (unsigned long long)totals[TOTAL_threads_idle],
             (unsigned long long)totals[TOTAL_parked_caches],
             bytes_text((double)totals[TOTAL_cache_bytes], text[0]),
             totals[TOTAL_cache_bytes_max] != 0
                 ? bytes_text((double)totals[TOTAL_cache_bytes_max], text[1])
                 : "no bound",
             short_number((double)totals[TOTAL_large_allocs], 1000, text[2]),
             short_number(view->rates.large, 1000, text[3]));
}

static void draw_help(void)
{
    static const char *const lines[] = {
        "s         sorts the pools by the next column",
        "arrows    choose a pool; Page Up and Page Down, too",
        "Enter     shows the chosen pool's last minutes",
        "t         shows the threads",
        "p         pauses, and goes on",
        "T         asks the process to trim, if it allowed that (MB_EXPORT=trim)",
        "h         shows this",
        "q         ends mbstat",
        "Esc       goes back to the pools",
        "",
        "size: the largest request that the pool serves. live, cache, centr, sort, back:",
        "bytes of live objects, cached by threads, in the centre, sorted free slots, and",
        "given back to the kernel. refl, flsh: magazines moved between threads and the",
        "centre. retr: failed compare-and-swaps. wait: waits for the pool's lock. mag.:",
        "slots of a magazine. in use: live bytes of what is committed, in percent.",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        mvaddnstr(HEAD_LINES + (int)i, 0, lines[i], COLS > 1 ? COLS - 1 : 1);
    }
}

void draw_view(struct view *view)
{
    erase();
    draw_head(view);
    switch (view->screen) {
    case SCREEN_POOLS: draw_pools(view); break;
    case SCREEN_POOL: draw_one_pool(view); break;
    case SCREEN_THREADS: draw_threads(view); break;
    case SCREEN_HELP: draw_help(); break;
    }
    if (LINES > 1) {
        attron(A_REVERSE);
        mvaddnstr(LINES - 1, 0,
                  view->note != NULL ? view->note
                                     : "s sort  Enter pool  t threads  p pause  T trim  h help"
                                       "  q quit",
                  COLS > 1 ? COLS - 1 : 1);
        attroff(A_REVERSE);
    }
    refresh();
}
