/*
 * limit: how much memory the pools have committed together, and how much they may.
 *
 * Ladder: above bounded. Callers: pool and trim charge and give back; the API sets the limit.
 *
 *   taken = bytes that pools made accessible and did not give back
 */
#ifndef MEMORYBUCKET_CORE_LIMIT_H
#define MEMORYBUCKET_CORE_LIMIT_H

#include "core/bounded.h"

/* In bytes; most is the limit. */
extern MBI_HIDDEN struct bounded mbi_committed;

/* A charge of the calling thread was refused, if only in part. The thread itself clears this. */
extern MBI_HIDDEN _Thread_local bool mbi_limit_reached __attribute__((tls_model("initial-exec")));

/* Takes up to `count` units of `unit_bytes` (not 0), as the limit allows; returns how many. */
size_t mbi_limit_charge(size_t count, size_t unit_bytes);

#endif
