/*
 * export: publishes the process's statistics in a file of its own (MB_EXPORT, mb_export_start).
 *
 * Ladder: above api/stats. Callers: the API; and slow paths, the background thread, startup and
 * fork through core/upcalls.h.
 *
 * The file is $XDG_RUNTIME_DIR/memorybucket/PID, or without that /dev/shm/memorybucket-UID/PID. It
 * is made at the first publication, and taken away by mb_export_stop and at exit. What a process
 * leaves that is killed, its number and start tell (export_layout.h).
 *
 *   off ──start──> wanted ──poll──> on ──stop──> off
 *                    ^──── fork's child ──┘
 *
 * Off costs a slow path one test of a word that it reads anyway (core/pool.h). On, it reads the
 * coarse clock. A publication walks all thread caches. It is made at most every 100 ms, at first
 * a few times more often, and so seldom that it takes no more than a hundredth of one processor.
 */
#ifndef MEMORYBUCKET_INSIGHT_EXPORT_H
#define MEMORYBUCKET_INSIGHT_EXPORT_H

#include "core/base.h"

/* 0, also where it is on; or a negative errno value. Publishes at once. Once the library is up. */
int mbi_export_start(bool trim_allowed);

/* Takes the file away; nothing where there is none. */
void mbi_export_stop(void);

#endif
