/*
 * shrink: makes a failing program as short and as plain as it can while it still fails.
 *
 * Callers: property.c.
 */
#ifndef MEMORYBUCKET_TESTS_PROPERTY_SHRINK_H
#define MEMORYBUCKET_TESTS_PROPERTY_SHRINK_H

#include "property/program.h"

/*
 * `program` fails, and does afterwards. Where threads run at once, a candidate counts as failing
 * when it does in any of `attempts` trials. Returns the number of trials it took.
 */
size_t shrink(struct program *program, unsigned attempts);

#endif
