/*
 * MemoryBucket: a small-object allocator for high-contention servers.
 *
 * Requests of 1 to 512 bytes are served from 64 pools, one per 8-byte step, through magazines that
 * belong to the calling thread. Larger ones go to the system allocator. MB_POOL_MAX moves that
 * border, up to 32 KiB: then upper pools serve what lies between. No call needs mb_init first.
 *
 * Common: what follows holds for every call, unless its page says otherwise.
 *
 * Threads: a call is MT-safe. Any thread may make it at any time, also from constructors before
 *   main, from destructors of thread-specific data and after them.
 * Fork: every call works in the child of a multi-threaded process at once, without exec. While a
 *   thread forks no request, no free and no thread's end waits for it, except in checked mode
 *   (MB_CHECK). A small request that finds no free slot at hand then goes to the system allocator,
 *   also under a limit.
 * Signals: a call is not async-signal-safe, like malloc. A handler must not make one where it may
 *   have interrupted another, unless the handler never returns. It may fork there: the child may
 *   make calls until it ends or calls exec.
 * Cancellation: a call is no cancellation point.
 * Failure: a call that returns a pointer fails with NULL and sets errno; one that returns an int
 *   fails with a negative errno value. After a failure nothing has changed. After success errno is
 *   what it was.
 * Pointers: a call that takes an object takes any live one of this library, of the system
 *   allocator, and of another copy of the library in the process. Any other pointer (freed before,
 *   or into the middle of an object) is an error of the program. Where the library meets one on a
 *   slow path it ends the process with a line on stderr. Elsewhere the behaviour is undefined. With
 *   MB_CHECK every such pointer is reported.
 * Cost: "constant" is a number of instructions without a lock or a system call. "Amortised
 *   constant" is the same for nearly all calls. One call in some hundred moves a whole magazine,
 *   with one compare-and-swap or under one pool's lock. It may also commit memory, or do a step of
 *   giving memory back, of 0.1 to 0.5 ms of the processor's time as a rule. A call is "linear" in
 *   what is named. No call waits for another thread, except for locks that are held briefly.
 *
 * Algorithms: magazines, which move whole, are those of J. Bonwick and J. Adams, "Magazines and
 *   Vmem", USENIX 2001. The central free lists are stacks of R. K. Treiber, IBM RJ 5118, 1986, with
 *   tagged heads.
 */
#ifndef MEMORYBUCKET_MEMORYBUCKET_H
#define MEMORYBUCKET_MEMORYBUCKET_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The one place of the version: all else reads it here. The SONAME has the major one. */
#define MB_VERSION_MAJOR 1
#define MB_VERSION_MINOR 0
#define MB_VERSION_PATCH 0

/*
 * The largest request that pools always serve, in bytes, and how many pools do; and how many there
 * are with MB_POOL_MAX=32K. The border in force is pool_max of struct mb_stats.
 */
#define MB_SMALL_MAX 512
#define MB_SMALL_POOL_COUNT 64
#define MB_POOL_COUNT 153

#if defined(__GNUC__)
#define MB_API __attribute__((visibility("default")))
#define MB_ALLOCATES(...) __attribute__((malloc, warn_unused_result, alloc_size(__VA_ARGS__)))
#define MB_ALIGNED_BY(position) __attribute__((alloc_align(position)))
#define MB_DEPRECATED(instead) __attribute__((deprecated(instead)))
#else
#define MB_API
#define MB_ALLOCATES(...)
#define MB_ALIGNED_BY(position)
#define MB_DEPRECATED(instead)
#endif

/*
 * The comments below have one form, from which the manual pages are made: a summary, paragraphs,
 * and labelled parts. A part that would only repeat what is common is left out.
 */

/*
 * Brings the library up: reads the environment and finds a place for the pools.
 *
 * Optional: the first allocation does it, too. Further calls change nothing. With MB_BACKGROUND=1
 * it also starts the background thread.
 *
 * Returns: 0, or a negative errno value.
 * Errors:
 *   -ENOMEM: no address space could be had. All calls still work, on the system allocator alone.
 *   -EAGAIN: a signal handler made the call, and had interrupted the start itself.
 * Cost: constant once the library is up.
 * Safety: it waits for a fork in another thread.
 * See also: mb_alloc, mb_background_start
 */
MB_API int mb_init(void);

/*
 * Sets an option from within the program: any MB_ variable of memorybucket(7).
 *
 * Call it before the first allocation and before mb_init: options are read when the library comes
 * up. Where the environment has the variable, with a value that is accepted, the environment wins:
 * the call changes nothing and returns 0. A set-user-ID program ignores the environment, but not
 * this call. Several copies of the library in one process have options of their own. A name or a
 * value that is not accepted gets one line on stderr, which says what is.
 *
 * In the drop-in the first malloc of the program or of a library is the first allocation, such as
 * printf's for its buffer. With MB_BACKGROUND the thread starts in mb_init, or at one of the first
 * requests.
 *
 * Parameters:
 *   name: the variable's name, such as "MB_DECAY_MS".
 *   value: a text as in the environment, shorter than 256 bytes, which is copied. NULL takes back
 *       what the program set.
 * Returns: 0 when the option has this value, or the environment's; or a negative errno value.
 * Errors:
 *   -EINVAL: the name is NULL or unknown, or the variable does not take the value.
 *   -EBUSY: the library is up, with another value. mb_memory_limit_set and mb_background_start
 *       still change two of them; for MB_MEMORY_LIMIT the limit in force counts. A value that
 *       means the same as the one in force is accepted: 4K as 4096, and for MB_POOL_MAX every size
 *       that is rounded up to the border.
 *   -EAGAIN: a signal handler made the call, and had interrupted the start itself.
 * Cost: about a microsecond. Nothing is allocated, except that MB_CHECK loads the stack unwinder;
 *   in the drop-in that is a first allocation, so set it last.
 * Safety: it waits for a fork in another thread.
 * See also: mb_init, mb_memory_limit_set, mb_background_start
 */
MB_API int mb_option_set(const char *name, const char *value);

/*
 * Tells the version of the library that runs, such as "1.0.0".
 *
 * A program may run on a later library than it was compiled with: MB_VERSION_MAJOR,
 * MB_VERSION_MINOR and MB_VERSION_PATCH are the header's version. The major one is the same in
 * both, as the library's SONAME has it. A function that a later minor version added is missing
 * from an earlier library, and a program that calls it does not start there.
 *
 * Returns: the text, which is constant and not freed.
 * Cost: constant.
 * Safety: it is async-signal-safe, also before main and in the child of a fork.
 */
MB_API const char *mb_version(void);

/*
 * Allocates memory.
 *
 * The memory is not initialised. Up to MB_SMALL_MAX bytes its alignment is the largest power of two
 * that divides the size rounded up to 8, at most 16 (so 8 for sizes like 24 or 40). Above, it is
 * 16 or malloc's. mb_aligned_alloc gives more. The caller owns the memory until it frees or
 * reallocates it.
 *
 * The border is MB_SMALL_MAX (512), or what MB_POOL_MAX says: up to 32 KiB, which is the drop-in's
 * default.
 *
 * Parameters:
 *   size: bytes, any number. 1 to the border come from the pools, more from the system allocator. 0
 *       gives a pointer like any other, unique until it is freed.
 * Returns: the memory, or NULL.
 * Errors:
 *   ENOMEM: neither the pools nor the system have memory; under a limit, the pools have none.
 * Cost: amortised constant, 15 instructions where the thread has a free slot; some more from 1,025
 *   bytes on; the system allocator's above the border.
 * See also: mb_free, mb_aligned_alloc, mb_calloc, mb_good_size, mb_memory_limit_set
 */
MB_API void *mb_alloc(size_t size) MB_ALLOCATES(1);

/*
 * Frees memory.
 *
 * Any thread may free any object, also when the thread that allocated it is gone. An object of the
 * system allocator is passed on to it.
 *
 * Parameters:
 *   pointer: the object; NULL is ignored. It must not be used afterwards.
 * Errors: none; errno stays as it was.
 * Cost: amortised constant, 19 instructions where the thread has room for the slot; the system
 *   allocator's for its objects.
 * See also: mb_alloc, mb_free_sized, mb_free_batch
 */
MB_API void mb_free(void *pointer);

/*
 * Frees memory whose size the caller knows.
 *
 * The size is a hint that is never trusted: a wrong one costs nothing and corrupts nothing. In
 * checked mode (MB_CHECK) it is reported. Otherwise as mb_free.
 *
 * Parameters:
 *   pointer: the object; NULL is ignored.
 *   size: the bytes that were asked for.
 * Errors: none; errno stays as it was.
 * Cost: that of mb_free. With inline.h and a constant size two instructions less.
 * See also: mb_free
 */
MB_API void mb_free_sized(void *pointer, size_t size);

/*
 * Allocates an array of zeros.
 *
 * Does what mb_alloc does for the product.
 *
 * Parameters:
 *   count: the number of elements, any; 0 as size 0 of mb_alloc.
 *   size: bytes of an element, any; 0 likewise.
 * Returns: the memory, or NULL.
 * Errors:
 *   ENOMEM: no memory, or the product overflows.
 * Cost: that of mb_alloc, and linear in the bytes.
 * See also: mb_alloc, mb_free
 */
MB_API void *mb_calloc(size_t count, size_t size) MB_ALLOCATES(1, 2);

/*
 * Changes the size of an object.
 *
 * Contents are kept up to the smaller of both sizes. The object stays where it is while it fits its
 * slot and uses more than half of it. Otherwise it moves, and the old pointer is freed. One that
 * grows gets up to a quarter or 31 bytes more than asked for, and beyond 1,024 bytes up to a half,
 * so that it need not move each time.
 * The alignment is that of mb_alloc for the new size, unless an object that shrinks stays because
 * there is no memory to move it.
 *
 * Parameters:
 *   pointer: the object; NULL: as mb_alloc(size).
 *   size: bytes, any number. With 0 the object shrinks to a unique pointer; it is not freed.
 * Returns: the object, or NULL; then the old one is as it was, and still the caller's.
 * Errors:
 *   ENOMEM: as mb_alloc.
 * Cost: constant where the object stays; otherwise that of mb_alloc and mb_free, and linear in the
 *   bytes moved.
 * See also: mb_usable_size, mb_good_size
 */
MB_API void *mb_realloc(void *pointer, size_t size) __attribute__((warn_unused_result));

/*
 * Allocates memory at a multiple of an alignment.
 *
 * The memory comes from the pools when the alignment is at most 4,096 and the size rounded up to a
 * multiple of it is within the border (mb_alloc). Otherwise it is the system allocator's.
 *
 * Parameters:
 *   alignment: bytes, a power of two.
 *   size: bytes, any number; 0 gives a unique pointer.
 * Returns: the memory, or NULL.
 * Errors:
 *   EINVAL: the alignment is no power of two (so 0, too).
 *   ENOMEM: as mb_alloc.
 * Cost: that of mb_alloc, with some more instructions.
 * See also: mb_alloc, mb_free
 */
MB_API void *mb_aligned_alloc(size_t alignment, size_t size) MB_ALLOCATES(2) MB_ALIGNED_BY(1);

/*
 * Tells how many bytes an object can have without being moved.
 *
 * They are at least as many as were asked for, and in checked mode no more. To use more than was
 * asked for, ask for them, which moves nothing:
 *
 *     p = mb_realloc(p, mb_usable_size(p));
 *
 * The compiler takes the size that was asked for as the object's: it may warn of writes beyond it,
 * drop them, or end the process there (_FORTIFY_SOURCE).
 *
 * Parameters:
 *   pointer: the object; NULL: 0 is returned.
 * Returns: bytes. For an object of the system allocator, what that one says.
 * Errors: none.
 * Cost: constant.
 * See also: mb_good_size, mb_realloc
 */
MB_API size_t mb_usable_size(const void *pointer);

/*
 * Tells how many bytes a request of a size would really get.
 *
 * A container that asks for so many wastes nothing. mb_usable_size of what mb_alloc(size) returns
 * is at least that. It is more where the system allocator or a larger pool serves the request: when
 * memory is short, and in the drop-in for the first objects of a size.
 *
 * Parameters:
 *   size: bytes, any number.
 * Returns: bytes, at least `size`. Up to 512 the size rounded up to a multiple of 8; 8 for 0. Up
 *   to 1,024 rounded up to 16, and beyond that to the next of 9, 10, 12, 14 and 16 eighths of a
 *   power of two: 1,152, 1,280, 1,536, 1,792, 2,048, 2,304 and so on. Above the border (mb_alloc),
 *   `size` itself: what the system allocator adds is not known. In checked mode `size` itself, as
 *   no byte more may be used.
 * Errors: none.
 * Cost: constant.
 * See also: mb_alloc, mb_usable_size
 */
MB_API size_t mb_good_size(size_t size);

/*
 * Allocates many objects of one size.
 *
 * Each is like one of mb_alloc, and is freed on its own or by mb_free_batch.
 *
 * Parameters:
 *   size: bytes of each object, as for mb_alloc. Above the border each comes from the system
 *       allocator.
 *   count: how many, any number.
 *   out: room for `count` pointers; may be NULL when count is 0. As many are set as the call
 *       returns. The others are unspecified.
 * Returns: the number of objects: fewer than `count` only when memory is short.
 * Errors:
 *   ENOMEM: as mb_alloc, when fewer than `count` are returned. Those are the caller's.
 * Cost: linear in count, some 2 ns an object; whole magazines move as they are.
 * See also: mb_free_batch, mb_alloc
 */
MB_API size_t mb_alloc_batch(size_t size, size_t count, void **out);

/*
 * Frees many objects, of any sizes and origins.
 *
 * Runs of objects of one size are cheapest. Otherwise as mb_free for each.
 *
 * Parameters:
 *   count: how many pointers, any number.
 *   pointers: the objects, with NULLs among them, which are skipped; the array is only read. May be
 *       NULL when count is 0.
 * Errors: none; errno stays as it was.
 * Cost: linear in count, that of mb_free each.
 * See also: mb_alloc_batch, mb_free
 */
MB_API void mb_free_batch(size_t count, void *const *pointers);

/*
 * Gives everything that the calling thread has cached back to the centre.
 *
 * Other threads find it there. The thread may go on allocating at any time. While another thread
 * forks, what makes up no whole magazine stays.
 *
 * Errors: none.
 * Cost: about 0.06 us when nothing is cached. Beyond that one compare-and-swap for each full
 *   magazine, and one lock, some 0.2 us, for each size with a magazine that is not full.
 * See also: mb_thread_idle, mb_trim
 */
MB_API void mb_thread_flush(void);

/*
 * Says that the calling thread is about to sleep.
 *
 * Does what mb_thread_flush does. The statistics then count the thread as idle until it calls
 * mb_thread_busy, or allocates or frees so much that it has a cache again. The two calls need not
 * be paired.
 *
 * Errors: none.
 * Cost: that of mb_thread_flush.
 * See also: mb_thread_busy, mb_thread_flush
 */
MB_API void mb_thread_idle(void);

/*
 * Says that the calling thread is at work again.
 *
 * Only the statistics take notice. Without an mb_thread_idle before it nothing happens.
 *
 * Errors: none.
 * Cost: constant: one word is written.
 * See also: mb_thread_idle
 */
MB_API void mb_thread_busy(void);

/*
 * Begins a heap profile: samples of what is allocated, with their stacks.
 *
 * A sample is taken once in `mean_bytes` on the average, by chance, so that every estimate in a
 * dump is right on the average. With 1 every object is a sample, and figures are exact. Small
 * objects and large requests count alike, of all threads.
 *
 * A sampled object lies outside the pools, whatever its size, and is aligned at least as it would
 * be otherwise. It may be freed by any call, in any thread, also after mb_profile_stop. MB_PROFILE
 * does the same from the start of a process, and writes a dump at its end.
 *
 * Parameters:
 *   mean_bytes: from 1 to 1024G. 524288 is a good choice for a server.
 * Returns: 0, or a negative errno value.
 * Errors:
 *   -EINVAL: the mean is out of range.
 *   -EALREADY: a profile is being taken.
 *   -ENOTSUP: checked mode (MB_CHECK) is on.
 *   -ENOMEM: there is no memory for the profile's tables, or no address space for the pools.
 *   -EAGAIN: a signal handler made the call, and had interrupted the start of the library.
 * Cost: the first call loads the stack unwinder, which allocates. From then on a stack is taken for
 *   each sample, and large requests look whether they are one. Programs that do little else than
 *   allocate took 1 to 4 % more of the processor's time with 512K.
 * Safety: it waits for a fork in another thread. The child of a fork goes on with the profile.
 * See also: mb_profile_stop, mb_profile_dump
 */
MB_API int mb_profile_start(size_t mean_bytes);

/*
 * Ends a heap profile: no more samples are taken.
 *
 * What was sampled stays, and is followed until it is freed: a dump that is made later still says
 * what of it lives. A next mb_profile_start adds to it.
 *
 * Returns: nothing.
 * Errors: none; errno stays as it was.
 * Cost: some nanoseconds.
 * Safety: any thread, also a signal handler.
 * See also: mb_profile_start, mb_profile_dump
 */
MB_API void mb_profile_stop(void);

/*
 * Writes what a heap profile has found: objects and bytes, by stack.
 *
 * What lives and what was ever allocated stand side by side. The text is in the form of gperftools'
 * heap profiler. pprof reads it, and mbprof(1) makes of it pprof's own format, stacks for flame
 * graphs, a list, or the difference of two dumps. Figures are estimates of all objects, not counts
 * of samples. Other threads go on meanwhile, so what they do at that moment may be in it in part.
 * Without a profile the dump is empty.
 *
 * Parameters:
 *   fd: a file descriptor, to be written to from where it stands.
 * Returns: 0, or a negative errno value.
 * Errors:
 *   -ENOMEM: no memory for a buffer of 64 KiB.
 *   others: what write(2) fails with, such as -ENOSPC; what was written until then is no dump.
 * Cost: a microsecond for each stack, about, and what writing takes.
 * Safety: any thread, also a signal handler. Nothing is allocated.
 * See also: mb_profile_start
 */
MB_API int mb_profile_dump(int fd);

/*
 * Gives free memory back to the operating system, page by page.
 *
 * The pools go on using the memory as if it were fresh. What the calling thread has cached counts
 * as free memory, and so does what threads that ended have left cached. Every other thread gives up
 * what it has cached the next time that one of its magazines is empty or full, or when it ends; a
 * later call, or decay (MB_DECAY_MS), then returns it. A thread that sleeps keeps its cache: at
 * most MB_THREAD_CACHE_MAX bytes of slots, and the pages in which these lie, several times as much
 * when they are scattered. A thread that calls mb_thread_idle before it sleeps keeps none.
 *
 * What remains free in pages that are in use is handed out in address order from then on, which
 * brings new objects together. Pages that are locked in memory (mlock) stay. In the drop-in the C
 * library's malloc, which serves the large requests, is then asked for its own (malloc_trim).
 *
 * Parameters:
 *   keep_bytes: bytes of free memory that shall stay, any number; 0: none.
 * Returns: the bytes that the pools gave back, without the C library's.
 * Errors: none; errno stays as it was.
 * Cost: linear in the free memory: about 20 ns for each free slot that is in no processor's cache,
 *   and a system call for each run of pages.
 * Safety: several callers take turns. A thread that allocates or frees meanwhile waits, if at all,
 *   for the lock of its pool for a moment. While another thread forks the call ends early.
 * See also: mb_thread_idle, mb_background_start, mb_memory_limit_set
 */
MB_API size_t mb_trim(size_t keep_bytes);

/*
 * Starts a thread that returns unused memory.
 *
 * Without it only slow paths of the program's threads return memory (MB_DECAY_MS), so a process
 * that sleeps returns none. MB_BACKGROUND=1 does the same when the library is loaded. The thread
 * does nothing while the process forks. The child starts its own at its first request that is not
 * served from what its thread has at hand: a child that only calls exec starts none. A child that
 * must have a single thread, as for unshare(2), calls mb_background_stop first.
 *
 * Returns: 0, also when the thread runs already, or a negative errno value.
 * Errors:
 *   -EINVAL: MB_DECAY_MS is -1, so that nothing is to be done.
 *   -EAGAIN: pthread_create fails; or another of its errors.
 * Cost: that of pthread_create. The thread wakes up once a window while memory is in use.
 * Safety: not from fork handlers.
 * See also: mb_background_stop, mb_trim
 */
MB_API int mb_background_start(void);

/*
 * Ends the thread that mb_background_start started, and waits until it has ended.
 *
 * Where none runs, the call only keeps the child of a fork from starting one.
 *
 * Errors: none.
 * Cost: at most the step of decay that the thread is at, 0.5 ms as a rule, and 3 ms now and then.
 * Safety: not from fork handlers.
 * See also: mb_background_start
 */
MB_API void mb_background_stop(void);

/*
 * Limits the committed memory of all pools together, as MB_MEMORY_LIMIT does.
 *
 * The system allocator's memory does not count: that of large requests, and that of small ones
 * while another thread forks.
 *
 * A request that would commit memory beyond the limit takes free memory of a pool whose slots are
 * larger, by not more than twice or MB_SMALL_MAX, and aligned alike. Without any it gives free
 * memory back as mb_trim(0) does, then takes what any larger pool still has, then asks the handler
 * of mb_out_of_memory_handler_set, and then fails with ENOMEM.
 *
 * A limit below what is committed already takes nothing away from the program: free memory is given
 * back at once, and nothing is committed until the rest fits the limit. Each size in use keeps the
 * rest of its last block from the others. Set the limit early: blocks that are committed under a
 * limit are smaller.
 *
 * Parameters:
 *   bytes: the limit, any number; 0: none.
 * Returns: the limit in bytes that was in force, 0 for none.
 * Errors: none.
 * Cost: constant, or that of mb_trim(0) when more is committed than the limit allows.
 * See also: mb_out_of_memory_handler_set, mb_trim
 */
MB_API size_t mb_memory_limit_set(size_t bytes);

/*
 * A handler that is asked before a request that the pools serve fails.
 *
 * mb_out_of_memory_handler_set sets it. The thread that made the request calls it, with no lock
 * held. It may allocate and free: a request of the same thread that fails meanwhile does not call
 * it again. It must return: no longjmp, no exception.
 *
 * Parameters:
 *   size: bytes of the slot that is wanted, what mb_good_size says of the request; 8 to the border
 *       (mb_alloc).
 *   argument: the one given to mb_out_of_memory_handler_set.
 * Returns: non-zero to have the request tried again, 0 to let it fail.
 */
typedef int mb_out_of_memory_handler(size_t size, void *argument);

/*
 * Sets the handler that is asked before a request that the pools serve fails.
 *
 * The process has one handler. A thread that is about to call the one before may still do so.
 *
 * Parameters:
 *   handler: the function, NULL for none.
 *   argument: what the handler gets, anything; the library does not look at it.
 * Errors: none.
 * Cost: constant, under a lock.
 * Safety: it waits for a fork in another thread.
 * See also: mb_memory_limit_set, mb_alloc
 */
MB_API void mb_out_of_memory_handler_set(mb_out_of_memory_handler *handler, void *argument);

/*
 * Deprecated name of mb_out_of_memory_handler_set; version 2 is without it.
 *
 * Parameters:
 *   handler: as there.
 *   argument: as there.
 * See also: mb_out_of_memory_handler_set
 */
MB_API void mb_set_out_of_memory_handler(mb_out_of_memory_handler *handler, void *argument)
    MB_DEPRECATED("use mb_out_of_memory_handler_set");

/*
 * Checks all objects of the process, where checked mode is on (MB_CHECK).
 *
 * It looks whether anything was written behind live objects (overflow), or into freed ones
 * (use_after_free). Each damaged object is reported once, on stderr. The process then aborts unless
 * MB_CHECK_CONTINUE is 1.
 *
 * Returns: how many damaged objects it found; always 0 without checked mode.
 * Errors: none.
 * Cost: linear in the objects; other threads that allocate wait meanwhile. Constant without checked
 *   mode.
 * Safety: not from signal or fork handlers.
 */
MB_API size_t mb_check_heap(void);

/* Tiles by the share of their slots that is in use: none, up to 10 %, up to 20 %, ... 100 %. */
#define MB_OCCUPANCY_BINS 11

/*
 * The statistics of one pool.
 *
 * At rest: carved = live + magazines + parked + central + loose + sorted + orphaned + quarantined.
 * While threads are at work the numbers are recent, and `live` is within a few magazines.
 *
 * `taken` counts the slots that threads took from the pool, used or not, and `returned` those that
 * they gave back to it. At rest both are exact: taken = returned + live + magazines + parked +
 * orphaned + quarantined. They do not count allocations: most are served from what the thread has
 * cached, and leave no trace, as to count them would make each allocation longer. At rest there
 * have been at least taken - magazines - parked - orphaned allocations, less the slots that threads
 * gave back without having used them (at their end, in mb_thread_flush and mb_thread_idle, in
 * decay).
 *
 * A tile is 64 KiB of a pool's address space. Its slots count as used unless they are sorted: after
 * mb_trim(0) these are live slots and those that threads cache, before it also free ones.
 */
struct mb_pool_stats {
    uint64_t slot_bytes;         /* the pool's slot size */
    uint64_t magazine_rounds;    /* slots of a full magazine */
    uint64_t carved;             /* slots ever carved from fresh memory */
    uint64_t live;               /* slots that the program has; none on guarded pages (MB_CHECK) */
    uint64_t magazines;          /* slots in the magazines of threads */
    uint64_t central;            /* slots in the central free list */
    uint64_t loose;              /* slots that wait to make up a magazine */
    uint64_t sorted;             /* free slots in the order of their addresses, on no list */
    uint64_t orphaned;           /* slots in caches of threads that a fork left behind */
    uint64_t refills;            /* magazines moved from the centre to a thread */
    uint64_t flushes;            /* magazines moved from a thread to the centre */
    uint64_t cas_retries;        /* failed compare-and-swaps at the central free list */
    uint64_t mutex_acquisitions; /* how often the pool's lock was taken */
    uint64_t committed_bytes;    /* bytes made accessible, and not given back */
    uint64_t resident_bytes;     /* bytes in memory now */
    uint64_t released_bytes;     /* bytes given back by trim and decay, and not used again since */
    uint64_t tiles[MB_OCCUPANCY_BINS]; /* number of tiles by how full they are; see above */
    uint64_t quarantined;        /* freed slots that checked mode keeps from being used again */
    uint64_t taken;              /* slots that threads took from the pool */
    uint64_t returned;           /* slots that threads gave back to the pool */
    uint64_t parked;             /* slots in caches of threads that ended, kept for the next ones */
    uint64_t mutex_waits;        /* how often a thread waited for the pool's lock */
    uint64_t reserved[8];        /* for later versions; 0 */
};

/*
 * The statistics of the process, and of each pool.
 *
 * The first MB_SMALL_POOL_COUNT pools are the small ones, of 8, 16, ... 512 bytes. The others go up
 * to 32,768 bytes; up to 1,024 two each have slots of one size. Those above the border (pool_max)
 * serve nothing, and their counts are 0. The structure takes some 48 KiB: too much for small
 * stacks.
 */
struct mb_stats {
    uint64_t reserved_bytes;     /* address space that the pools take up now: it grows as they do */
    uint64_t committed_bytes;    /* sum of the pools' committed_bytes */
    uint64_t resident_bytes;     /* sum of the pools' resident_bytes */
    uint64_t released_bytes;     /* sum of the pools' released_bytes */
    uint64_t memory_limit;       /* the limit of committed_bytes, in bytes; 0: none */
    uint64_t cache_bytes;        /* bytes taken of cache_bytes_max, by 16 KiB; parked_caches' too */
    uint64_t cache_bytes_max;    /* MB_CACHE_MAX; 0: no bound yet, as there was one thread only */
    uint64_t threads;            /* threads that have a cache of their own now */
    uint64_t threads_idle;       /* those of them that called mb_thread_idle */
    uint64_t vacant_caches;      /* empty caches without a thread, for those that will start */
    uint64_t large_allocs;       /* requests that went to the system allocator */
    uint64_t large_frees;        /* pointers passed on to the system allocator's free */
    uint64_t decay_steps;        /* pieces of work that slow paths did to give memory back */
    uint64_t decay_step_ns_max;  /* how long the longest of these steps took, in ns */
    uint64_t decay_volume_steps; /* those of them due to volume (what lay free), not to time */
    uint64_t parked_caches;      /* caches of threads that ended, kept for the next threads */
    uint64_t pool_max;           /* the border: the largest request that pools serve; 0: no pools */
    uint64_t reserved[15];       /* for later versions; 0 */
    struct mb_pool_stats pool[MB_POOL_COUNT];
};

/*
 * Takes the statistics of the process.
 *
 * Fills what both sides know: the first size_bytes bytes of the structure as this library has it.
 * What the caller has room for and the library does not know becomes 0. Later versions give words
 * of `reserved` a name, and add pools at the end, so any two versions go together: a program that
 * was compiled for the 64 small pools gets these as ever, and the sums of all. The sums are over
 * all pools, whatever there is room for; offsetof(struct mb_stats, pool) bytes are enough for the
 * sums alone. The call works in a process that gets no memory any more.
 *
 * It stops no thread: it adds up the threads' caches, and starts again, a few times at most, when a
 * thread ends meanwhile (a sequence lock with a read at its end: H.-J. Boehm, MSPC 2012).
 *
 * Parameters:
 *   stats: the structure that is filled, the caller's.
 *   size_bytes: bytes of it, sizeof *stats; at least offsetof(struct mb_stats, pool).
 * Returns: 0, or a negative errno value. In a signal handler that interrupted the library's start
 *   all numbers are 0.
 * Errors:
 *   -EINVAL: `stats` is NULL or size_bytes too small.
 * Cost: linear in the threads and in what is committed: mincore(2) looks at each page of it, and a
 *   pool's lock is held for at most 64 MiB of it at a time. mb_stats_get_quick does neither.
 * Safety: not from fork handlers. While another thread forks no lock is taken, and tiles are in no
 *   bin.
 * See also: mb_stats_get_quick, mb_stats_print
 */
MB_API int mb_stats_get(struct mb_stats *stats, size_t size_bytes);

/*
 * Takes the statistics that cost little.
 *
 * As mb_stats_get, except that resident_bytes and tiles are 0.
 *
 * Parameters:
 *   stats: the structure that is filled, the caller's.
 *   size_bytes: bytes of it, sizeof *stats; at least offsetof(struct mb_stats, pool).
 * Returns: 0, or a negative errno value.
 * Errors:
 *   -EINVAL: `stats` is NULL or size_bytes too small.
 * Cost: linear in the threads, some 10 us with few of them. No lock, and a handful of system calls,
 *   whatever is committed.
 * Safety: not from fork handlers.
 * See also: mb_stats_get
 */
MB_API int mb_stats_get_quick(struct mb_stats *stats, size_t size_bytes);

/*
 * Prints the statistics as a table of the pools that were used.
 *
 * Parameters:
 *   stream: where to; NULL: nothing is printed. The library ignores its errors.
 * Errors: none.
 * Cost: that of mb_stats_get, and of the printing. Maps some 50 KiB for as long as it takes; where
 *   the kernel refuses them, only the line of sums is printed.
 * Safety: not from fork handlers.
 * See also: mb_stats_get
 */
MB_API void mb_stats_print(FILE *stream);

/*
 * The forms in which mb_stats_write and mbstat(1) show statistics.
 */
enum mb_stats_format {
    MB_STATS_TEXT,       /* for people: sums, and a table of the pools that were used */
    MB_STATS_JSON,       /* one object on a line of its own, with pools and threads */
    MB_STATS_PROMETHEUS, /* Prometheus's text format, version 0.0.4 */
};

/*
 * Writes the statistics to a file descriptor.
 *
 * The figures are those of mb_stats_get_quick, and what of the whole process is resident. With
 * MB_STATS_JSON each thread that has a cache, of up to 4,096, has an entry. A server that answers
 * GET /metrics with MB_STATS_PROMETHEUS is ready for Prometheus.
 *
 * Parameters:
 *   fd: where to: a file, a pipe or a socket.
 *   format: how.
 * Returns: 0 when all is written, or a negative errno value.
 * Errors:
 *   -EINVAL: there is no such format.
 *   -ENOMEM: some 350 KiB could not be mapped for as long as the call takes.
 *   -ENOSPC: and the other errors of write(2). A part of the text may have been written.
 * Cost: that of mb_stats_get_quick, and of the text: 100 to 400 us with few threads.
 * Safety: not from fork handlers. A pipe without a reader raises SIGPIPE, as with write(2).
 * See also: mb_stats_get_quick, mb_stats_print, mb_export_start
 */
MB_API int mb_stats_write(int fd, enum mb_stats_format format);

/*
 * Publishes the statistics of the process, for mbstat(1).
 *
 * MB_EXPORT=1 does the same when the library is loaded. The figures stand in a file in memory that
 * only the same user may read, below $XDG_RUNTIME_DIR/memorybucket or, without that variable, in
 * /dev/shm. Threads write them there when they are on a slow path anyway, at most every 100 ms, at
 * first a few times more often; the background thread (mb_background_start) does, too. Those of a
 * process that sleeps stand still.
 *
 * The file is taken away at exit. The child of a fork gets its own on its first slow path. A
 * program that the process becomes (exec) publishes only if it does so itself.
 *
 * Parameters:
 *   trim_allowed: non-zero: mbstat may ask for mb_trim(0), which the next thread that publishes
 *       then does. 0: it may not.
 * Returns: 0, also when they are published already, with what was allowed then; or a negative errno
 *   value.
 * Errors:
 *   -EPERM: other users have rights to the folder.
 *   -ENOSPC: the folder's file system is full; or another error of open(2) or mkdir(2).
 *   -ENOMEM: some 600 KiB could not be mapped.
 *   -EAGAIN: a signal handler made the call, and had interrupted the start itself.
 * Cost: a file is made and mapped. From then on each slow path reads a clock. Publishing walks all
 *   thread caches, and takes at most one percent of the time.
 * Safety: not from fork handlers.
 * See also: mb_export_stop, mb_stats_write
 */
MB_API int mb_export_start(int trim_allowed);

/*
 * Ends what mb_export_start or MB_EXPORT began, and takes the file away.
 *
 * Where nothing is published, nothing happens.
 *
 * Errors: none; errno stays as it was.
 * Cost: a file is taken away.
 * Safety: not from fork handlers.
 * See also: mb_export_start
 */
MB_API void mb_export_stop(void);

#ifdef __cplusplus
}
#endif

#endif
