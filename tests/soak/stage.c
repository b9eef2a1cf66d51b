/* stage: the turns that all threads keep to, and the mail between them. */
#include "soak.h"

/* The stage: `turn` is written by the director, under the lock; threads at work poll it. */
static _Atomic unsigned stage_turn;
static double stage_start; /* of the turn; under the lock, as the next ones */
static double stage_seconds;
static bool stage_ends;
static unsigned stage_resting; /* threads, in this turn */
static pthread_mutex_t stage_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t stage_turned = PTHREAD_COND_INITIALIZER;
static pthread_cond_t stage_rests = PTHREAD_COND_INITIALIZER;

const struct phase *phase_of_turn(unsigned turn)
{
    unsigned place = turn % (PHASES + 1);
    return place == 0 ? NULL : &soak_phases[place - 1];
}

unsigned stage_turn_now(void)
{
    return atomic_load_explicit(&stage_turn, memory_order_relaxed); /* [TEST] */
}

void stage_set_turn(unsigned turn, double seconds)
{
    pthread_mutex_lock(&stage_lock);
    stage_start = seconds_now();
    stage_seconds = seconds;
    atomic_store_explicit(&stage_turn, turn, memory_order_relaxed); /* [TEST] */
    stage_resting = 0;
    pthread_cond_broadcast(&stage_turned);
    pthread_mutex_unlock(&stage_lock);
}

static void look_at_turn_locked(struct turn *turn)
{
    turn->number = stage_turn_now();
    turn->phase = phase_of_turn(turn->number);
    turn->start = stage_start;
    turn->seconds = stage_seconds;
}

struct turn stage_first_turn(void)
{
    struct turn turn;
    pthread_mutex_lock(&stage_lock);
    look_at_turn_locked(&turn);
    pthread_mutex_unlock(&stage_lock);
    return turn;
}

bool turn_goes_on(const struct turn *turn)
{
    return stage_turn_now() == turn->number;
}

bool stage_wait(struct turn *turn)
{
    pthread_mutex_lock(&stage_lock);
    if (turn_goes_on(turn) && turn->phase == NULL) {
        stage_resting++;
        pthread_cond_signal(&stage_rests);
    }
    while (turn_goes_on(turn) && !stage_ends) {
        pthread_cond_wait(&stage_turned, &stage_lock);
    }
    look_at_turn_locked(turn);
    bool goes_on = !stage_ends;
    pthread_mutex_unlock(&stage_lock);
    return goes_on;
}

void stage_wait_until_all_rest(void)
{
    pthread_mutex_lock(&stage_lock);
    while (stage_resting < CAST) {
        pthread_cond_wait(&stage_rests, &stage_lock);
    }
    pthread_mutex_unlock(&stage_lock);
}

void stage_end(void)
{
    pthread_mutex_lock(&stage_lock);
    stage_ends = true;
    pthread_cond_broadcast(&stage_turned);
    pthread_mutex_unlock(&stage_lock);
}

static struct {
    pthread_mutex_t lock;
    size_t count;
    struct object objects[4096];
} mailbox = { .lock = PTHREAD_MUTEX_INITIALIZER };

bool mail_post(struct object *object)
{
    pthread_mutex_lock(&mailbox.lock);
    bool posted = mailbox.count < sizeof mailbox.objects / sizeof mailbox.objects[0];
    if (posted) {
        mailbox.objects[mailbox.count++] = *object;
        object->memory = NULL;
    }
    pthread_mutex_unlock(&mailbox.lock);
    return posted;
}

size_t mail_fetch(struct object *objects, size_t count)
{
    pthread_mutex_lock(&mailbox.lock);
    size_t fetched = count < mailbox.count ? count : mailbox.count;
    mailbox.count -= fetched;
    memcpy(objects, &mailbox.objects[mailbox.count], fetched * sizeof *objects);
    pthread_mutex_unlock(&mailbox.lock);
    return fetched;
}
