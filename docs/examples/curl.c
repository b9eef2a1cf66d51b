/* libcurl on MemoryBucket. */
#include <curl/curl.h>
#include <memorybucket/memorybucket.h>
#include <stdio.h>
#include <string.h>

static char *duplicate(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = mb_alloc(size);
    return copy == NULL ? NULL : memcpy(copy, text, size);
}

static CURLcode use_memorybucket(void)
{
    return curl_global_init_mem(CURL_GLOBAL_DEFAULT, mb_alloc, mb_free, mb_realloc, duplicate, mb_calloc);
}

static size_t count_bytes(char *data, size_t size, size_t count, void *bytes)
{
    (void)data;
    *(size_t *)bytes += size * count;
    return size * count;
}

int main(void)
{
    if (use_memorybucket() != CURLE_OK) {
        fputs("libcurl does not start\n", stderr);
        return 1;
    }
    CURL *handle = curl_easy_init();
    size_t bytes = 0;
    curl_easy_setopt(handle, CURLOPT_URL, "file:///etc/passwd");
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, count_bytes);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, &bytes);
    CURLcode result = curl_easy_perform(handle);
    char *escaped = curl_easy_escape(handle, "a b", 0);
    printf("%zu bytes, %s\n", bytes, escaped);
    curl_free(escaped); /* not free: it is from mb_alloc */
    curl_easy_cleanup(handle);
    curl_global_cleanup();
    return result == CURLE_OK && bytes > 0 ? 0 : 1;
}
