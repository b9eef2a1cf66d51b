/*
 * MemoryBucket for C++17: the facade, helpers for objects, a standard allocator and a memory
 * resource.
 *
 * Header only, on top of memorybucket.h. What that says of every call holds here, too: of threads,
 * fork, signals, cancellation, pointers and cost.
 *
 * Failure: where there is no memory these functions throw std::bad_alloc, as operator new does.
 *   Compiled without exceptions they call std::terminate instead.
 */
#ifndef MEMORYBUCKET_MEMORYBUCKET_HPP
#define MEMORYBUCKET_MEMORYBUCKET_HPP

#include "memorybucket/memorybucket.h"

#include <cstddef>
#include <exception>
#include <limits>
#include <memory>
#include <memory_resource>
#include <new>
#include <type_traits>
#include <utility>

namespace MemoryBucket {

namespace detail {

/* What mb_alloc promises for an object whose size is a multiple of its alignment. */
inline constexpr std::size_t plainAlignment = 16;

template <typename Exception> [[noreturn]] void fail()
{
#ifdef __cpp_exceptions
    throw Exception();
#else
    std::terminate();
#endif
}

inline void *orThrow(void *pointer)
{
    if (pointer == nullptr) {
        fail<std::bad_alloc>();
    }
    return pointer;
}

/* Memory that is freed unless its object is constructed. */
struct Unborn {
    void *pointer;
    std::size_t size;

    Unborn(void *memory, std::size_t bytes) noexcept : pointer(memory), size(bytes) {}
    Unborn(const Unborn &) = delete;
    Unborn &operator=(const Unborn &) = delete;
    ~Unborn()
    {
        if (pointer != nullptr) {
            mb_free_sized(pointer, size);
        }
    }
};

[[nodiscard]] inline void *allocateAligned(std::size_t size, std::size_t alignment)
{
    return orThrow(alignment > plainAlignment || size == 0 || size % alignment != 0
                       ? mb_aligned_alloc(alignment, size)
                       : mb_alloc(size));
}

} // namespace detail

/*
 * Brings the library up, as mb_init does; optional.
 *
 * Returns: false when no address space could be had, where all else still works; and in a signal
 *   handler that interrupted the start itself.
 * See also: mb_init
 */
inline bool initMemoryPool() noexcept
{
    return mb_init() == 0;
}

/*
 * Allocates memory, as mb_alloc does.
 *
 * Parameters:
 *   size: bytes, any number.
 * Returns: the memory, aligned as mb_alloc says; the caller owns it until deallocate or mb_free.
 * Errors:
 *   std::bad_alloc: there is no memory.
 * See also: deallocate, mb_alloc
 */
[[nodiscard]] inline void *allocate(std::size_t size)
{
    return detail::orThrow(mb_alloc(size));
}

/*
 * Frees memory, as mb_free_sized does.
 *
 * Parameters:
 *   pointer: the object; nullptr is ignored.
 *   size: the bytes that were asked for, as a hint.
 * Errors: none.
 * See also: allocate, mb_free_sized
 */
inline void deallocate(void *pointer, std::size_t size) noexcept
{
    mb_free_sized(pointer, size);
}

/*
 * Allocates and constructs an object, at the alignment of its type whatever that is.
 *
 * When the constructor throws, the memory is given back and the exception passed on.
 *
 * Parameters:
 *   args: what the constructor of T takes.
 * Returns: the object, the caller's until deleteElement.
 * Errors:
 *   std::bad_alloc: there is no memory.
 * See also: deleteElement
 */
template <typename T, typename... Args> [[nodiscard]] T *newElement(Args &&...args)
{
    static_assert(!std::is_array_v<T>, "newElement makes one object; use allocator<T> for arrays");
    detail::Unborn unborn(detail::allocateAligned(sizeof(T), alignof(T)), sizeof(T));
    T *element = ::new (unborn.pointer) T(std::forward<Args>(args)...);
    unborn.pointer = nullptr;
    return element;
}

/*
 * Destroys and frees an object of newElement.
 *
 * The pointer may be to a base class that has a virtual destructor. Then the object's own address
 * and size are found by its table of virtual functions, also under multiple and virtual
 * inheritance, and without run-time type information. Limits:
 *
 *   - A base class without virtual functions says nothing of the object around it. The compiler
 *     cannot tell: the behaviour is undefined. unique_ptr does not convert to such a base.
 *   - A constructor or destructor of the object must not delete it: the table is not yet, or no
 *     longer, that of the object's class.
 *   - operator new and delete of the class are not called, as with placement new.
 *
 * Parameters:
 *   element: the object; nullptr is ignored.
 * Errors: none.
 * See also: newElement
 */
template <typename T> void deleteElement(T *element) noexcept
{
    if (element == nullptr) {
        return;
    }
    if constexpr (std::is_polymorphic_v<T>) {
        static_assert(std::has_virtual_destructor_v<T> || std::is_final_v<T>,
                      "the object may be of a derived class: its destructor must be virtual");
        auto *memory = const_cast<void *>(dynamic_cast<const volatile void *>(element));
        element->~T();
        mb_free(memory);
    } else {
        element->~T();
        mb_free_sized(const_cast<std::remove_cv_t<T> *>(element), sizeof(T));
    }
}

/*
 * Deletes what newElement, or make_unique for arrays, made. For an array it knows the count.
 */
template <typename T> struct deleter {
    deleter() noexcept = default;

    /* To a base class only where deleteElement finds the object by it. */
    template <typename U, typename = std::enable_if_t<
                              std::is_convertible_v<U *, T *> &&
                              (std::is_same_v<std::remove_cv_t<U>, std::remove_cv_t<T>> ||
                               std::has_virtual_destructor_v<T>)>>
    deleter(const deleter<U> &) noexcept
    {
    }

    void operator()(T *element) const noexcept { deleteElement(element); }
};

template <typename T> struct deleter<T[]> {
    std::size_t count = 0;

    void operator()(T *elements) const noexcept
    {
        for (std::size_t left = count; left > 0; left--) {
            elements[left - 1].~T();
        }
        mb_free_sized(const_cast<std::remove_cv_t<T> *>(elements), count * sizeof(T));
    }
};

/*
 * The owner of an object, or of an array: std::unique_ptr with a deleter that knows the size.
 *
 * For an object it is as large as a pointer, for an array it also has the count.
 */
template <typename T> using unique_ptr = std::unique_ptr<T, deleter<T>>;

/*
 * Allocates and constructs an object, or an array whose elements are value-initialised.
 *
 * When a constructor throws, what was constructed is destroyed, the memory is given back, and the
 * exception passed on.
 *
 * Parameters:
 *   args: of an object, what its constructor takes; of an array, as in make_unique<int[]>(10), the
 *       count.
 * Returns: the owner.
 * Errors:
 *   std::bad_alloc: there is no memory.
 *   std::bad_array_new_length: the count of bytes overflows.
 * See also: unique_ptr, newElement
 */
template <typename T, typename... Args, std::enable_if_t<!std::is_array_v<T>, int> = 0>
[[nodiscard]] unique_ptr<T> make_unique(Args &&...args)
{
    return unique_ptr<T>(newElement<T>(std::forward<Args>(args)...));
}

template <typename T, std::enable_if_t<std::is_array_v<T> && std::extent_v<T> == 0, int> = 0>
[[nodiscard]] unique_ptr<T> make_unique(std::size_t count)
{
    using Element = std::remove_cv_t<std::remove_extent_t<T>>;
    if (count > std::numeric_limits<std::size_t>::max() / sizeof(Element)) {
        detail::fail<std::bad_array_new_length>();
    }
    const std::size_t size = count * sizeof(Element);
    detail::Unborn unborn(detail::allocateAligned(size, alignof(Element)), size);
    auto *elements = static_cast<Element *>(unborn.pointer);
    std::uninitialized_value_construct_n(elements, count);
    unborn.pointer = nullptr;
    return unique_ptr<T>(elements, deleter<T>{count});
}

/*
 * An allocator for the containers of the standard library.
 *
 *     std::vector<int, MemoryBucket::allocator<int>>
 *
 * It has no state, and all of them are equal. allocate throws std::bad_alloc where there is no
 * memory, and std::bad_array_new_length where the count of bytes overflows.
 */
template <typename T> struct allocator {
    using value_type = T;
    using is_always_equal = std::true_type;

    allocator() noexcept = default;
    template <typename U> allocator(const allocator<U> &) noexcept {}

    [[nodiscard]] T *allocate(std::size_t count)
    {
        if (count > std::numeric_limits<std::size_t>::max() / sizeof(T)) {
            detail::fail<std::bad_array_new_length>();
        }
        return static_cast<T *>(detail::allocateAligned(count * sizeof(T), alignof(T)));
    }

    void deallocate(T *pointer, std::size_t count) noexcept
    {
        mb_free_sized(pointer, count * sizeof(T));
    }
};

template <typename T, typename U>
bool operator==(const allocator<T> &, const allocator<U> &) noexcept
{
    return true;
}

template <typename T, typename U>
bool operator!=(const allocator<T> &, const allocator<U> &) noexcept
{
    return false;
}

/*
 * A memory resource for the containers of std::pmr.
 *
 * It has no state, and all of them are equal. allocate throws std::bad_alloc where there is no
 * memory.
 */
class memory_resource final : public std::pmr::memory_resource {
    void *do_allocate(std::size_t size, std::size_t alignment) override
    {
        return detail::allocateAligned(size, alignment);
    }

    void do_deallocate(void *pointer, std::size_t size, std::size_t) override
    {
        mb_free_sized(pointer, size);
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
#ifdef __cpp_rtti
        return dynamic_cast<const memory_resource *>(&other) != nullptr;
#else
        return this == &other; /* without RTTI other resources cannot be told from this class */
#endif
    }
};

} // namespace MemoryBucket

#endif
