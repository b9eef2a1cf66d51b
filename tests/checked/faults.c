/*
 * faults: one planted memory fault each, for tests/checked/run.sh.
 *
 * Usage: faults FAULT [pools]
 *   pools: first uses guarded pages up to where the next 15 objects get none: the fault falls on a
 *   slot of a pool.
 *
 * On stdout it tells what the report must name. That goes past stdio, whose buffer an abort loses.
 *
 * Compiled for the library, and with PLAIN for the drop-in. Faults go through `hide`, so that no
 * compiler sees them.
 */
#ifdef PLAIN
#include <malloc.h>
#include <stdlib.h>
#define allocate malloc
#define allocate_aligned aligned_alloc
#define release free
#define resize realloc
#define usable malloc_usable_size
void operator_delete_sized(void *pointer, size_t size) __asm__("_ZdlPvm");
#define release_sized operator_delete_sized
#else
#include "memorybucket/memorybucket.h"
#define allocate mb_alloc
#define allocate_aligned mb_aligned_alloc
#define release mb_free
#define resize mb_realloc
#define usable mb_usable_size
#define release_sized mb_free_sized
#endif

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 40, LARGE = 4000 };
/* As many as take half of the 8,192 guarded pages, and one more: of those to come, every 16th gets one. */
enum { OBJECTS_FOR_GUARDS = 4096 + 1 };

static void *volatile hidden;

static char *hide(void *pointer)
{
    hidden = pointer;
    return hidden;
}

__attribute__((noinline)) static char *allocate_here(size_t size)
{
    char *object = hide(allocate(size));
    if (object != NULL) {
        memset(object, 'x', size);
    }
    return object;
}

__attribute__((noinline)) static void free_here(void *pointer)
{
    release(hide(pointer));
}

__attribute__((noinline)) static void free_again(void *pointer)
{
    release(hide(pointer));
}

/* By the thread that allocates it, or has. */
static void tell_object(const void *object, size_t size)
{
    dprintf(STDOUT_FILENO, "object %p, %zu bytes\nallocated %d\n", object, size, gettid());
}

static void tell_freed(void)
{
    dprintf(STDOUT_FILENO, "freed %d\n", gettid());
}

/* By the thread that is at fault; `says` is a part of the report's first line. */
static void tell_fault(const void *pointer, const char *says)
{
    dprintf(STDOUT_FILENO, "pointer %p\nfault %d\nsays %s\n", pointer, gettid(), says);
}

static void *free_in_thread(void *pointer)
{
    tell_freed();
    free_here(pointer);
    return NULL;
}

static void *free_again_in_thread(void *pointer)
{
    tell_fault(pointer, "an object of 40 bytes was freed before");
    free_again(pointer);
    return NULL;
}

static void in_thread(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, argument) != 0) {
        abort();
    }
    pthread_join(thread, NULL);
}

/* A slot is looked at when it is used again: enough of them for that. */
static void reuse_all(size_t size)
{
    enum { OBJECTS = 40000 };
    for (int i = 0; i < OBJECTS; i++) {
        free_here(allocate_here(size));
    }
}

/* By one thread, which does both. */
static void tell_double_free(const char *object)
{
    tell_object(object, SIZE);
    tell_freed();
    tell_fault(object, "an object of 40 bytes was freed before");
}

static void double_free(char *object)
{
    tell_double_free(object);
    free_here(object);
    free_again(object);
}

static void double_free_interleaved(char *object)
{
    char *other = allocate_here(SIZE);
    tell_double_free(object);
    free_here(object);
    free_here(other);
    free_again(object);
}

/* Three threads: which is which can be told from the report. */
static void double_free_in_thread(char *object)
{
    tell_object(object, SIZE);
    in_thread(free_in_thread, object);
    in_thread(free_again_in_thread, object);
}

static void double_free_by_realloc(char *object)
{
    tell_double_free(object);
    free_here(object);
    object = resize(hide(object), 2 * SIZE);
    free_here(object);
}

static void double_free_large(char *object)
{
    char *large = allocate_here(LARGE);
    tell_object(large, LARGE);
    tell_freed();
    tell_fault(large, "an object of 4000 bytes was freed before");
    free_here(object);
    free_here(large);
    free_again(large);
}

__attribute__((noinline)) static void measure_here(const char *pointer)
{
    static volatile size_t measured;
    measured = usable((void *)(uintptr_t)hide((char *)(uintptr_t)pointer));
    if (measured != 0) {
        abort();
    }
}

static void measured_after_free(char *object)
{
    tell_object(object, SIZE);
    tell_freed();
    tell_fault(object, "the usable size of an object of 40 bytes was asked for");
    free_here(object);
    measure_here(object);
}

static void measured_inside(char *object)
{
    tell_object(object, SIZE);
    tell_fault(object + 16, "it points 16 bytes into an object of 40");
    measure_here(object + 16);
}

static void measured_static(char *object)
{
    static char bytes[SIZE];
    tell_fault(bytes, "it points into ");
    measure_here(bytes);
    free_here(object);
}

static void invalid_free_inside(char *object)
{
    tell_object(object, SIZE);
    tell_fault(object + 16, "it points 16 bytes into an object of 40");
    free_here(object + 16);
}

static void invalid_free_inside_largest_small(char *object)
{
    char *largest = allocate_here(512);
    tell_object(largest, 512);
    tell_fault(largest + 504, "it points 504 bytes into an object of 512");
    free_here(largest + 504);
    free_here(object);
}

static void invalid_free_inside_large(char *object)
{
    char *large = allocate_here(LARGE);
    tell_object(large, LARGE);
    tell_fault(large + 496, "it points 496 bytes into an object of 4000");
    free_here(large + 496); /* where the system allocator might begin one, too */
    free_here(object);
}

static void invalid_free_neighbour(char *object)
{
    char *neighbour = object + 4 * 4096 * 64;
    tell_fault(neighbour, ""); /* there are two texts, for pools and for guarded pages */
    free_here(neighbour);
}

static void invalid_free_before(char *object)
{
    tell_object(object, SIZE);
    tell_fault(object - 8, "it points 8 bytes before an object of 40");
    free_here(object - 8);
}

static void invalid_free_behind(char *object)
{
    tell_object(object, SIZE);
    tell_fault(object + SIZE + 16, "it points 16 bytes behind the end of an object of 40");
    free_here(object + SIZE + 16);
}

static void invalid_free_static(char *object)
{
    static char memory[256];
    free_here(object);
    tell_fault(memory + 64, "it points into ");
    free_here(memory + 64);
}

static void invalid_free_stack(char *object)
{
    char memory[256] = { 0 };
    free_here(object);
    tell_fault(memory + 64, "it points to the thread's stack");
    free_here(memory + 64);
}

static void *free_stack_in_thread(void *unused)
{
    char memory[256] = { 0 };
    tell_fault(memory + 64, "it points to the thread's stack");
    free_here(memory + 64);
    return unused;
}

static void invalid_free_thread_stack(char *object)
{
    free_here(object);
    in_thread(free_stack_in_thread, NULL);
}

static void invalid_free_unmapped(char *object)
{
    free_here(object);
    tell_fault((void *)0x70, "no memory is mapped there");
    free_here((void *)0x70);
}

/* As where a server has its own memory. */
static void invalid_free_mapped(char *object)
{
    char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    free_here(object);
    tell_fault(memory, "no object begins there");
    free_here(memory);
}

static void *free_stack_of_main(void *memory)
{
    tell_fault(memory, "no object begins there");
    free_here(memory);
    return NULL;
}

static void invalid_free_other_stack(char *object)
{
    _Alignas(16) char memory[256] = { 0 };
    free_here(object);
    in_thread(free_stack_of_main, memory + 64);
}

/* The byte behind it is going to be written. */
static void tell_overflow(const char *object)
{
    tell_object(object, SIZE);
    tell_fault(object + SIZE, "byte 40 of an object of 40 bytes");
}

static void overflow(char *object)
{
    tell_overflow(object);
    hide(object)[SIZE] = 'y';
    free_here(object);
}

static void overflow_by_zero(char *object)
{
    tell_overflow(object);
    hide(object)[SIZE] = '\0';
    free_here(object);
}

static void overflow_in_slack(char *object)
{
    char *odd = allocate_here(SIZE - 3);
    tell_object(odd, SIZE - 3);
    tell_fault(odd + SIZE - 3, "byte 37 of an object of 37 bytes");
    hide(odd)[SIZE - 3] = 'y';
    free_here(odd);
    free_here(object);
}

static void overflow_largest_small(char *object)
{
    char *largest = allocate_here(512);
    tell_object(largest, 512);
    tell_fault(largest + 512, "byte 512 of an object of 512 bytes");
    hide(largest)[512] = 'y';
    free_here(largest);
    free_here(object);
}

static void overflow_large(char *object)
{
    char *large = allocate_here(LARGE);
    tell_object(large, LARGE);
    tell_fault(large + LARGE, "byte 4000 of an object of 4000 bytes");
    hide(large)[LARGE] = 'y';
    free_here(large);
    free_here(object);
}

static void overflow_aligned(char *object)
{
    char *aligned = hide(allocate_aligned(4096, SIZE));
    tell_overflow(aligned);
    aligned[SIZE] = 'y';
    free_here(aligned);
    free_here(object);
}

static void overflow_realloc(char *object)
{
    tell_overflow(object);
    hide(object)[SIZE] = 'y';
    object = resize(object, 3 * SIZE);
    free_here(object);
}

static void overflow_at_exit(char *object)
{
    tell_overflow(object);
    hide(object)[SIZE] = 'y';
}

/* Its byte 11 is going to be used. */
static void free_before_use(char *object)
{
    tell_object(object, SIZE);
    tell_freed();
    tell_fault(object + 11, "byte 11 of an object of 40 bytes");
    free_here(object);
}

static void use_after_free_write(char *object)
{
    free_before_use(object);
    hide(object)[11] = 'y';
    reuse_all(SIZE);
}

static void use_after_free_write_at_exit(char *object)
{
    free_before_use(object);
    hide(object)[11] = 'y';
}

static void use_after_free_read(char *object)
{
    free_before_use(object);
    char read = hide(object)[11];
    if (read == 'x') {
        puts("read what was freed");
    }
}

/* On a signal stack with 4 KiB beyond what the kernel itself puts there, and none behind. */
static void use_after_free_on_signal_stack(char *object)
{
    enum { OWN_BYTES = 4 << 10, GUARD_BYTES = 64 << 10 };
    size_t bytes = getauxval(AT_MINSIGSTKSZ) + OWN_BYTES;
    char *memory =
        mmap(NULL, GUARD_BYTES + bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t stack = { .ss_sp = memory + GUARD_BYTES, .ss_size = bytes };
    if (mprotect(stack.ss_sp, bytes, PROT_READ | PROT_WRITE) != 0
        || sigaltstack(&stack, NULL) != 0) {
        abort();
    }
    use_after_free_read(object);
}

static void use_after_free_large(char *object)
{
    char *large = allocate_here(LARGE);
    tell_object(large, LARGE);
    tell_freed();
    tell_fault(large + 1111, "byte 1111 of an object of 4000 bytes");
    free_here(large);
    hide(large)[1111] = 'y';
    free_here(object);
}

static void size_mismatch(char *object)
{
    tell_object(object, SIZE);
    tell_fault(object, "freed as 48 bytes, allocated as 40");
    release_sized(hide(object), SIZE + 8);
}

static void size_within_slot(char *object)
{
    tell_object(object, SIZE);
    tell_fault(object, "freed as 39 bytes, allocated as 40");
    release_sized(hide(object), SIZE - 1);
}

static void leak(char *object)
{
    enum { LEAKS = 3 };
    volatile int left = LEAKS; /* not unrolled: in one place */
    tell_object(object, SIZE);
    while (left-- > 0) {
        tell_object(allocate_here(100), 100);
    }
}

extern void __register_frame(void *tables);
extern void __deregister_frame(void *tables);

/* As a program that compiles functions does: the unwinder allocates and frees under its lock. */
static void unwind_tables(char *object)
{
    /* A CIE with the augmentation zR and an FDE of 16 bytes of code: System V ABI, AMD64, 4.2.4. */
    static unsigned char tables[] = {
        0x14, 0, 0, 0, 0,    0, 0, 0, 1, 'z', 'R', 0, 1,    0x78, 0x10, 1,
        0x1b, 0, 7, 8, 0x90, 1, 0, 0, 0x14, 0, 0, 0,  0x1c, 0,    0,    0,
        0,    1, 0, 0, 0x10, 0, 0, 0, 0, 0,   0,   0, 0,    0,    0,    0,
        0,    0, 0, 0,
    };
    __register_frame(tables);
    free_here(object);
    free_here(allocate_here(SIZE));
    __deregister_frame(tables);
}

/* Everything that is right: nothing may be said. */
static void nothing(char *object)
{
    for (size_t size = 0; size < 2000; size += 7) {
        char *other = allocate_here(size);
        if (usable(other) < size) {
            abort();
        }
        memset(hide(other), 'z', usable(other));
        other = resize(other, size / 2 + 1);
        in_thread(free_in_thread, other);
    }
    release_sized(hide(object), SIZE);
    if (fork() == 0) {
        exit(0);
    }
    int status = 0;
    wait(&status);
    if (status != 0) {
        abort();
    }
    reuse_all(24);
}

static const struct {
    const char *name;
    void (*plant)(char *object);
} faults[] = {
#define FAULT(name) { #name, name }
    FAULT(double_free),
    FAULT(double_free_interleaved),
    FAULT(double_free_in_thread),
    FAULT(double_free_by_realloc),
    FAULT(double_free_large),
    FAULT(measured_after_free),
    FAULT(measured_inside),
    FAULT(measured_static),
    FAULT(invalid_free_inside),
    FAULT(invalid_free_inside_largest_small),
    FAULT(invalid_free_inside_large),
    FAULT(invalid_free_neighbour),
    FAULT(invalid_free_before),
    FAULT(invalid_free_behind),
    FAULT(invalid_free_static),
    FAULT(invalid_free_stack),
    FAULT(invalid_free_thread_stack),
    FAULT(invalid_free_unmapped),
    FAULT(invalid_free_mapped),
    FAULT(invalid_free_other_stack),
    FAULT(overflow),
    FAULT(overflow_by_zero),
    FAULT(overflow_in_slack),
    FAULT(overflow_largest_small),
    FAULT(overflow_large),
    FAULT(overflow_aligned),
    FAULT(overflow_realloc),
    FAULT(overflow_at_exit),
    FAULT(use_after_free_write),
    FAULT(use_after_free_write_at_exit),
    FAULT(use_after_free_read),
    FAULT(use_after_free_on_signal_stack),
    FAULT(use_after_free_large),
    FAULT(size_mismatch),
    FAULT(size_within_slot),
    FAULT(leak),
    FAULT(unwind_tables),
    FAULT(nothing),
};

int main(int count, char **words)
{
    static char *taken[OBJECTS_FOR_GUARDS];
    int use_pools = count > 2 && strcmp(words[2], "pools") == 0;
    for (int i = 0; use_pools && i < OBJECTS_FOR_GUARDS; i++) {
        taken[i] = allocate_here(1);
    }
    for (size_t i = 0; count > 1 && i < sizeof faults / sizeof faults[0]; i++) {
        if (strcmp(faults[i].name, words[1]) == 0) {
            faults[i].plant(allocate_here(SIZE));
            for (int j = 0; use_pools && j < OBJECTS_FOR_GUARDS; j++) {
                free_here(taken[j]);
            }
            puts("went on");
            return 0;
        }
    }
    fprintf(stderr, "usage: faults FAULT [pools]\n");
    return 2;
}
