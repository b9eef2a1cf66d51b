/*
 * A malloc for mbreplay to complain of. It never frees; BROKEN says what is wrong with it:
 *   overlap   what malloc gives lies where this thread's last object does, if it has room for it
 *   dirty     calloc's memory is not zero
 *   none      there is no memory beyond 1 MiB, for malloc: the start of a thread calls calloc
 *   crash     the thousandth free raises SIGSEGV
 * Anything else, or nothing: nothing.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 256 << 20, HEAD = 16, SMALL_ROOM = 1 << 20 };

static _Alignas(4096) char room[ROOM];
static atomic_size_t used;
static atomic_uint frees;

/* Of this thread. Other threads' objects stay whole until they hand one over. */
static _Thread_local char *last;
static _Thread_local size_t last_size;

static int is(const char *flaw)
{
    const char *broken = getenv("BROKEN");
    return broken != NULL && strcmp(broken, flaw) == 0;
}

static void *take(size_t alignment, size_t size)
{
    size_t whole = (size + HEAD + alignment + HEAD - 1) / HEAD * HEAD;
    size_t at = atomic_fetch_add(&used, whole);
    if (at + whole > ROOM) {
        errno = ENOMEM;
        return NULL;
    }
    char *object = room + (at + HEAD + alignment - 1) / alignment * alignment;
    memcpy(object - sizeof size, &size, sizeof size);
    last = object;
    last_size = size;
    return object;
}

void *malloc(size_t size)
{
    if (is("none") && atomic_load(&used) > SMALL_ROOM) {
        errno = ENOMEM;
        return NULL;
    }
    if (is("overlap") && size <= last_size) {
        return last;
    }
    return take(HEAD, size);
}

void *calloc(size_t count, size_t size)
{
    char *object = take(HEAD, count * size);
    if (object != NULL && count * size > 0) {
        memset(object, 0, count * size);
        object[0] = (char)is("dirty");
    }
    return object;
}

void *realloc(void *old, size_t size)
{
    char *object = take(HEAD, size);
    if (old != NULL && object != NULL) {
        size_t old_size;
        memcpy(&old_size, (char *)old - sizeof old_size, sizeof old_size);
        memcpy(object, old, old_size < size ? old_size : size);
    }
    return object;
}

int posix_memalign(void **object, size_t alignment, size_t size)
{
    *object = take(alignment, size);
    return *object != NULL ? 0 : ENOMEM;
}

void free(void *object)
{
    if (object != NULL && atomic_fetch_add(&frees, 1) == 1000 && is("crash")) {
        raise(SIGSEGV);
    }
}
