/*
 * turns: runs a list of steps in several threads, either one by one in the order of the list, or
 * all threads at once, each with its own steps in their order.
 *
 * Needs only C11 and POSIX, because failing programs are printed with this text in front of them.
 * One by one, thread 0 is the caller, and what the library does is the same at each run: threads
 * wait while another has its turn, and keep what they have cached. A step that is the `last` of its
 * thread ends it; the next step with that number starts a new one.
 */
#ifndef MEMORYBUCKET_TESTS_PROPERTY_TURNS_H
#define MEMORYBUCKET_TESTS_PROPERTY_TURNS_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum { TURNS_THREADS_MAX = 8 };

struct step {
    unsigned thread;
    bool last;
    void (*run)(const void *argument);
    const void *argument;
};

/* One thread. The caller writes before `go`, and reads after `done`. */
struct turns_worker {
    sem_t go;
    sem_t done;
    pthread_t thread;
    bool alive;
    unsigned number;
    const struct step *next; /* NULL: end */
    const struct step *end;  /* of the whole list */
};

static inline void turns_start(pthread_t *thread, void *(*function)(void *), void *argument)
{
    if (pthread_create(thread, NULL, function, argument) != 0) {
        perror("pthread_create");
        abort();
    }
}

static inline void turns_wait(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0) { /* a signal */
    }
}

/* Steps of one thread that follow each other take one turn. */
static inline const struct step *turns_run_while_same(const struct step *step,
                                                      const struct step *end)
{
    unsigned thread = step->thread;
    bool last = false;
    for (; step < end && step->thread == thread && !last; step++) {
        last = step->last && thread != 0;
        step->run(step->argument);
    }
    return step;
}

static inline void *turns_work(void *argument)
{
    struct turns_worker *worker = argument;
    bool last = false;
    while (!last) {
        turns_wait(&worker->go);
        if (worker->next == NULL) {
            break;
        }
        worker->next = turns_run_while_same(worker->next, worker->end);
        last = worker->next[-1].last;
        worker->alive = !last;
        sem_post(&worker->done);
    }
    return NULL;
}

static inline const struct step *turns_give(struct turns_worker *worker, const struct step *step,
                                            const struct step *end)
{
    if (!worker->alive) {
        sem_init(&worker->go, 0, 0);
        sem_init(&worker->done, 0, 0);
        worker->alive = true;
        turns_start(&worker->thread, turns_work, worker);
    }
    worker->next = step;
    worker->end = end;
    sem_post(&worker->go);
    turns_wait(&worker->done);
    if (!worker->alive) {
        pthread_join(worker->thread, NULL);
    }
    return worker->next;
}

static inline void turns_run_one_by_one(const struct step *steps, size_t count)
{
    struct turns_worker workers[TURNS_THREADS_MAX] = { { .alive = false } };
    const struct step *end = steps + count;
    for (const struct step *step = steps; step < end;) {
        step = step->thread == 0 ? turns_run_while_same(step, end)
                                 : turns_give(&workers[step->thread], step, end);
    }
    for (size_t i = 1; i < TURNS_THREADS_MAX; i++) {
        if (workers[i].alive) {
            workers[i].next = NULL;
            sem_post(&workers[i].go);
            pthread_join(workers[i].thread, NULL);
        }
    }
}

/* One life of a thread that runs at once with others: until its last step. */
static inline void *turns_live(void *argument)
{
    struct turns_worker *worker = argument;
    bool last = false;
    for (; worker->next < worker->end && !last; worker->next++) {
        if (worker->next->thread == worker->number) {
            last = worker->next->last;
            worker->next->run(worker->next->argument);
        }
    }
    return NULL;
}

/* Starts a thread's lives, one after the other. */
static inline void *turns_keep(void *argument)
{
    struct turns_worker *worker = argument;
    while (worker->next < worker->end) {
        pthread_t life;
        turns_start(&life, turns_live, worker);
        pthread_join(life, NULL);
    }
    return NULL;
}

static inline void turns_run_at_once(const struct step *steps, size_t count)
{
    struct turns_worker workers[TURNS_THREADS_MAX];
    for (unsigned i = 0; i < TURNS_THREADS_MAX; i++) {
        workers[i] = (struct turns_worker){ .number = i, .next = steps, .end = steps + count };
        turns_start(&workers[i].thread, turns_keep, &workers[i]);
    }
    for (unsigned i = 0; i < TURNS_THREADS_MAX; i++) {
        pthread_join(workers[i].thread, NULL);
    }
}

#endif
