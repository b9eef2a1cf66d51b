/* watched: allocates 30,000 times, by malloc and by new, for whoever watches. */
#include <cstdio>
#include <cstdlib>
#include <new>

static void *volatile sink;

int main()
{
    for (std::size_t i = 0; i < 10000; i++) {
        sink = std::malloc(1 + i % 700);
        std::free(sink);
        sink = ::operator new(1 + i % 700);
        ::operator delete(sink, 1 + i % 700);
        sink = ::operator new[](1 + i % 700, std::nothrow);
        ::operator delete[](sink);
    }
    std::puts("watched");
    return 0;
}
