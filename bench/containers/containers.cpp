/*
 * containers: the same code on std::allocator, which is operator new and so whatever is preloaded, and on
 * MemoryBucket::allocator, unique_ptr and memory_resource. Each workload fills its container to its usual size, and
 * then replaces elements at random. What an element holds is counted as it comes and as it goes.
 */
#include "containers.h"

#ifdef BENCH_INLINED
#include <memorybucket/inline.h>
#endif
#ifndef BENCH_MALLOC
#include <memorybucket/memorybucket.hpp>
#endif

#include <cstring>
#include <list>
#include <map>
#include <memory>
#include <memory_resource>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

#ifdef BENCH_MALLOC
template <typename T> using Allocator = std::allocator<T>;
template <typename T> using Owner = std::unique_ptr<T>;
std::pmr::memory_resource &resource()
{
    return *std::pmr::new_delete_resource();
}
template <typename T, typename... Args> Owner<T> own(Args &&...args)
{
    return std::make_unique<T>(std::forward<Args>(args)...);
}
#else
template <typename T> using Allocator = MemoryBucket::allocator<T>;
template <typename T> using Owner = MemoryBucket::unique_ptr<T>;
std::pmr::memory_resource &resource()
{
    static MemoryBucket::memory_resource one;
    return one;
}
template <typename T, typename... Args> Owner<T> own(Args &&...args)
{
    return MemoryBucket::make_unique<T>(std::forward<Args>(args)...);
}
#endif

using Number = std::uint64_t;
using Work = containers_work;
constexpr std::size_t live = 10000;

/* Marsaglia's xorshift64, as in harness.h. */
Number draw(Work *work)
{
    Number x = work->seed;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    work->seed = x;
    return x >> 32;
}

std::size_t drawBelow(Work *work, std::size_t range)
{
    return draw(work) * range >> 32;
}

/* A thousand vectors, one after another begun again, each grown element by element to 1 to 64. */
void vectors(Work *work)
{
    std::vector<std::vector<Number, Allocator<Number>>> all(1000);
    for (Number done = 0; done < work->operations;) {
        auto &one = all[drawBelow(work, all.size())];
        for (Number value : one) {
            work->unmade += value;
        }
        std::remove_reference_t<decltype(one)>().swap(one);
        for (std::size_t left = drawBelow(work, 64) + 1; left > 0; left--, done++) {
            one.push_back(done);
            work->made += done;
        }
    }
    for (auto &one : all) {
        for (Number value : one) {
            work->unmade += value;
        }
    }
}

/* One key goes, another one comes. */
template <typename Map> void replaceKeys(Work *work, Map &map)
{
    std::vector<Number> keys(live);
    for (Number i = 0; i < live; i++) {
        keys[i] = draw(work) << 20 | i;
        map.emplace(keys[i], i);
        work->made += i;
    }
    for (Number i = 0; i < work->operations; i++) {
        const std::size_t at = drawBelow(work, live);
        auto found = map.find(keys[at]);
        work->unmade += found->second;
        map.erase(found);
        keys[at] = draw(work) << 20 | at;
        map.emplace(keys[at], i);
        work->made += i;
    }
    for (const auto &entry : map) {
        work->unmade += entry.second;
    }
}

using Entry = std::pair<const Number, Number>;

void maps(Work *work)
{
    std::map<Number, Number, std::less<Number>, Allocator<Entry>> map;
    replaceKeys(work, map);
}

void unorderedMaps(Work *work)
{
    std::unordered_map<Number, Number, std::hash<Number>, std::equal_to<Number>, Allocator<Entry>> map;
    replaceKeys(work, map);
}

void pmrMaps(Work *work)
{
    std::pmr::map<Number, Number> map(&resource());
    replaceKeys(work, map);
}

void pmrUnorderedMaps(Work *work)
{
    std::pmr::unordered_map<Number, Number> map(&resource());
    replaceKeys(work, map);
}

/* A hundred queues; the oldest element of one goes, a new one comes to another. */
void lists(Work *work)
{
    std::vector<std::list<Number, Allocator<Number>>> queues(100);
    for (Number i = 0; i < live; i++) {
        queues[i % queues.size()].push_back(i);
        work->made += i;
    }
    for (Number i = 0; i < work->operations; i++) {
        auto &from = queues[drawBelow(work, queues.size())];
        if (!from.empty()) {
            work->unmade += from.front();
            from.pop_front();
        }
        queues[drawBelow(work, queues.size())].push_back(i);
        work->made += i;
    }
    for (auto &queue : queues) {
        for (Number value : queue) {
            work->unmade += value;
        }
    }
}

/* Strings of 16 to 215 characters, all beyond the buffer that a string has within. */
template <typename String> void replaceStrings(Work *work, std::vector<String> &all, String (*make)(std::size_t, char))
{
    for (Number i = 0; i < work->operations + live; i++) {
        String &one = all[i < live ? i : drawBelow(work, live)];
        if (!one.empty()) {
            work->unmade += static_cast<unsigned char>(one.back()) + one.size();
        }
        const char letter = static_cast<char>('a' + i % 26);
        one = make(16 + drawBelow(work, 200), letter);
        work->made += static_cast<unsigned char>(letter) + one.size();
    }
    for (const String &one : all) {
        work->unmade += static_cast<unsigned char>(one.back()) + one.size();
    }
}

void strings(Work *work)
{
    using String = std::basic_string<char, std::char_traits<char>, Allocator<char>>;
    std::vector<String> all(live);
    replaceStrings<String>(work, all, [](std::size_t size, char letter) { return String(size, letter); });
}

void pmrStrings(Work *work)
{
    std::vector<std::pmr::string> all;
    for (std::size_t i = 0; i < live; i++) {
        all.emplace_back(&resource());
    }
    replaceStrings<std::pmr::string>(work, all, [](std::size_t size, char letter) {
        return std::pmr::string(size, letter, &resource());
    });
}

struct Base {
    Number value;
    explicit Base(Number one) : value(one) {}
    virtual ~Base() = default;
};
struct Small final : Base {
    using Base::Base;
};
struct Large final : Base {
    Number more[12] = {};
    using Base::Base;
};

template <typename Pointer, typename Make> void replaceObjects(Work *work, Make make)
{
    std::vector<Pointer> all(live);
    for (Number i = 0; i < work->operations + live; i++) {
        Pointer &one = all[i < live ? i : drawBelow(work, live)];
        if (one != nullptr) {
            work->unmade += one->value;
        }
        one = make(i);
        work->made += i;
    }
    for (const Pointer &one : all) {
        work->unmade += one->value;
    }
}

void sharedPointers(Work *work)
{
    replaceObjects<std::shared_ptr<Large>>(
        work, [](Number i) { return std::allocate_shared<Large>(Allocator<Large>(), i); });
}

/* Through the base: the owner must find size and start of the object. */
void uniquePointers(Work *work)
{
    replaceObjects<Owner<Base>>(work, [](Number i) -> Owner<Base> {
        if (i % 2 == 0) {
            return own<Small>(i);
        }
        return own<Large>(i);
    });
}

const struct {
    const char *name;
    containers_workload *run;
} workloads[] = {
    { "vector", vectors },
    { "map", maps },
    { "unordered_map", unorderedMaps },
    { "list", lists },
    { "string", strings },
    { "shared_ptr", sharedPointers },
    { "unique_ptr", uniquePointers },
    { "pmr-map", pmrMaps },
    { "pmr-unordered_map", pmrUnorderedMaps },
    { "pmr-string", pmrStrings },
};

} // namespace

containers_workload *containers_find(const char *name)
{
    for (const auto &one : workloads) {
        if (std::strcmp(one.name, name) == 0) {
            return one.run;
        }
    }
    return nullptr;
}

const char *containers_names(void)
{
    static const std::string all = [] {
        std::string names;
        for (const auto &one : workloads) {
            names += (names.empty() ? "" : " ") + std::string(one.name);
        }
        return names;
    }();
    return all.c_str();
}
