/*
 * os: mmap, mprotect, madvise, mincore, getrlimit, sysconf, clocks, files, membarrier, futex,
 * random numbers, and where we run.
 */
#include "core/os.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <linux/random.h>
#include <sched.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000 /* Linux 4.17; glibc before 2.27 does not name it */
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; glibc before 2.35 does not name it */
#endif

size_t mbi_os_page_bytes(void)
{
    long bytes = sysconf(_SC_PAGESIZE);
    return bytes > 0 ? (size_t)bytes : 4096;
}

bool mbi_os_allowed_processors(bool of_first_thread, struct processor_set *allowed)
{
    cpu_set_t set;
    _Static_assert(sizeof set == sizeof *allowed, "the C library's sets are as large");
    if (sched_getaffinity(of_first_thread ? getpid() : 0, sizeof set, &set) != 0) {
        return false; /* the kernel's sets are larger */
    }
    memcpy(allowed, &set, sizeof set);
    return true;
}

unsigned mbi_os_processor(void)
{
    return (unsigned)sched_getcpu();
}

static void *map_anywhere(size_t bytes, int protection, int flags)
{
    void *start = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    return start != MAP_FAILED ? start : NULL;
}

void *mbi_os_reserve(size_t bytes)
{
    return map_anywhere(bytes, PROT_NONE, MAP_NORESERVE);
}

void *mbi_os_map(size_t bytes)
{
    return map_anywhere(bytes, PROT_READ | PROT_WRITE, 0);
}

void mbi_os_unreserve(void *start, size_t bytes)
{
    munmap(start, bytes);
}

bool mbi_os_commit(void *start, size_t bytes)
{
    return mprotect(start, bytes, PROT_READ | PROT_WRITE) == 0;
}

enum { MAP_AT_FLAGS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE };

/* Before Linux 4.17 the address is only a hint, and something else may come back. */
static bool is_mapped_at(const void *start, size_t bytes, void *mapped)
{
    if (mapped != MAP_FAILED && mapped != start) {
        munmap(mapped, bytes);
        errno = EEXIST;
    }
    return mapped == start;
}

bool mbi_os_map_at(void *start, size_t bytes, enum os_pages pages)
{
    /* MAP_STACK: no huge pages, from Linux 6.7 on; nothing before. */
    int flags = MAP_AT_FLAGS | (pages == OS_PAGES_SMALL ? MAP_STACK : 0);
    return is_mapped_at(start, bytes, mmap(start, bytes, PROT_READ | PROT_WRITE, flags, -1, 0));
}

bool mbi_os_reserve_at(void *start, size_t bytes)
{
    /* Not mmap: ThreadSanitizer's own ignores an address where it has its shadow. */
    long mapped = syscall(SYS_mmap, start, bytes, PROT_NONE, MAP_AT_FLAGS, -1, (off_t)0);
    return is_mapped_at(start, bytes, (void *)mapped);
}

bool mbi_os_ask_for_pages(void *start, size_t bytes, enum os_pages pages)
{
    return pages == OS_PAGES_AS_SET
           || madvise(start, bytes, pages == OS_PAGES_HUGE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) == 0;
}

/* AT_RANDOM is on the main thread's stack; the caller's own may be anywhere. */
unsigned mbi_os_address_bits(void)
{
    int here;
    uintptr_t top = getauxval(AT_RANDOM);
    return 64U - (unsigned)__builtin_clzll(top != 0 ? top : (uintptr_t)&here);
}

void mbi_os_populate(void *start, size_t bytes)
{
    (void)madvise(start, bytes, MADV_POPULATE_WRITE);
}

MBI_SELDOM void mbi_os_split(void *start, size_t bytes)
{
    /* For its side effect: MADV_DONTNEED of a part leaves the huge page whole. */
    (void)madvise(start, bytes, MADV_FREE);
}

bool mbi_os_release(void *start, size_t bytes)
{
    /* Not MADV_FREE, whose pages count as resident until memory is short, and may hold old data. */
    return madvise(start, bytes, MADV_DONTNEED) == 0;
}

bool mbi_os_seal(void *start, size_t bytes)
{
    /* mbi_os_map_at's flags for small pages: so an unsealed tile is one mapping with the rest. */
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED | MAP_STACK;
    void *sealed = mmap(start, bytes, PROT_READ, flags, -1, 0);
    if (sealed == MAP_FAILED) {
        return false;
    }
    (void)madvise(sealed, bytes, MADV_DONTDUMP);
    (void)madvise(sealed, bytes, MADV_NOHUGEPAGE); /* before Linux 6.7 MAP_STACK does not say so */
    return true;
}

bool mbi_os_unseal(void *start, size_t bytes)
{
    if (!mbi_os_commit(start, bytes)) {
        return false;
    }
    (void)madvise(start, bytes, MADV_DODUMP);
    return true;
}

bool mbi_os_forbid(void *start, size_t bytes)
{
    return mprotect(start, bytes, PROT_NONE) == 0;
}

bool mbi_os_is_mapped(const void *address)
{
    unsigned char in_memory;
    size_t page_bytes = mbi_os_page_bytes();
    uintptr_t page = round_down((uintptr_t)address, page_bytes);
    return mincore((void *)page, page_bytes, &in_memory) == 0;
}

int mbi_os_thread(void)
{
    return (int)syscall(SYS_gettid);
}

unsigned mbi_os_process(void)
{
    return (unsigned)syscall(SYS_getpid);
}

unsigned mbi_os_user(void)
{
    return (unsigned)syscall(SYS_geteuid);
}

void mbi_os_queue_signal(int signal_number, const void *info)
{
    (void)syscall(SYS_rt_tgsigqueueinfo, syscall(SYS_getpid), syscall(SYS_gettid), signal_number,
                  info);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now = { .tv_sec = 0, .tv_nsec = 0 };
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

uint64_t mbi_os_clock_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t mbi_os_coarse_clock_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC_COARSE);
}

uint64_t mbi_os_thread_clock_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

void mbi_os_sleep_ms(unsigned milliseconds)
{
    int saved_errno = errno;
    struct timespec time = { .tv_sec = milliseconds / 1000,
                             .tv_nsec = (long)(milliseconds % 1000) * 1000000 };
    syscall(SYS_nanosleep, &time, NULL);
    errno = saved_errno;
}

/* A finalizer of 64 bits: each bit of the result depends on all of the value (Stafford's Mix13). */
static uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

static MBI_SELDOM uint64_t random_of_time_and_place(void)
{
    int here;
    return mix(mbi_os_clock_ns()) ^ mix((uint64_t)(uintptr_t)&here)
           ^ mix((uint64_t)syscall(SYS_getpid));
}

uint64_t mbi_os_random(void)
{
    uint64_t value = 0;
    long bytes = syscall(SYS_getrandom, &value, sizeof value, GRND_NONBLOCK, 0);
    return bytes == (long)sizeof value ? value : random_of_time_and_place();
}

size_t mbi_os_memory_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    return pages > 0 ? (size_t)pages * mbi_os_page_bytes() : SIZE_MAX;
}

size_t mbi_os_address_space_limit(void)
{
    struct rlimit limit;
    bool limited = getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    return limited ? (size_t)limit.rlim_cur : SIZE_MAX;
}

bool mbi_os_membarrier(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
}

long mbi_os_write(int file, const void *bytes, size_t count)
{
    return syscall(SYS_write, file, bytes, count);
}

bool mbi_os_write_all(int file, const char *text, size_t bytes)
{
    while (bytes != 0) {
        long written = mbi_os_write(file, text, bytes);
        if (written == 0 || (written < 0 && errno != EINTR)) {
            return false;
        }
        size_t taken = written > 0 ? (size_t)written : 0;
        text += taken;
        bytes -= taken;
    }
    return true;
}

void mbi_os_wait(_Atomic uint32_t *word, uint32_t value)
{
    int saved_errno = errno;
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL);
    errno = saved_errno;
}

void mbi_os_wake(_Atomic uint32_t *word, int count)
{
    int saved_errno = errno;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count);
    errno = saved_errno;
}

size_t mbi_os_resident_bytes(const void *start, size_t bytes)
{
    enum { PAGES_PER_CALL = 512 }; /* on the stack, of which there may be little */
    unsigned char in_memory[PAGES_PER_CALL];
    size_t page_bytes = mbi_os_page_bytes();
    size_t resident_pages = 0;
    int saved_errno = errno;

    for (size_t done = 0; done < bytes;) {
        size_t part = size_min(bytes - done, PAGES_PER_CALL * page_bytes);
        /* mincore takes a pointer to non-const, and reads nothing through it. */
        if (mincore((void *)((uintptr_t)start + done), part, in_memory) == 0) {
            for (size_t page = 0; page < part / page_bytes; page++) {
                resident_pages += in_memory[page] & 1U;
            }
        }
        done += part;
    }
    errno = saved_errno;
    return resident_pages * page_bytes;
}

static int open_to_read(const char *path)
{
    int file;
    do {
        file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    } while (file < 0 && errno == EINTR);
    return file;
}

/* Repeats a read that a signal interrupted before it had begun. */
static long read_again(int file, char *buffer, size_t bytes)
{
    long got;
    do {
        got = syscall(SYS_read, file, buffer, bytes);
    } while (got < 0 && errno == EINTR);
    return got;
}

bool mbi_os_read_file(const char *path, char *buffer, size_t buffer_bytes)
{
    int file = open_to_read(path);
    if (file < 0) {
        return false;
    }
    size_t used = 0;
    long got = 1;
    while (got > 0 && used < buffer_bytes) {
        got = read_again(file, buffer + used, buffer_bytes - used);
        used += got > 0 ? (size_t)got : 0;
    }
    int error = got < 0 ? errno : used == buffer_bytes ? EFBIG : 0;
    syscall(SYS_close, file);
    if (error != 0) {
        errno = error;
        return false;
    }
    buffer[used] = '\0';
    return true;
}

const void *mbi_os_map_file(const char *path, size_t *bytes)
{
    struct stat status;
    void *start = MAP_FAILED;
    int file = open_to_read(path);
    if (file < 0) {
        return NULL;
    }
    if (fstat(file, &status) == 0 && status.st_size > 0) {
        *bytes = (size_t)status.st_size;
        start = mmap(NULL, *bytes, PROT_READ, MAP_PRIVATE, file, 0);
    }
    syscall(SYS_close, file);
    return start != MAP_FAILED ? start : NULL;
}

/* For dl_iterate_phdr, which begins with the first object of the namespace; 1 ends its walk. */
static int look_at_first_object(struct dl_phdr_info *object, size_t bytes, void *is_program)
{
    (void)bytes;
    *(bool *)is_program = object->dlpi_name == NULL || object->dlpi_name[0] == '\0';
    return 1;
}

bool mbi_os_is_in_first_namespace(void)
{
    bool is_program = true; /* which alone has no name */
    (void)dl_iterate_phdr(look_at_first_object, &is_program);
    return is_program;
}

bool mbi_os_is_readable(const void *address)
{
    /* The kernel reads the set first, and then refuses an operation that does not exist. */
    const int nothing = -1;
    int saved_errno = errno;
    (void)syscall(SYS_rt_sigprocmask, nothing, address, NULL, sizeof(uint64_t));
    bool readable = errno == EINVAL;
    errno = saved_errno;
    return readable;
}
