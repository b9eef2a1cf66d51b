/* meta: the commands of two letters: mg, ms, md, ma, mn, me. */
#ifndef MBCACHED_META_H
#define MBCACHED_META_H

#include <stddef.h>

struct connection;
struct word;

void meta_command(struct connection *connection, struct word *words, size_t count);

/* The value of an ms has come. */
void meta_value(struct connection *connection);

#endif
