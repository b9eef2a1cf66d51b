/*
 * stats_without_memory: statistics of a process that gets no memory any more.
 *
 * A thread that has never read statistics does so when the kernel refuses every mapping. It gets
 * them, and of the printed table the sums, as the rows take memory. With memory it gets the whole
 * table.
 */
#include "testing.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum { OBJECTS = 1000 };

static pthread_barrier_t turn;
static struct mb_stats stats;
static char text[1 << 15];

static void print(void)
{
    FILE *stream = fmemopen(text, sizeof text, "w");
    static char buffer[BUFSIZ];
    CHECK(stream != NULL && setvbuf(stream, buffer, _IOFBF, sizeof buffer) == 0, "no stream");
    pthread_barrier_wait(&turn); /* the limit may be changed */
    pthread_barrier_wait(&turn); /* it is */
    mb_stats_print(stream);
    fclose(stream);
    CHECK(strstr(text, "MemoryBucket: reserved") == text, "not even the sums are printed");
}

static void check_numbers(void)
{
    CHECK(stats.pool[7].live == OBJECTS && stats.threads == 2, "%llu live, %llu threads",
          (unsigned long long)stats.pool[7].live, (unsigned long long)stats.threads);
}

static void *read_for_the_first_time(void *argument)
{
    mb_free(mb_alloc(8));
    print();
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
              && errno == ENOMEM,
          "the kernel still maps");
    CHECK(strstr(text, "\n   64 ") == NULL, "there was memory for the rows");
    errno = ERANGE;
    CHECK(mb_stats_get(&stats, sizeof stats) == 0, "no statistics");
    check_numbers();
    CHECK(mb_stats_get_quick(&stats, sizeof stats) == 0, "no quick statistics");
    check_numbers();
    CHECK(errno == ERANGE, "errno is another");
    print();
    CHECK(strstr(text, "\n   64 ") != NULL, "no rows although there is memory");
    return argument;
}

static void limit_address_space(rlim_t bytes)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0, "no limit");
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0, "no limit");
}

int main(void)
{
    static void *objects[OBJECTS];
    for (size_t i = 0; i < OBJECTS; i++) {
        objects[i] = mb_alloc(64);
        CHECK(objects[i] != NULL, "no memory");
    }
    pthread_barrier_init(&turn, NULL, 2);
    pthread_t reader = start_thread(read_for_the_first_time, NULL);
    pthread_barrier_wait(&turn);
    limit_address_space(0);
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn);
    limit_address_space(RLIM_INFINITY);
    pthread_barrier_wait(&turn);
    pthread_join(reader, NULL);
    mb_free_batch(OBJECTS, objects);
    check_accounting(0);
    return 0;
}
