/*
 * cgroup: how much memory the control groups of this process allow it.
 *
 * Ladder: above os. Caller: startup, when the process has a second thread. Thread safe. May run
 * inside malloc: it allocates nothing and uses little stack. Failed system calls change errno.
 *
 * The memory controller is in one hierarchy only: a v1 one, which /proc/self/cgroup then names, or
 * v2's. Each hierarchy is looked for where it is mounted by convention:
 *
 *     /proc/self/cgroup              v1: "4:memory:/a/b"               v2: "0::/a/b"
 *     the group                      /sys/fs/cgroup/memory/a/b         /sys/fs/cgroup/a/b
 *     its ancestors, to the mount    /sys/fs/cgroup/memory/a           /sys/fs/cgroup/a
 *                                    /sys/fs/cgroup/memory             /sys/fs/cgroup
 *     or else                        /sys/fs/cgroup/CONTROLLERS/...    /sys/fs/cgroup/unified/...
 *
 * A level whose file is missing, or cannot be understood, sets no limit. So a path that does not
 * exist below the mount, as in containers, ends at the mount's own files, the container's.
 */
#ifndef MEMORYBUCKET_CORE_CGROUP_H
#define MEMORYBUCKET_CORE_CGROUP_H

#include "core/base.h"

#define CGROUP_MEMBERSHIP "/proc/self/cgroup"
#define CGROUP_MOUNTS "/sys/fs/cgroup"

/*
 * The smallest memory limit of the process's group and its ancestors; SIZE_MAX without one. The
 * places are those two; tests have their own.
 */
size_t mbi_cgroup_memory_bytes(const char *membership, const char *mounts);

#endif
