/*
 * faults: what checked mode writes into memory, finds changed in it, and says about it.
 *
 * Ladder: above report and annotate. Callers: check.c, place.c and heap.c. Reports are written
 * without any lock, from copies of the ledger's entries.
 */
#ifndef MEMORYBUCKET_CHECK_FAULTS_H
#define MEMORYBUCKET_CHECK_FAULTS_H

#include "check/ledger.h"
#include "check/stacks.h"

/* What lies behind an object, and in one that was freed: odd, and no address when read as one. */
enum { CANARY_BYTE = 0xCB, FREED_BYTE = 0xDF };

/* The first byte of an object, or behind it, that is not what it was. */
struct damage {
    size_t at; /* from the object's start */
    unsigned char value;
};

/* Fills what lies behind the object, and looks whether it has changed. */
void mbi_faults_set_canary(const struct object *object);
bool mbi_faults_find_overflow(const struct object *object, struct damage *damage);

/* Fills all of an object that is freed; looks whether that has changed, if it was filled. */
void mbi_faults_poison(const struct object *object);
bool mbi_faults_find_written(const struct object *object, struct damage *damage);

/* Each writes one report, and returns only where the program shall go on. */
void mbi_faults_report_overflow(const struct object *object, const struct damage *damage,
                                const struct stack *now, const char *when);
void mbi_faults_report_written(const struct object *object, const struct damage *damage,
                               const struct stack *now);
void mbi_faults_report_double_free(const struct object *object, const struct stack *now);
void mbi_faults_report_size(const struct object *object, size_t said_bytes,
                            const struct stack *now);

void mbi_faults_report_measured(const struct object *object, const struct stack *now);

/* What a program wants of a pointer. */
enum use { USE_FREE, USE_MEASURE /* its usable size */ };

/*
 * A pointer that the ledger does not know: reports why it cannot be used so, and returns true where
 * the program goes on; false when it may be the system allocator's. `near`: an object that it
 * lies in or beside, or NULL.
 */
bool mbi_faults_report_invalid(const void *pointer, enum use use, const struct object *near,
                               const struct stack *now);

#endif
