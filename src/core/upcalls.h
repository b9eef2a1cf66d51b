/*
 * upcalls: what a lower file uses and a higher file defines.
 *
 * Ladder: beside base; the definitions stand at any height. Callers: as said below.
 *
 * All other includes and calls point downward. tests/static/layers.sh checks the object files for
 * that, and that a lower file uses each symbol here.
 */
#ifndef MEMORYBUCKET_CORE_UPCALLS_H
#define MEMORYBUCKET_CORE_UPCALLS_H

#include "core/base.h"

/* Defined in os, which stands above base, the writer of all messages. */
long mbi_os_write(int file, const void *bytes, size_t count);

/*
 * Defined in pool_walk. Aborts after a message that names the pool and the word that a free slot
 * holds instead of a link. batch_stack checks the links of each transfer and swap, and knows no
 * pools.
 */
struct slot_space;
_Noreturn void mbi_slot_space_corrupted(const struct slot_space *space, uint64_t found);

/*
 * Defined in thread_exit. Gives the calling thread a cache, in mbi_thread_cache, or leaves one of
 * the constant ones there. False when the library is not up, as another thread forks: then no pool
 * may be asked. A thread's first slow path starts the thread; the start arranges the thread's end,
 * which uses slow paths and the registry.
 */
bool mbi_thread_start(void);

/*
 * Defined in parked. Has some caches drained whose threads ended, if no other thread wanted them
 * for a window. Each thread comes by when a window has ended, with its chores; what it drains there
 * are whole caches, which go through its own slow path's functions.
 */
void mbi_parked_drain_unwanted(void);

/*
 * Defined in parked, too. Before a pool commits one more block: parked caches give its centre about
 * as much, if they have it; whether they did.
 */
bool mbi_parked_give_block(size_t class);

/*
 * And this. In a crowded process, before a thread does with less: the cache that was parked first,
 * of those that have some of the budget, gives all back; whether there was one.
 */
bool mbi_parked_drain_oldest(void);

/*
 * Defined in out_of_memory. Serves a request whose pool has nothing; NULL and ENOMEM when nothing
 * does. The slow path's last resort, which itself takes slow paths of other classes.
 */
void *mbi_thread_cache_spill(size_t class, size_t alignment_bytes);

/*
 * Defined in check. Checked mode gets its slots from the pools, and so stands above them. Slow
 * paths, startup and fork call it, as it must see each object that they see.
 *
 *   alloc  any size, also 0; the alignment is a power of two; NULL and ENOMEM without memory
 *   free   any pointer but NULL; `size_bytes` is the caller's word. Preserves errno
 *   init   turns checked mode on if the configuration, or a tool that watches the process, asks for
 *          it. Under the init lock, after the configuration was read and before the region has its
 *          place. False: the system allocator serves every request, and no region is needed
 *   note_child  in the child of a fork: what the parent allocated is no leak of the child
 */
void *mbi_check_alloc(size_t size_bytes, size_t alignment_bytes);
void mbi_check_free(void *pointer, size_t size_bytes);
bool mbi_check_init(void);
void mbi_check_note_child(void);

/*
 * Defined in profile: it takes stacks and keeps a table of samples, and so stands above checked
 * mode's stacks.
 *
 *   sample  the request for which this slot was just taken is a sample: the object to serve it
 *           with, in which the profile knows it; the slot itself where there is no memory for that.
 *           The call's return address is in the code that called the allocator
 *   free    frees an object that the profile knows; false, and nothing done, for any other pointer
 */
struct program_call {
    const void *caller; /* the return address */
    const void *frame;  /* __builtin_frame_address of one of the library's functions; or NULL */
};
void *mbi_profile_sample(void *slot, size_t size_bytes, size_t alignment_bytes,
                         struct program_call call);
bool mbi_profile_free(void *pointer);

/*
 * Defined in insight/export, which reads the statistics and so stands above them. The process's
 * statistics are published by threads on slow paths, and by the background thread.
 *
 *   init        under the init lock, after the configuration was read: whether it asks for that
 *   poll        publishes, if it is time and no other thread does. `cache` is the calling thread's,
 *               or NULL; `coarse_ns` is the coarse clock's time. Takes no lock but checked mode's,
 *               allocates nothing; preserves errno
 *   note_child  in the child of a fork: the parent's file is not the child's
 */
struct thread_cache;
void mbi_export_init(void);
void mbi_export_poll(struct thread_cache *cache, uint64_t coarse_ns);
void mbi_export_note_child(void);

/*
 * Defined in the drop-in, for its own build: it passes large requests and signals on to the
 * functions that it stands in front of. Contracts: core/large.h, check/guarded.h.
 */
#ifdef MEMORYBUCKET_DROPIN
struct next_allocator;
struct large_hints;
struct sigaction;
extern MBI_HIDDEN struct next_allocator mbi_next;
extern MBI_HIDDEN char mbi_boot_arena[];
extern MBI_HIDDEN struct large_hints mbi_large_hints;

/*
 * Free memory that the next allocator keeps (dropin/next_memory.c). give_back: gives all of it back
 * to the kernel; whether there was any. note_use: a thread's large objects come and go. Either this
 * or decay gives it back after some windows of use; decay also if no thread noted use for a window.
 * One thread at a time does so. No lock, ours or the C library's, may be held; preserve errno.
 */
bool mbi_large_give_back(void);
void mbi_large_note_use(void);
void mbi_large_decay(void);

void *mbi_large_calloc(size_t count, size_t size_bytes);
void *mbi_large_realloc(void *pointer, size_t size_bytes);
void *mbi_large_aligned_alloc(size_t alignment_bytes, size_t size_bytes);
size_t mbi_large_usable_bytes(const void *pointer);
int mbi_next_sigaction(int signal_number, const struct sigaction *wanted, struct sigaction *before);
#endif

/*
 * liburcu, as registry uses it; defined in the drop-in, and for the library in tcache/epochs.c. The
 * library is linked to liburcu. The drop-in loads it at a process's first walk: few processes walk,
 * and liburcu's constructor calls membarrier(2), which a sandbox may not allow.
 *
 *   load    before each walk: whether there are epochs, with one answer for all walks. The first
 *           call may allocate and wait for the dynamic linker. Without epochs a retired cache waits
 *           until no walk is under way
 *   in_use  whether epochs were loaded; if not, the three below may not be called
 */
bool mbi_epochs_load(void);
bool mbi_epochs_in_use(void);
void mbi_epochs_read_lock(void);
void mbi_epochs_read_unlock(void);
void mbi_epochs_synchronize(void);

#endif
