/*
 * os: the only system calls of the library.
 *
 * Ladder: above base. Callers: all files above. All calls are thread safe and allocate nothing. A
 * call that fails returns NULL or false with the kernel's errno; nothing has changed then.
 */
#ifndef MEMORYBUCKET_CORE_OS_H
#define MEMORYBUCKET_CORE_OS_H

#include "core/upcalls.h"

/* The page's size, read from the kernel: 4 KiB on x86-64, 4, 16 or 64 KiB on aarch64. */
size_t mbi_os_page_bytes(void);

/* Processors by number, a bit each. */
enum { PROCESSORS_MAX = 1024, PROCESSOR_SET_WORDS = PROCESSORS_MAX / 64 };
struct processor_set {
    uint64_t words[PROCESSOR_SET_WORDS];
};

/* Those that the calling or the process's first thread may use; false above PROCESSORS_MAX. */
bool mbi_os_allowed_processors(bool of_first_thread, struct processor_set *allowed);

/* The processor that the caller runs on, or just ran on; any number when that is unknown. */
unsigned mbi_os_processor(void);

/* Address space without memory: no access, not counted as committed. */
void *mbi_os_reserve(size_t bytes);
void mbi_os_unreserve(void *start, size_t bytes);

/* Makes whole pages of a reservation readable and writable; they are zero when first touched. */
bool mbi_os_commit(void *start, size_t bytes);

/* The size that the kernel may give the pages of a mapping. */
enum os_pages { OS_PAGES_SMALL, OS_PAGES_HUGE, OS_PAGES_AS_SET /* by the administrator */ };

/*
 * Maps fresh zeroed pages, to be read and written, at exactly this address, and never over
 * anything: EEXIST when something lies there. Asks for small pages from Linux 6.7 on.
 */
bool mbi_os_map_at(void *start, size_t bytes, enum os_pages pages);

/* Maps the same way, but without access: address space that no other mapping gets. */
bool mbi_os_reserve_at(void *start, size_t bytes);

/* Asks for this size of a mapping's pages; false when the kernel knows no huge pages. */
bool mbi_os_ask_for_pages(void *start, size_t bytes, enum os_pages pages);

/* How many bits an address at the top of the user space has, where the main thread's stack is. */
unsigned mbi_os_address_bits(void);

/* A random number, hard to guess if the kernel has random numbers ready. Does not wait. */
uint64_t mbi_os_random(void);

/*
 * Brings whole writable pages into memory in one call instead of a fault each. Where the kernel
 * cannot (before Linux 5.14) or has too little memory, the first access to a page does.
 */
void mbi_os_populate(void *start, size_t bytes);

/*
 * Splits the huge page that a part of is about to be given back, if there is one. What the part
 * holds may be lost.
 */
void mbi_os_split(void *start, size_t bytes);

/* Gives whole pages back: they stay accessible, and are zero when they are touched again. */
bool mbi_os_release(void *start, size_t bytes);

/*
 * Seal replaces pages by ones that can only be read, as zeros. The kernel charges nothing for
 * these, and memory dumps leave them out. Unseal makes them writable again.
 */
bool mbi_os_seal(void *start, size_t bytes);
bool mbi_os_unseal(void *start, size_t bytes);

/* Nanoseconds of a clock that only goes forward; the coarse one is a few milliseconds behind. */
uint64_t mbi_os_clock_ns(void);
uint64_t mbi_os_coarse_clock_ns(void);

/* Nanoseconds that the calling thread has run. */
uint64_t mbi_os_thread_clock_ns(void);

/* No cancellation point; a signal may end it early. */
void mbi_os_sleep_ms(unsigned milliseconds);

/* The machine's memory; SIZE_MAX when unknown. */
size_t mbi_os_memory_bytes(void);

/* Fresh zeroed pages outside the reservation, for the library's own structures. */
void *mbi_os_map(size_t bytes);

/* The soft RLIMIT_AS in bytes; SIZE_MAX when there is none. */
size_t mbi_os_address_space_limit(void);

/* Orders memory between all threads of the process, by membarrier(2); false where that fails. */
bool mbi_os_membarrier(void);

/*
 * Wait sleeps until woken, if *word is `value`; it may return without a reason. Wake wakes up to
 * `count` threads that sleep there. Neither is a cancellation point; both preserve errno.
 */
void mbi_os_wait(_Atomic uint32_t *word, uint32_t value);
void mbi_os_wake(_Atomic uint32_t *word, int count);

/* Bytes of [start, start + bytes) that are in memory; whole pages, both page aligned. */
size_t mbi_os_resident_bytes(const void *start, size_t bytes);

/*
 * Reads a whole small file as text, and ends it with a zero byte. False also when both do not fit
 * (EFBIG); the buffer then holds anything. May run inside malloc: it is no cancellation point, and
 * calls no open or read that another library may wrap.
 */
bool mbi_os_read_file(const char *path, char *buffer, size_t buffer_bytes);

/* A whole file, to be read only, or NULL; mbi_os_unreserve gives it back. Allocates nothing. */
const void *mbi_os_map_file(const char *path, size_t *bytes);

/* Writes a whole text, over signals; false, with errno, when the file does not take all of it. */
bool mbi_os_write_all(int file, const char *text, size_t bytes);

/* Whether the 8 bytes at an address can be read. Uses a system call that every sandbox permits. */
bool mbi_os_is_readable(const void *address);

/* Whether an address lies in any mapping. */
bool mbi_os_is_mapped(const void *address);

/* Takes all access to pages away; false when the kernel refuses. */
bool mbi_os_forbid(void *start, size_t bytes);

/*
 * Whether this code is in the program's own namespace, not in one that dlmopen made. Hold no lock:
 * the call waits for threads that load libraries.
 */
bool mbi_os_is_in_first_namespace(void);

/* Sends the calling thread a signal with all that a siginfo_t says. */
void mbi_os_queue_signal(int signal_number, const void *info);

/* The calling thread's number, as ps and gdb show it; the process's; and that of its user. */
int mbi_os_thread(void);
unsigned mbi_os_process(void);
unsigned mbi_os_user(void);

#endif
