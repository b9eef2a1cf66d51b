/*
 * get: get, gets, gat and gats. A list of keys has no bound, so it is taken up piece by piece: as
 * the pieces arrive, and as there is room for values.
 */
#pragma once

#include "item.h"

struct connection;

/* Whether a line without an end may be a get whose keys are so many. */
bool get_is_begin(const char *line, size_t length);

/* Begins the get of that line. Returns the bytes used up; 0: it is another command. */
size_t get_begin(struct connection *connection, char *line, size_t length);

/* Goes on with the keys in such a piece of input. Returns the bytes used up; 0: needs more. */
size_t get_keys(struct connection *connection, const char *keys, size_t length);
