/* SQLite on MemoryBucket. */
#include <memorybucket/memorybucket.h>
#include <sqlite3.h>
#include <stdio.h>

static void *allocate(int size) { return mb_alloc((size_t)size); }
static void *resize(void *object, int size) { return mb_realloc(object, (size_t)size); }
static int size_of(void *object) { return (int)mb_usable_size(object); }
static int round_up(int size) { return (int)mb_good_size((size_t)size); }
static int start(void *unused) { return unused == NULL ? SQLITE_OK : SQLITE_ERROR; }
static void stop(void *unused) { (void)unused; }

static int use_memorybucket(void)
{
    static const sqlite3_mem_methods methods = {
        allocate, mb_free, resize, size_of, round_up, start, stop, NULL,
    };
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* or one lock for all threads around each call */
    return sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
}

int main(void)
{
    sqlite3 *database;
    if (use_memorybucket() != SQLITE_OK || sqlite3_open(":memory:", &database) != SQLITE_OK) {
        fputs("SQLite does not start\n", stderr);
        return 1;
    }
    char *error;
    static const char statements[] =
        "create table word(text);"
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000)"
        "  insert into word select 'word ' || i from n;"
        "create index by_text on word(text);";
    if (sqlite3_exec(database, statements, NULL, NULL, &error) != SQLITE_OK) {
        fprintf(stderr, "%s\n", error);
        sqlite3_free(error);
        return 1;
    }
    sqlite3_close(database);
    sqlite3_shutdown();
    return 0;
}
