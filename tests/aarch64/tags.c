/*
 * aarch64's tags. The processor ignores the highest byte of an address, so that programs may keep a
 * tag there. An object may be used through a tagged pointer. To a free a tagged pointer is foreign:
 * the system allocator gets it, and ends the process. Nothing is freed twice or lost in silence.
 * And memory tagging (MTE) switched on for the process changes nothing, as the pools' memory asks for
 * no tags.
 */
#include "check.h"

#include <memorybucket/memorybucket.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OBJECTS = 5000, SIZE_MAX_USED = 2000 };

static void *tagged(void *object, unsigned tag)
{
    return (void *)((uintptr_t)object | (uintptr_t)tag << 56);
}

static void use_objects(unsigned tag)
{
    static char *objects[OBJECTS];
    for (size_t i = 0; i < OBJECTS; i++) {
        size_t size = 1 + i % SIZE_MAX_USED;
        objects[i] = mb_alloc(size);
        CHECK(objects[i] != NULL, "no memory");
        memset(tagged(objects[i], tag), (int)i, size);
    }
    for (size_t i = 0; i < OBJECTS; i++) {
        CHECK(objects[i][i % SIZE_MAX_USED] == (char)i, "object %zu", i);
        mb_free(objects[i]);
    }
}

static void free_of_a_tagged_pointer_ends_the_process(size_t size)
{
    pid_t child = fork();
    CHECK(child >= 0, "fork");
    if (child == 0) {
        freopen("/dev/null", "w", stderr);
        mb_free(tagged(mb_alloc(size), 0x5a));
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child, "waitpid");
    CHECK(WIFSIGNALED(status), "%zu bytes: status %x", size, (unsigned)status);
}

int main(void)
{
    use_objects(0);
    use_objects(0x5a);
    free_of_a_tagged_pointer_ends_the_process(64);
    free_of_a_tagged_pointer_ends_the_process(100000);
    unsigned long control = PR_TAGGED_ADDR_ENABLE | PR_MTE_TCF_SYNC | 0xfffeUL << PR_MTE_TAG_SHIFT;
    CHECK(prctl(PR_SET_TAGGED_ADDR_CTRL, control, 0, 0, 0) == 0, "no memory tagging");
    use_objects(0);
    use_objects(0x0b);
    puts("ok");
    return 0;
}
