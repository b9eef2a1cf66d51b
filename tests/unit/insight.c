/* insight: the file of a process's own, its folder, and the texts of mb_stats_write. */
#include "memorybucket/memorybucket.h"

#include "core/shared_file.h"
#include "insight/export_layout.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BYTES = 1 << 16 };

static char parent[] = "/tmp/mb-insight-XXXXXX";
static char folder[64];
static void *place;

static void begin(void)
{
    cr_assert_not_null(mkdtemp(parent));
    snprintf(folder, sizeof folder, "%s/own", parent);
    place = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(place, MAP_FAILED);
}

static void end(void)
{
    char path[96];
    snprintf(path, sizeof path, "%s/file", folder);
    unlink(path);
    if (unlink(folder) != 0) {
        rmdir(folder);
    }
    rmdir(parent);
}

static int make(void)
{
    return mbi_shared_file_make(folder, "file", place, BYTES);
}

static int stat_file(struct stat *status)
{
    char path[96];
    snprintf(path, sizeof path, "%s/file", folder);
    return lstat(path, status);
}

Test(shared_file, is_made_with_its_folder, .init = begin, .fini = end)
{
    struct stat status;
    cr_assert_eq(make(), 0);
    strcpy(place, "written");
    cr_assert_eq(stat_file(&status), 0);
    cr_assert_eq(status.st_mode, S_IFREG | 0600);
    cr_assert_eq(status.st_size, BYTES);
    cr_assert_eq(stat(folder, &status), 0);
    cr_assert_eq(status.st_mode, S_IFDIR | 0700);
}

/* One of the name is the process's own, of an earlier program; so is a link. */
Test(shared_file, takes_the_place_of_an_older_one, .init = begin, .fini = end)
{
    struct stat before;
    struct stat after;
    cr_assert_eq(make(), 0);
    cr_assert_eq(stat_file(&before), 0);
    strcpy(place, "written");
    cr_assert_eq(make(), 0);
    cr_assert_eq(*(char *)place, 0, "it is a new one");
    cr_assert_eq(stat_file(&after), 0);
    mbi_shared_file_remove(folder, "file");
    cr_assert_neq(stat_file(&after), 0);
    cr_assert_eq(errno, ENOENT);

    char path[96];
    snprintf(path, sizeof path, "%s/file", folder);
    cr_assert_eq(symlink("/etc/passwd", path), 0);
    cr_assert_eq(make(), 0);
    cr_assert_eq(stat_file(&after), 0);
    cr_assert(S_ISREG(after.st_mode));
}

Test(shared_file, an_open_folder_is_refused, .init = begin, .fini = end)
{
    static const mode_t modes[] = { 0701, 0710, 0720, 0777, 01777 };
    cr_assert_eq(mkdir(folder, 0700), 0);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        cr_assert_eq(chmod(folder, modes[i]), 0);
        cr_assert_eq(make(), -EPERM, "mode %o", modes[i]);
    }
}

Test(shared_file, what_is_no_folder_is_refused, .init = begin, .fini = end)
{
    cr_assert_eq(symlink("/tmp", folder), 0);
    cr_assert_eq(make(), -ENOTDIR, "a link");
    cr_assert_eq(unlink(folder), 0);
    int file = open(folder, O_CREAT | O_WRONLY, 0600);
    cr_assert_geq(file, 0);
    close(file);
    cr_assert_eq(make(), -ENOTDIR, "a file");
}

Test(shared_file, without_a_parent_there_is_none, .init = begin, .fini = end)
{
    errno = 77;
    cr_assert_eq(mbi_shared_file_make("/nowhere/at/all", "file", place, BYTES), -ENOENT);
    cr_assert_eq(errno, 77);
}

Test(shared_file, a_full_file_system_is_told, .init = begin, .fini = end)
{
    /* More than any has. The mapping is never made. */
    cr_assert_lt(mbi_shared_file_make(folder, "file", place, (size_t)1 << 61), 0);
    struct stat status;
    cr_assert_neq(stat_file(&status), 0, "no file is left");
}

Test(shared_file, what_is_written_after_the_parting_is_not_shared, .init = begin, .fini = end)
{
    cr_assert_eq(make(), 0);
    strcpy(place, "shared");
    mbi_shared_file_part_from(place, BYTES);
    cr_assert_eq(*(char *)place, 0);
    strcpy(place, "own");
    char path[96];
    char text[8] = "";
    snprintf(path, sizeof path, "%s/file", folder);
    int file = open(path, O_RDONLY);
    cr_assert_eq(read(file, text, 7), 7);
    close(file);
    cr_assert_str_eq(text, "shared");
}

/* ---- mb_stats_write ---------------------------------------------------------------------------- */

static char text[1 << 20];

static const char *written(enum mb_stats_format format)
{
    FILE *file = tmpfile();
    cr_assert_eq(mb_stats_write(fileno(file), format), 0);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

Test(stats_write, has_three_forms)
{
    mb_free(mb_alloc(100));
    const char *plain = written(MB_STATS_TEXT);
    cr_assert_not_null(strstr(plain, "\n   104 "));
    cr_assert_not_null(strstr(plain, " KiB (no bound); "), "a single thread has no bound");
    const char *json = written(MB_STATS_JSON);
    cr_assert_eq(strncmp(json, "{\"format\":1,", 12), 0);
    cr_assert_not_null(strstr(json, "\"size_bytes\":104,"));
    cr_assert_str_eq(json + strlen(json) - 3, "]}\n");
    cr_assert_null(strstr(json, "\"size_bytes\":96,"), "a pool that was not used");
    cr_assert_not_null(strstr(written(MB_STATS_PROMETHEUS),
                              "memorybucket_pool_slot_bytes{size=\"104\"} 104\n"));
}

Test(stats_write, says_what_is_wrong)
{
    errno = 77;
    cr_assert_eq(mb_stats_write(STDOUT_FILENO, (enum mb_stats_format)3), -EINVAL);
    cr_assert_eq(mb_stats_write(STDOUT_FILENO, (enum mb_stats_format)-1), -EINVAL);
    cr_assert_eq(mb_stats_write(-1, MB_STATS_TEXT), -EBADF);
    int full = open("/dev/full", O_WRONLY);
    for (int format = MB_STATS_TEXT; format <= MB_STATS_PROMETHEUS; format++) {
        cr_assert_eq(mb_stats_write(full, (enum mb_stats_format)format), -ENOSPC);
    }
    close(full);
    cr_assert_eq(errno, 77);
}

/* ---- files of other versions --------------------------------------------------------------------- */

static _Atomic uint64_t file_words[256];
static struct snapshot seen;

/* A writer that knows two totals, one pool of three words and one thread of one word. */
static void write_small(void)
{
    const uint64_t header[] = {
        [EXPORT_AT_VERSION] = EXPORT_VERSION, [EXPORT_AT_TOTAL_BYTES] = sizeof file_words,
        [EXPORT_AT_PROCESS] = 123,            [EXPORT_AT_TOTALS] = 64,
        [EXPORT_AT_TOTALS_WORDS] = 4,         [EXPORT_AT_POOLS] = 70,
        [EXPORT_AT_POOLS_WORDS] = 3,          [EXPORT_AT_POOLS_ROWS] = 1,
        [EXPORT_AT_THREADS] = 80,             [EXPORT_AT_THREADS_WORDS] = 100,
        [EXPORT_AT_THREADS_ROWS] = 1,
    };
    for (size_t i = 1; i < sizeof header / sizeof header[0]; i++) {
        export_set_header_word(file_words, (enum export_header)i, header[i]);
    }
    export_set_magic(file_words);
    cr_assert_null(mbi_export_flaw(file_words, sizeof file_words));
    cr_assert_not(mbi_export_read(file_words, &seen), "nothing is published yet");
    export_begin(file_words);
    for (size_t i = 64; i < 200; i++) {
        export_store(&file_words[i], i);
    }
    cr_assert_not(mbi_export_read(file_words, &seen), "it is being written");
    export_end(file_words);
}

Test(export_read, takes_what_both_sides_know)
{
    memset(&seen, 0xA5, sizeof seen);
    write_small();
    cr_assert(mbi_export_read(file_words, &seen));
    cr_assert_eq(seen.totals[0], 64);
    cr_assert_eq(seen.totals[3], 1, "67 rows are said to follow, and one fits");
    cr_assert_eq(seen.totals[4], 0, "a word that the writer does not know");
    cr_assert_eq(seen.pools[0][2], 72);
    cr_assert_eq(seen.pools[0][3], 0);
    cr_assert_eq(seen.pools[1][0], 0);
    cr_assert_eq(seen.threads[0][THREAD_WORDS - 1], 80 + THREAD_WORDS - 1,
                 "words that the reader does not know are left");
}

Test(export_read, tells_what_is_wrong)
{
    write_small();
    cr_assert_not_null(mbi_export_flaw(file_words, sizeof file_words - 1));
    cr_assert_not_null(mbi_export_flaw(file_words, 0));
    static const enum export_header damaged[] = { EXPORT_AT_TOTALS_WORDS, EXPORT_AT_POOLS_ROWS,
                                                  EXPORT_AT_THREADS, EXPORT_AT_VERSION };
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        uint64_t good = export_header_word(file_words, damaged[i]);
        export_set_header_word(file_words, damaged[i], UINT64_MAX / 2);
        cr_assert_not_null(mbi_export_flaw(file_words, sizeof file_words), "word %d", damaged[i]);
        export_set_header_word(file_words, damaged[i], good);
    }
    cr_assert_null(mbi_export_flaw(file_words, sizeof file_words));
}
