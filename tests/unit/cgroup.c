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

/* One tree for each test, each of which is a process of its own. */
static char root[64];
static char membership[128];
static char mounts[128];

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

static void expect(size_t bytes)
{
    size_t seen_bytes = mbi_cgroup_memory_bytes(membership, mounts);
    cr_assert_eq(seen_bytes, bytes, "%zu bytes, not %zu", seen_bytes, bytes);
}

TestSuite(cgroup, .init = make_tree, .fini = remove_tree);

Test(cgroup, v2_smallest_of_group_and_ancestors)
{
    set_membership("0::/a/b\n");
    set_file("a/b/memory.max", "max\n");
    expect(NO_BYTES);

    set_file("a/memory.max", "1073741824\n");
    expect((size_t)1 << 30);

    set_file("a/b/memory.max", "536870912\n");
    expect((size_t)1 << 29);

    set_file("memory.max", "4096\n");
    expect(4096);
}

Test(cgroup, v1_smallest_of_group_and_ancestors)
{
    set_membership("12:memory:/x/y\n5:cpu,cpuacct:/x\n1:name=systemd:/z\n");
    set_file("memory/x/y/memory.limit_in_bytes", "9223372036854771712\n");
    set_file("memory/memory.limit_in_bytes", "9223372036854710272\n"); /* pages of 64 KiB */
    expect(NO_BYTES);

    set_file("memory/x/memory.limit_in_bytes", "104857600\n");
    expect(104857600);
}

Test(cgroup, v1_controllers_mounted_together)
{
    set_membership("5:hugetlb,memory:/x\n");
    set_file("hugetlb,memory/x/memory.limit_in_bytes", "8192\n");
    expect(8192);
}

Test(cgroup, a_controller_is_where_the_membership_says)
{
    set_membership("3:cpuset:/\n2:name=memory:/\n1:memory_extra,xmemory:/\n0::/g\n");
    set_file("memory/memory.limit_in_bytes", "4096\n");
    expect(NO_BYTES);
    set_file("g/memory.max", "8192\n");
    expect(8192);
}

Test(cgroup, hybrid)
{
    set_membership("4:memory:/m\n0::/u\n");
    set_file("memory/m/memory.limit_in_bytes", "65536\n");
    set_file("unified/u/memory.max", "4096\n"); /* v1 has the controller: not looked at */
    expect(65536);
    set_membership("4:cpu:/m\n0::/u\n");
    expect(4096);
}

Test(cgroup, a_path_that_is_not_below_the_mount_comes_down_to_the_mount)
{
    set_membership("4:memory:/docker/0123abcd\n0::/docker/0123abcd\n");
    set_file("memory/memory.limit_in_bytes", "65536\n");
    expect(65536);

    set_file("../memory.max", "1\n");
    set_file("../elsewhere/memory.max", "1\n");
    set_file("memory.max", "4096\n");
    static const char *const outside[] = { "0::/..\n", "0::/../elsewhere\n", "0::/a/../..\n",
                                           "0::/a/b/..\n" };
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        set_membership(outside[i]);
        expect(4096);
    }
    set_file("..a/...b/memory.max", "2048\n");
    set_membership("0::/..a/...b\n");
    expect(2048);
}

Test(cgroup, slashes_and_colons_in_paths)
{
    set_file("a:b/c/memory.max", "8192\n");
    set_file("memory.max", "65536\n");
    set_membership("0::/a:b/c\n");
    expect(8192);
    set_membership("0::/a:b//c///\n");
    expect(8192);
    set_membership("0::/a:b/c (deleted)"); /* and no newline */
    expect(65536);
    set_membership("0:://\n");
    expect(65536);
}

Test(cgroup, memory_that_cannot_be_understood_sets_no_limit)
{
    static const char *const garbage[] = { "",        "\n",      "-1\n",  "12x\n",
                                           "0x1000",  " 4096\n", "1 2\n", "nan",
                                           "4096\n5\n", "\xff\xfe", "99999999999999999999999\n" };
    set_membership("0::/\n");
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        set_file("memory.max", garbage[i]);
        expect(NO_BYTES);
    }
    set_file("memory.max", "18446744073709551615\n");
    expect(NO_BYTES);
    set_file("memory.max", "4096");
    expect(4096);
}

Test(cgroup, memberships_that_cannot_be_understood_set_no_limit)
{
    static const char *const garbage[] = { "",       "\n\n\n", "0",         "0:",      "0::",
                                           "0::\n",  "0::a\n", ":::",       "1:cpu",   "\xff\n",
                                           "memory:/", ":memory", "1:memory:", "1:memory" };
    set_file("memory.max", "4096\n");
    set_file("memory/memory.limit_in_bytes", "4096\n");
    expect(NO_BYTES);
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        set_membership(garbage[i]);
        expect(NO_BYTES);
    }
    set_membership("garbage\n:\n0::/\n");
    expect(4096);
    cr_assert_eq(remove(membership), 0);
    cr_assert_eq(mkdir(membership, 0755), 0);
    expect(NO_BYTES);
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
        size_t bytes = mbi_cgroup_memory_bytes(membership, mounts);
        cr_assert(bytes == 4096 || (length > 900 && bytes == NO_BYTES), "length %zu: %zu", length,
                  bytes);
        cr_assert(length < 1100 || bytes == NO_BYTES, "length %zu: %zu", length, bytes);
    }
    char long_mounts[3000];
    memset(long_mounts, 'm', sizeof long_mounts - 1);
    long_mounts[sizeof long_mounts - 1] = '\0';
    set_membership("0::/\n");
    cr_assert_eq(mbi_cgroup_memory_bytes(membership, long_mounts), NO_BYTES);
}

Test(cgroup, the_system_answers)
{
    cr_assert_gt(mbi_cgroup_memory_bytes(CGROUP_MEMBERSHIP, CGROUP_MOUNTS), 0);
}

static void *ask_while_cancelled(void *answered)
{
    pthread_cancel(pthread_self());
    mbi_cgroup_memory_bytes(CGROUP_MEMBERSHIP, CGROUP_MOUNTS);
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
