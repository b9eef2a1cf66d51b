/*
 * upkeep: the public calls that bound what the process holds, and give it back.
 *
 * Ladder: above tcache.
 */
#include "memorybucket/memorybucket.h"

#include "check/check.h"
#include "core/large.h"
#include "core/limit.h"
#include "insight/profile.h"
#include "insight/profile_write.h"
#include "tcache/background.h"
#include "tcache/out_of_memory.h"
#include "tcache/startup.h"

#include <errno.h>

size_t mb_trim(size_t keep_bytes)
{
    if (mbi_startup_patiently() == -EAGAIN) {
        return 0; /* a signal handler interrupted the start */
    }
    size_t bytes = mbi_out_of_memory_trim(keep_bytes);
    (void)mbi_large_give_back();
    return bytes;
}

size_t mb_memory_limit_set(size_t bytes)
{
    (void)mbi_startup_patiently(); /* sets MB_MEMORY_LIMIT */
    size_t before = bounded_set_most(&mbi_committed, bytes != 0 ? bytes : BOUNDED_NONE);
    if (bounded_taken(&mbi_committed) > bounded_most(&mbi_committed)) { /* then the library is up */
        (void)mbi_out_of_memory_trim(0);
    }
    return before != BOUNDED_NONE ? before : 0;
}

void mb_out_of_memory_handler_set(mb_out_of_memory_handler *handler, void *argument)
{
    mbi_out_of_memory_set_handler(handler, argument);
}

void mb_set_out_of_memory_handler(mb_out_of_memory_handler *handler, void *argument)
{
    mb_out_of_memory_handler_set(handler, argument);
}

size_t mb_check_heap(void)
{
    return checked_is_on() ? mbi_heap_check() : 0;
}

int mb_background_start(void)
{
    (void)mbi_startup_patiently();
    return mbi_background_start();
}

void mb_background_stop(void)
{
    mbi_background_stop();
}

void mb_thread_flush(void)
{
    mbi_thread_cache_flush_own();
}

void mb_thread_idle(void)
{
    if (mbi_thread_cache->active) {
        mbi_thread_cache_flush_own();
        flag_set(&mbi_thread_cache->idle, true);
    }
}

void mb_thread_busy(void)
{
    if (mbi_thread_cache->active) {
        flag_set(&mbi_thread_cache->idle, false);
    }
}

int mb_profile_start(size_t mean_bytes)
{
    if (mean_bytes == 0 || mean_bytes > PROFILE_MEAN_MAX) {
        return -EINVAL;
    }
    int error = mbi_startup_patiently();
    return error == 0 ? mbi_profile_start(mean_bytes) : error;
}

void mb_profile_stop(void)
{
    mbi_profile_stop();
}

int mb_profile_dump(int fd)
{
    return mbi_profile_dump(fd);
}
