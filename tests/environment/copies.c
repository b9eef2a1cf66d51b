/*
 * copies PLUGIN...: plugins that each have a copy of the library inside, in one program, and
 * objects that go from one to the other: freed, resized and measured by a copy that did not make
 * them.
 *
 * The first copy that is given an object has made none itself, so it has to come up for that.
 * Threads come and go meanwhile. In the end no copy has a live object.
 */
#include "run_threads.h"

#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

enum { COPIES_MAX = 8, OBJECTS = 2000, THREADS = 4, ROUNDS = 10, BATCH = 16, SIZE_MAX_USED = 700 };

struct copy {
    void *(*alloc)(size_t size);
    void *(*realloc)(void *object, size_t size);
    size_t (*usable_size)(const void *object);
    void (*free)(void *object);
    void (*free_sized)(void *object, size_t size);
    void (*free_batch)(size_t count, void **objects);
    uint64_t (*live)(void);
};

static struct copy copies[COPIES_MAX];
static size_t count;

static void open_copy(const char *path)
{
    static const char *const names[] = { "copy_alloc", "copy_realloc", "copy_usable_size",
                                         "copy_free", "copy_free_sized", "copy_free_batch",
                                         "copy_live" };
    struct copy *copy = &copies[count++];
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CHECK(plugin != NULL, "%s", dlerror());
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        void *symbol = dlsym(plugin, names[i]);
        CHECK(symbol != NULL, "%s", names[i]);
        memcpy((char *)copy + i * sizeof symbol, &symbol, sizeof symbol);
    }
}

static unsigned char mark_of(size_t number)
{
    return (unsigned char)(number * 7 + 1);
}

/* Makes object `number` with one copy, and resizes it with another. */
static void *make(size_t number, size_t *size)
{
    const struct copy *maker = &copies[number % count];
    const struct copy *other = &copies[(number / count) % count];
    *size = 1 + number * 13 % SIZE_MAX_USED;
    unsigned char *object = maker->alloc(*size);
    CHECK(object != NULL, "no memory");
    CHECK(other->usable_size(object) == maker->usable_size(object), "the copies disagree");
    object[0] = mark_of(number);
    if (number % 3 == 0) {
        *size = 1 + number * 31 % SIZE_MAX_USED;
        object = other->realloc(object, *size);
        CHECK(object != NULL && object[0] == mark_of(number), "lost its contents");
    }
    memset(object, mark_of(number), *size);
    return object;
}

static void release(void **objects, const size_t *sizes, size_t first)
{
    for (size_t i = first; i < first + BATCH; i++) {
        CHECK(*(unsigned char *)objects[i] == mark_of(i), "two owners");
        CHECK(((unsigned char *)objects[i])[sizes[i] - 1] == mark_of(i), "two owners");
    }
    const struct copy *copy = &copies[first / BATCH % count];
    if (first / BATCH % 3 == 0) {
        copy->free_batch(BATCH, objects + first);
        return;
    }
    for (size_t i = first; i < first + BATCH; i++) {
        if (i % 2 == 0) {
            copy->free(objects[i]);
        } else {
            copy->free_sized(objects[i], sizes[i]);
        }
    }
}

static void *run(void *argument)
{
    static _Thread_local void *objects[OBJECTS];
    static _Thread_local size_t sizes[OBJECTS];
    for (size_t i = 0; i < OBJECTS; i++) {
        objects[i] = make(i, &sizes[i]);
    }
    for (size_t i = 0; i < OBJECTS; i += BATCH) {
        release(objects, sizes, i);
    }
    return argument;
}

int main(int argc, char **argv)
{
    CHECK(argc >= 3 && argc <= 1 + COPIES_MAX, "usage: copies PLUGIN PLUGIN...");
    for (int i = 1; i < argc; i++) {
        open_copy(argv[i]);
    }
    copies[1].free(copies[0].alloc(40));
    for (int round = 0; round < ROUNDS; round++) {
        run_threads(THREADS, run, NULL);
    }
    for (size_t i = 0; i < count; i++) {
        CHECK(copies[i].live() == 0, "objects are left");
    }
    puts("objects cross");
    return 0;
}
