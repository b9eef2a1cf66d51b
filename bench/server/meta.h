/* meta: the commands of two letters: mg, ms, md and mn. */
#pragma once

#include <stddef.h>

struct connection;
struct store_request;
struct word;

void meta_command(struct connection *connection, struct word *words, size_t count);

/* The value of an ms has come. */
void meta_value(struct connection *connection, struct store_request *request);
