/*
 * What mbrun --record is to see: each mode does one thing that its test looks for in the trace, by sizes that nothing
 * else has.
 * Usage: recorded MODE [ARGUMENT]
 */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <malloc.h>
#include <new>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

template <typename T>
T *used(T *pointer)
{
    __asm__ volatile("" : : "r"(pointer) : "memory");
    return pointer;
}

/* Each name once, with sizes 10001, 10101, ... */
int names()
{
    void *aligned = nullptr;
    free(nullptr);
    free(used(malloc(10001)));
    free(used(calloc(3, 3367)));
    void *grown = used(realloc(nullptr, 10201));
    grown = used(realloc(grown, 200001));
    free(used(realloc(grown, 10211)));
    free(used(aligned_alloc(256, 10240)));
    if (posix_memalign(&aligned, 64, 10403) == 0) {
        free(used(aligned));
    }
    free(used(memalign(4096, 10501)));
    free(used(valloc(10601)));
    free(used(pvalloc(10701)));
    free(used(reallocarray(nullptr, 7, 1543)));
    delete[] used(new char[10901]);
    struct alignas(128) wide {
        char bytes[11008];
    };
    delete used(new wide);
    used(realloc(used(malloc(11101)), 0));
    void *kept = used(malloc(11201));
    void *failed = used(realloc(kept, (size_t)1 << 60));
    if (failed == nullptr) {
        free(kept);
    }
    return 0;
}

enum { PASSED = 5000 };
void *volatile passed;

void *consume(void *)
{
    for (int i = 0; i < PASSED; i++) {
        void *pointer;
        while ((pointer = __atomic_exchange_n(&passed, nullptr, __ATOMIC_ACQ_REL)) == nullptr) {
            sched_yield();
        }
        free(pointer);
    }
    return nullptr;
}

/* Objects of 12001 bytes go from one thread to another, which frees them. */
int cross()
{
    pthread_t consumer;
    pthread_create(&consumer, nullptr, consume, nullptr);
    for (int i = 0; i < PASSED; i++) {
        void *pointer = malloc(12001);
        while (__atomic_load_n(&passed, __ATOMIC_ACQUIRE) != nullptr) {
            sched_yield();
        }
        __atomic_store_n(&passed, pointer, __ATOMIC_RELEASE);
    }
    pthread_join(consumer, nullptr);
    return 0;
}

pthread_key_t key;

void free_late(void *pointer)
{
    free(pointer);
    free(used(malloc(12101)));
}

void *live_shortly(void *)
{
    pthread_setspecific(key, malloc(12102));
    free(used(malloc(12103)));
    return nullptr;
}

/* 2,000 threads, four at a time, that allocate in a destructor, too. */
int short_threads()
{
    pthread_key_create(&key, free_late);
    for (int i = 0; i < 500; i++) {
        pthread_t threads[4];
        for (pthread_t &thread : threads) {
            pthread_create(&thread, nullptr, live_shortly, nullptr);
        }
        for (pthread_t &thread : threads) {
            pthread_join(thread, nullptr);
        }
    }
    return 0;
}

void allocate(int count, size_t size)
{
    for (int i = 0; i < count; i++) {
        free(used(malloc(size)));
    }
}

/* Children, of which one becomes another program, allocate 13002 bytes, the parent 13001. */
int forks(const char *self)
{
    allocate(100, 13001);
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        if (child == 0) {
            allocate(5000, 13002);
            if (i == 2) {
                execl(self, self, "names", nullptr);
            }
            _exit(0);
        }
        allocate(5000, 13001);
        waitpid(child, nullptr, 0);
    }
    return 0;
}

volatile sig_atomic_t interrupts, users;

void note(int number)
{
    (number == SIGINT ? interrupts : users)++;
}

/* Until the kernel shows mbrun in this state: T for stopped. */
void await_recorder(char state)
{
    char path[64];
    char text[256];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)getppid());
    for (char seen = 0; seen != state;) {
        int file = open(path, O_RDONLY);
        ssize_t bytes = file >= 0 ? read(file, text, sizeof text - 1) : 0;
        close(file);
        text[bytes > 0 ? bytes : 0] = '\0';
        const char *name_end = strrchr(text, ')');
        seen = name_end != nullptr ? name_end[2] : state;
        usleep(1000);
    }
}

/* mbrun stands still from before what it does until the next program runs. So its records are there unread. */
int become_unread(const char *self)
{
    kill(getppid(), SIGSTOP);
    await_recorder('T');
    allocate(20000, 15001);
    execl(self, self, "names-unread", nullptr);
    kill(getppid(), SIGCONT);
    return 2;
}

/* Allocates until there is a SIGINT or SIGTERM; its status is 10 and the number of SIGUSR1. */
int forever()
{
    struct sigaction action = {};
    action.sa_handler = note;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGUSR1, &action, nullptr);
    allocate(1, 14001); /* there is one, however soon the signal comes */
    puts("ready");
    fflush(stdout);
    for (int said = 0; interrupts == 0;) {
        allocate(1, 14001);
        usleep(100);
        for (; said < users; said++) {
            puts("signal");
            fflush(stdout);
        }
    }
    return 10 + users;
}

/* Objects of some hundred sizes and lifetimes, `count` of them. */
int churn(long count)
{
    static void *live[1000];
    unsigned state = 1;
    for (long i = 0; i < count; i++) {
        state = state * 1103515245 + 12345;
        unsigned at = (state >> 16) % 1000;
        free(live[at]);
        live[at] = malloc(16 + (state >> 8) % 500);
    }
    return puts("done") < 0;
}

void *churn_thread(void *)
{
    unsigned state = (unsigned)(size_t)pthread_self();
    void *live[100] = {};
    for (int i = 0; i < 4000; i++) {
        state = state * 1103515245 + 12345;
        unsigned at = (state >> 16) % 100;
        free(live[at]);
        live[at] = malloc(16 + (state >> 8) % 100);
    }
    for (void *pointer : live) {
        free(pointer);
    }
    return nullptr;
}

int many_threads()
{
    pthread_t threads[16];
    for (pthread_t &thread : threads) {
        pthread_create(&thread, nullptr, churn_thread, nullptr);
    }
    for (pthread_t &thread : threads) {
        pthread_join(thread, nullptr);
    }
    return 0;
}

} // namespace

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    if (strcmp(mode, "names") == 0) {
        return names();
    }
    if (strcmp(mode, "cross") == 0) {
        return cross();
    }
    if (strcmp(mode, "short_threads") == 0) {
        return short_threads();
    }
    if (strcmp(mode, "many_threads") == 0) {
        return many_threads();
    }
    if (strcmp(mode, "forks") == 0) {
        return forks(argv[0]);
    }
    if (strcmp(mode, "forever") == 0) {
        return forever();
    }
    if (strcmp(mode, "churn") == 0) {
        return churn(argc > 2 ? atol(argv[2]) : 100000);
    }
    if (strcmp(mode, "exec") == 0) {
        return become_unread(argv[0]);
    }
    if (strcmp(mode, "names-unread") == 0) {
        kill(getppid(), SIGCONT);
        return names();
    }
    if (strcmp(mode, "closes") == 0) {
        closefrom(3);
        allocate(20000, 15101);
        return 0;
    }
    if (strcmp(mode, "killed") == 0) {
        allocate(20000, 15201);
        kill(getpid(), argc > 2 ? atoi(argv[2]) : SIGKILL);
    }
    if (strcmp(mode, "exits") == 0) {
        allocate(20000, 15301);
        _exit(argc > 2 ? atoi(argv[2]) : 0);
    }
    return 2;
}
