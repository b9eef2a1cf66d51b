/*
 * partial: a program that replaces a part of the allocation functions, and leaves the rest to the
 * C library and libstdc++, which end in the program's. Each form must then end there, too.
 *
 * Compiled once for each part: OPERATORS, of which the numbers say which, or MALLOC.
 * Built like any program, without the library; the same checks hold on the C library.
 */
#include "check.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <malloc.h>

#ifdef MALLOC
#define OPERATORS 0
#elif !defined OPERATORS
#define OPERATORS 1
#endif

static long live;
static long calls;

#ifndef MALLOC
static const std::uint64_t mark = 0x0bec7c0de0bec7c0;
static void *marked(void *memory, std::size_t header)
{
    CHECK(memory != nullptr);
    char *object = static_cast<char *>(memory) + header;
    std::memcpy(object - sizeof mark, &mark, sizeof mark);
    live++;
    calls++;
    return object;
}

static void *unmarked(void *object, std::size_t header)
{
    std::uint64_t found;
    char *bytes = static_cast<char *>(object);
    std::memcpy(&found, bytes - sizeof found, sizeof found);
    CHECK(found == mark);
    live--;
    return bytes - header;
}
#endif

#if OPERATORS == 1 /* the two that all others end in */
void *operator new(std::size_t size)
{
    return marked(std::malloc(size + 16), 16);
}
void operator delete(void *object) noexcept
{
    if (object != nullptr) {
        std::free(unmarked(object, 16));
    }
}
#elif OPERATORS == 2 /* the arrays' */
void *operator new[](std::size_t size)
{
    return marked(std::malloc(size + 16), 16);
}
void operator delete[](void *object) noexcept
{
    if (object != nullptr) {
        std::free(unmarked(object, 16));
    }
}
#elif OPERATORS == 3 /* the aligned ones */
void *operator new(std::size_t size, std::align_val_t alignment)
{
    std::size_t header = std::size_t(alignment);
    return marked(std::aligned_alloc(header, (size + 2 * header) / header * header), header);
}
void operator delete(void *object, std::align_val_t alignment) noexcept
{
    if (object != nullptr) {
        std::free(unmarked(object, std::size_t(alignment)));
    }
}
#elif defined MALLOC /* what the C library's manual says a program must have, from an arena */
alignas(64) static char arena[64 << 20];
static std::size_t used;

static bool in_arena(const void *pointer)
{
    return std::uintptr_t(pointer) - std::uintptr_t(arena) < sizeof arena;
}

extern "C" void *malloc(std::size_t size)
{
    std::size_t bytes = (size + 47) / 16 * 16;
    char *object = arena + __atomic_fetch_add(&used, bytes, __ATOMIC_RELAXED) + 16;
    if (object + size > arena + sizeof arena) {
        return nullptr;
    }
    std::memcpy(object - 16, &size, sizeof size);
    live++;
    calls++;
    return object;
}

extern "C" void free(void *object)
{
    if (object != nullptr) {
        CHECK(in_arena(object));
        live--;
    }
}

extern "C" void *calloc(std::size_t count, std::size_t size)
{
    return malloc(count * size); /* the arena is zero, and nothing of it is used again */
}

extern "C" void *realloc(void *object, std::size_t size)
{
    std::size_t old = 0;
    if (object != nullptr) {
        CHECK(in_arena(object));
        std::memcpy(&old, static_cast<char *>(object) - 16, sizeof old);
    }
    void *moved = malloc(size);
    CHECK(moved != nullptr);
    if (object != nullptr) {
        std::memcpy(moved, object, old < size ? old : size);
    }
    free(object);
    return moved;
}
#endif

struct Object {
    long words[5] = { 1, 2, 3, 4, 5 };
};

struct alignas(64) Aligned {
    char bytes[100] = { 1 };
};

static void use_all_forms()
{
    for (std::size_t count = 1; count < 3000; count += count / 3 + 1) {
        Object *volatile object = new Object;
        delete object;
        object = new (std::nothrow) Object;
        delete object;
        Object *volatile objects = new Object[count];
        delete[] objects;
        objects = new (std::nothrow) Object[count];
        delete[] objects;
        ::operator delete(::operator new(count));
        ::operator delete(::operator new(count, std::nothrow), std::nothrow);
        ::operator delete[](::operator new[](count));
        ::operator delete[](::operator new[](count, std::nothrow), std::nothrow);
#ifndef MALLOC /* libstdc++'s are made of aligned_alloc, which this program has not got */
        Aligned *volatile aligned = new Aligned;
        delete aligned;
        aligned = new (std::nothrow) Aligned;
        delete aligned;
        Aligned *volatile several = new Aligned[count];
        delete[] several;
        several = new (std::nothrow) Aligned[count];
        delete[] several;
#endif
    }
}

/* Inside libstdc++, too, which has a code of its own for some of them. */
static void use_library()
{
    std::vector<int> numbers;
    for (int i = 0; i < 3000; i++) {
        numbers.push_back(i * 7919 % 3001);
    }
    std::stable_sort(numbers.begin(), numbers.end());
    CHECK(std::is_sorted(numbers.begin(), numbers.end()));
    std::vector<std::string> strings;
    for (std::size_t i = 0; i < 200; i++) {
        strings.emplace_back(i, 'x');
    }
    auto shared = std::make_shared<Object>();
    CHECK(shared->words[4] == 5);
}

#ifdef MALLOC
/* What the program has not got works as it does with the C library, and ends in what it has. */
static void use_what_is_missing()
{
    char *text = static_cast<char *>(std::malloc(40));
    std::strcpy(text, "kept");
    text = static_cast<char *>(reallocarray(text, 100, 10));
    CHECK(in_arena(text) && std::strcmp(text, "kept") == 0);
    std::free(text);
    errno = 0;
    volatile std::size_t too_many = SIZE_MAX / 2;
    CHECK(reallocarray(nullptr, too_many, 4) == nullptr && errno == ENOMEM);
    for (std::size_t alignment = 8; alignment <= 4096; alignment *= 2) {
        void *aligned;
        CHECK(posix_memalign(&aligned, alignment, 100) == 0);
        CHECK(std::uintptr_t(aligned) % alignment == 0);
        std::memset(aligned, 1, 100);
        aligned = std::aligned_alloc(alignment, 4096);
        CHECK(aligned != nullptr && std::uintptr_t(aligned) % alignment == 0);
        std::memset(aligned, 1, 4096);
    }
    std::FILE *nowhere = std::fopen("/dev/null", "w");
    CHECK(nowhere != nullptr && malloc_info(0, nowhere) == 0);
    std::fclose(nowhere);
}
#endif

int main()
{
    long before = live;
    use_all_forms();
    use_library();
    CHECK(live == before && calls > 40);
#ifdef MALLOC
    use_what_is_missing();
#endif
    std::puts("parts hold");
    return 0;
}
