/*
 * expiry: seconds since the server started, and what makes an item dead: its time has come, or
 * flush_all did. A dead item stays in the table until a command or a sweep meets it.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Before any other call. */
void expiry_start(void);

/* Seconds since the start, from 2 on: 0 stands for "never", 1 for "long ago". */
uint32_t expiry_now(void);

/* The protocol's expiration time as such seconds: 0 never, 1 for what is in the past already. */
uint32_t expiry_from_protocol(int32_t time, uint32_t now_s);

/* The generation that new items belong to. Items of others are dead. */
uint32_t expiry_generation(void);

/* flush_all: all items become dead at that second, or at once if it is not in the future. */
void expiry_flush(uint32_t at_s, uint32_t now_s);

/* Carries out a flush_all whose time has come. Called about ten times a second, by one thread. */
void expiry_tick(uint32_t now_s);
