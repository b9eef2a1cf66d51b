/* zlib on MemoryBucket. */
#include <memorybucket/memorybucket.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

static void *allocate(void *unused, unsigned items, unsigned size)
{
    (void)unused;
    return mb_alloc((size_t)items * size); /* the product as unsigned would overflow */
}

static void release(void *unused, void *object)
{
    (void)unused;
    mb_free(object);
}

static z_stream new_stream(void)
{
    return (z_stream){ .zalloc = allocate, .zfree = release }; /* before deflateInit or inflateInit */
}

int main(void)
{
    /* What zlib asks for is 6 to 64 KiB large: pools serve some of it with the border at its highest. */
    mb_option_set("MB_POOL_MAX", "32K");
    static unsigned char text[100000], packed[10000], again[sizeof text];
    memset(text, 'x', sizeof text);

    z_stream deflating = new_stream();
    deflating.next_in = text;
    deflating.avail_in = sizeof text;
    deflating.next_out = packed;
    deflating.avail_out = sizeof packed;
    if (deflateInit(&deflating, 6) != Z_OK || deflate(&deflating, Z_FINISH) != Z_STREAM_END) {
        return 1;
    }
    z_stream inflating = new_stream();
    inflating.next_in = packed;
    inflating.avail_in = (unsigned)deflating.total_out;
    inflating.next_out = again;
    inflating.avail_out = sizeof again;
    if (inflateInit(&inflating) != Z_OK || inflate(&inflating, Z_FINISH) != Z_STREAM_END) {
        return 1;
    }
    printf("%lu bytes became %lu\n", deflating.total_in, deflating.total_out);
    deflateEnd(&deflating);
    inflateEnd(&inflating);
    return memcmp(text, again, sizeof text);
}
