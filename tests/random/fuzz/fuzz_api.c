/*
 * fuzz_api: for libFuzzer: bytes are a program of API calls, which is run against the model.
 *
 * `fuzz_api --print FILE` prints such an input as C that compiles alone. Inputs leave free memory
 * behind for the next ones, as programs do; what fails only because of others before it is found by
 * running them all: `fuzz_api FILE...`.
 */
#include "property/execute.h"

#include <errno.h>
#include <memorybucket/memorybucket.h>
#include <stdlib.h>
#include <string.h>

enum { INPUT_BYTES_MAX = 1 << 16, INPUTS_PER_TRIM = 64 };

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static _Noreturn void print_input(const char *path)
{
    static uint8_t bytes[INPUT_BYTES_MAX];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "fuzz_api: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    struct program program = { .at_once = false };
    program_add_bytes(&program, bytes, fread(bytes, 1, sizeof bytes, file));
    fclose(file);
    program_print(&program, path, stdout);
    program_clear(&program);
    exit(0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    if (*argc >= 2 && strcmp((*argv)[1], "--print") == 0) {
        if (*argc != 3) {
            fputs("Usage: fuzz_api --print FILE\n", stderr);
            exit(2);
        }
        print_input((*argv)[2]);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static unsigned inputs;
    struct program program = { .at_once = false };
    program_add_bytes(&program, bytes, count);
    execute(&program);
    program_clear(&program);
    if (++inputs % INPUTS_PER_TRIM == 0) {
        (void)mb_trim(0);
    }
    return 0;
}
