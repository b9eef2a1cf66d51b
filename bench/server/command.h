/*
 * command: the protocol's commands: which one a line is, and the classic ones (command.c), and
 * those of two letters (meta.c). Called by the connection.
 */
#pragma once

#include "store.h"
#include "text.h"

struct connection;

/* A line that was split into its words. */
struct line {
    struct word words[TEXT_WORDS_MAX];
    size_t count;
    const char *end;
    struct key key; /* of classic commands that have one */
    int variant;    /* of commands that share a function */
};

/* Carries out the command that the line is; writes into it. It ends with '\n'. */
void command_line(struct connection *connection, char *line, size_t length);

/* The value has come that connection->store asked for. is_whole: with the line end behind it. */
void command_value(struct connection *connection, bool is_whole);

/*
 * Allocates the item of a request that has none yet, and takes its value in. The caller sets the
 * rest of it. NULL: the error is answered, and the value will be swallowed.
 */
struct item *command_store_begin(struct connection *connection, const struct key *key,
                                 size_t value_bytes, const struct store_request *request);

/*
 * Goes on with a get whose keys are in the connection's input, until they end, or there is no more
 * room for values. Returns true, for the connection to look what is next.
 */
bool command_get_on(struct connection *connection);

void meta_command(struct connection *connection, struct line *line);

/* The value of an ms has come. */
void meta_value(struct connection *connection, struct store_request *request);
