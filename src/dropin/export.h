/*
 * export: names of the drop-in that programs are bound to.
 *
 * Ladder: above nothing. Callers: the files of dropin/ that have such names.
 */
#ifndef MEMORYBUCKET_DROPIN_EXPORT_H
#define MEMORYBUCKET_DROPIN_EXPORT_H

#define EXPORT __attribute__((visibility("default")))

#if __has_attribute(copy) /* gcc warns where an alias says less than its target; clang has none */
#define EXPORT_ATTRIBUTES_OF(function) __attribute__((copy(function)))
#else
#define EXPORT_ATTRIBUTES_OF(function)
#endif

/* A second name of a function that is exported. */
#define EXPORT_ALIAS(name, function)                                                               \
    extern __typeof__(function) second_##name __asm__(#name)                                       \
        EXPORT_ATTRIBUTES_OF(function) EXPORT __attribute__((alias(#function)))

#endif
