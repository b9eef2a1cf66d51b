/*
 * next_symbol: the functions of others behind the drop-in.
 *
 * Ladder: above base. Callers: all of dropin/ that ends in another library's function.
 */
#ifndef MEMORYBUCKET_DROPIN_NEXT_SYMBOL_H
#define MEMORYBUCKET_DROPIN_NEXT_SYMBOL_H

#include "core/base.h"

/*
 * The function of this name behind ours in link order; NULL when there is none. Also where a library in
 * front of ours has a dlsym of its own: what is next for that one is ours, and then it is the C library's.
 * May allocate, and takes the loader's lock.
 */
void *mbi_next_symbol(const char *name);

#endif
