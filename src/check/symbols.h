/*
 * symbols: the function that an address lies in.
 *
 * Ladder: above core/os. Callers: report.c, faults.c, heap.c, without any lock of ours: each call
 * takes the dynamic linker's lock for a moment. Allocates nothing, as the heap may be broken.
 *
 * dladdr knows exported functions only. The others are looked up in the file's symbol table, where
 * that was not stripped.
 */
#ifndef MEMORYBUCKET_CHECK_SYMBOLS_H
#define MEMORYBUCKET_CHECK_SYMBOLS_H

#include "core/base.h"

enum { SYMBOL_NAME_MAX = 128, SYMBOL_FILE_MAX = 256 };

struct symbol {
    char name[SYMBOL_NAME_MAX]; /* "" when unknown */
    size_t offset;              /* of the address in the function */
    char file[SYMBOL_FILE_MAX]; /* "" when the address lies in no file */
    size_t file_offset;         /* of the call, as addr2line and objdump count */
    bool ours;                  /* in the library; by its name where that is part of the program */
};

/* Whether an address lies in the library's own shared object, or in the dynamic linker. Fast. */
bool mbi_symbol_is_own(const void *address);
bool mbi_symbol_is_loaders(const void *address);

/* The function that made a call, given the return address: looks up the byte before it. */
void mbi_symbol_find(const void *return_address, struct symbol *symbol);

#endif
