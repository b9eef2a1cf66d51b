/*
 * batch: many objects in one call.
 *
 * Ladder: beside api.c. Objects move between the array and the loaded magazine's chain. Magazines
 * move whole, as they do for single calls, so each slot is touched once.
 */
#include "memorybucket/memorybucket.h"

#include "api/api.h"

size_t mb_alloc_batch(size_t size, size_t count, void **out)
{
    size_t done = 0;
    if (size - 1 >= mbi_thread_cache->pool_bytes) {
        while (done < count && (out[done] = mb_alloc(size)) != NULL) {
            done++;
        }
        return done;
    }
    size_t class = size_class_of(size);
    while (done < count) {
        done += mbi_thread_cache_take_many(class, count - done, out + done);
        /* The magazine is empty: the slow path refills it, or finds memory elsewhere. */
        if (done < count) {
            out[done] = thread_cache_alloc(class, size);
            if (out[done] == NULL) {
                break;
            }
            done++;
        }
    }
    return done;
}

/* Whether mbi_thread_cache_put_many may take the object; never where the thread has no cache. */
static bool is_in_dense_tier(const void *pointer)
{
    return region_dense_class_of(pointer, mbi_thread_cache->dense_base) < SIZE_CLASS_COUNT;
}

void mb_free_batch(size_t count, void *const *pointers)
{
    size_t done = 0;
    while (done < count) {
        done += mbi_thread_cache_put_many(count - done, pointers + done);
        if (done < count) { /* its magazine is full, or it lies elsewhere, as the next may */
            do {
                api_free(pointers[done++]);
            } while (done < count && !is_in_dense_tier(pointers[done]));
        }
    }
}
