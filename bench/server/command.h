/* command: the classic commands, and which command a line is. Called by the connection. */
#pragma once

#include "store.h"

struct connection;

/*
 * Carries out the command at the line's begin; it may write into the line. is_complete: the line
 * ends with '\n'; otherwise it is a get (get.h). Returns the bytes that it has used up, all of the
 * line but for a get that goes on.
 */
size_t command_line(struct connection *connection, char *line, size_t length, bool is_complete);

/* The value has come that connection->store asked for. is_whole: with the line end behind it. */
void command_value(struct connection *connection, bool is_whole);

/* What a command that stores says of its value. */
struct store_begin {
    struct store_request request; /* without an item */
    size_t value_bytes;
    uint32_t flags;
    uint32_t expires_s;
    unsigned marks;
};

/* Allocates the item and takes its value in; or answers the error and swallows the value. */
void command_store_begin(struct connection *connection, const struct key *key,
                         const struct store_begin *begin);
