/*
 * probes: static tracepoints (USDT) on the slow paths, for perf, bpftrace and SystemTap.
 *
 * Ladder: above base. Callers: pool, trim. docs/profiling.md is the table for users: keep the two
 * alike.
 *
 * A probe is a nop and a note in the ELF file that says where it is and in which registers its
 * arguments are. Until a tracer attaches it costs the nop and what brings the arguments into
 * registers; so there is none on a fast path. Without <sys/sdt.h> (Debian: systemtap-sdt-dev), or
 * with MEMORYBUCKET_NO_PROBES, all of them compile to nothing.
 */
#ifndef MEMORYBUCKET_CORE_PROBES_H
#define MEMORYBUCKET_CORE_PROBES_H

#include "core/base.h"

#if !defined(MEMORYBUCKET_NO_PROBES) && defined(__has_include)
#if __has_include(<sys/sdt.h>)
/* Registers only: perf 6.1 leaves out arguments that are constants or in memory by an index. */
#define STAP_SDT_ARG_CONSTRAINT r
#include <sys/sdt.h>
#define MBI_PROBES 1
#endif
#endif

#ifndef MBI_PROBES
#define DTRACE_PROBE1(provider, name, a) ((void)(a))
#define DTRACE_PROBE2(provider, name, a, b) ((void)(a), (void)(b))
#define DTRACE_PROBE3(provider, name, a, b, c) ((void)(a), (void)(b), (void)(c))
#endif

enum probe_direction { PROBE_REFILL = 0, PROBE_FLUSH = 1 };

/* A transfer that had to be tried again, `retries` times. */
MBI_HOT_INLINE void probe_cas_retry(uint64_t slot_bytes, enum probe_direction direction,
                                    uint64_t retries)
{
    DTRACE_PROBE3(memorybucket, cas_retry, slot_bytes, (uint64_t)direction, retries);
}

/* The pool's mutex was found held; the thread is about to wait for it. */
MBI_HOT_INLINE void probe_mutex_wait(uint64_t slot_bytes)
{
    DTRACE_PROBE1(memorybucket, mutex_wait, slot_bytes);
}

#define MBI_PROBE(name, amount)                                        \
    MBI_HOT_INLINE void probe_##name(uint64_t slot_bytes, uint64_t amount) \
    {                                                                  \
        DTRACE_PROBE2(memorybucket, name, slot_bytes, amount);         \
    }

MBI_PROBE(refill, rounds) /* a batch came from the centre */
MBI_PROBE(flush, rounds)  /* a batch went to the centre */
MBI_PROBE(carve, slots)   /* fresh slots were carved, under the mutex */
MBI_PROBE(commit, bytes)  /* a fresh block was made accessible, under the mutex */
MBI_PROBE(release, bytes) /* free pages went back to the kernel */

#endif
