/*
 * shared_file: a file of the process's own that others of the same user may map, in memory.
 *
 * Ladder: above os. Callers: insight/export.
 *
 * A folder is made for the user where it is missing, and used only if it is a real one, the user's,
 * and closed to others. So no other user can put a file or a link there. The calls may be made
 * inside malloc: they allocate nothing, and are no cancellation points. 0, or a negative errno
 * value; then no file is left.
 */
#ifndef MEMORYBUCKET_CORE_SHARED_FILE_H
#define MEMORYBUCKET_CORE_SHARED_FILE_H

#include "core/base.h"

/* With the zero byte. */
enum { SHARED_PATH_BYTES = 256 };

/*
 * Makes FOLDER/NAME, of whole pages of zeros that memory is set aside for, and maps it in place of
 * `bytes` that are mapped at `start`. A file that has the name is taken away: the name is the
 * caller's own. -EPERM: another user could write to the folder; -ENOTDIR: it is none, or a link.
 */
int mbi_shared_file_make(const char *folder, const char *name, void *start, size_t bytes);

/* Takes the file's name away; what is mapped stays. */
void mbi_shared_file_remove(const char *folder, const char *name);

/* Maps fresh memory of the process's own in place of the file. */
void mbi_shared_file_part_from(void *start, size_t bytes);

#endif
