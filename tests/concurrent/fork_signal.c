/*
 * fork_signal WHERE: a signal handler forks, as crash handlers do that start a debugger, in the
 * middle of a call of the library. It must not wait for the thread that it interrupted, and in its
 * child the library serves: every size, with the interrupted thread's locks as they are.
 *
 * The linker puts a function between two of the library's which, at the place in question, raises
 * the signal: while a pool is laid out (lay_out), while a pool's lock is held (carve), the trim lock and a pool's (sort), the
 * registry's and a pool's (retire), the one of startup (start), in the middle of an exchange of
 * magazines, under no lock (exchange), when the cache is listed and not yet the thread's (list),
 * and when it is not listed yet and another thread has one (second). Or fork handlers do, in the
 * middle of another fork (fork): one that is registered before the library's, and so runs while the
 * gate is closed; or just when the thread that forked has taken back the cache of one that ended
 * meanwhile (back). Or it is raised while what is in a parked cache goes back (drain). Parent and
 * child go on with what was interrupted, too.
 */
#include "never_parked.h"
#include "testing.h"

#include "core/config.h"
#include "core/free_map.h"
#include "tcache/registry.h"

#include <semaphore.h>
#include <signal.h>
#include <sys/wait.h>

enum { CHILD_SECONDS = 60, FORKS_MAX = TEST_IS_SANITIZED ? 12 : 50 };

static const char *where = "";
static volatile sig_atomic_t forks;
static volatile bool in_handler;
static bool is_child;
static bool taking_back;
static bool draining;
static _Thread_local bool thread_is_second;
static sem_t may_end, has_cache;
static pthread_t ending;

static void use_every_size(void)
{
    for (size_t size = 1; size <= 600; size++) {
        void *objects[10];
        for (size_t i = 0; i < 10; i++) {
            objects[i] = mb_alloc(size);
            CHECK(objects[i] != NULL, "no memory for %zu bytes", size);
            memset(objects[i], 0x44, size);
        }
        mb_free_batch(10, objects);
    }
}

static bool is_passed_once(void)
{
    static const char *const places[] = { "list", "second", "back", "drain" };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (strcmp(where, places[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void fork_in_handler(int signal)
{
    (void)signal;
    in_handler = true;
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        alarm(CHILD_SECONDS);
        is_child = true;
        /* Every other child never returns to what was interrupted, and uses the library here; that of
         * a place which is passed once returns. */
        if (forks % 2 == 0 && !is_passed_once()) {
            static struct mb_stats stats;
            use_every_size();
            mb_thread_flush();
            (void)mb_trim(0);
            CHECK(mb_stats_get(&stats, sizeof stats) == 0, "no statistics");
            _exit(0);
        }
        in_handler = false;
        return;
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0, "child %d: status %x", (int)forks,
          (unsigned)status);
    forks = forks + 1;
    in_handler = false;
}

static void interrupt(const char *here)
{
    if (strcmp(here, where) == 0 && !in_handler && !is_child && forks < FORKS_MAX) {
        raise(SIGUSR1);
    }
}

void __real_mbi_free_map_place(struct free_map *map, char *memory, size_t bytes,
                               enum os_pages pages);
void __wrap_mbi_free_map_place(struct free_map *map, char *memory, size_t bytes,
                               enum os_pages pages);
void __wrap_mbi_free_map_place(struct free_map *map, char *memory, size_t bytes,
                               enum os_pages pages)
{
    interrupt("lay_out");
    __real_mbi_free_map_place(map, memory, bytes, pages);
}

struct fresh_run __real_mbi_pool_carve_locked(struct pool *pool, size_t rounds_wanted);
struct fresh_run __wrap_mbi_pool_carve_locked(struct pool *pool, size_t rounds_wanted);
struct fresh_run __wrap_mbi_pool_carve_locked(struct pool *pool, size_t rounds_wanted)
{
    interrupt("carve");
    return __real_mbi_pool_carve_locked(pool, rounds_wanted);
}

void __real_mbi_free_map_add(struct free_map *map, size_t index);
void __wrap_mbi_free_map_add(struct free_map *map, size_t index);
void __wrap_mbi_free_map_add(struct free_map *map, size_t index)
{
    interrupt("sort");
    __real_mbi_free_map_add(map, index);
}

void __real_mbi_pool_fold_counts(struct pool *pool, const struct transfer_counts *counts);
void __wrap_mbi_pool_fold_counts(struct pool *pool, const struct transfer_counts *counts);
void __wrap_mbi_pool_fold_counts(struct pool *pool, const struct transfer_counts *counts)
{
    interrupt(taking_back ? "back" : "retire");
    __real_mbi_pool_fold_counts(pool, counts);
}

void __real_mbi_config_read(void);
void __wrap_mbi_config_read(void);
void __wrap_mbi_config_read(void)
{
    interrupt("start");
    __real_mbi_config_read();
}

void __real_mbi_pool_push_batch(struct pool *pool, uint64_t chain, struct transfer_counts *counts);
void __wrap_mbi_pool_push_batch(struct pool *pool, uint64_t chain, struct transfer_counts *counts);
void __wrap_mbi_pool_push_batch(struct pool *pool, uint64_t chain, struct transfer_counts *counts)
{
    interrupt(draining ? "drain" : "exchange");
    __real_mbi_pool_push_batch(pool, chain, counts);
}

uint64_t __real_mbi_registry_add(struct thread_cache *cache);
uint64_t __wrap_mbi_registry_add(struct thread_cache *cache);
uint64_t __wrap_mbi_registry_add(struct thread_cache *cache)
{
    interrupt(thread_is_second ? "second" : "");
    uint64_t threads = __real_mbi_registry_add(cache);
    if (threads == 1) {
        interrupt("list");
    }
    return threads;
}

/* The gate is closed. */
static void interrupt_fork(void)
{
    interrupt("fork");
    if (ending != 0) {
        sem_post(&may_end);
        pthread_join(ending, NULL);
    }
}

/* The library's handler is next. */
static void begin_to_take_back(void)
{
    taking_back = ending != 0;
}

static void register_handlers(void)
{
    pthread_atfork(interrupt_fork, begin_to_take_back, NULL);
}
__attribute__((section(".preinit_array"), used)) static void (*const preinit)(void) =
    register_handlers;

static void fork_and_wait(void)
{
    pid_t pid = fork();
    CHECK(pid >= 0, "fork");
    if (pid == 0) {
        alarm(CHILD_SECONDS);
        use_every_size();
        CHECK(!pools_have_deferred(), "the gate is still closed");
        _exit(0);
    }
    int status;
    CHECK(is_child || (waitpid(pid, &status, 0) == pid && status == 0), "child: status %x",
          (unsigned)status);
}

static void *allocate_and_end_in_fork(void *argument)
{
    static void *objects[3000];
    use_objects(objects, 3000, 512);
    sem_post(&has_cache);
    sem_wait(&may_end);
    return argument;
}

static void fork_beside_an_end(void)
{
    sem_init(&may_end, 0, 0);
    sem_init(&has_cache, 0, 0);
    pthread_t thread = start_thread(allocate_and_end_in_fork, NULL);
    sem_wait(&has_cache);
    ending = thread;
    fork_and_wait();
    ending = 0;
    taking_back = false;
}

static void *allocate_and_exit(void *argument)
{
    static void *objects[3000];
    use_objects(objects, 3000, 512);
    return argument;
}

/* The handler's child writes off the cache of a thread that sleeps, and adds up what is cached. */
static void drain_beside(void)
{
    sem_init(&may_end, 0, 0);
    sem_init(&has_cache, 0, 0);
    pthread_join(start_thread(allocate_and_exit, NULL), NULL);
    pthread_t sleeper = start_thread(allocate_and_end_in_fork, NULL);
    sem_wait(&has_cache);
    pthread_join(start_thread(allocate_and_exit, NULL), NULL);
    draining = true;
    (void)mb_trim(0);
    draining = false;
    const struct mb_stats *now = check_accounting(0);
    CHECK(now->cache_bytes <= now->cache_bytes_max && (!is_child || now->cache_bytes == 0),
          "%llu bytes are cached", (unsigned long long)now->cache_bytes);
    if (is_child && TEST_IS_SANITIZED) {
        _exit(0); /* ThreadSanitizer takes the sleeper for alive, and stands no thread in its place */
    }
    sem_post(&may_end);
    if (!is_child) {
        pthread_join(sleeper, NULL);
    }
}

/* The main thread has a cache, which the handler's child writes off. */
static void *begin_second(void *argument)
{
    thread_is_second = true;
    mb_free(mb_alloc(100));
    uint64_t threads = is_child ? 1 : 2;
    CHECK(check_accounting(0)->threads == threads, "there are not %d threads", (int)threads);
    return argument;
}

int main(int argc, char **argv)
{
    CHECK(argc == 2, "usage: fork_signal "
                     "lay_out|carve|sort|retire|start|exchange|list|second|back|drain|fork");
    where = argv[1];
    struct sigaction action = { .sa_handler = fork_in_handler };
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction");
    if (strcmp(where, "retire") == 0 || strcmp(where, "back") == 0) { /* caches leave the registry */
        (void)park_no_cache();
    }
    use_every_size();
    enum { MANY = 3000 };
    static void *objects[MANY];
    use_objects(objects, MANY, 512);
    (void)mb_trim(0);
    fork_and_wait();
    if (strcmp(where, "back") == 0) {
        fork_beside_an_end();
    }
    if (strcmp(where, "drain") == 0) {
        drain_beside();
    }
    if (strcmp(where, "second") == 0) {
        pthread_join(start_thread(begin_second, NULL), NULL);
    }
    pthread_join(start_thread(allocate_and_exit, NULL), NULL);
    use_objects(objects, MANY, 512);
    const struct mb_stats *now = check_accounting(0);
    CHECK((strcmp(where, "list") != 0 && strcmp(where, "back") != 0) || now->threads == 1,
          "%llu threads are registered", (unsigned long long)now->threads);
    CHECK(is_child || forks > 0, "the place '%s' was never passed", where);
    return 0;
}
