/*
 * objects: live objects with a pattern in them, and the contract of each call that makes, moves or
 * frees one.
 *
 * The contract under faults: NULL and ENOMEM only if the system allocator failed in this very call,
 * or mmap did in checked mode, or a memory limit is set; a failed call leaves everything as it was;
 * free preserves errno. So when nothing fails, no call may.
 */
#ifndef MEMORYBUCKET_TESTS_FAULT_OBJECTS_H
#define MEMORYBUCKET_TESTS_FAULT_OBJECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct test_object {
    unsigned char *pointer; /* NULL: could not be had */
    size_t size;
};

enum object_how { OBJECT_ALLOC, OBJECT_CALLOC, OBJECT_REALLOC, OBJECT_ALIGNED, OBJECT_HOWS };

/* With a limit, a request may be refused though the system allocator was not asked. */
void objects_set_limited(bool limited);

/* `object` is empty. False when there was no memory. */
bool object_make(struct test_object *object, enum object_how how, size_t size);

/* Gives it another size; it keeps the old one when there is no memory. */
void object_resize(struct test_object *object, size_t size);

/* One call of mb_alloc_batch; what could not be had is empty. */
void object_make_batch(struct test_object *objects, size_t size, size_t count);

void object_check(const struct test_object *object);

/* Checks the pattern and frees; the object is empty afterwards, as it may be before. */
void object_free(struct test_object *object);
void object_free_all(struct test_object *objects, size_t count);

/* Frees objects by one call of mb_free_batch. */
void object_free_batch(struct test_object *objects, size_t count);

/* mb_trim, while no other thread is at work: it says exactly what the kernel took. */
size_t objects_trim(size_t keep_bytes);

/*
 * With no other thread at work: the accounting equation of every pool, the objects of the pools and
 * of the system allocator that are live, what the memory limit counts, and that no cache is lost.
 */
const struct mb_stats *objects_check_at_rest(void);

#endif
