/* profile_write: a buffer, numbers as text, files. */
#include "insight/profile_write.h"

#include "check/guarded.h"
#include "core/config.h"
#include "core/lock.h"
#include "core/os.h"
#include "insight/profile.h"
#include "insight/profile_stacks.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_BYTES = 64 << 10, DIGITS_MAX = 20 };

/* What is on its way to a file. `error` is the first one, after which nothing more is written. */
struct output {
    int file;
    int error;
    size_t used;
    char text[TEXT_BYTES];
};

static void flush(struct output *output)
{
    if (output->error == 0 && !mbi_os_write_all(output->file, output->text, output->used)) {
        output->error = errno;
    }
    output->used = 0;
}

static void put_bytes(struct output *output, const char *bytes, size_t count)
{
    if (count > TEXT_BYTES - output->used) {
        flush(output);
    }
    memcpy(output->text + output->used, bytes, count);
    output->used += count;
}

static void put(struct output *output, const char *text)
{
    put_bytes(output, text, strlen(text));
}

static void put_number(struct output *output, uint64_t number, unsigned base)
{
    char digits[DIGITS_MAX];
    size_t at = sizeof digits;
    do {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    put_bytes(output, digits + at, sizeof digits - at);
}

static void put_named(struct output *output, const char *name, uint64_t number)
{
    put(output, name);
    put_number(output, number, 10);
}

/* Estimates of one stack, or the sum of all, and from how many samples. */
struct figures {
    uint64_t samples;
    uint64_t freed;
    uint64_t live_parts;
    uint64_t live_bytes;
    uint64_t alloc_parts;
    uint64_t alloc_bytes;
};

/* acquire [FREED-READ]: pairs with [FREED-ADD]. */
static uint64_t read_freed(const _Atomic uint64_t *sum)
{
    return atomic_load_explicit(sum, memory_order_acquire); /* [FREED-READ] */
}

/* What was freed is read first: so it is not more than what was allocated. */
static struct figures figures_of(struct profile_stack *stack)
{
    uint64_t freed = read_freed(&stack->freed);
    uint64_t freed_parts = read_freed(&stack->freed_parts);
    uint64_t freed_bytes = read_freed(&stack->freed_bytes);
    uint64_t alloc_parts = counter_read(&stack->alloc_parts);
    uint64_t alloc_bytes = counter_read(&stack->alloc_bytes);
    return (struct figures){ .samples = counter_read(&stack->samples),
                             .freed = freed,
                             .live_parts = size_above(alloc_parts, freed_parts),
                             .live_bytes = size_above(alloc_bytes, freed_bytes),
                             .alloc_parts = alloc_parts,
                             .alloc_bytes = alloc_bytes };
}

static void put_figures(struct output *output, const struct figures *figures)
{
    enum { HALF = PROFILE_PARTS / 2 };
    put_number(output, (figures->live_parts + HALF) / PROFILE_PARTS, 10);
    put_named(output, ": ", figures->live_bytes);
    put_named(output, " [", (figures->alloc_parts + HALF) / PROFILE_PARTS);
    put_named(output, ": ", figures->alloc_bytes);
    put(output, "] @ ");
}

static void for_each_stack(void (*visit)(struct profile_stack *stack, void *argument),
                           void *argument)
{
    for (unsigned head = 0; head < PROFILE_HEADS; head++) {
        for (uint32_t number = mbi_profile_stacks_head(head); number != 0;) {
            struct profile_stack *stack = profile_stack_at(number);
            visit(stack, argument);
            number = stack->next;
        }
    }
}

static void add_figures(struct profile_stack *stack, void *argument)
{
    struct figures *sum = argument;
    struct figures figures = figures_of(stack);
    sum->samples += figures.samples;
    sum->freed += figures.freed;
    sum->live_parts += figures.live_parts;
    sum->live_bytes += figures.live_bytes;
    sum->alloc_parts += figures.alloc_parts;
    sum->alloc_bytes += figures.alloc_bytes;
}

static void put_stack(struct profile_stack *stack, void *argument)
{
    struct output *output = argument;
    struct figures figures = figures_of(stack);
    put_figures(output, &figures);
    for (uint32_t i = 0; i < stack->count; i++) {
        put(output, i == 0 ? "0x" : " 0x");
        put_number(output, (uintptr_t)stack->frames[i], 16);
    }
    put(output, "\n");
}

static void put_header(struct output *output)
{
    struct profile_counts counts = mbi_profile_counts();
    struct figures sum = { .samples = 0 };
    for_each_stack(add_figures, &sum);
    put(output, "heap profile: ");
    put_figures(output, &sum);
    put(output, "heapprofile\n");
    put_named(output, "# memorybucket 1: mean ", counts.mean_bytes);
    put_named(output, ", samples ", sum.samples);
    put_named(output, ", freed ", sum.freed);
    put_named(output, ", lost ", counts.lost);
    put_named(output, ", pid ", (uint64_t)getpid());
    put(output, "\n");
}

/* The dump names files by what the kernel says of the process. Without /proc it has addresses. */
static void put_maps(struct output *output)
{
    put(output, "MAPPED_LIBRARIES:\n");
    int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    ssize_t bytes = maps >= 0 ? 1 : 0;
    while (bytes > 0) {
        flush(output);
        bytes = read(maps, output->text, TEXT_BYTES);
        if (bytes < 0 && errno == EINTR) {
            bytes = 1;
            continue;
        }
        output->used = bytes > 0 ? (size_t)bytes : 0;
    }
    if (maps >= 0) {
        (void)close(maps);
    }
}

int mbi_profile_dump(int file)
{
    int saved_errno = errno;
    struct cancelling cancelling = mbi_lock_forbid_cancel(); /* writing is a cancellation point */
    struct output *output = mbi_os_map(sizeof *output);
    int error = ENOMEM;
    if (output != NULL) {
        output->file = file;
        put_header(output);
        for_each_stack(put_stack, output);
        put_maps(output);
        flush(output);
        error = output->error;
        mbi_os_unreserve(output, sizeof *output);
    }
    mbi_lock_allow_cancel(cancelling);
    errno = saved_errno;
    return -error;
}

enum { PATH_BYTES = 4096 };
static const char default_path[] = "memorybucket.%p.%n.heap";

/* Written by prepare, before the signal is taken. */
static struct {
    bool on;
    char pattern[OPTION_TEXT_BYTES];
    _Atomic uint64_t dumps; /* for %n */
} place;

/* Writes the path, with numbers for %p and %n; false when it is too long. */
static bool expand(char *path, uint64_t number)
{
    size_t used = 0;
    path[0] = '\0';
    for (const char *cursor = place.pattern; *cursor != '\0'; cursor++) {
        bool is_number = cursor[0] == '%' && (cursor[1] == 'p' || cursor[1] == 'n');
        uint64_t value = cursor[1] == 'p' ? (uint64_t)getpid() : number;
        char digits[DIGITS_MAX];
        size_t count = 0;
        do {
            char next = *cursor;
            if (is_number) {
                next = (char)('0' + value % 10);
            }
            digits[count++] = next;
            value /= 10;
        } while (is_number && value != 0);
        if (used + count >= PATH_BYTES) {
            return false;
        }
        while (count > 0) {
            path[used++] = digits[--count];
        }
        cursor += is_number;
    }
    path[used] = '\0';
    return true;
}

/* A dump that is not whole is taken away: a reader would take it for less memory. */
static void take_away(int file, const char *path)
{
    struct stat status;
    if (fstat(file, &status) == 0 && S_ISREG(status.st_mode)) {
        (void)unlink(path);
    }
}

static int dump_to_path(const char *path)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
    if (file < 0) {
        return errno;
    }
    int error = -mbi_profile_dump(file);
    if (error != 0) {
        take_away(file, path);
    }
    return close(file) != 0 && error == 0 ? errno : error;
}

static void dump_to_place(void)
{
    char path[PATH_BYTES];
    uint64_t number =
        atomic_fetch_add_explicit(&place.dumps, 1, memory_order_relaxed) + 1; /* [COUNT-SHARED] */
    int saved_errno = errno;
    int error = expand(path, number) ? dump_to_path(path) : ENAMETOOLONG;
    if (error != 0) {
        mbi_message("the heap profile could not be written to %.180s: %s", path,
                    strerrorname_np(error));
    }
    errno = saved_errno;
}

static void handle_signal(int number)
{
    (void)number;
    dump_to_place();
}

/* The program's handler stays, if it has one. */
static void take_signal(unsigned number)
{
    struct sigaction before;
    struct sigaction action = { .sa_handler = handle_signal, .sa_flags = SA_RESTART };
    (void)sigfillset(&action.sa_mask);
    bool is_free = mbi_next_sigaction((int)number, NULL, &before) == 0
                   && (before.sa_flags & SA_SIGINFO) == 0 && before.sa_handler == SIG_DFL;
    if (!is_free || mbi_next_sigaction((int)number, &action, NULL) != 0) {
        mbi_message("MB_PROFILE_SIGNAL=%u: the signal cannot be taken, or is in use", number);
    }
}

static void prepare(void)
{
    const char *pattern = mbi_config_text(OPTION_MB_PROFILE_FILE);
    if (mbi_config.profile_bytes == 0) {
        return;
    }
    int error = mbi_profile_start(mbi_config.profile_bytes);
    if (error != 0 && error != -EALREADY) {
        mbi_message("MB_PROFILE has no effect: %s",
                    error == -ENOTSUP ? "checked mode is on" : strerrorname_np(-error));
        return;
    }
    pattern = pattern != NULL ? pattern : default_path;
    size_t length = strnlen(pattern, sizeof place.pattern - 1);
    memcpy(place.pattern, pattern, length);
    place.on = true;
    if (mbi_config.profile_signal != 0) {
        take_signal(mbi_config.profile_signal);
    }
    (void)at_quick_exit(mbi_profile_dump_at_exit);
}

void mbi_profile_prepare(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, prepare);
}

void mbi_profile_dump_at_exit(void)
{
    if (place.on) {
        dump_to_place();
    }
}
