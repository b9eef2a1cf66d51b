/* traps: what docs/integrate.md says of the hooks of each library. A hook that comes too late is refused, or ignored. */
#include "check.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <event2/util.h>
#include <jansson.h>
#include <libxml/threads.h>
#include <libxml/xmlmemory.h>
#include <lua.h>
#include <memorybucket/memorybucket.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <sqlite3.h>
#include <string.h>
#include <uv.h>
#include <zlib.h>

static int calls, frees_by_realloc;
static size_t last_size;

static void *counted_alloc(size_t size)
{
    calls++;
    last_size = size;
    return mb_alloc(size);
}

static void *counted_realloc(void *object, size_t size)
{
    calls++;
    if (size == 0) {
        frees_by_realloc++;
        mb_free(object);
        return NULL;
    }
    return mb_realloc(object, size);
}

static char *counted_strdup(const char *text)
{
    char *copy = counted_alloc(strlen(text) + 1);
    return copy == NULL ? NULL : strcpy(copy, text);
}

static void *openssl_alloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return counted_alloc(size);
}

static void *openssl_realloc(void *object, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return counted_realloc(object, size);
}

static void openssl_free(void *object, const char *file, int line)
{
    (void)file;
    (void)line;
    mb_free(object);
}

static void openssl(void)
{
    CHECK(CRYPTO_set_mem_functions(openssl_alloc, openssl_realloc, openssl_free) == 1);
    void *object = OPENSSL_malloc(10);
    CHECK(calls == 1);
    object = OPENSSL_realloc(object, 0);
    CHECK(object == NULL && frees_by_realloc == 1, "realloc to 0 frees");
    OPENSSL_free(OPENSSL_malloc(0));
    CHECK(last_size == 0, "size 0 is passed on");
    /* Back to its own functions, whose first call ends the choice. */
    CHECK(CRYPTO_set_mem_functions(CRYPTO_malloc, CRYPTO_realloc, CRYPTO_free) == 1);
    OPENSSL_free(OPENSSL_malloc(10));
    CHECK(CRYPTO_set_mem_functions(openssl_alloc, openssl_realloc, openssl_free) == 0, "it comes too late");
}

static void curl(void)
{
    CHECK(curl_global_init(CURL_GLOBAL_NOTHING) == CURLE_OK);
    calls = 0;
    CHECK(curl_global_init_mem(CURL_GLOBAL_NOTHING, counted_alloc, mb_free, counted_realloc, counted_strdup,
                               mb_calloc) == CURLE_OK);
    curl_free(curl_easy_escape(NULL, "a b", 0));
    CHECK(calls == 0, "a second curl_global_init changes nothing, and does not say so");
    curl_global_cleanup();
    curl_global_cleanup();
}

static void sqlite(void)
{
    sqlite3_mem_methods methods;
    CHECK(sqlite3_initialize() == SQLITE_OK);
    CHECK(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &methods) == SQLITE_MISUSE);
    CHECK(sqlite3_shutdown() == SQLITE_OK);
    CHECK(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &methods) == SQLITE_OK, "shut down it can be configured again");
}

static void libevent(void)
{
    event_set_mem_functions(counted_alloc, counted_realloc, mb_free);
    calls = 0;
    event_base_free(event_base_new());
    CHECK(calls > 0);
    libevent_global_shutdown();
}

static void libuv(void)
{
    CHECK(uv_replace_allocator(mb_alloc, NULL, mb_calloc, mb_free) == UV_EINVAL);
}

static void *libxml2_thread(void *unused)
{
    CHECK(xmlGetGlobalState() != NULL);
    return unused;
}

static void libxml2(void)
{
    CHECK(xmlMemSetup(mb_free, counted_alloc, counted_realloc, NULL) == -1);
    CHECK(xmlMemSetup(mb_free, counted_alloc, counted_realloc, counted_strdup) == 0);
    calls = 0;
    char *copy = xmlMemStrdup("text");
    CHECK(calls == 1);
    mb_free(copy); /* what the library hands out is an object of MemoryBucket */
    calls = 0;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, libxml2_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(calls == 0, "the data of a thread is from malloc");
}

static void *lua_alloc(void *largest, void *object, size_t old_size, size_t size)
{
    if (object == NULL && old_size > *(size_t *)largest) {
        *(size_t *)largest = old_size;
    }
    return size == 0 ? mb_free(object), NULL : mb_realloc(object, size);
}

static void lua(void)
{
    size_t largest = 0;
    lua_State *state = lua_newstate(lua_alloc, &largest);
    CHECK(state != NULL);
    lua_newtable(state);
    lua_close(state);
    CHECK(largest > 0 && largest < 16, "for a new object the old size is a type: %zu", largest);
}

static void *zlib_alloc(void *most, unsigned items, unsigned size)
{
    size_t bytes = (size_t)items * size;
    if (bytes > *(size_t *)most) {
        *(size_t *)most = bytes;
    }
    return mb_alloc(bytes);
}

static void zlib_free(void *most, void *object)
{
    (void)most;
    mb_free(object);
}

static void zlib(void)
{
    size_t most = 0;
    z_stream stream = { .zalloc = zlib_alloc, .zfree = zlib_free, .opaque = &most };
    CHECK(deflateInit(&stream, 6) == Z_OK);
    CHECK(most > 32768, "zlib asks for more than pools serve: %zu", most);
    deflateEnd(&stream);
}

static void jansson(void)
{
    json_set_alloc_funcs(counted_alloc, mb_free);
    calls = 0;
    json_t *value = json_pack("{s:s}", "key", "value");
    char *text = json_dumps(value, 0);
    CHECK(calls > 0 && last_size > 0);
    mb_free(text); /* an object of MemoryBucket, too */
    json_decref(value);
}

int main(void)
{
    openssl(); /* first: the other libraries use it */
    curl();
    sqlite();
    libevent();
    libuv();
    libxml2();
    lua();
    zlib();
    jansson();
    puts("ok");
    return 0;
}
