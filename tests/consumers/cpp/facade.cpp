/* facade: the C++ face, as a user compiles it. */
#include "check.h"
#include "memorybucket/memorybucket.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static std::uint64_t liveSlots()
{
    static mb_stats stats;
    CHECK(mb_stats_get(&stats, sizeof stats) == 0);
    std::uint64_t live = 0;
    for (const mb_pool_stats &pool : stats.pool) {
        live += pool.live;
    }
    return live;
}

struct Point {
    int x;
    std::string name;
    Point(int px, std::string n) : x(px), name(std::move(n)) {}
};

struct Thrower {
    std::string member = "destroyed by the language";
    explicit Thrower(bool now)
    {
        if (now) {
            throw std::runtime_error("in the constructor");
        }
    }
};

struct alignas(64) Line {
    unsigned char bytes[64];
};
struct alignas(4096) Page {
    unsigned char bytes[4096];
};
struct alignas(32) Odd {
    unsigned char bytes[96];
};

static int destroyed;
struct Left {
    std::uint64_t left = 1;
    virtual ~Left() { ++destroyed; }
};
struct Right {
    std::uint64_t right = 2;
    virtual ~Right() { ++destroyed; }
};
struct Both final : Left, Right {
    std::uint64_t both = 3;
};

template <typename T> static void checkAligned()
{
    std::vector<T *> objects;
    for (int i = 0; i < 100; i++) {
        objects.push_back(MemoryBucket::newElement<T>());
        CHECK(reinterpret_cast<std::uintptr_t>(objects.back()) % alignof(T) == 0);
    }
    for (T *object : objects) {
        MemoryBucket::deleteElement(object);
    }
}

static void checkObjects()
{
    Point *point = MemoryBucket::newElement<Point>(7, "a name that is too long for its own buffer");
    CHECK(point->x == 7 && point->name.size() > 30);
    CHECK(liveSlots() == 1);
    MemoryBucket::deleteElement(point);
    MemoryBucket::deleteElement(static_cast<Point *>(nullptr));

    bool caught = false;
    try {
        (void)MemoryBucket::newElement<Thrower>(true);
    } catch (const std::runtime_error &) {
        caught = true;
    }
    CHECK(caught);
    CHECK(liveSlots() == 0);
    MemoryBucket::deleteElement(MemoryBucket::newElement<const Thrower>(false));

    checkAligned<Line>();
    checkAligned<Page>();
    checkAligned<Odd>();
    checkAligned<char>();

    destroyed = 0;
    Right *right = MemoryBucket::newElement<Both>();
    MemoryBucket::deleteElement(right);
    CHECK(destroyed == 2);
    CHECK(liveSlots() == 0);
}

struct NotVirtual {
    int first = 1;
};
struct AlsoNotVirtual : NotVirtual {};
struct Shared : virtual Left {
    std::uint64_t shared = 4;
};
static_assert(sizeof(MemoryBucket::unique_ptr<Point>) == sizeof(void *));
static_assert(std::is_convertible_v<MemoryBucket::unique_ptr<Both>, MemoryBucket::unique_ptr<Right>>);
static_assert(std::is_convertible_v<MemoryBucket::unique_ptr<Point>, MemoryBucket::unique_ptr<const Point>>);
static_assert(!std::is_convertible_v<MemoryBucket::unique_ptr<Right>, MemoryBucket::unique_ptr<Both>>);
static_assert(!std::is_convertible_v<MemoryBucket::unique_ptr<AlsoNotVirtual>, MemoryBucket::unique_ptr<NotVirtual>>);
static_assert(!std::is_convertible_v<MemoryBucket::unique_ptr<Both[]>, MemoryBucket::unique_ptr<Right[]>>);

struct Third {
    static inline int alive;
    static inline int constructed;
    std::string name = "a name that is too long for its own buffer";
    Third()
    {
        if (++constructed == 3) {
            throw std::runtime_error("the third");
        }
        ++alive;
    }
    ~Third() { --alive; }
};

static void checkOwners()
{
    {
        auto point = MemoryBucket::make_unique<Point>(7, "a name that is too long for its own buffer");
        CHECK(point->x == 7 && liveSlots() == 1);
        MemoryBucket::unique_ptr<const Point> constant = std::move(point);
        CHECK(point == nullptr && constant->x == 7);

        destroyed = 0;
        MemoryBucket::unique_ptr<Right> right = MemoryBucket::make_unique<Both>();
        right = MemoryBucket::make_unique<Right>();
        CHECK(destroyed == 2);
        MemoryBucket::unique_ptr<Left> shared = MemoryBucket::make_unique<Shared>();
        std::shared_ptr<Left> counted = std::move(shared);
        std::shared_ptr<Left> other = counted;
        auto together = std::allocate_shared<Both>(MemoryBucket::allocator<Both>());
        std::shared_ptr<Right> base = together;

        auto numbers = MemoryBucket::make_unique<int[]>(100);
        CHECK(numbers[0] == 0 && numbers[99] == 0 && numbers.get_deleter().count == 100);
        auto points = MemoryBucket::make_unique<std::string[]>(10u);
        points[9] = "a name that is too long for its own buffer";
        auto pages = MemoryBucket::make_unique<Page[]>(3);
        CHECK(reinterpret_cast<std::uintptr_t>(pages.get()) % alignof(Page) == 0);
        auto none = MemoryBucket::make_unique<const int[]>(0);
        none.reset();
        MemoryBucket::unique_ptr<int[]> taken = std::move(numbers);
        CHECK(taken[50] == 0 && taken.get_deleter().count == 100);
    }
    CHECK(destroyed == 6, "%d", destroyed);
    CHECK(liveSlots() == 0);

    bool caught = false;
    try {
        (void)MemoryBucket::make_unique<Third[]>(5);
    } catch (const std::runtime_error &) {
        caught = true;
    }
    CHECK(caught && Third::alive == 0);
    caught = false;
    try {
        (void)MemoryBucket::make_unique<Page[]>(SIZE_MAX / 1000);
    } catch (const std::bad_array_new_length &) {
        caught = true;
    }
    CHECK(caught);
    CHECK(liveSlots() == 0);
}

static void checkMemory()
{
    for (std::size_t size = 0; size <= 2000; size++) {
        void *memory = MemoryBucket::allocate(size);
        CHECK(memory != nullptr && mb_usable_size(memory) >= size);
        MemoryBucket::deallocate(memory, size);
    }
    MemoryBucket::deallocate(nullptr, 10);

    std::size_t impossible = SIZE_MAX / 2;
    __asm__ volatile("" : "+r"(impossible));
    bool caught = false;
    try {
        (void)MemoryBucket::allocate(impossible);
    } catch (const std::bad_alloc &) {
        caught = true;
    }
    CHECK(caught);
    caught = false;
    try {
        (void)MemoryBucket::allocator<int>().allocate(SIZE_MAX / 2);
    } catch (const std::bad_alloc &) {
        caught = true;
    }
    CHECK(caught);
}

static void checkContainers()
{
    {
        std::map<int, std::string, std::less<int>,
                 MemoryBucket::allocator<std::pair<const int, std::string>>>
            map;
        std::list<Odd, MemoryBucket::allocator<Odd>> list;
        MemoryBucket::memory_resource resource;
        std::pmr::vector<std::pmr::string> vector(&resource);
        for (int i = 0; i < 1000; i++) {
            map[i] = std::to_string(i);
            list.emplace_back();
            CHECK(reinterpret_cast<std::uintptr_t>(&list.back()) % alignof(Odd) == 0);
            vector.emplace_back("a string that is too long for its own buffer");
        }
        CHECK(map.size() == 1000 && map[500] == "500");
        CHECK(liveSlots() >= 3000);
        for (std::size_t size = 0; size < 40; size++) {
            void *memory = resource.allocate(size);
            CHECK(reinterpret_cast<std::uintptr_t>(memory) % alignof(std::max_align_t) == 0);
            resource.deallocate(memory, size);
        }
        MemoryBucket::memory_resource other;
        CHECK(resource == other && !(resource == *std::pmr::new_delete_resource()));
    }
    CHECK(liveSlots() == 0);
}

int main()
{
    CHECK(MemoryBucket::initMemoryPool());
    checkObjects();
    checkOwners();
    checkMemory();
    checkContainers();
    std::thread other(checkObjects);
    other.join();
    return 0;
}
