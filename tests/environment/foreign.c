/*
 * foreign beside|deep|unused: somebody else's memory lies in a pool's spans, right behind what is
 * mapped of one, or deep in both. It is left alone, the pool goes on with what it has and then
 * others serve, the kernel is not asked for the same address again and again, and an address in
 * that memory is the system allocator's; also where the pool was never used.
 */
#include "testing.h"

#include "core/region.h"

#include <errno.h>
#include <malloc.h>
#include <sys/mman.h>

enum { SIZE = 64, CLASS = SIZE / 8 - 1, OBJECTS = 400000, FOREIGN_BYTES = 64 << 10, MIB = 1 << 20 };

static void *objects[OBJECTS];

/* An object of the system allocator, as it were. */
static unsigned char *foreign;
static size_t foreign_frees;
static size_t foreign_reallocs;
static size_t calls_in_spans;

void *__real_mmap(void *start, size_t bytes, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *start, size_t bytes, int protection, int flags, int file, off_t offset);
void __real_free(void *pointer);
void __wrap_free(void *pointer);
void *__real_realloc(void *pointer, size_t size);
void *__wrap_realloc(void *pointer, size_t size);
size_t __real_malloc_usable_size(void *pointer);
size_t __wrap_malloc_usable_size(void *pointer);

void *__wrap_mmap(void *start, size_t bytes, int protection, int flags, int file, off_t offset)
{
    calls_in_spans += region_class_of(start) == CLASS;
    return __real_mmap(start, bytes, protection, flags, file, offset);
}

void __wrap_free(void *pointer)
{
    if (pointer != NULL && pointer == foreign) {
        foreign_frees++;
    } else {
        __real_free(pointer);
    }
}

void *__wrap_realloc(void *pointer, size_t size)
{
    if (pointer != NULL && pointer == foreign) {
        foreign_reallocs++;
        return pointer;
    }
    return __real_realloc(pointer, size);
}

size_t __wrap_malloc_usable_size(void *pointer)
{
    return pointer == foreign ? FOREIGN_BYTES : __real_malloc_usable_size(pointer);
}

static unsigned char *put(char *start)
{
    void *mapped = __real_mmap(start, FOREIGN_BYTES, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(mapped == start, "something is there already");
    memset(start, 0xA5, FOREIGN_BYTES);
    return mapped;
}

static void check_intact(const unsigned char *memory)
{
    for (size_t i = 0; i < FOREIGN_BYTES; i++) {
        CHECK(memory[i] == 0xA5, "byte %zu was written", i);
    }
}

static size_t fill(void)
{
    size_t own = 0;
    for (size_t i = 0; i < OBJECTS; i++) {
        objects[i] = mb_alloc(SIZE);
        CHECK(objects[i] != NULL, "no memory");
        memset(objects[i], (int)(i % 251), SIZE);
        own += mb_usable_size(objects[i]) == SIZE;
    }
    return own;
}

static void empty(void)
{
    for (size_t i = 0; i < OBJECTS; i++) {
        const unsigned char *bytes = objects[i];
        CHECK(bytes[0] == i % 251 && bytes[SIZE - 1] == i % 251, "object %zu has changed", i);
    }
    mb_free_batch(OBJECTS, objects);
    (void)mb_trim(0);
    check_accounting(0);
}

/* In a thread that has no cache yet, and so nowhere to put it. */
static void *free_foreign(void *argument)
{
    errno = 77;
    mb_free(foreign);
    CHECK(errno == 77, "errno %d", errno);
    return argument;
}

static void check_is_foreign(void)
{
    CHECK(region_class_of(foreign) == CLASS, "it is not in the span");
    CHECK(mb_usable_size(foreign) == FOREIGN_BYTES, "%zu usable bytes", mb_usable_size(foreign));
    CHECK(mb_realloc(foreign, 1000) == foreign && foreign_reallocs == 1, "realloc");
    void *moved = mb_realloc(foreign, SIZE); /* small: into a pool */
    CHECK(moved != NULL && *(unsigned char *)moved == 0xA5 && mb_usable_size(moved) < FOREIGN_BYTES,
          "it was not moved");
    mb_free(moved);
    pthread_join(start_thread(free_foreign, NULL), NULL);
    CHECK(foreign_frees >= 1, "it was not given to the system allocator");
}

static void beside(struct pool *pool)
{
    foreign = put(pool->spans[SPAN_DENSE].extent.mapped_end);
    size_t own = fill();
    CHECK(own == OBJECTS && pool->carving == SPAN_WIDE, "%zu objects are from the pool", own);
    check_is_foreign();
    check_intact(foreign);
    empty();
    check_intact(foreign);
}

/* Twice, the second time from what was sorted. */
static void deep(struct pool *pool)
{
    enum { IN_DENSE = 3 * MIB + 4096, IN_WIDE = 2 * MIB };
    foreign = put(pool->spans[SPAN_DENSE].extent.first + IN_DENSE);
    unsigned char *in_wide = put(pool->spans[SPAN_WIDE].extent.first + IN_WIDE);
    for (int turn = 0; turn < 2; turn++) {
        size_t own = fill();
        size_t most = (IN_DENSE + IN_WIDE) / SIZE;
        CHECK(own <= most && own >= most - 3 * 4096 / SIZE, "%zu objects are from the pool", own);
        size_t calls = calls_in_spans;
        for (size_t i = 0; i < 1000; i++) {
            mb_free(mb_alloc(SIZE));
        }
        CHECK(calls_in_spans == calls, "what was refused is asked for again");
        check_is_foreign();
        foreign_reallocs = 0;
        check_intact(foreign);
        check_intact(in_wide);
        empty();
    }
}

static void unused(enum span_name span)
{
    foreign = put(mbi_region_span(CLASS, span) + MIB);
    CHECK(mb_usable_size(foreign) == FOREIGN_BYTES, "%zu usable bytes", mb_usable_size(foreign));
    CHECK(mb_realloc(foreign, 1000) == foreign && foreign_reallocs == 1, "realloc");
    foreign_reallocs = 0;
    mb_free(foreign);
    pthread_join(start_thread(free_foreign, NULL), NULL);
    CHECK(foreign_frees == 2, "%zu frees", foreign_frees);
    foreign_frees = 0;
    check_intact(foreign);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2, "usage: foreign beside|deep|unused");
    mb_free(mb_alloc(strcmp(argv[1], "unused") != 0 ? SIZE : 2 * SIZE));
    CHECK(mbi_region.reserved_bytes == 0 || TEST_IS_SANITIZED, "all is reserved");
    if (mbi_region.reserved_bytes != 0) {
        puts("all is reserved at once: nobody else can get in");
        return 0;
    }
    if (strcmp(argv[1], "unused") == 0) {
        unused(SPAN_DENSE);
        unused(SPAN_WIDE);
        CHECK(!pool_is_laid_out(CLASS), "frees use the pool");
        check_is_foreign();
    } else if (strcmp(argv[1], "beside") == 0) {
        beside(pool_at(CLASS));
    } else {
        deep(pool_at(CLASS));
    }
    return 0;
}
