/*
 * insight: the public calls by which a process shows its statistics to others.
 *
 * Ladder: above insight/.
 */
#include "memorybucket/memorybucket.h"

#include "core/lock.h"
#include "core/os.h"
#include "insight/export.h"
#include "insight/format.h"
#include "insight/snapshot_take.h"
#include "tcache/startup.h"

#include <errno.h>

static int write_to(void *fd, const char *text, size_t bytes)
{
    return mbi_os_write_all(*(const int *)fd, text, bytes) ? 0 : -errno;
}

int mb_stats_write(int fd, enum mb_stats_format format)
{
    if ((unsigned)format > MB_STATS_PROMETHEUS) {
        return -EINVAL;
    }
    int saved_errno = errno;
    struct snapshot_room *room = mbi_os_map(sizeof *room);
    if (room == NULL) {
        errno = saved_errno;
        return -ENOMEM;
    }
    (void)mbi_snapshot_take(room, false);
    uint64_t *totals = room->snapshot.totals;
    totals[TOTAL_published_ns] = mbi_os_clock_ns();
    totals[TOTAL_process_resident_bytes] = mbi_snapshot_own_resident_bytes();
    struct snapshot_owner owner;
    mbi_snapshot_own(&owner);
    struct cancelling cancelling = mbi_lock_forbid_cancel();
    int error = mbi_format_write(&room->snapshot, &owner, totals[TOTAL_published_ns], format,
                                 write_to, &fd);
    mbi_lock_allow_cancel(cancelling);
    mbi_os_unreserve(room, sizeof *room);
    errno = saved_errno;
    return error;
}

int mb_export_start(int trim_allowed)
{
    return mbi_startup_patiently() == -EAGAIN ? -EAGAIN : mbi_export_start(trim_allowed != 0);
}

void mb_export_stop(void)
{
    mbi_export_stop();
}
