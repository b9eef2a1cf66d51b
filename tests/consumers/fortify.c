/*
 * fortify: what the header says of mb_usable_size holds under _FORTIFY_SOURCE=3, for which its
 * attributes tell the compiler how large an object is.
 */
#include <memorybucket/memorybucket.h>

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int status_of(void (*use)(size_t), size_t size)
{
    pid_t child = fork();
    if (child == 0) {
        (void)!freopen("/dev/null", "w", stderr);
        use(size);
        _exit(0);
    }
    int status = -1;
    return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

static void use_as_documented(size_t size)
{
    char *object = mb_alloc(size);
    object = mb_realloc(object, mb_usable_size(object));
    memset(object, 'x', mb_usable_size(object));
    mb_free(object);
}

static void use_more_than_asked_for(size_t size)
{
    char *object = mb_alloc(size);
    memset(object, 'x', mb_usable_size(object));
    mb_free(object);
}

int main(int argc, char **argv)
{
    (void)argv;
    size_t size = 32 + (size_t)argc; /* the compiler does not know it */
    if (status_of(use_as_documented, size) != 0) {
        puts("the documented way fails");
        return 1;
    }
    if (status_of(use_more_than_asked_for, size) == 0) {
        puts("the compiler did not know the object's size");
        return 1;
    }
    char *object = mb_alloc(33);
    char *same = mb_realloc(object, 40);
    if (same != object) {
        puts("an object moved although its slot had the room");
        return 1;
    }
    mb_free(same);
    return 0;
}
