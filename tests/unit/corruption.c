/*
 * corruption: what is always checked, in every build: a link that somebody wrote over, and a free
 * of what is no slot, are found where magazines are exchanged, and end the process with a message.
 */
#include "memorybucket/memorybucket.h"

#include "core/config.h"
#include "core/pool.h"
#include "core/region.h"
#include "tcache/thread_cache.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIZE = 64, CLASS = 7 };

static struct pool *pool = &mbi_pools[POOL_INDEX(CLASS)];

static char *objects[4096];

/*
 * What stderr must begin with when the process aborts: a failing assertion does that, too. While it
 * is empty, as before the free that is to be refused, nothing may abort.
 */
static char meant[256];
static int said_file;

static void on_abort(int signal_number)
{
    static char said[1024];
    (void)signal_number;
    ssize_t bytes = read(said_file, said, sizeof said - 1);
    if (bytes < 0 || meant[0] == '\0' || strncmp(said, meant, strlen(meant)) != 0) {
        /* NOLINTNEXTLINE(bugprone-signal-handler): abort raises it, in no library's call */
        dprintf(STDOUT_FILENO, "said '%s', not '%s'\n", said, meant);
        _exit(1);
    }
}

static void expect_abort(void)
{
    cr_redirect_stderr();
    said_file = fileno(cr_get_redirected_stderr());
    fcntl(said_file, F_SETFL, O_NONBLOCK); /* it may be that nothing was said */
    signal(SIGABRT, on_abort);
}

static void expect_corrupted_list(void)
{
    expect_abort();
    snprintf(meant, sizeof meant,
             "memorybucket: corrupted free list: a free slot of pool %d (%d bytes) holds ", CLASS,
             SIZE);
}

/* Frees it in a test that expects an abort. */
static void free_to_be_refused(char *address)
{
    snprintf(meant, sizeof meant,
             "memorybucket: invalid free: %p lies in pool %d (%d bytes), which has not got that "
             "far\n",
             (void *)address, CLASS, SIZE);
    mb_free(address);
}

/* The same where it lies inside an object. */
static char *inside(char *object, size_t bytes)
{
    snprintf(meant, sizeof meant,
             "memorybucket: invalid free: %p lies %zu bytes into an object of pool %u (%u bytes)\n",
             (void *)(object + bytes), bytes, pool->class, pool->slot_bytes);
    return object + bytes;
}

static void allocate(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        objects[i] = mb_alloc(SIZE);
        cr_assert_not_null(objects[i]);
    }
}

static void free_all(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        mb_free(objects[i]);
    }
}

static struct transfer_counts counts;

/* The first slot of the batch that the next pop takes; there are others below it. */
static struct slot *batch_on_top(void)
{
    allocate(4000);
    free_all(4000);
    mb_thread_flush();
    uint64_t chain = mbi_pool_pop_batch(pool, &counts);
    cr_assert_neq(chain, 0);
    mbi_pool_push_batch(pool, chain, &counts);
    return chain_first(chain);
}

/* Of a hundred objects ten are freed: objects[10] and up stay. */
static void leave_loose_slots(void)
{
    allocate(100);
    free_all(10);
    mb_thread_flush();
    cr_assert_neq(pool->loose, 0);
}

static bool has(const char *address)
{
    return slot_space_has(&pool->space, (const struct slot *)(const void *)address);
}

Test(corruption, what_is_carved_is_known)
{
    allocate(1000);
    cr_assert(has(objects[0]) && has(objects[999]) && has(pool_carved_span(pool)->carve_next - SIZE));
    cr_assert_not(has(pool_carved_span(pool)->carve_next));
    cr_assert_not(has(NULL));
    cr_assert_not(has(pool->space.start[SPAN_WIDE]));
    cr_assert_not(has(pool->space.start[SPAN_DENSE] + DENSE_SPAN_BYTES), "the next pool's");
    cr_assert_not(has(pool->space.start[SPAN_DENSE] - SIZE), "the one's before");
    cr_assert_not(slot_space_has(&pool_at(CLASS + 1)->space,
                                 (struct slot *)(void *)objects[0]));
}

/* The end of a span is no slot's number in the next one. */
Test(corruption, what_is_carved_is_known_where_the_wide_span_begins)
{
    pool = pool_at(SMALL_CLASS_COUNT - 1);
    size_t in_dense = DENSE_SPAN_BYTES / SMALL_BYTES_MAX;
    for (size_t i = 0; i < in_dense; i++) {
        cr_assert_not_null(mb_alloc(SMALL_BYTES_MAX));
    }
    cr_assert_eq(pool->carving, SPAN_WIDE);
    cr_assert(has(pool->space.start[SPAN_DENSE] + DENSE_SPAN_BYTES - SMALL_BYTES_MAX));
    cr_assert(has(pool_carved_span(pool)->carve_next - SMALL_BYTES_MAX));
    cr_assert_not(has(pool_carved_span(pool)->carve_next));
    cr_assert_not(has(pool->space.start[SPAN_WIDE] - SMALL_BYTES_MAX));
}

/* The first free of a class comes to the slow path, and each that finds its magazine full. */
Test(corruption, a_free_beyond_what_is_carved_aborts, .init = expect_abort, .signal = SIGABRT)
{
    allocate(1);
    mb_thread_flush();
    free_to_be_refused(objects[0] + ((size_t)16 << 20));
}

/* In the pool's dense span, and in the wide one. */
static void free_of_a_pool_that_was_never_used(enum span_name span)
{
    cr_assert_not_null(mb_alloc(8));
    cr_assert_not(pool_is_laid_out(CLASS));
    free_to_be_refused(mbi_region_span(CLASS, span) + ((size_t)1 << 20));
}

Test(corruption, a_free_in_a_pool_that_was_never_used_aborts, .init = expect_abort,
     .signal = SIGABRT)
{
    free_of_a_pool_that_was_never_used(SPAN_DENSE);
}

Test(corruption, a_free_in_the_wide_span_of_a_pool_that_was_never_used_aborts,
     .init = expect_abort, .signal = SIGABRT)
{
    free_of_a_pool_that_was_never_used(SPAN_WIDE);
}

Test(corruption, a_free_of_what_is_committed_and_not_carved_aborts, .init = expect_abort,
     .signal = SIGABRT)
{
    allocate(1);
    mb_thread_flush();
    free_to_be_refused(pool_carved_span(pool)->carve_next);
}

/* Objects are allocated already. Frees as many as it takes to fill the magazine; how many. */
static size_t fill_magazine(void)
{
    size_t freed = 0;
    const struct magazine *loaded = &mbi_thread_cache->loaded[CLASS];
    while (chain_rounds(magazine_chain(loaded)) < pool->rounds) {
        mb_free(objects[freed++]);
    }
    return freed;
}

Test(corruption, a_free_inside_an_object_aborts, .init = expect_abort, .signal = SIGABRT)
{
    allocate(1);
    mb_thread_flush();
    mb_free(inside(objects[0], 8));
}

Test(corruption, a_free_of_an_unaligned_address_aborts, .init = expect_abort, .signal = SIGABRT)
{
    allocate(1);
    mb_thread_flush();
    mb_free(inside(objects[0], 1));
}

Test(corruption, a_free_inside_an_object_aborts_where_the_magazine_is_full, .init = expect_abort,
     .signal = SIGABRT)
{
    allocate(4000);
    size_t freed = fill_magazine();
    mb_free(inside(objects[freed], 56));
}

Test(corruption, a_realloc_inside_an_object_aborts_if_it_moves, .init = expect_abort,
     .signal = SIGABRT)
{
    allocate(1);
    objects[1] = mb_realloc(inside(objects[0], 16), 100);
}

Test(corruption, a_free_inside_an_object_of_the_wide_span_aborts, .init = expect_abort,
     .signal = SIGABRT)
{
    enum { BYTES = 456, WIDE_CLASS = (BYTES - 1) / 8 };
    pool = pool_at(WIDE_CLASS);
    char *object = mb_alloc(BYTES);
    while (object != NULL && region_dense_class_of(object, region_base(SPAN_DENSE)) == WIDE_CLASS) {
        object = mb_alloc(BYTES);
    }
    cr_assert_eq(pool->carving, SPAN_WIDE);
    mb_free(object);
    mb_thread_flush();
    object = mb_alloc(BYTES);
    mb_thread_flush();
    mb_free(inside(object, 448));
}

/* Of each class every slot begins where the pool says, and nothing else does. */
static void look_at_each_address(void)
{
    for (size_t class = 0; class < SMALL_CLASS_COUNT; class++) {
        const struct slot_space *space = &pool_at(class)->space;
        char *object = mb_alloc((class + 1) * 8);
        cr_assert_not_null(object);
        cr_assert(slot_space_has_start(space, object), "class %zu", class);
        for (size_t into = 1; into < (class + 1) * 8; into++) {
            cr_assert_not(slot_space_has_start(space, object + into), "class %zu, %zu", class,
                          into);
        }
    }
}

Test(corruption, where_slots_begin_is_known)
{
    look_at_each_address();
}

/* Spans so short that several classes begin at the same page: no multiple of their size. */
Test(corruption, where_slots_begin_is_known_in_short_spans)
{
    setenv("MB_REGION_SIZE", "64M", 1);
    look_at_each_address();
    cr_assert_neq(pool_at(40)->space.phase[SPAN_DENSE] + pool_at(40)->space.phase[SPAN_WIDE], 0);
}

/* On the slow path it is seen at once; otherwise when its magazine, or what it left, moves on. */
Test(corruption, a_second_free_aborts_where_the_magazine_is_full, .init = expect_abort,
     .signal = SIGABRT)
{
    allocate(4000);
    size_t freed = fill_magazine();
    snprintf(meant, sizeof meant,
             "memorybucket: double free: %p, of pool %d (%d bytes), was freed ",
             (void *)objects[freed - 1], CLASS, SIZE);
    mb_free(objects[freed - 1]);
}

Test(corruption, a_second_free_is_found_when_the_magazine_is_put_away,
     .init = expect_corrupted_list, .signal = SIGABRT)
{
    allocate(4000);
    size_t freed = fill_magazine();
    objects[0] = mb_alloc(SIZE);
    objects[1] = mb_alloc(SIZE);
    mb_free(objects[0]);
    mb_free(objects[0]);
    mb_free(objects[freed]);
}

Test(corruption, a_second_free_is_found_in_a_chain_that_is_walked, .init = expect_corrupted_list,
     .signal = SIGABRT)
{
    leave_loose_slots();
    mb_free(objects[10]);
    mb_free(objects[11]);
    mb_free(objects[12]);
    mb_free(objects[11]);
    mb_thread_flush();
}

static void *free_twice(void *object)
{
    mb_free(object);
    mb_free(object);
    return NULL;
}

Test(corruption, a_second_free_is_found_in_a_thread_without_a_cache, .init = expect_corrupted_list,
     .signal = SIGABRT)
{
    pthread_t thread;
    allocate(1);
    pthread_create(&thread, NULL, free_twice, objects[0]);
    pthread_join(thread, NULL);
}

/* A few bytes of a link, so that it still leads to where there are slots, but to none. */
Test(corruption, a_link_into_an_object_is_found_when_the_magazine_is_put_away,
     .init = expect_corrupted_list, .signal = SIGABRT)
{
    allocate(4000);
    size_t freed = fill_magazine();
    struct slot *first = chain_first(magazine_chain(&mbi_thread_cache->loaded[CLASS]));
    first->rest ^= UINT64_C(8) << CHAIN_ROUNDS_BITS;
    mb_free(objects[freed]);
}

Test(corruption, a_batch_that_leads_into_an_object_is_found_when_it_is_taken,
     .init = expect_corrupted_list, .signal = SIGABRT)
{
    batch_on_top()->rest ^= 1; /* the second slot's number */
    (void)mbi_pool_pop_batch(pool, &counts);
}

Test(corruption, a_batch_that_leads_to_itself_is_found_when_it_is_taken,
     .init = expect_corrupted_list, .signal = SIGABRT)
{
    struct slot *first = batch_on_top();
    first->rest = (first->rest & ~SLOT_NUMBER_MASK) | slot_space_number(&pool->space, first);
    (void)mbi_pool_pop_batch(pool, &counts);
}

Test(corruption, a_batch_behind_another_that_leads_into_an_object_is_found,
     .init = expect_corrupted_list, .signal = SIGABRT)
{
    batch_on_top()->rest ^= UINT64_C(2) << SLOT_NUMBER_BITS;
    (void)mbi_pool_pop_batch(pool, &counts);
}

/* That it was freed on the fast path comes out when the pool gets there. */
Test(corruption, carving_what_was_freed_before_aborts, .init = expect_corrupted_list,
     .signal = SIGABRT)
{
    allocate(100);
    mb_free(objects[0]);
    mb_free(pool_carved_span(pool)->carve_next + (size_t)8 * SIZE);
    for (;;) {
        (void)mbi_pool_link_run(pool, mbi_pool_carve_locked(pool, 8));
    }
}

/* Of a full magazine the first two links are read when it is put away. */
Test(corruption, a_link_out_of_the_span_is_found_when_the_magazine_is_put_away,
     .init = expect_corrupted_list, .signal = SIGABRT)
{
    allocate(4000);
    size_t count = 3 * (size_t)pool->rounds;
    for (size_t i = 0; i < count; i++) {
        mb_free(objects[i]);
        memset(objects[i], 'A', sizeof(struct slot)); /* but the one behind it has it already */
    }
}

enum { LARGE_SIZE = 4096 };

static void expect_corrupted_large(void)
{
    setenv("MB_POOL_MAX", "32K", 1);
    expect_abort();
    snprintf(meant, sizeof meant,
             "memorybucket: corrupted free list: a free slot of pool %zu (%d bytes) holds ",
             size_class_of(LARGE_SIZE), LARGE_SIZE);
}

/* Until a magazine that may hold two batches is full; *live becomes an object of the class. */
static struct magazine *fill_two_batches(char **live)
{
    size_t class = size_class_of(LARGE_SIZE);
    mb_free(mb_alloc(LARGE_SIZE));
    size_t rounds = mbi_config.magazine_rounds[class];
    struct thread_cache *cache = mbi_thread_cache;
    cache->upper_bytes += mbi_config.upper_bytes_max / 4; /* then no magazine is kept */
    while (cache->capacity[class] < 2 * rounds) {
        for (size_t i = 0; i < 4 * rounds; i++) {
            objects[i] = mb_alloc(LARGE_SIZE);
        }
        for (size_t i = 0; i < 4 * rounds; i++) {
            mb_free(objects[i]);
        }
    }
    for (size_t i = 0; i < 4 * rounds; i++) {
        objects[i] = mb_alloc(LARGE_SIZE);
    }
    *live = objects[4 * rounds - 1];
    struct magazine *loaded = &cache->loaded[class];
    for (size_t i = 0; chain_rounds(magazine_chain(loaded)) < 2 * rounds; i++) {
        mb_free(objects[i]);
    }
    return loaded;
}

/* Of two batches in a magazine the slots of the one that stays are looked at when it is cut. */
Test(corruption, a_link_out_of_the_span_is_found_when_a_magazine_is_cut,
     .init = expect_corrupted_large, .signal = SIGABRT)
{
    char *live;
    const struct magazine *loaded = fill_two_batches(&live);
    struct slot *third = chain_first(chain_first(chain_first(magazine_chain(loaded))->rest)->rest);
    static struct slot outside; /* whose link and count would do */
    outside.rest = chain_first(third->rest)->rest;
    third->rest = chain_make(&outside, chain_rounds(third->rest));
    mb_free(live);
}

/* And their counts: here one of them is left out. */
Test(corruption, a_wrong_count_is_found_when_a_magazine_is_cut, .init = expect_corrupted_large,
     .signal = SIGABRT)
{
    char *live;
    const struct magazine *loaded = fill_two_batches(&live);
    struct slot *first = chain_first(magazine_chain(loaded));
    struct slot *third = chain_first(chain_first(first->rest)->rest);
    third->rest = chain_first(third->rest)->rest;
    mb_free(live);
}

/* Also where the count in it is the right one. */
Test(corruption, a_link_out_of_the_span_with_the_right_count_is_found,
     .init = expect_corrupted_list, .signal = SIGABRT)
{
    allocate(4000);
    size_t freed = fill_magazine();
    struct slot *first = chain_first(magazine_chain(&mbi_thread_cache->loaded[CLASS]));
    first->rest = chain_make((const struct slot *)(const void *)pool_carved_span(pool)->carve_next,
                             chain_rounds(first->rest));
    mb_free(objects[freed]);
}

/* A batch in the centre, written over: its word leads to slots that are none. */
Test(corruption, a_batch_that_was_written_over_is_found_when_it_is_taken,
     .init = expect_corrupted_list, .signal = SIGABRT)
{
    batch_on_top()->rest |= UINT64_C(0xff000000); /* the second slot's number */
    (void)mbi_pool_pop_batch(pool, &counts);
}

/* The commonest of all: the object's first word is set to 0. */
Test(corruption, a_batch_that_was_cleared_is_found_when_it_is_taken, .init = expect_corrupted_list,
     .signal = SIGABRT)
{
    batch_on_top()->rest = 0;
    (void)mbi_pool_pop_batch(pool, &counts);
}

Test(corruption, a_pool_that_was_never_used_has_no_slots)
{
    allocate(1);
    const struct slot_space *space = &pool_at(CLASS + 1)->space;
    char *start = mbi_region_span(CLASS + 1, SPAN_DENSE);
    for (int laid_out = 0; laid_out < 2; laid_out++) {
        cr_assert_eq(pool_is_laid_out(CLASS + 1), laid_out != 0);
        cr_assert_not(slot_space_has_start(space, start));
        cr_assert_not(slot_space_has(space, (struct slot *)(void *)(start + (1 << 20))));
        cr_assert_not_null(pool_for_use(CLASS + 1));
    }
}

/* Freed twice, a slot leads to itself. */
Test(corruption, a_chain_without_end_is_found_by_trim, .init = expect_corrupted_list,
     .signal = SIGABRT)
{
    leave_loose_slots();
    chain_first(pool->loose)->rest = pool->loose;
    (void)mb_trim(0);
}

Test(corruption, a_batch_behind_another_is_looked_at_too, .init = expect_corrupted_list,
     .signal = SIGABRT)
{
    struct slot *first = batch_on_top();
    first->rest = (first->rest & SLOT_NUMBER_MASK) | UINT64_C(0x00ffffff) << SLOT_NUMBER_BITS;
    (void)mbi_pool_pop_batch(pool, &counts);
}

Test(corruption, a_link_on_the_loose_list_is_found_by_trim, .init = expect_corrupted_list,
     .signal = SIGABRT)
{
    leave_loose_slots();
    memset(chain_first(pool->loose), 'A', sizeof(struct slot));
    (void)mb_trim(0);
}

/* Also where all counts are right: fresh memory, which is 0, in place of the chain's last slot. */
Test(corruption, a_link_out_of_the_span_is_found_by_trim, .init = expect_corrupted_list,
     .signal = SIGABRT)
{
    leave_loose_slots();
    struct slot *slot = chain_first(pool->loose);
    while (chain_rounds(slot->rest) > 1) {
        slot = chain_first(slot->rest);
    }
    slot->rest = chain_make((const struct slot *)(const void *)pool_carved_span(pool)->carve_next, 1);
    (void)mb_trim(0);
}

Test(corruption, a_link_on_the_loose_list_is_found_when_more_come, .init = expect_corrupted_list,
     .signal = SIGABRT)
{
    leave_loose_slots();
    memset(chain_first(pool->loose), 'A', sizeof(struct slot));
    for (size_t i = 10; i < 100; i++) {
        mb_free(objects[i]);
    }
    mb_thread_flush();
}

Test(corruption, a_magazine_that_counts_slots_and_has_none_is_found, .init = expect_corrupted_list,
     .signal = SIGABRT)
{
    allocate(10);
    mb_free(objects[0]);
    *(uint64_t *)(void *)objects[0] = 5; /* an address of 0, and 5 rounds */
    allocate(2);
}
