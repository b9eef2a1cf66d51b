/*
 * limit: how much memory the pools have committed together, and how much they may.
 *
 * Ladder: above bounded. Callers: pool and trim charge and return; the API sets the limit.
 *
 *   committed = bytes that pools made accessible and did not give back
 *   committed <= bytes_max, unless the limit was set below what was committed already
 */
#ifndef MEMORYBUCKET_CORE_LIMIT_H
#define MEMORYBUCKET_CORE_LIMIT_H

#include "core/base.h"

#define LIMIT_NONE SIZE_MAX

/* Takes `bytes`, not 0, of what is left, or nothing and false. */
bool mbi_limit_charge(size_t bytes);

/* Takes as many of `count` units of `unit_bytes` as are left; how many. */
size_t mbi_limit_charge_some(size_t count, size_t unit_bytes);

void mbi_limit_return(size_t bytes);

/* Whether a charge of the calling thread was refused, wholly or in part, since it last forgot. */
bool mbi_limit_was_reached(void);
void mbi_limit_forget(void);

/* The limit in bytes, LIMIT_NONE without one; set returns the one before. */
size_t mbi_limit_get(void);
size_t mbi_limit_set(size_t bytes_max);

size_t mbi_limit_committed(void);

#endif
