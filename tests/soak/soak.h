/*
 * soak: what the files of the soak test share: the day, the cast, the events and the record.
 *
 *   soak.c     the days, one after the other, and the verdict; the main thread, "director"
 *   stage.c    the turns of the day, which all threads keep to, and the mail between them
 *   cast.c     the threads that live as long as the test
 *   events.c   what the director does between: storms of threads, forks, limits, trims
 *   record.c   the figures over time, and whether they are flat
 */
#ifndef MEMORYBUCKET_TESTS_SOAK_SOAK_H
#define MEMORYBUCKET_TESTS_SOAK_SOAK_H

#include "object.h"

#include <signal.h>

/* Sanitizers take ten times the time and the memory. */
enum { SCALE = TEST_IS_SANITIZED ? 10 : 1 };

enum {
    WORKERS = 4,
    FREERS = 2,
    SLEEPERS = 4,
    CAST = WORKERS + FREERS + SLEEPERS,
    STORM_THREADS = TEST_IS_SANITIZED ? 8 : 48,
    LONG_LIVED = 4000 / SCALE,
    SHORT_LIVED_MAX = 16000 / SCALE,
    BURST_BYTES = (24 << 20) / SCALE, /* of each worker */
    BURST_OBJECTS_MAX = BURST_BYTES / 256 + 1,
};

/* A part of the day, with the sizes that its requests have and what the workers keep. */
struct phase {
    const char *name;
    unsigned share_percent;   /* of the day's time */
    unsigned workers;         /* that are awake */
    size_t size_low;
    size_t size_high;
    unsigned short_lived;     /* objects that each worker keeps for moments */
    unsigned replaced;        /* long-lived objects that each worker replaces, whatever the time */
    bool burst;               /* to the day's peak */
    unsigned large_per_1000;  /* requests for the system allocator */
    unsigned pause_us;        /* after each piece of work */
    const char *events;       /* spread over the phase; see events.c */
};

enum { PHASES = 7 };
extern const struct phase soak_phases[PHASES];

/* The tallies: of the director, the cast, and the threads of a storm. */
enum { TALLIES = 1 + CAST + STORM_THREADS };
extern struct tally soak_tallies[TALLIES];
extern struct actor soak_director;

/* Set by SIGINT and SIGTERM. */
extern volatile sig_atomic_t soak_interrupted;

/* A generator for each actor, told apart by a number. */
struct actor actor_of(size_t tally, uint64_t number);

/*
 * stage.c. A turn is a phase or, every PHASES + 1 turns, the quiet, when the whole cast rests. A
 * thread may be in one turn still when the director is in the next.
 */
struct turn {
    unsigned number;
    const struct phase *phase; /* NULL: quiet */
    double start;              /* as seconds_now */
    double seconds;
};
const struct phase *phase_of_turn(unsigned number);
unsigned stage_turn_now(void);
void stage_set_turn(unsigned number, double seconds);
void stage_wait_until_all_rest(void);
void stage_end(void);

/* For the cast: the turn at the start; whether it goes on; sleeping until it is over. */
struct turn stage_first_turn(void);
bool turn_goes_on(const struct turn *turn);
bool stage_wait(struct turn *turn); /* sets it to the next; false when the test ends */

/* Objects that somebody else shall free. False when there is no room. */
bool mail_post(struct object *object);
size_t mail_fetch(struct object *objects, size_t count);

/* cast.c, for the director. */
void cast_start(void);                /* the first turn is quiet */
void cast_to_quiet(unsigned day);     /* returns when all rest; one worker is a new thread then */
uint64_t cast_check_long_lived(void); /* at quiet: their patterns; how many there are */
void cast_end(void);                  /* from quiet: all is freed, and the threads are joined */
void mail_drop_all(void);

/* events.c, for the director alone. */
void event_run(char event, const struct phase *phase);
void event_limit_at_rest(void);      /* at quiet: a limit holds to the byte */
void event_trim_at_rest(void);       /* at quiet */
void events_forbid_refusals(void);   /* at quiet: requests must succeed again */
uint64_t events_check_legacy(void);  /* patterns of what storms left behind; how many there are */
void events_drop_legacy(void);
void events_print(void);

/* record.c */
void record_start(const char *path);  /* a TSV; NULL: no file */
void record_sample(unsigned day);     /* a line at once, besides those at each half second */
void record_day(unsigned day);        /* at quiet: what is compared with the other days */
void record_end(void);
uint64_t known_live_objects(void);    /* in the pools, by the tallies */
void check_known_live(void);          /* at quiet: that statistics say the same, class by class */
bool record_is_flat(void);            /* prints what it finds */

double seconds_now(void);

#endif
