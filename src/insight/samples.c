/* samples: a hash table of fixed size in lines of a cache. */
#include "insight/samples.h"

#include "core/os.h"

/* 7 * 2^15 samples: of the default mean a heap of 110 GB. A sample lies at most so far away. */
enum { BUCKET_KEYS = 7, BUCKETS_LOG2 = 15, BUCKETS = 1 << BUCKETS_LOG2, REACH = 8 };
enum { BUSY = 1 };

struct bucket {
    _Alignas(LINE_BYTES) _Atomic uint64_t far;
    _Atomic uintptr_t keys[BUCKET_KEYS];
};
_Static_assert(sizeof(struct bucket) == LINE_BYTES, "a look reads one line");

struct table {
    struct bucket buckets[BUCKETS];
    struct sample rooms[BUCKETS][BUCKET_KEYS];
};

static struct table *table; /* written by init, which comes before all other calls */

bool mbi_samples_init(void)
{
    table = mbi_os_map(sizeof *table);
    return table != NULL;
}

/* Fibonacci hashing (Knuth, TAOCP 6.4). */
static size_t home_of(const void *address)
{
    uint64_t hash = ((uintptr_t)address >> 4) * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(hash >> (64 - BUCKETS_LOG2));
}

static bool bucket_put(size_t bucket, const void *address, const struct sample *sample)
{
    for (size_t i = 0; i < BUCKET_KEYS; i++) {
        _Atomic uintptr_t *key = &table->buckets[bucket].keys[i];
        uintptr_t none = 0;
        /* acquire [SAMPLE-CLAIM]: pairs with [SAMPLE-TAKE], which read the room before. */
        if (atomic_compare_exchange_strong_explicit(
                key, &none, BUSY, memory_order_acquire, memory_order_relaxed)) {
            table->rooms[bucket][i] = *sample;
            /* release [SAMPLE-PUT]: pairs with [SAMPLE-FIND]. */
            atomic_store_explicit(key, (uintptr_t)address, memory_order_release);
            return true;
        }
    }
    return false;
}

/* relaxed [SAMPLE-FAR]: a thread that looks for an address was given it after it was put. */
static void add_far(size_t bucket, uint64_t amount)
{
    atomic_fetch_add_explicit(&table->buckets[bucket].far, amount,
                              memory_order_relaxed); /* [SAMPLE-FAR] */
}

static bool has_far(size_t bucket)
{
    return atomic_load_explicit(&table->buckets[bucket].far,
                                memory_order_relaxed) != 0; /* [SAMPLE-FAR] */
}

bool mbi_samples_put(const void *address, const struct sample *sample)
{
    size_t home = home_of(address);
    if (bucket_put(home, address, sample)) {
        return true;
    }
    add_far(home, 1);
    for (size_t step = 1; step < REACH; step++) {
        if (bucket_put((home + step) % BUCKETS, address, sample)) {
            return true;
        }
    }
    add_far(home, (uint64_t)-1);
    return false;
}

/* The key that has the address; NULL without one. */
static _Atomic uintptr_t *find(const void *address, struct sample **room)
{
    size_t home = home_of(address);
    for (size_t step = 0; step < REACH && (step == 0 || has_far(home)); step++) {
        size_t bucket = (home + step) % BUCKETS;
        for (size_t i = 0; i < BUCKET_KEYS; i++) {
            _Atomic uintptr_t *key = &table->buckets[bucket].keys[i];
            /* acquire [SAMPLE-FIND]: pairs with [SAMPLE-PUT]. */
            if (atomic_load_explicit(key, memory_order_acquire) == (uintptr_t)address) {
                *room = &table->rooms[bucket][i];
                return key;
            }
        }
    }
    return NULL;
}

bool mbi_samples_find(const void *address, struct sample *sample)
{
    struct sample *room;
    bool found = (uintptr_t)address > BUSY && find(address, &room) != NULL;
    if (found) {
        *sample = *room;
    }
    return found;
}

bool mbi_samples_take(const void *address, struct sample *sample)
{
    struct sample *room;
    uintptr_t expected = (uintptr_t)address;
    _Atomic uintptr_t *key = expected > BUSY ? find(address, &room) : NULL;
    if (key == NULL) {
        return false;
    }
    *sample = *room;
    /* release [SAMPLE-TAKE]: pairs with [SAMPLE-CLAIM]. A double free fails here once. */
    if (!atomic_compare_exchange_strong_explicit(key, &expected, 0, memory_order_release,
                                                 memory_order_relaxed)) {
        return false;
    }
    size_t home = home_of(address);
    size_t bucket = (size_t)(key - (_Atomic uintptr_t *)table) / (LINE_BYTES / sizeof *key);
    if (bucket != home) {
        add_far(home, (uint64_t)-1);
    }
    return true;
}
