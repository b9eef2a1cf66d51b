/*
 * Machines with other user spaces than this one: wherever the kernel's addresses end, the pools lie
 * below 2^48, as a chain's word has no more bits for an address; and below the end.
 */
#include "core/chain.h"
#include "testing.h"

unsigned __wrap_mbi_os_address_bits(void);

static unsigned bits = 47; /* as here, for what is asked before the program's constructors */

unsigned __wrap_mbi_os_address_bits(void)
{
    return bits;
}

int main(int argument_count, char **arguments)
{
    CHECK(argument_count == 2, "the bits of an address are missing");
    bits = (unsigned)strtoul(arguments[1], NULL, 10);
    static void *objects[1000];
    use_objects(objects, 1000, 600);
    char *object = mb_alloc(64);
    unsigned most = bits < CHAIN_ADDRESS_BITS ? bits : CHAIN_ADDRESS_BITS;
    uintptr_t end = mbi_region.map_base != 0 ? mbi_region.map_base : (uintptr_t)object;
    CHECK((uintptr_t)object >> most == 0, "%p with %u bits", (void *)object, bits);
    CHECK(end - 1 < (uintptr_t)1 << most, "the spans end at %zx with %u bits", (size_t)end, bits);
    mb_free(object);
    puts("ok");
    return 0;
}
