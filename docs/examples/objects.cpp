// Objects and containers of C++ on MemoryBucket.
#include <map>
#include <memorybucket/memorybucket.hpp>
#include <string>
#include <vector>

struct Shape {
    virtual ~Shape() = default; // or unique_ptr<Square> would not become a unique_ptr<Shape>
    virtual double area() const = 0;
};

struct Square : Shape {
    double side;
    explicit Square(double length) : side(length) {}
    double area() const override { return side * side; }
};

using Shapes = std::vector<MemoryBucket::unique_ptr<Shape>, MemoryBucket::allocator<MemoryBucket::unique_ptr<Shape>>>;
using Names = std::map<std::string, int, std::less<>, MemoryBucket::allocator<std::pair<const std::string, int>>>;

int main()
{
    Shapes shapes;
    shapes.push_back(MemoryBucket::make_unique<Square>(3.0));
    std::shared_ptr<Shape> shared = std::allocate_shared<Square>(MemoryBucket::allocator<Square>(), 4.0);
    auto zeros = MemoryBucket::make_unique<int[]>(100); // freed with its size

    Names names = {{"three", 3}, {"four", 4}};
    MemoryBucket::memory_resource resource; // for std::pmr; it must outlive what uses it
    std::pmr::vector<std::pmr::string> texts(&resource);
    texts.emplace_back("a text that is too long for the string's own buffer, in the same resource");

    return shapes[0]->area() + shared->area() + zeros[99] == 25.0 && names["four"] == 4 ? 0 : 1;
}
