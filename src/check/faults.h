/*
 * faults: the patterns that checked mode writes into memory, damage to them, and pointers that are
 * no object's.
 *
 * Ladder: above report and annotate. Callers: check.c, home.c and heap.c, with copies of the
 * ledger's entries; without a lock where it reports. A report may end the process.
 */
#ifndef MEMORYBUCKET_CHECK_FAULTS_H
#define MEMORYBUCKET_CHECK_FAULTS_H

#include "check/ledger.h"
#include "check/stacks.h"

/* What fills the room behind an object, and a freed object: odd, and no address if read as one. */
enum { CANARY_BYTE = 0xCB, FREED_BYTE = 0xDF };

/* Fill the room behind an object, and all of a freed object. */
void mbi_faults_set_canary(const struct object *object);
void mbi_faults_poison(const struct object *object);

/* The first byte of a pattern that has changed. */
struct damage {
    size_t at; /* from the object's start */
    unsigned char value;
};

/* Looks behind a live object, or at a freed one that was filled. False without damage, and for an
 * object that was reported. */
bool mbi_faults_find_damage(const struct object *object, struct damage *damage);

/* `doing`: what the calling thread does to the object. */
void mbi_faults_report_damage(const struct object *object, const struct damage *damage,
                              const char *doing, const struct stack *now);

/* What a program wants of a pointer. */
enum use { USE_FREE, USE_MEASURE /* its usable size */ };

/*
 * Reports a pointer that the ledger does not know. False, and no report, when it may be the system
 * allocator's. `near`: an object that it points into or beside, or NULL.
 */
bool mbi_faults_report_invalid(const void *pointer, enum use use, const struct object *near,
                               const struct stack *now);

#endif
