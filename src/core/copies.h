/*
 * copies: other copies of the library in the same process, whose objects this one may be given.
 *
 * Ladder: above region. Callers: the API, off the fast path; startup.
 *
 * Plugins that contain the archive have a copy each, and a program may free with one what it got
 * from another. Each copy has its place in the address space (core/region.h). The place's first
 * page holds the copy's calls: another copy that is given an object of the place calls them.
 *
 *   a copy that comes up   writes the calls to its page    then [COPY-MAGIC] release
 *   a copy that frees      [COPY-READ] acquire             then calls them
 *
 * A page is never unmapped, so a copy that was found stays; its code must stay as well
 * (-z nodelete). The drop-in writes no page: its objects come to it by malloc's names. Objects of a
 * copy without a place cannot be handed over. In checked mode objects lie anywhere: each copy is
 * asked.
 */
#ifndef MEMORYBUCKET_CORE_COPIES_H
#define MEMORYBUCKET_CORE_COPIES_H

#include "core/region.h"

/* For any pointer that lies in the copy's place, or that the copy says it holds. */
struct copy_calls {
    void (*free)(void *pointer);
    void *(*realloc)(void *pointer, size_t size_bytes);
    size_t (*usable_bytes)(const void *pointer);
    bool (*holds)(const void *pointer); /* by checked mode, wherever it lies */
};

/* From a constructor: other copies' objects may come before the first of our own. */
void mbi_copies_init(const struct copy_calls *own);

/* Writes the page, once the region has its place; under the init lock. */
void mbi_copies_publish(void);

/* The calls of another copy in whose place the address lies; NULL where there is none. */
const struct copy_calls *mbi_copies_find(const void *pointer);

/* The calls of another copy that says it holds an object; NULL when none does. */
const struct copy_calls *mbi_copies_ask(const void *pointer);

#endif
