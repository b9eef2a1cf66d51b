/*
 * upcalls: all that a file of the library uses and a file above it defines.
 *
 * Ladder: beside base; what is declared here is defined at any height. Callers: as said below.
 *
 * Includes point downward only, and so do calls, but for these: tests/static/layers.sh reads the
 * object files, and lets no other symbol be used from below, nor one stay here that no file below
 * its definition uses.
 */
#ifndef MEMORYBUCKET_CORE_UPCALLS_H
#define MEMORYBUCKET_CORE_UPCALLS_H

#include "core/base.h"

/* Defined in os: base, which writes every file's messages, stands below what knows system calls. */
long mbi_os_write(int file, const void *bytes, size_t count);

/*
 * Defined in pool_walk. Names the pool and the word that was found in a free slot where a link of
 * it should be, and aborts. batch_stack and kept look at the words of each transfer and swap, so
 * that no link leads out of the pool unnoticed from there on; only above them the pool is known.
 */
struct slot_space;
_Noreturn void mbi_slot_space_corrupted(const struct slot_space *space, uint64_t found);

/*
 * Defined in thread_exit. Gives the calling thread a cache: sets mbi_thread_cache, or leaves it one
 * of the constant ones. False when the library itself is not up, as another thread forks: no pool
 * may be asked then. A thread starts at its first slow path, and to start is to arrange for its
 * end, which uses slow paths and the registry of all caches.
 */
bool mbi_thread_start(void);

/*
 * Defined in out_of_memory. Serves a request whose pool has nothing; NULL and ENOMEM when nothing
 * does. The slow path comes there last, and what is tried there takes slow paths of other classes.
 */
void *mbi_thread_cache_spill(size_t class, size_t alignment_bytes);

/*
 * Defined in check. Checked mode stands above the pools, since it gets its slots from them; and the
 * slow paths, the start and fork hand over to it, since it must see each object that they see.
 *
 *   alloc  any size, also 0; the alignment is a power of two; NULL and ENOMEM without memory
 *   free   any pointer but NULL; `size_bytes` is what the caller says it is. Preserves errno
 *   init   turns it on if the configuration or a tool that watches the process asks for it. Under
 *          the init lock, after the configuration was read and before the region has its place;
 *          false when the system allocator shall serve every request, so that no region is needed
 *   note_child  in the child of a fork: what its parent allocated is no leak of it
 */
void *mbi_check_alloc(size_t size_bytes, size_t alignment_bytes);
void mbi_check_free(void *pointer, size_t size_bytes);
bool mbi_check_init(void);
void mbi_check_note_child(void);

/*
 * Defined in the drop-in, for its own build: it is the program's malloc, and passes large requests
 * and signals on to what would have got them without it. Contracts: core/large.h, check/guarded.h.
 */
#ifdef MEMORYBUCKET_DROPIN
struct next_allocator;
struct large_hints;
struct sigaction;
extern MBI_HIDDEN struct next_allocator mbi_next;
extern MBI_HIDDEN char mbi_boot_arena[];
extern MBI_HIDDEN struct large_hints mbi_large_hints;

/*
 * Memory that the next allocator keeps for what comes next (dropin/next_memory.c). give_back: all
 * of it, now; whether there was any. note_use: a thread has large objects come and go. decay: gives
 * it back if no thread had for a window, and no other thread is doing so. No lock, ours or the C
 * library's, may be held; preserve errno.
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
 * Defined in the drop-in, and for the library in tcache/epochs.c: liburcu, as registry uses it. The
 * library is linked to it. The drop-in loads it when a thread walks for the first time: every
 * process that starts maps the drop-in, and hardly any walks; and liburcu's constructor calls
 * membarrier(2), which a sandbox may not allow.
 *
 *   load    before each walk: whether there are epochs, for all walks or for none. The first call
 *           may allocate, and waits for the dynamic linker. Without them what is retired waits
 *           until no walk is under way
 *   in_use  whether walkers use them: false before the first walk; the others only then
 */
bool mbi_epochs_load(void);
bool mbi_epochs_in_use(void);
void mbi_epochs_read_lock(void);
void mbi_epochs_read_unlock(void);
void mbi_epochs_synchronize(void);

#endif
