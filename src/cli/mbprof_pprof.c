/* mbprof_pprof: tables of strings, functions and locations, packed by protobuf-c. */
#include "cli/mbprof_pprof.h"

#include "cli/mbprof_symbols.h"

#include <profile.pb-c.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

const char *const mbprof_metric_names[METRICS] = { "alloc_objects", "alloc_space", "inuse_objects",
                                                   "inuse_space" };

static Profile__Profile profile = PROFILE__PROFILE__INIT;

/* A table's entry by its key: a text, or the address of a symbol. */
struct numbered {
    const void *key;
    size_t number;
};

/* Appends a pointer to an array; its new length. */
static size_t append(void *array, size_t *count, void *element)
{
    void ***pointers = array;
    *pointers = mbprof_grow(*pointers, *count + 1, sizeof **pointers);
    (*pointers)[(*count)++] = element;
    return *count;
}

static void *copy_of(const void *initial, size_t bytes)
{
    return memcpy(mbprof_grow(NULL, 1, bytes), initial, bytes);
}

/* The entry of the key, a new one without a number if there is none. */
static struct numbered *enter(void **tree, const void *key,
                              int (*compare)(const void *, const void *))
{
    struct numbered wanted = { .key = key };
    struct numbered **found = tfind(&wanted, tree, compare);
    if (found == NULL) {
        found = tsearch(copy_of(&wanted, sizeof wanted), tree, compare);
    }
    if (found == NULL) {
        mbprof_die("there is not enough memory");
    }
    return *found;
}

static int compare_texts(const void *one, const void *other)
{
    return strcmp(((const struct numbered *)one)->key, ((const struct numbered *)other)->key);
}

static int compare_keys(const void *one, const void *other)
{
    uintptr_t a = (uintptr_t)((const struct numbered *)one)->key;
    uintptr_t b = (uintptr_t)((const struct numbered *)other)->key;
    return (a > b) - (a < b);
}

static int64_t string_number(const char *text)
{
    static void *strings;
    if (profile.n_string_table == 0) {
        static char empty[] = "";
        append(&profile.string_table, &profile.n_string_table, empty);
    }
    if (text == NULL || *text == '\0') {
        return 0;
    }
    struct numbered *entry = enter(&strings, text, compare_texts);
    if (entry->number == 0) {
        entry->number = profile.n_string_table;
        append(&profile.string_table, &profile.n_string_table, (void *)(uintptr_t)text);
    }
    return (int64_t)entry->number;
}

/* One function for each name: what lies in a file without symbols has a place for a name. */
static uint64_t function_number(const struct symbol_info *symbol)
{
    static void *functions;
    struct numbered *entry = enter(&functions, symbol->name, compare_texts);
    if (entry->number == 0) {
        Profile__Function initial = PROFILE__FUNCTION__INIT;
        Profile__Function *function = copy_of(&initial, sizeof initial);
        function->id = profile.n_function + 1;
        function->name = string_number(symbol->name);
        function->system_name = function->name;
        function->filename = string_number(symbol->file);
        entry->number = append(&profile.function, &profile.n_function, function);
    }
    return entry->number;
}

static uint64_t mapping_number(const struct dump *dump, uint64_t address)
{
    for (size_t i = 0; i < dump->mapping_count; i++) {
        if (address >= dump->mappings[i].start && address < dump->mappings[i].end) {
            return i + 1;
        }
    }
    return 0;
}

static uint64_t location_number(const struct dump *dump, uint64_t address)
{
    static void *locations;
    const struct symbol_info *symbol = mbprof_symbol(address);
    struct numbered *entry = enter(&locations, symbol, compare_keys);
    if (entry->number == 0) {
        Profile__Location initial = PROFILE__LOCATION__INIT;
        Profile__Location *location = copy_of(&initial, sizeof initial);
        Profile__Line initial_line = PROFILE__LINE__INIT;
        Profile__Line *line = copy_of(&initial_line, sizeof initial_line);
        location->id = profile.n_location + 1;
        location->mapping_id = mapping_number(dump, address);
        location->address = address;
        line->function_id = function_number(symbol);
        line->line = symbol->line;
        append(&location->line, &location->n_line, line);
        entry->number = append(&profile.location, &profile.n_location, location);
    }
    return entry->number;
}

static Profile__ValueType *value_type(const char *type, const char *unit)
{
    Profile__ValueType initial = PROFILE__VALUE_TYPE__INIT;
    Profile__ValueType *value = copy_of(&initial, sizeof initial);
    value->type = string_number(type);
    value->unit = string_number(unit);
    return value;
}

static void add_mappings(const struct dump *dump)
{
    for (size_t i = 0; i < dump->mapping_count; i++) {
        Profile__Mapping initial = PROFILE__MAPPING__INIT;
        Profile__Mapping *mapping = copy_of(&initial, sizeof initial);
        mapping->id = i + 1;
        mapping->memory_start = dump->mappings[i].start;
        mapping->memory_limit = dump->mappings[i].end;
        mapping->file_offset = dump->mappings[i].offset;
        mapping->filename = string_number(dump->mappings[i].file);
        mapping->has_functions = true; /* pprof shall not look them up again */
        mapping->has_filenames = true;
        mapping->has_line_numbers = true;
        append(&profile.mapping, &profile.n_mapping, mapping);
    }
}

static void add_sample(const struct dump *dump, const struct dump_stack *stack)
{
    Profile__Sample initial = PROFILE__SAMPLE__INIT;
    Profile__Sample *sample = copy_of(&initial, sizeof initial);
    sample->n_location_id = stack->count;
    sample->location_id = mbprof_grow(NULL, stack->count + 1, sizeof *sample->location_id);
    for (size_t i = 0; i < stack->count; i++) {
        sample->location_id[i] = location_number(dump, stack->addresses[i]);
    }
    sample->n_value = METRICS;
    sample->value = copy_of(stack->values, sizeof stack->values);
    append(&profile.sample, &profile.n_sample, sample);
}

void mbprof_pprof_write(const struct dump *dump, int fd, const char *name)
{
    for (size_t metric = 0; metric < METRICS; metric++) {
        bool counts = metric == ALLOC_OBJECTS || metric == INUSE_OBJECTS;
        append(&profile.sample_type, &profile.n_sample_type,
               value_type(mbprof_metric_names[metric], counts ? "count" : "bytes"));
    }
    profile.period_type = value_type("space", "bytes");
    profile.period = dump->mean_bytes;
    profile.default_sample_type = string_number(mbprof_metric_names[INUSE_SPACE]);
    add_mappings(dump);
    for (size_t i = 0; i < dump->stack_count; i++) {
        add_sample(dump, &dump->stacks[i]);
    }

    size_t bytes = profile__profile__get_packed_size(&profile);
    uint8_t *packed = mbprof_grow(NULL, bytes, 1);
    profile__profile__pack(&profile, packed);
    int own = dup(fd); /* gzclose closes it */
    gzFile file = own >= 0 ? gzdopen(own, "wb") : NULL;
    if (file == NULL || gzwrite(file, packed, (unsigned)bytes) != (int)bytes
        || gzclose(file) != Z_OK) {
        mbprof_die("%s cannot be written whole", name);
    }
    free(packed);
}
