#include "meta.h"
#include "connection.h"
void meta_command(struct connection *connection, struct word *words, size_t count)
{
    (void)words;
    (void)count;
    connection_reply(connection, "ERROR");
}
void meta_value(struct connection *connection)
{
    (void)connection;
}
