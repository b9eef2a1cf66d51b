/* mbstat_view: keys, readings, and the terminal from newterm to endwin. */
#include "cli/mbstat_view.h"

#include "cli/mbstat_draw.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <ncurses.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ESCAPE = 27 };

static volatile sig_atomic_t ended_by;

static void end_by_signal(int signal_number)
{
    ended_by = signal_number;
}

static void choose(struct view *view, long step)
{
    if (view->screen == SCREEN_THREADS) {
        view->first = step < 0 && view->first < (size_t)-step ? 0 : view->first + (size_t)step;
    } else if (view->screen != SCREEN_HELP && view->rows != 0) {
        long place = (long)draw_place_of_chosen(view) + step;
        long last = (long)view->rows - 1;
        view->chosen = view->order[place < 0 ? 0 : place > last ? last : place];
    }
}

static void show_screen(struct view *view, enum page screen)
{
    view->screen = view->screen == screen ? SCREEN_POOLS : screen;
    view->first = 0;
    if (view->screen == SCREEN_POOLS || view->screen == SCREEN_POOL) {
        draw_order_pools(view);
    }
}

static const char *trim(const struct view *view)
{
    if (!source_may_trim(view->source)) {
        return "the process does not allow it: MB_EXPORT=trim does";
    }
    return source_ask_trim(view->source) ? "asked: it trims on its next slow path"
                                         : "the file cannot be written";
}

/* False: end. */
static bool take_key(struct view *view, int key)
{
    long page = (long)draw_row_lines();
    view->note = NULL;
    switch (key) {
    case 'q': return false;
    case 's': view->sort = (view->sort + 1) % COLUMNS; break;
    case KEY_UP: case 'k': choose(view, -1); break;
    case KEY_DOWN: case 'j': choose(view, 1); break;
    case KEY_PPAGE: choose(view, -page); break;
    case KEY_NPAGE: choose(view, page); break;
    case KEY_ENTER: case '\n': case '\r': show_screen(view, SCREEN_POOL); break;
    case 't': show_screen(view, SCREEN_THREADS); break;
    case 'h': case '?': show_screen(view, SCREEN_HELP); break;
    case ESCAPE: show_screen(view, SCREEN_POOLS); break;
    case 'p': view->paused = !view->paused; break;
    case 'T': view->note = trim(view); break;
    default: break;
    }
    return true;
}

/* Takes keys until the next reading is due; false: end. */
static bool wait_with_keys(struct view *view, double interval_s)
{
    uint64_t due_ns = source_now_ns() + (uint64_t)(interval_s * 1e9);
    for (;;) {
        uint64_t now_ns = source_now_ns();
        if (ended_by != 0) {
            return false;
        }
        if (now_ns >= due_ns) {
            return true;
        }
        timeout((int)((due_ns - now_ns) / 1000000) + 1);
        int key = getch();
        if (key != ERR && !take_key(view, key)) {
            return false;
        }
        if (key != ERR) {
            draw_view(view);
        } else if (errno == EIO || (!isatty(STDIN_FILENO) && ended_by == 0)) {
            return false; /* the terminal is gone */
        }
    }
}

static enum source_state take_readings(struct view *view, double interval_s, unsigned long count)
{
    static struct snapshot newest;
    enum source_state state = SOURCE_READ;
    newest = *view->shown;
    for (unsigned long done = 1; state == SOURCE_READ || state == SOURCE_NONE; done++) {
        if (state == SOURCE_READ && !view->paused) {
            *view->shown = newest;
            rates_add(&view->rates, &newest);
        }
        draw_view(view);
        if (!wait_with_keys(view, interval_s) || done == count) {
            return SOURCE_READ;
        }
        state = source_read(view->source, &newest);
    }
    return state;
}

static void catch_signals(void)
{
    static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
    struct sigaction action = { .sa_handler = end_by_signal }; /* no SA_RESTART: ends getch */
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        sigaction(ends[i], &action, NULL);
    }
}

/* A signal ends mbstat as it would have without the view, for shells to see. */
static void end_as_by_signal(void)
{
    if (ended_by != 0) {
        signal(ended_by, SIG_DFL);
        raise(ended_by);
    }
}

int view_run(struct source *source, struct snapshot *snapshot, double interval_s,
             unsigned long count)
{
    struct view *view = calloc(1, sizeof *view);
    setlocale(LC_CTYPE, "");
    SCREEN *terminal = view != NULL ? newterm(NULL, stdout, stdin) : NULL;
    if (terminal == NULL) {
        const char *name = getenv("TERM");
        fprintf(stderr, "mbstat: the terminal TERM=%s is not known; --once needs none\n",
                name != NULL ? name : "");
        free(view);
        return EXIT_FAILURE;
    }
    catch_signals();
    view->source = source;
    view->shown = snapshot;
    view->blocks = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    set_escdelay(50);
    (void)curs_set(0);
    enum source_state state = take_readings(view, interval_s, count);
    /* Where the terminal has no second screen, the shell goes on in the last line. */
    move(LINES - 1, 0);
    clrtoeol();
    refresh();
    endwin();
    delscreen(terminal);
    free(view);
    end_as_by_signal();
    source_say(source, state);
    return state == SOURCE_READ ? EXIT_SUCCESS : EXIT_FAILURE;
}
