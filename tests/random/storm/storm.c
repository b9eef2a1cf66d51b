/*
 * storm [--seconds N] [--seed N] [--plugin FILE]: fork beside everything that may hold a lock
 * meanwhile.
 *
 * Actors run at once, each in a thread of its own: they fork, flush all streams, read lines, start
 * programs, look up names, log, load and unload a plugin, start threads that end or are cancelled,
 * get signals, walk the statistics, trim, start and stop the background thread, and start this
 * program anew to see its first name look-up, and its exit, beside a fork. Nothing may hang: each
 * actor must get on within a time that is far longer than any step takes, in this process and in
 * every child, or the program says who stood still and ends with status 1.
 *
 * Built twice: on the library's calls, and on malloc, to be run on the drop-in.
 */
#include "storm.h"

#include <dlfcn.h>
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>

extern char **environ;

enum { STANDSTILL_SECONDS = 120, CHILD_SECONDS = 100 };

static const char *self;
static const char *plugin;
static FILE *lines;
static FILE *nowhere;
static _Atomic bool stop;

static void work(uint64_t *random, unsigned objects)
{
    void *held[64] = { NULL };
    for (unsigned i = 0; i < objects; i++) {
        void **place = &held[storm_below(random, 64)];
        storm_free(*place);
        size_t size = 1 + storm_below(random, i % 16 == 0 ? 40000 : 512);
        *place = storm_alloc(size);
        STORM_CHECK(*place != NULL, "no memory");
        memset(*place, 0x55, size < 64 ? size : 64);
    }
    for (size_t i = 0; i < 64; i++) {
        storm_free(held[i]);
    }
}

static void wait_for_child(pid_t pid, const char *what)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {
        STORM_CHECK(errno == EINTR, "%s: waitpid: errno %d", what, errno);
    }
    STORM_CHECK(status == 0, "%s: the child ended with status %x", what, (unsigned)status);
}

static void fork_once(uint64_t *random)
{
    pid_t pid = fork();
    STORM_CHECK(pid >= 0, "fork: errno %d", errno);
    if (pid == 0) {
        alarm(CHILD_SECONDS);
        work(random, 500);
        if (storm_below(random, 8) == 0) { /* and a child of the child */
            pid = fork();
            if (pid == 0) {
                work(random, 500);
                _exit(0);
            }
            wait_for_child(pid, "grandchild");
        }
        _exit(0);
    }
    wait_for_child(pid, "fork");
}

static void flush_all(uint64_t *random)
{
    (void)random;
    for (int i = 0; i < 50; i++) {
        fflush(NULL);
    }
}

static void *read_lines(void *argument)
{
    char *line[20] = { NULL };
    for (int i = 0; i < 20; i++) {
        size_t room = 0;
        rewind(lines);
        (void)getline(&line[i], &room, lines); /* the end, if another thread has just read */
    }
    for (int i = 0; i < 20; i++) {
        free(line[i]);
    }
    return argument;
}

static void read_in_threads(uint64_t *random)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        threads[i] = storm_start(read_lines, random);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void use_streams(uint64_t *random)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&text, &bytes);
    STORM_CHECK(memory != NULL, "open_memstream: errno %d", errno);
    for (unsigned i = 0; i < 100; i++) {
        fprintf(memory, "%u %llu\n", i, (unsigned long long)storm_below(random, 1000));
    }
    fclose(memory);
    free(text);
    FILE *pipe = popen("echo here", "r");
    char word[16] = "";
    STORM_CHECK(pipe != NULL && fgets(word, sizeof word, pipe) != NULL, "popen: errno %d", errno);
    STORM_CHECK(pclose(pipe) == 0, "pclose");
}

static void look_names_up(uint64_t *random)
{
    (void)random;
    struct addrinfo *found = NULL;
    (void)getpwnam("root");
    (void)getgrnam("daemon");
    setpwent();
    while (getpwent() != NULL) {
    }
    endpwent();
    if (getaddrinfo("localhost", "80", NULL, &found) == 0) {
        freeaddrinfo(found);
    }
}

static void log_a_line(uint64_t *random)
{
    openlog("storm", LOG_NDELAY, LOG_USER);
    syslog(LOG_DEBUG, "%.*s", (int)(200 + storm_below(random, 2000)), "nobody reads this");
    closelog();
}

static void load_plugin(uint64_t *random)
{
    (void)random;
    void *handle = dlopen(plugin, RTLD_NOW);
    STORM_CHECK(handle != NULL, "dlopen: %s", dlerror());
    void (*function)(void);
    *(void **)(void *)&function = dlsym(handle, "storm_plugin");
    STORM_CHECK(function != NULL, "the plugin is empty");
    function();
    dlclose(handle);
}

static void *live_briefly(void *argument)
{
    uint64_t random = (uintptr_t)argument | 1;
    work(&random, 200);
    return NULL;
}

static void start_threads(uint64_t *random)
{
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) {
        threads[i] = storm_start(live_briefly, (void *)(uintptr_t)storm_below(random, 1000000));
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void *live_until_cancelled(void *argument)
{
    uint64_t random = (uintptr_t)argument | 1;
    for (;;) {
        work(&random, 100);
        storm_look(nowhere);
        pthread_testcancel();
    }
    return NULL;
}

static void *end_cancelled(void *argument)
{
    (void)live_briefly(argument);
    pthread_cancel(pthread_self());
    return NULL;
}

static void cancel_threads(uint64_t *random)
{
    pthread_t thread = storm_start(live_until_cancelled, (void *)(uintptr_t)storm_below(random, 99));
    pthread_t ending = storm_start(end_cancelled, (void *)(uintptr_t)storm_below(random, 99));
    usleep((unsigned)storm_below(random, 2000));
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    pthread_join(ending, NULL);
}

static void look_around(uint64_t *random)
{
    storm_look(nowhere);
    if (storm_below(random, 10) == 0) {
        storm_trim_and_background();
    }
}

/* This program again, in the mode that is named: a fresh process has its first time of everything. */
static void start_anew(const char *mode)
{
    char *arguments[] = { (char *)(uintptr_t)self, (char *)(uintptr_t)"--as",
                          (char *)(uintptr_t)mode, NULL };
    pid_t pid;
    STORM_CHECK(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, arguments, environ) == 0, "spawn");
    wait_for_child(pid, mode);
}

static void first_names(uint64_t *random)
{
    (void)random;
    start_anew("names");
}

static void exit_beside_fork(uint64_t *random)
{
    (void)random;
    start_anew("exit");
}

/* Interrupts system calls of all kinds, and counts. */
static _Atomic unsigned signals;
static void on_signal(int number)
{
    (void)number;
    atomic_fetch_add_explicit(&signals, 1, memory_order_relaxed); /* [TEST] */
}

static void send_signals(uint64_t *random)
{
    for (int i = 0; i < 20; i++) {
        kill(getpid(), SIGUSR1); /* whichever thread the kernel takes */
        usleep((unsigned)storm_below(random, 500));
    }
}

static struct actor {
    const char *name;
    void (*step)(uint64_t *random);
    _Atomic unsigned long steps;
    unsigned long steps_seen;
    pthread_t thread;
} actors[] = {
    { .name = "fork", .step = fork_once },
    { .name = "fork too", .step = fork_once },
    { .name = "flush", .step = flush_all },
    { .name = "read", .step = read_in_threads },
    { .name = "streams", .step = use_streams },
    { .name = "names", .step = look_names_up },
    { .name = "log", .step = log_a_line },
    { .name = "plugin", .step = load_plugin },
    { .name = "threads", .step = start_threads },
    { .name = "cancel", .step = cancel_threads },
    { .name = "look", .step = look_around },
    { .name = "signals", .step = send_signals },
    { .name = "first names", .step = first_names },
    { .name = "exit", .step = exit_beside_fork },
};
enum { ACTORS = sizeof actors / sizeof actors[0] };

static uint64_t seed = 1;

static void *act(void *argument)
{
    struct actor *actor = argument;
    uint64_t random = seed * 1000003 + (uint64_t)(actor - actors) + 1;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) { /* [TEST] */
        actor->step(&random);
        atomic_fetch_add_explicit(&actor->steps, 1, memory_order_relaxed); /* [TEST] */
    }
    return NULL;
}

static unsigned long steps_of(struct actor *actor)
{
    return atomic_load_explicit(&actor->steps, memory_order_relaxed); /* [TEST] */
}

/* True when all got on since the last time, or have time left to. */
static bool all_get_on(unsigned seconds_since[])
{
    bool all = true;
    for (size_t i = 0; i < ACTORS; i++) {
        unsigned long steps = steps_of(&actors[i]);
        seconds_since[i] = steps != actors[i].steps_seen ? 0 : seconds_since[i] + 1;
        actors[i].steps_seen = steps;
        if (seconds_since[i] >= STANDSTILL_SECONDS) {
            storm_say("storm: '%s' stands still after %lu steps", actors[i].name, steps);
            all = false;
        }
    }
    return all;
}

/* Sleeps a second, whatever signals come. */
static void sleep_a_second(void)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec++;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
    }
}

static int run(unsigned long seconds)
{
    unsigned seconds_since[ACTORS] = { 0 };
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    STORM_CHECK(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction");
    for (size_t i = 0; i < ACTORS; i++) {
        actors[i].thread = storm_start(act, &actors[i]);
    }
    for (unsigned long second = 0; second < seconds; second++) {
        sleep_a_second();
        if (!all_get_on(seconds_since)) {
            return 1;
        }
    }
    atomic_store_explicit(&stop, true, memory_order_relaxed); /* [TEST] */
    alarm(STANDSTILL_SECONDS);
    for (size_t i = 0; i < ACTORS; i++) {
        pthread_join(actors[i].thread, NULL);
    }
    alarm(0);
    for (size_t i = 0; i < ACTORS; i++) {
        printf("%s %lu%s", actors[i].name, steps_of(&actors[i]), i + 1 < ACTORS ? ", " : "\n");
    }
    return 0;
}

/* As "names": the very first look-ups, in two threads, beside forks. As "exit": destructors. */
static void *name_first(void *argument)
{
    look_names_up(argument);
    return NULL;
}

static void *fork_for_ever(void *argument)
{
    uint64_t random = 77;
    for (;;) {
        fork_once(&random);
    }
    return argument;
}

static void free_and_allocate(void)
{
    uint64_t random = 5;
    work(&random, 3000);
    fflush(NULL);
}

static int run_as(const char *mode)
{
    uint64_t random = 3;
    alarm(CHILD_SECONDS);
    if (strcmp(mode, "names") == 0) {
        pthread_t threads[2];
        for (int i = 0; i < 2; i++) {
            threads[i] = storm_start(name_first, &random);
        }
        for (int i = 0; i < 5; i++) {
            uint64_t own = 9;
            fork_once(&own);
        }
        for (int i = 0; i < 2; i++) {
            pthread_join(threads[i], NULL);
        }
        return 0;
    }
    for (int i = 0; i < 20; i++) {
        atexit(free_and_allocate);
    }
    pthread_detach(storm_start(fork_for_ever, NULL));
    free_and_allocate();
    return 0;
}

static unsigned long number(const char *text)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || value == 0) {
        fprintf(stderr, "storm: %s: a number above 0 is wanted\n", text);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "seconds", required_argument, NULL, 's' }, { "seed", required_argument, NULL, 'e' },
        { "plugin", required_argument, NULL, 'p' },  { "as", required_argument, NULL, 'a' },
        { NULL, 0, NULL, 0 },
    };
    unsigned long seconds = 10;
    int option;
    self = argv[0];
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 's': seconds = number(optarg); break;
        case 'e': seed = number(optarg); break;
        case 'p': plugin = optarg; break;
        case 'a': return run_as(optarg);
        default: return 2;
        }
    }
    if (optind != argc || plugin == NULL) {
        fprintf(stderr, "usage: storm --plugin FILE [--seconds N] [--seed N]\n");
        return 2;
    }
    lines = tmpfile();
    nowhere = fopen("/dev/null", "w");
    STORM_CHECK(lines != NULL && nowhere != NULL, "no files: errno %d", errno);
    fputs("a line that is read again and again, by many, and no longer than this\n", lines);
    fflush(lines);
    storm_begin();
    printf("storm on %s, %lu seconds, seed %llu\n", STORM_NAME, seconds, (unsigned long long)seed);
    fflush(stdout);
    return run(seconds);
}
