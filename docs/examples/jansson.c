/* jansson on MemoryBucket. */
#include <jansson.h>
#include <memorybucket/memorybucket.h>
#include <stdio.h>

static void use_memorybucket(void)
{
    json_set_alloc_funcs(mb_alloc, mb_free);
}

int main(void)
{
    use_memorybucket();
    json_error_t error;
    json_t *value = json_loads("{\"words\": [\"one\", \"two\", {\"three\": 3.0}]}", 0, &error);
    if (value == NULL) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    char *text = json_dumps(value, JSON_COMPACT);
    puts(text);
    mb_free(text); /* not free: it is from mb_alloc */
    json_decref(value);
    return 0;
}
