/* expiry: the server's time, and generations of items. */
#include "expiry.h"

#include <time.h>

enum { RELATIVE_MAX_S = 60 * 60 * 24 * 30 }; /* the protocol: what is larger is Unix time */

static int64_t start_monotonic_s; /* constant after the start, as is start_unix_s */
static int64_t start_unix_s;

/*
 * [GENERATION] relaxed: an item keeps the number that its command began with. A command that runs
 * beside flush_all may see either number; one that begins after its reply sees the new one, as the
 * sockets between the two order that.
 */
static _Atomic uint32_t generation;

/* [FLUSH-AT] relaxed: when a delayed flush_all is due, 0: never; the last one to set it counts. */
static _Atomic uint32_t flush_at_s;

static int64_t monotonic_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec;
}

void expiry_start(void)
{
    start_monotonic_s = monotonic_s() - 2;
    start_unix_s = time(NULL) - 2;
}

uint32_t expiry_now(void)
{
    return (uint32_t)(monotonic_s() - start_monotonic_s);
}

uint32_t expiry_from_protocol(int32_t time, uint32_t now_s)
{
    if (time == 0) {
        return 0;
    }
    if (time < 0 || (time > RELATIVE_MAX_S && time <= start_unix_s)) {
        return 1;
    }
    return time > RELATIVE_MAX_S ? (uint32_t)(time - start_unix_s) : (uint32_t)time + now_s;
}

uint32_t expiry_generation(void)
{
    return atomic_load_explicit(&generation, memory_order_relaxed); /* [GENERATION] */
}

void expiry_flush(uint32_t at_s, uint32_t now_s)
{
    if (at_s > now_s) {
        atomic_store_explicit(&flush_at_s, at_s, memory_order_relaxed); /* [FLUSH-AT] */
        return;
    }
    atomic_store_explicit(&flush_at_s, 0, memory_order_relaxed); /* [FLUSH-AT] */
    atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed); /* [GENERATION] */
}

void expiry_tick(uint32_t now_s)
{
    uint32_t at_s = atomic_load_explicit(&flush_at_s, memory_order_relaxed); /* [FLUSH-AT] */
    if (at_s != 0 && at_s <= now_s) {
        expiry_flush(0, now_s);
    }
}
