/* os: reservations cost nothing, commits give zeroed memory, residency is what was touched. */
#include "core/os.h"

#include "check.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <unistd.h>

Test(os, reserve_commit_and_count_residency)
{
    if (TEST_IS_EMULATED) {
        return; /* pages without access have no residency there */
    }
    size_t page = mbi_os_page_bytes();
    size_t bytes = (size_t)64 << 20;
    char *start = mbi_os_reserve(bytes);
    cr_assert_not_null(start);
    cr_assert_eq(mbi_os_resident_bytes(start, bytes), 0);

    cr_assert(mbi_os_commit(start + 4 * page, 3000 * page));
    cr_assert_eq(mbi_os_resident_bytes(start, bytes), 0, "committed is not resident");
    for (size_t i = 0; i < 2000; i++) {
        cr_assert_eq(start[(4 + i) * page], 0);
        start[(4 + i) * page] = 1;
    }
    cr_assert_eq(mbi_os_resident_bytes(start, bytes), 2000 * page);
    mbi_os_unreserve(start, bytes);
}

/* At an address of ours, and never over anything. */
Test(os, map_exactly_where_nothing_is)
{
    size_t page = mbi_os_page_bytes();
    char *start = mbi_os_reserve(4 * page);
    errno = 0;
    cr_assert_not(mbi_os_map_at(start + page, page, OS_PAGES_SMALL));
    cr_assert_eq(errno, EEXIST);
    cr_assert_not(mbi_os_reserve_at(start + 2 * page, page));
    cr_assert_eq(errno, EEXIST);
    mbi_os_unreserve(start, 4 * page);

    cr_assert(mbi_os_map_at(start + page, page, OS_PAGES_SMALL));
    cr_assert(mbi_os_reserve_at(start + 2 * page, page));
    cr_assert_eq(start[2 * page - 1], 0);
    start[2 * page - 1] = 1;
    cr_assert_not(mbi_os_map_at(start, 2 * page, OS_PAGES_HUGE), "half of it is mapped");
    cr_assert_not(mbi_os_is_mapped(start));
    cr_assert_eq(start[2 * page - 1], 1);
}

/* An address on the stack has as many bits as the user space. */
Test(os, user_space_and_random_numbers)
{
    int here;
    cr_assert_eq((uintptr_t)&here >> mbi_os_address_bits(), 0);
    cr_assert_neq((uintptr_t)&here >> (mbi_os_address_bits() - 1), 0);
    uint64_t random = mbi_os_random();
    cr_assert(random != mbi_os_random() || random != mbi_os_random());
}

static void leave(int number)
{
    _exit(number == SIGSEGV ? 3 : 4);
}

Test(os, reserved_memory_faults, .exit_code = 3)
{
    char *start = mbi_os_reserve(1 << 20);
    signal(SIGSEGV, leave);
    *(volatile char *)start = 1;
}

Test(os, impossible_requests_fail_with_enomem)
{
    errno = 0;
    cr_assert_null(mbi_os_reserve((size_t)1 << 60));
    cr_assert_eq(errno, ENOMEM);
    cr_assert_null(mbi_os_map((size_t)1 << 60));
}

Test(os, page_size_is_a_power_of_two)
{
    size_t page = mbi_os_page_bytes();
    cr_assert(page >= 4096 && (page & (page - 1)) == 0);
}

Test(os, files_are_read_whole_or_not_at_all)
{
    char path[] = "/tmp/memorybucket-os.XXXXXX";
    char text[8];
    int file = mkstemp(path);
    cr_assert_geq(file, 0);
    cr_assert(mbi_os_read_file(path, text, sizeof text));
    cr_assert_str_eq(text, "");

    cr_assert_eq(write(file, "1234567", 7), 7);
    cr_assert(mbi_os_read_file(path, text, sizeof text));
    cr_assert_str_eq(text, "1234567");

    cr_assert_eq(write(file, "8", 1), 1);
    cr_assert_not(mbi_os_read_file(path, text, sizeof text), "no room for the zero");
    cr_assert_eq(errno, EFBIG);

    int next = dup(file);
    cr_assert_eq(next, file + 1, "a file was left open");
    unlink(path);
    cr_assert_not(mbi_os_read_file(path, text, sizeof text));
    cr_assert_eq(errno, ENOENT);
    cr_assert_not(mbi_os_read_file("/", text, sizeof text));
    cr_assert_eq(errno, EISDIR);
}

Test(os, it_can_tell_what_can_be_read)
{
    size_t page = mbi_os_page_bytes();
    char *start = mbi_os_reserve(page);
    cr_assert_not_null(start);
    errno = 77;
    cr_assert_not(mbi_os_is_readable(start));
    cr_assert(mbi_os_commit(start, page));
    cr_assert(mbi_os_is_readable(start));
    mbi_os_unreserve(start, page);
    cr_assert_not(mbi_os_is_readable(start));
    cr_assert_eq(errno, 77);
}
