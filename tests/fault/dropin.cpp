/*
 * dropin: a program under the drop-in, in C and C++, while a function fails, and once more
 * afterwards.
 *
 * The drop-in is preloaded, and the allocator behind it (next_allocator.c) fails as the runner
 * says. NULL and ENOMEM, or bad_alloc, may come only when it failed in the very call; so in the
 * second pass, when nothing fails, never.
 */
#include "check.h"
#include "next_allocator.h"

#include "memorybucket/memorybucket.h"

#include <cstdint>
#include <cstring>
#include <dlfcn.h>
#include <malloc.h>
#include <map>
#include <new>
#include <pthread.h>
#include <semaphore.h>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

enum How {
    MALLOC, CALLOC, REALLOC, REALLOCARRAY, POSIX_MEMALIGN, ALIGNED_ALLOC, MEMALIGN, VALLOC, PVALLOC,
    STRDUP, C_HOWS, NEW = C_HOWS, NEW_ARRAY, NEW_NOTHROW, NEW_ALIGNED, NEW_ALIGNED_NOTHROW, HOWS
};

struct Object {
    unsigned char *pointer;
    std::size_t size;
    How how;
};

/* No function sets errno to this. */
static const int errnoBefore = 4711;
static const std::align_val_t wide{ 64 };

static int handlerCalls;

static void giveUp()
{
    handlerCalls++;
    std::set_new_handler(nullptr);
}

/* errno and a NULL from a call that reports an error by its result, having checked that errno. */
static void *memalignFailed(int error)
{
    CHECK(error == ENOMEM && errno == ENOMEM);
    errno = ENOMEM;
    return nullptr;
}

static void *makeInC(How how, std::size_t size)
{
    void *pointer = nullptr;
    int error;
    switch (how) {
    case CALLOC:
        return calloc(1, size);
    case REALLOC:
        return realloc(nullptr, size);
    case REALLOCARRAY:
        return reallocarray(nullptr, 1, size);
    case POSIX_MEMALIGN:
        error = posix_memalign(&pointer, 128, size);
        return error == 0 ? pointer : memalignFailed(error);
    case ALIGNED_ALLOC:
        return aligned_alloc(32, size);
    case MEMALIGN:
        return memalign(16, size);
    case VALLOC:
        return valloc(size);
    case PVALLOC:
        return pvalloc(size);
    case STRDUP:
        return strdup(std::string(10, 'x').c_str()); /* short: it needs no memory itself */
    default:
        return malloc(size);
    }
}

static void *makeInCpp(How how, std::size_t size)
{
    switch (how) {
    case NEW_ARRAY:
        return ::operator new[](size);
    case NEW_NOTHROW:
        return ::operator new(size, std::nothrow);
    case NEW_ALIGNED:
        return ::operator new(size, wide);
    case NEW_ALIGNED_NOTHROW:
        return ::operator new[](size, wide, std::nothrow);
    default:
        return ::operator new(size);
    }
}

/* bad_alloc becomes NULL and ENOMEM, which new itself does not promise. */
static void *makeAny(How how, std::size_t size)
{
    if (how < C_HOWS) {
        return makeInC(how, size);
    }
    int callsBefore = handlerCalls;
    void *pointer = nullptr;
    std::set_new_handler(giveUp);
    try {
        pointer = makeInCpp(how, size);
    } catch (const std::bad_alloc &) {
        CHECK(how != NEW_NOTHROW && how != NEW_ALIGNED_NOTHROW);
    }
    CHECK(pointer != nullptr || handlerCalls > callsBefore);
    std::set_new_handler(nullptr);
    errno = pointer == nullptr ? ENOMEM : errno;
    return pointer;
}

static void writePattern(const Object &object)
{
    for (std::size_t i = 0; i < object.size; i++) {
        object.pointer[i] = static_cast<unsigned char>(object.size + 3 * i);
    }
}

static void checkPattern(const Object &object, std::size_t bytes)
{
    for (std::size_t i = 0; i < bytes; i++) {
        CHECK(object.pointer[i] == static_cast<unsigned char>(object.size + 3 * i));
    }
}

static Object make(How how, std::size_t size)
{
    uint64_t failedBefore = next_allocator_failed_here();
    errno = errnoBefore;
    if (how == STRDUP) {
        size = 11;
    }
    Object object{ static_cast<unsigned char *>(makeAny(how, size)), size, how };
    if (object.pointer == nullptr) {
        CHECK(errno == ENOMEM);
        CHECK(next_allocator_failed_here() > failedBefore);
        return object;
    }
    CHECK(malloc_usable_size(object.pointer) >= size);
    CHECK(reinterpret_cast<std::uintptr_t>(object.pointer) % (size > 8 ? 16 : 8) == 0);
    for (std::size_t i = 0; how == CALLOC && i < size; i++) {
        CHECK(object.pointer[i] == 0);
    }
    writePattern(object);
    return object;
}

static void resize(Object &object, std::size_t size)
{
    if (object.pointer == nullptr || object.how >= C_HOWS) {
        return;
    }
    uint64_t failedBefore = next_allocator_failed_here();
    errno = errnoBefore;
    void *moved = realloc(object.pointer, size);
    if (moved == nullptr) {
        CHECK(errno == ENOMEM && next_allocator_failed_here() > failedBefore);
        checkPattern(object, object.size);
        return;
    }
    object.pointer = static_cast<unsigned char *>(moved);
    checkPattern(object, size < object.size ? size : object.size);
    object.size = size;
    writePattern(object);
}

static void release(Object &object)
{
    if (object.pointer != nullptr) {
        checkPattern(object, object.size);
    }
    errno = errnoBefore;
    switch (object.how) {
    case NEW:
        ::operator delete(object.pointer, object.size);
        break;
    case NEW_ARRAY:
        ::operator delete[](object.pointer);
        break;
    case NEW_NOTHROW:
        ::operator delete(object.pointer, std::nothrow);
        break;
    case NEW_ALIGNED:
        ::operator delete(object.pointer, wide);
        break;
    case NEW_ALIGNED_NOTHROW:
        ::operator delete[](object.pointer, wide);
        break;
    default:
        free(object.pointer);
    }
    CHECK(errno == errnoBefore);
    object.pointer = nullptr;
}

static const std::size_t sizes[] = { 1, 8, 24, 60, 100, 200, 300, 400, 500, 512, 513, 1000, 9000, 40000 };
static const std::size_t sizeCount = sizeof sizes / sizeof sizes[0];
static Object kept[sizeCount][HOWS];

static void useCalls()
{
    for (std::size_t i = 0; i < sizeCount; i++) {
        for (int how = 0; how < HOWS; how++) {
            Object object = make(static_cast<How>(how), sizes[i]);
            resize(object, 2 * sizes[i]);
            resize(object, 700);
            resize(object, 5);
            resize(object, sizes[i]);
            kept[i][how] = make(static_cast<How>(how), sizes[i]);
            release(object);
        }
    }
}

static void releaseKept()
{
    for (auto &row : kept) {
        for (Object &object : row) {
            release(object);
        }
    }
}

/* Containers and exceptions: either all of it works, or bad_alloc comes and nothing is lost. */
static void useLibrary()
{
    uint64_t failedBefore = next_allocator_failed_here();
    try {
        std::map<int, std::string> map;
        std::vector<std::string> strings;
        for (int i = 0; i < 60; i++) {
            map[i] = "a string that is too long for its own buffer " + std::to_string(i);
            strings.push_back(map[i]);
        }
        try {
            throw std::runtime_error(strings[59] + " and longer");
        } catch (const std::runtime_error &error) {
            CHECK(std::strlen(error.what()) > 50);
        }
    } catch (const std::bad_alloc &) {
        CHECK(next_allocator_failed_here() > failedBefore);
    }
}

struct Worker {
    pthread_t thread;
    bool started;
    sem_t done;
    sem_t go;
    Object mine;
    Object foreign;
};

static pthread_key_t key;
static bool keyExists;

static void atExitOfThread(void *argument)
{
    release(static_cast<Worker *>(argument)->mine);
    Object object = make(MALLOC, 40);
    release(object);
}

static void *run(void *argument)
{
    Worker *worker = static_cast<Worker *>(argument);
    release(worker->foreign);
    worker->mine = make(NEW, 90);
    if (!keyExists || pthread_setspecific(key, worker) != 0) { /* no destructor will run */
        release(worker->mine);
    }
    sem_post(&worker->done);
    sem_wait(&worker->go);
    Object object = make(CALLOC, 800);
    release(object);
    return nullptr;
}

static void start(Worker &worker)
{
    uint64_t failedBefore = next_allocator_failed_here() + next_allocator_threads_failed_here();
    worker.foreign = make(MALLOC, 77);
    sem_init(&worker.done, 0, 0);
    sem_init(&worker.go, 0, 0);
    worker.started = pthread_create(&worker.thread, nullptr, run, &worker) == 0;
    if (worker.started) {
        sem_wait(&worker.done);
    } else {
        CHECK(next_allocator_failed_here() + next_allocator_threads_failed_here() > failedBefore);
        release(worker.foreign);
    }
}

static void forkAndWait()
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        releaseKept();
        useLibrary();
        useCalls();
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* More threads than one mapping has caches for. */
static void useThreads()
{
    static Worker workers[20];
    for (Worker &worker : workers) {
        start(worker);
    }
    forkAndWait();
    for (Worker &worker : workers) {
        if (worker.started) {
            sem_post(&worker.go);
            pthread_join(worker.thread, nullptr);
        }
    }
}

/* glibc keeps 40 MiB of the stacks of threads that ended, and a small object with each. */
static const int64_t stacksKept = 5;

/* What the program holds: slots of the pools, and objects of the allocator behind them. */
static int64_t countHoldings()
{
    static mb_stats stats;
    int (*get)(mb_stats *, std::size_t);
    void *symbol = dlsym(RTLD_DEFAULT, "mb_stats_get");
    CHECK(symbol != nullptr);
    std::memcpy(&get, &symbol, sizeof get);
    next_allocator_spare(true); /* the first call loads liburcu, which aborts without memory */
    CHECK(get(&stats, sizeof stats) == 0);
    next_allocator_spare(false);
    int64_t holdings = next_allocator_objects();
    for (const mb_pool_stats &pool : stats.pool) {
        CHECK(pool.carved
              == pool.live + pool.magazines + pool.parked + pool.central + pool.loose
                     + pool.sorted + pool.orphaned);
        holdings += static_cast<int64_t>(pool.live);
    }
    return holdings;
}

static void work()
{
    useCalls();
    useLibrary();
    useThreads();
}

int main()
{
    /* So many keys that pthread_setspecific allocates for those that come now. */
    pthread_key_t taken;
    for (int i = 0; i < 40; i++) {
        (void)pthread_key_create(&taken, nullptr);
    }
    keyExists = pthread_key_create(&key, atExitOfThread) == 0;
    int64_t before = countHoldings();
    work();
    next_allocator_end_faults();
    releaseKept();
    int64_t between = countHoldings();
    work();
    releaseKept();
    int64_t after = countHoldings();
    CHECK(between - before <= stacksKept && after - before <= stacksKept);
    return 0;
}
