/*
 * operators: every replaceable operator new and delete, served by the drop-in, and how they fail.
 */
#include "check.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <new>
#include <string>
#include <vector>

static int handlerCalls;
static void *volatile sink;

static void giveUp()
{
    if (++handlerCalls == 3) {
        std::set_new_handler(nullptr);
    }
}

static std::size_t impossible()
{
    std::size_t size = SIZE_MAX / 2;
    __asm__ volatile("" : "+r"(size));
    return size;
}

template <typename Function> static bool throwsBadAlloc(Function function)
{
    try {
        function();
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

static void checkServed(void *function)
{
    Dl_info where;
    CHECK(dladdr(function, &where) != 0);
    CHECK(std::string(where.dli_fname).find("memorybucket-malloc") != std::string::npos);
}

struct alignas(128) Wide {
    char bytes[128];
};

int main()
{
    checkServed(dlsym(RTLD_DEFAULT, "_Znwm"));
    checkServed(dlsym(RTLD_DEFAULT, "_ZdlPv"));
    for (std::size_t size = 0; size < 1200; size++) {
        void *object = ::operator new(size);
        CHECK(reinterpret_cast<std::uintptr_t>(object) % (size > 8 ? 16 : 8) == 0);
        ::operator delete(object);
        object = ::operator new[](size);
        ::operator delete[](object);
        object = ::operator new(size, std::nothrow);
        ::operator delete(object, std::nothrow);
        object = ::operator new[](size, std::nothrow);
        ::operator delete[](object, std::nothrow);
        object = ::operator new(size);
        ::operator delete(object, size);
        object = ::operator new[](size);
        ::operator delete[](object, size);
        for (std::size_t alignment = 8; alignment <= 1024; alignment *= 2) {
            std::align_val_t align{ alignment };
            object = ::operator new(size, align);
            CHECK(reinterpret_cast<std::uintptr_t>(object) % alignment == 0);
            ::operator delete(object, align);
            object = ::operator new[](size, align);
            ::operator delete[](object, align);
            object = ::operator new(size, align, std::nothrow);
            ::operator delete(object, align, std::nothrow);
            object = ::operator new[](size, align, std::nothrow);
            ::operator delete[](object, size, align);
        }
    }
    Wide *wide = new Wide[3];
    CHECK(reinterpret_cast<std::uintptr_t>(wide) % 128 == 0);
    delete[] wide;

    CHECK(throwsBadAlloc([] { sink = ::operator new(impossible()); }));
    CHECK(throwsBadAlloc([] { sink = ::operator new[](impossible()); }));
    CHECK(throwsBadAlloc([] { sink = ::operator new(impossible(), std::align_val_t{ 64 }); }));
    CHECK(::operator new(impossible(), std::nothrow) == nullptr);
    CHECK(::operator new[](impossible(), std::align_val_t{ 64 }, std::nothrow) == nullptr);
    std::set_new_handler(giveUp);
    CHECK(throwsBadAlloc([] { sink = ::operator new(impossible()); }));
    CHECK(handlerCalls == 3);
    handlerCalls = 0;
    std::set_new_handler(giveUp);
    CHECK(::operator new(impossible(), std::nothrow) == nullptr);
    CHECK(handlerCalls == 3);

    std::vector<std::string> strings;
    for (int i = 0; i < 10000; i++) {
        strings.push_back("a string that is too long for its own buffer " + std::to_string(i));
    }
    CHECK(strings[9999].back() == '9');
    std::puts("operators hold");
    return 0;
}
