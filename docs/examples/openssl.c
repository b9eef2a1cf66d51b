/* OpenSSL on MemoryBucket. */
#include <memorybucket/memorybucket.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>

static void *allocate(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return size == 0 ? NULL : mb_alloc(size);
}

static void release(void *object, const char *file, int line)
{
    (void)file;
    (void)line;
    mb_free(object);
}

static void *resize(void *object, size_t size, const char *file, int line)
{
    if (size == 0) { /* OpenSSL means free by it; mb_realloc would keep an object of 0 bytes */
        release(object, file, line);
        return NULL;
    }
    return mb_realloc(object, size);
}

static int use_memorybucket(void)
{
    return CRYPTO_set_mem_functions(allocate, resize, release); /* 0 when it comes too late */
}

int main(void)
{
    if (use_memorybucket() != 1) {
        fputs("OpenSSL has allocated already\n", stderr);
        return 1;
    }
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (EVP_Digest("abc", 3, digest, &length, EVP_sha256(), NULL) != 1) {
        fputs("no digest\n", stderr);
        return 1;
    }
    BIGNUM *number = BN_new();
    BN_set_word(number, 3);
    BN_lshift(number, number, 10000);
    char *text = BN_bn2dec(number);
    printf("%u bytes, %02x..., %.10s...\n", length, digest[0], text);
    OPENSSL_free(text);
    BN_free(number);
    return length == 32 && digest[0] == 0xba ? 0 : 1;
}
