/* cgroup: limits of v1, v2 and hybrid trees, of ancestors and containers, and of what is broken. */
#include "core/cgroup.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NO_BYTES SIZE_MAX
#define NO_PROCESSORS UINT_MAX

/* One tree for each test, each of which is a process of its own. */
static char root[64];
static char membership[128];
static char mounts[128];
static const struct cgroup_places places = { membership, mounts };

static void make_tree(void)
{
    snprintf(root, sizeof root, "/tmp/memorybucket-cgroup.XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    snprintf(membership, sizeof membership, "%s/self", root);
    snprintf(mounts, sizeof mounts, "%s/mounts", root);
    cr_assert_eq(mkdir(mounts, 0755), 0);
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status, (void)kind, (void)place;
    return remove(path);
}

static void remove_tree(void)
{
    nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file, "%s", path);
    fputs(text, file);
    fclose(file);
}

static void set_membership(const char *text)
{
    write_file(membership, text);
}

/* A file below the mounts, with the directories that lead to it. */
static void set_file(const char *name, const char *text)
{
    char path[2048];
    snprintf(path, sizeof path, "%s/%s", mounts, name);
    for (char *slash = path + strlen(mounts) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(path, 0755);
        *slash = '/';
    }
    write_file(path, text);
}

static void expect(size_t bytes, unsigned processors)
{
    size_t seen_bytes = mbi_cgroup_memory_bytes_in(&places);
    unsigned seen_processors = mbi_cgroup_processors_in(&places);
    cr_assert_eq(seen_bytes, bytes, "%zu bytes, not %zu", seen_bytes, bytes);
    cr_assert_eq(seen_processors, processors, "%u processors, not %u", seen_processors, processors);
}

TestSuite(cgroup, .init = make_tree, .fini = remove_tree);

Test(cgroup, v2_smallest_of_group_and_ancestors)
{
    set_membership("0::/a/b\n");
    set_file("a/b/memory.max", "max\n");
    set_file("a/b/cpu.max", "max 100000\n");
    expect(NO_BYTES, NO_PROCESSORS);

    set_file("a/memory.max", "1073741824\n");
    set_file("a/cpu.max", "150000 100000\n");
    expect((size_t)1 << 30, 2);

    set_file("a/b/memory.max", "536870912\n");
    set_file("a/b/cpu.max", "300000 100000\n");
    expect((size_t)1 << 29, 2);

    set_file("memory.max", "4096\n");
    set_file("cpu.max", "1000 100000\n");
    expect(4096, 1);
}

Test(cgroup, quotas_are_rounded_up)
{
    static const struct {
        const char *text;
        unsigned processors;
    } quotas[] = {
        { "1 100000\n", 1 },      { "100000 100000\n", 1 }, { "100001 100000\n", 2 },
        { "200000 100000\n", 2 }, { "25000 10000\n", 3 },   { "12800000 100000\n", 128 },
        { "0 100000\n", 1 },      { "18446744073709551615 1\n", NO_PROCESSORS },
    };
    set_membership("0::/\n");
    for (size_t i = 0; i < sizeof quotas / sizeof quotas[0]; i++) {
        set_file("cpu.max", quotas[i].text);
        expect(NO_BYTES, quotas[i].processors);
    }
}

Test(cgroup, v1_smallest_of_group_and_ancestors)
{
    set_membership("12:memory:/x/y\n5:cpu,cpuacct:/x\n1:name=systemd:/z\n");
    set_file("memory/x/y/memory.limit_in_bytes", "9223372036854771712\n");
    set_file("memory/memory.limit_in_bytes", "9223372036854710272\n"); /* pages of 64 KiB */
    set_file("cpu/x/cpu.cfs_quota_us", "-1\n");
    set_file("cpu/x/cpu.cfs_period_us", "100000\n");
    expect(NO_BYTES, NO_PROCESSORS);

    set_file("memory/x/memory.limit_in_bytes", "104857600\n");
    set_file("cpu/cpu.cfs_quota_us", "350000\n");
    set_file("cpu/cpu.cfs_period_us", "100000\n");
    expect(104857600, 4);
}

Test(cgroup, v1_controllers_mounted_together)
{
    set_membership("5:cpu,cpuacct:/x\n");
    set_file("cpu,cpuacct/x/cpu.cfs_quota_us", "50000\n");
    set_file("cpu,cpuacct/x/cpu.cfs_period_us", "20000\n");
    expect(NO_BYTES, 3);
}

Test(cgroup, a_controller_is_where_the_membership_says)
{
    set_membership("3:cpuset:/\n2:name=memory:/\n1:memory_extra,xmemory:/\n0::/g\n");
    set_file("memory/memory.limit_in_bytes", "4096\n");
    set_file("cpu/cpu.cfs_quota_us", "100000\n");
    set_file("cpu/cpu.cfs_period_us", "100000\n");
    expect(NO_BYTES, NO_PROCESSORS);
    set_file("g/memory.max", "8192\n");
    set_file("g/cpu.max", "500000 100000\n");
    expect(8192, 5);
}

Test(cgroup, hybrid)
{
    set_membership("4:memory:/m\n0::/u\n");
    set_file("memory/m/memory.limit_in_bytes", "65536\n");
    set_file("unified/u/memory.max", "4096\n"); /* v1 has the controller: not looked at */
    set_file("unified/u/cpu.max", "700000 100000\n");
    expect(65536, 7);
}

Test(cgroup, a_path_that_is_not_below_the_mount_comes_down_to_the_mount)
{
    set_membership("4:memory:/docker/0123abcd\n0::/docker/0123abcd\n");
    set_file("memory/memory.limit_in_bytes", "65536\n");
    set_file("cpu.max", "200000 100000\n");
    expect(65536, 2);

    set_file("../memory.max", "1\n");
    set_file("../elsewhere/memory.max", "1\n");
    set_file("memory.max", "4096\n");
    static const char *const outside[] = { "0::/..\n", "0::/../elsewhere\n", "0::/a/../..\n",
                                           "0::/a/b/..\n" };
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        set_membership(outside[i]);
        expect(4096, 2);
    }
    set_file("..a/...b/memory.max", "2048\n");
    set_membership("0::/..a/...b\n");
    expect(2048, 2);
}

Test(cgroup, slashes_and_colons_in_paths)
{
    set_file("a:b/c/memory.max", "8192\n");
    set_file("memory.max", "65536\n");
    set_membership("0::/a:b/c\n");
    expect(8192, NO_PROCESSORS);
    set_membership("0::/a:b//c///\n");
    expect(8192, NO_PROCESSORS);
    set_membership("0::/a:b/c (deleted)"); /* and no newline */
    expect(65536, NO_PROCESSORS);
    set_membership("0:://\n");
    expect(65536, NO_PROCESSORS);
}

Test(cgroup, memory_that_cannot_be_understood_sets_no_limit)
{
    static const char *const garbage[] = { "",        "\n",      "-1\n",  "12x\n",
                                           "0x1000",  " 4096\n", "1 2\n", "nan",
                                           "4096\n5\n", "\xff\xfe", "99999999999999999999999\n" };
    set_membership("0::/\n");
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        set_file("memory.max", garbage[i]);
        expect(NO_BYTES, NO_PROCESSORS);
    }
    set_file("memory.max", "18446744073709551615\n");
    expect(NO_BYTES, NO_PROCESSORS);
    set_file("memory.max", "4096");
    expect(4096, NO_PROCESSORS);
}

Test(cgroup, quotas_that_cannot_be_understood_set_no_limit)
{
    static const char *const garbage[] = { "",         "\n",        "100000\n",  "100000 0\n",
                                           "100000 -1", "x 100000",  "1x 100000", "100000 x\n",
                                           "100000 1 1", " 1 100000" };
    set_membership("0::/\n");
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        set_file("cpu.max", garbage[i]);
        expect(NO_BYTES, NO_PROCESSORS);
    }
    set_membership("1:cpu:/\n");
    set_file("cpu/cpu.cfs_quota_us", "100000\n");
    expect(NO_BYTES, NO_PROCESSORS);
    set_file("cpu/cpu.cfs_period_us", "0\n");
    expect(NO_BYTES, NO_PROCESSORS);
}

Test(cgroup, memberships_that_cannot_be_understood_set_no_limit)
{
    static const char *const garbage[] = { "",       "\n\n\n", "0",         "0:",      "0::",
                                           "0::\n",  "0::a\n", ":::",       "1:cpu",   "\xff\n",
                                           "memory:/", ":memory", "1:memory:", "1:memory" };
    set_file("memory.max", "4096\n");
    set_file("memory/memory.limit_in_bytes", "4096\n");
    expect(NO_BYTES, NO_PROCESSORS);
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        set_membership(garbage[i]);
        expect(NO_BYTES, NO_PROCESSORS);
    }
    set_membership("garbage\n:\n0::/\n");
    expect(4096, NO_PROCESSORS);
    cr_assert_eq(remove(membership), 0);
    cr_assert_eq(mkdir(membership, 0755), 0);
    expect(NO_BYTES, NO_PROCESSORS);
}

/* Whatever the length: either the limit at the mount is found, or none. */
Test(cgroup, long_paths)
{
    static char line[8192];
    set_file("memory.max", "4096\n");
    for (size_t length = 1; length < sizeof line - 8; length += length < 1200 ? 1 : 97) {
        snprintf(line, sizeof line, "0::/");
        memset(line + 4, 'a', length);
        for (size_t i = 4 + 200; i < 4 + length; i += 200) {
            line[i] = '/'; /* names have at most 255 characters */
        }
        snprintf(line + 4 + length, 2, "\n");
        set_membership(line);
        size_t bytes = mbi_cgroup_memory_bytes_in(&places);
        cr_assert(bytes == 4096 || (length > 900 && bytes == NO_BYTES), "length %zu: %zu", length,
                  bytes);
        cr_assert(length < 1100 || bytes == NO_BYTES, "length %zu: %zu", length, bytes);
        cr_assert_eq(mbi_cgroup_processors_in(&places), NO_PROCESSORS);
    }
    char long_mounts[3000];
    memset(long_mounts, 'm', sizeof long_mounts - 1);
    long_mounts[sizeof long_mounts - 1] = '\0';
    struct cgroup_places far = { membership, long_mounts };
    set_membership("0::/\n");
    cr_assert_eq(mbi_cgroup_memory_bytes_in(&far), NO_BYTES);
}

Test(cgroup, the_system_answers)
{
    cr_assert_gt(mbi_cgroup_memory_bytes(), 0);
    cr_assert_geq(mbi_cgroup_processors(), 1);
}

static void *ask_while_cancelled(void *answered)
{
    pthread_cancel(pthread_self());
    mbi_cgroup_memory_bytes();
    mbi_cgroup_processors();
    *(bool *)answered = true;
    pthread_testcancel();
    return NULL;
}

/* It runs inside malloc, which is no cancellation point. */
Test(cgroup, no_cancellation_point)
{
    bool answered = false;
    pthread_t thread;
    void *result;
    cr_assert_eq(pthread_create(&thread, NULL, ask_while_cancelled, &answered), 0);
    pthread_join(thread, &result);
    cr_assert(answered);
    cr_assert_eq(result, PTHREAD_CANCELED);
}
