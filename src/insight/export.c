/* export: when and by which thread the statistics are published, and the file's life. */
#include "insight/export.h"

#include "core/config.h"
#include "core/lock.h"
#include "core/pool.h"
#include "core/shared_file.h"
#include "core/upcalls.h"
#include "insight/export_layout.h"
#include "insight/snapshot_take.h"
#include "tcache/out_of_memory.h"
#include "tcache/thread_cache.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/*
 * After a file's first publications half as much passes as after the next one, so that a program
 * which fills its heap at once and then waits has published more than an empty one.
 */
#define INTERVAL_NS_MIN UINT64_C(100000000)
enum { FIRST_PUBLICATIONS = 7 };
/* A publication is followed by so many times its own duration. */
enum { COST_SHARE = 100 };

/*
 * Read by every slow path while the process publishes. relaxed [EXPORT-DUE]: when the next
 * publication is due, a hint; the thread that takes `busy` looks at it again.
 */
static struct {
    _Alignas(ISOLATION_BYTES) _Atomic uint64_t due_ns;
    /* [FLAG] set for good by want, read at the process's end: before, nothing is to be stopped. */
    _Atomic bool was_wanted;
} hint;

/*
 * The rest is under `busy`, which is tried and, but by start and stop, not waited for. No lock of
 * core/lock.h: a fork does not wait for it, and the child frees it.
 */
enum { FOLDERS = 2, NAME_BYTES = 12, STOP_MS_MAX = 1000 };
static struct {
    _Alignas(ISOLATION_BYTES) _Atomic bool busy;
    bool trim_allowed;
    bool is_made; /* the process has its file, which is mapped at `file` */
    uint64_t publications;
    uint64_t interval_ns; /* to the next one */
    /*
     * NULL before the first file. Mapped for good from then on, to memory of the process's own
     * while there is no file: so a publication that a fork, or exit, interrupts ends well.
     */
    _Atomic uint64_t *file;
    struct snapshot_room *room;                 /* what is published next */
    char folders[FOLDERS][SHARED_PATH_BYTES];   /* to try; empty: none */
    const char *folder;                         /* that has the file */
    char name[NAME_BYTES];
} export;

static bool try_take(void)
{
    /* acquire [EXPORT-TAKE]: pairs with [EXPORT-GIVE]. */
    return !atomic_exchange_explicit(&export.busy, true, memory_order_acquire);
}

/* Waits for up to so many milliseconds. */
static bool take(unsigned milliseconds)
{
    bool taken = try_take();
    for (; !taken && milliseconds != 0; milliseconds--) {
        mbi_os_sleep_ms(1);
        taken = try_take();
    }
    return taken;
}

static void give(void)
{
    /* release [EXPORT-GIVE]: pairs with [EXPORT-TAKE]. */
    atomic_store_explicit(&export.busy, false, memory_order_release);
}

static uint64_t least_interval_ns(void)
{
    return export.publications < FIRST_PUBLICATIONS
               ? INTERVAL_NS_MIN >> (FIRST_PUBLICATIONS - export.publications)
               : INTERVAL_NS_MIN;
}

static bool is_due(uint64_t now_ns)
{
    return now_ns >= atomic_load_explicit(&hint.due_ns, memory_order_relaxed); /* [EXPORT-DUE] */
}

static void set_due(uint64_t due_ns)
{
    atomic_store_explicit(&hint.due_ns, due_ns, memory_order_relaxed); /* [EXPORT-DUE] */
}

/* ---- the file ------------------------------------------------------------------------------ */

static size_t file_bytes(void)
{
    return round_up(EXPORT_BYTES, mbi_os_page_bytes());
}

static void write_header(_Atomic uint64_t *file)
{
    struct snapshot_owner owner;
    mbi_snapshot_own(&owner);
    const uint64_t words[EXPORT_AT_SEQUENCE] = {
        [EXPORT_AT_VERSION] = EXPORT_VERSION,
        [EXPORT_AT_HEADER_BYTES] = EXPORT_HEADER_WORDS * sizeof(uint64_t),
        [EXPORT_AT_TOTAL_BYTES] = EXPORT_BYTES,
        [EXPORT_AT_PROCESS] = owner.process,
        [EXPORT_AT_START_TICKS] = owner.start_ticks,
        [EXPORT_AT_LIBRARY] =
            MB_VERSION_MAJOR * 1000000 + MB_VERSION_MINOR * 1000 + MB_VERSION_PATCH,
        [EXPORT_AT_TOTALS] = EXPORT_HEADER_WORDS,
        [EXPORT_AT_TOTALS_WORDS] = TOTAL_WORDS,
        [EXPORT_AT_POOLS] =
            EXPORT_HEADER_WORDS + offsetof(struct snapshot, pools) / sizeof(uint64_t),
        [EXPORT_AT_POOLS_WORDS] = POOL_WORDS_SHOWN,
        [EXPORT_AT_POOLS_ROWS] = MB_POOL_COUNT,
        [EXPORT_AT_THREADS] =
            EXPORT_HEADER_WORDS + offsetof(struct snapshot, threads) / sizeof(uint64_t),
        [EXPORT_AT_THREADS_WORDS] = THREAD_WORDS,
        [EXPORT_AT_THREADS_ROWS] = SNAPSHOT_THREADS_MAX,
        [EXPORT_AT_TRIM_ALLOWED] = export.trim_allowed,
    };
    for (enum export_header at = EXPORT_AT_VERSION; at < EXPORT_AT_SEQUENCE; at++) {
        export_set_header_word(file, at, words[at]);
    }
    for (size_t i = 0; i < EXPORT_NAME_WORDS; i++) {
        uint64_t word;
        memcpy(&word, owner.name + i * sizeof word, sizeof word);
        export_set_header_word(file, (enum export_header)(EXPORT_AT_NAME + i), word);
    }
    export_set_magic(file);
}

/* Texts are put together by hand: this may be inside malloc, on a small stack. */
static void append(char *text, size_t room, const char *more)
{
    size_t length = strlen(text);
    size_t added = size_min(strlen(more), room - length - 1);
    memcpy(text + length, more, added);
    text[length + added] = '\0';
}

static void append_number(char *text, size_t room, unsigned number)
{
    char digits[NAME_BYTES] = "";
    char *first = digits + sizeof digits - 1;
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    append(text, room, first);
}

/* The session's folder, where there is one, and the user's. A path that is too long is left out. */
static void name_folders(void)
{
    static const char own[] = "/memorybucket";
    const char *session = secure_getenv("XDG_RUNTIME_DIR");
    memset(export.folders, 0, sizeof export.folders);
    if (session != NULL && session[0] == '/' && strlen(session) < SHARED_PATH_BYTES - sizeof own) {
        append(export.folders[0], SHARED_PATH_BYTES, session);
        append(export.folders[0], SHARED_PATH_BYTES, own);
    }
    append(export.folders[1], SHARED_PATH_BYTES, "/dev/shm/memorybucket-");
    append_number(export.folders[1], SHARED_PATH_BYTES, mbi_os_user());
}

static bool has_room(void)
{
    export.room = export.room != NULL ? export.room : mbi_os_map(sizeof *export.room);
    export.file = export.file != NULL ? export.file : mbi_os_map(file_bytes());
    return export.room != NULL && export.file != NULL;
}

static int make_file(void)
{
    int error = has_room() ? -ENOENT : -ENOMEM;
    export.name[0] = '\0';
    append_number(export.name, sizeof export.name, mbi_os_process());
    for (int i = 0; i < FOLDERS && error != 0 && error != -ENOMEM; i++) {
        export.folder = export.folders[i];
        if (export.folder[0] != '\0') {
            error = mbi_shared_file_make(export.folder, export.name, (void *)export.file,
                                         file_bytes());
        }
    }
    if (error == 0) {
        export.is_made = true;
        export.publications = 0;
        export.interval_ns = least_interval_ns();
        write_header(export.file);
    }
    return error;
}

static void drop_file(void)
{
    if (export.is_made) {
        export.is_made = false;
        mbi_shared_file_remove(export.folder, export.name);
        mbi_shared_file_part_from((void *)export.file, file_bytes());
    }
}

/* ---- publication --------------------------------------------------------------------------- */

static void store_words(_Atomic uint64_t *to, const uint64_t *from, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        export_store(&to[i], from[i]);
    }
}

static void write_snapshot(_Atomic uint64_t *file, const struct snapshot *snapshot)
{
    const size_t before_threads = offsetof(struct snapshot, threads) / sizeof(uint64_t);
    _Atomic uint64_t *payload = file + EXPORT_HEADER_WORDS;
    export_begin(file);
    store_words(payload, snapshot->totals, before_threads);
    store_words(payload + before_threads, snapshot->threads[0],
                snapshot->totals[TOTAL_thread_rows] * THREAD_WORDS);
    export_end(file);
}

/* As mbstat asked; this thread's own cache may be in use, and then stays. */
static void trim_as_asked(void)
{
    uint64_t asked = export_header_word(export.file, EXPORT_AT_TRIMS_ASKED);
    if (export.trim_allowed && asked != export_header_word(export.file, EXPORT_AT_TRIMS_DONE)) {
        uint64_t bytes = mbi_out_of_memory_trim(0);
        export_set_header_word(export.file, EXPORT_AT_TRIM_BYTES, bytes);
        export_set_header_word(export.file, EXPORT_AT_TRIMS_DONE, asked);
    }
}

static void publish(void)
{
    trim_as_asked();
    uint64_t begin_ns = mbi_os_clock_ns();
    uint64_t cost_begin_ns = mbi_os_thread_clock_ns(); /* without what interrupts the thread */
    uint64_t *totals = export.room->snapshot.totals;
    uint64_t interval_ns = least_interval_ns();
    if (mbi_snapshot_take(export.room, true)) {
        totals[TOTAL_published_ns] = begin_ns;
        totals[TOTAL_publications] = ++export.publications;
        totals[TOTAL_interval_ns] = export.interval_ns;
        write_snapshot(export.file, &export.room->snapshot);
        uint64_t cost_ns = mbi_os_thread_clock_ns() - cost_begin_ns;
        interval_ns = size_max(interval_ns, COST_SHARE * cost_ns);
    }
    export.interval_ns = interval_ns;
    set_due(begin_ns + interval_ns);
}

/* Makes the file where there is none, and publishes; with `busy`. A failure turns all off. */
static int go_on(void)
{
    int error = export.is_made ? 0 : make_file();
    if (error == 0) {
        publish();
    } else {
        flag_set(&mbi_pools_hints.exporting, false);
    }
    return error;
}

static const char *text_of(int error)
{
    switch (-error) {
    case ENOMEM: return "there is no memory";
    case ENOSPC: return "its file system is full";
    case EPERM: return "other users have rights to it";
    case ENOTDIR: return "it is no folder";
    case ENOENT: return "it cannot be made";
    default: return "the kernel refuses it";
    }
}

void mbi_export_poll(struct thread_cache *cache, uint64_t coarse_ns)
{
    if (cache != NULL && MBI_UNLIKELY(thread_cache_thread(cache) == 0)) {
        thread_cache_set_thread(cache, (uint32_t)mbi_os_thread());
    }
    if (MBI_LIKELY(!is_due(coarse_ns))) {
        return;
    }
    int saved_errno = errno;
    int cancel_type = mbi_lock_defer_cancel();
    if (try_take()) {
        int error = pools_exporting() && is_due(coarse_ns) ? go_on() : 0;
        if (error != 0) {
            mbi_message("MB_EXPORT: the statistics are not published in %s: %s", export.folder,
                        text_of(error));
        }
        give();
    }
    mbi_lock_restore_cancel(cancel_type);
    errno = saved_errno;
}

static void want(bool trim_allowed)
{
    name_folders();
    export.trim_allowed = trim_allowed;
    set_due(0);
    flag_set(&hint.was_wanted, true);
    flag_set(&mbi_pools_hints.exporting, true);
}

void mbi_export_init(void)
{
    if (mbi_config.exports != EXPORT_OFF) {
        want(mbi_config.exports == EXPORT_TRIM);
    }
}

int mbi_export_start(bool trim_allowed)
{
    int saved_errno = errno;
    struct cancelling cancelling = mbi_lock_forbid_cancel();
    (void)take(UINT_MAX);
    if (!pools_exporting()) {
        want(trim_allowed);
    }
    int error = go_on();
    give();
    mbi_lock_allow_cancel(cancelling);
    errno = saved_errno;
    return error;
}

static MBI_SELDOM void stop_wanted(void)
{
    struct cancelling cancelling = mbi_lock_forbid_cancel();
    flag_set(&mbi_pools_hints.exporting, false);
    /* A handler that calls exit may have interrupted the thread that publishes. */
    bool taken = take(STOP_MS_MAX);
    drop_file();
    if (taken) {
        give();
    }
    mbi_lock_allow_cancel(cancelling);
}

void mbi_export_stop(void)
{
    if (flag_is_set(&hint.was_wanted)) {
        stop_wanted();
    }
}

/* No system call but one, where the parent has a file. The child's is made on its slow path. */
void mbi_export_note_child(void)
{
    struct thread_cache *cache = mbi_thread_cache;
    if (cache->active && thread_cache_thread(cache) != 0) {
        thread_cache_set_thread(cache, 0);
    }
    if (export.is_made) {
        mbi_shared_file_part_from((void *)export.file, file_bytes());
        export.is_made = false;
        set_due(0);
    }
    if (flag_is_set(&export.busy)) {
        give(); /* another thread had it, or this one, which a signal handler interrupted */
    }
}
