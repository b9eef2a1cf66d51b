#include <memorybucket/memorybucket.hpp>

int main()
{
    int *number = MemoryBucket::newElement<int>(42);
    bool right = *number == 42;
    MemoryBucket::deleteElement(number);
    return right ? 0 : 1;
}
