/* Included first when a benchmark that calls malloc and free is linked to the library instead. */
#include <memorybucket/memorybucket.h>
#include <stdlib.h>

#define malloc mb_alloc
#define free mb_free
