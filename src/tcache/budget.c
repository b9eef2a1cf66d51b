/* budget: the number that all threads share. */
#include "tcache/budget.h"

struct bounded mbi_budget = { .most = BOUNDED_NONE };
