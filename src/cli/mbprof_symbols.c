/* mbprof_symbols: asks libdw once for each address. */
#include "cli/mbprof_symbols.h"

#include <elfutils/libdwfl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static Dwfl *dwfl;
static void *symbols; /* tsearch's tree, by address */

void mbprof_symbols_open(const struct dump *dump)
{
    static const Dwfl_Callbacks callbacks = {
        .find_elf = dwfl_linux_proc_find_elf,
        .find_debuginfo = dwfl_standard_find_debuginfo,
    };
    FILE *maps = dump->maps_bytes != 0 ? fmemopen(dump->maps, dump->maps_bytes, "r") : NULL;
    dwfl = maps != NULL ? dwfl_begin(&callbacks) : NULL;
    if (dwfl != NULL
        && (dwfl_linux_proc_maps_report(dwfl, maps) != 0
            || dwfl_report_end(dwfl, NULL, NULL) != 0)) {
        mbprof_die("%s: its memory map cannot be used: %s", dump->path, dwfl_errmsg(-1));
    }
    if (maps != NULL) {
        fclose(maps);
    }
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static const char *name_of_place(const char *file, uint64_t offset)
{
    char *name;
    int length = file != NULL ? asprintf(&name, "%s+0x%llx", base_name(file),
                                         (unsigned long long)offset)
                              : asprintf(&name, "0x%llx", (unsigned long long)offset);
    if (length < 0) {
        mbprof_die("there is not enough memory");
    }
    return name;
}

/* The shared library's calls lie in its file; the archive's are known by their names. */
static bool is_ours(const char *module, const char *name)
{
    bool in_file = module != NULL && strncmp(base_name(module), "libmemorybucket", 15) == 0;
    return in_file
           || (name != NULL && (strncmp(name, "mb_", 3) == 0 || strncmp(name, "mbi_", 4) == 0));
}

static void fill_in(struct symbol_info *symbol)
{
    uint64_t address = symbol->address;
    Dwfl_Module *module = dwfl != NULL ? dwfl_addrmodule(dwfl, address) : NULL;
    const char *module_name = NULL;
    const char *name = NULL;
    Dwarf_Addr start = 0;
    if (module != NULL) {
        module_name = dwfl_module_info(module, NULL, &start, NULL, NULL, NULL, NULL, NULL);
        name = dwfl_module_addrname(module, address);
        Dwfl_Line *line = dwfl_module_getsrc(module, address);
        symbol->file = line != NULL
                           ? dwfl_lineinfo(line, NULL, &symbol->line, NULL, NULL, NULL)
                           : NULL;
    }
    symbol->has_name = name != NULL;
    symbol->name = name != NULL ? name : name_of_place(module_name, address - start);
    symbol->ours = is_ours(module_name, name);
}

static int compare_addresses(const void *one, const void *other)
{
    uint64_t a = ((const struct symbol_info *)one)->address;
    uint64_t b = ((const struct symbol_info *)other)->address;
    return (a > b) - (a < b);
}

const struct symbol_info *mbprof_symbol(uint64_t address)
{
    struct symbol_info key = { .address = address };
    struct symbol_info **found = tfind(&key, &symbols, compare_addresses);
    if (found != NULL) {
        return *found;
    }
    struct symbol_info *symbol = mbprof_grow(NULL, 1, sizeof *symbol);
    *symbol = key;
    fill_in(symbol);
    if (tsearch(symbol, &symbols, compare_addresses) == NULL) {
        mbprof_die("there is not enough memory");
    }
    return symbol;
}

static void trim(struct dump_stack *stack)
{
    while (stack->count > 1 && mbprof_symbol(stack->addresses[0])->ours) {
        stack->addresses++;
        stack->count--;
    }
}

static int compare_texts(const char *one, const char *other)
{
    return strcmp(one != NULL ? one : "", other != NULL ? other : "");
}

static int compare_places(const void *one, const void *other)
{
    const struct dump_stack *a = one;
    const struct dump_stack *b = other;
    if (a->count != b->count) {
        return a->count < b->count ? -1 : 1;
    }
    for (size_t i = 0; i < a->count; i++) {
        const struct symbol_info *in_a = mbprof_symbol(a->addresses[i]);
        const struct symbol_info *in_b = mbprof_symbol(b->addresses[i]);
        int order = in_a != in_b ? compare_texts(in_a->name, in_b->name) : 0;
        order = order == 0 ? compare_texts(in_a->file, in_b->file) : order;
        order = order == 0 ? in_a->line - in_b->line : order;
        if (order != 0) {
            return order;
        }
    }
    return 0;
}

void mbprof_symbols_join(struct dump *dump)
{
    for (size_t i = 0; i < dump->stack_count; i++) {
        trim(&dump->stacks[i]);
    }
    if (dump->stack_count == 0) {
        return;
    }
    qsort(dump->stacks, dump->stack_count, sizeof *dump->stacks, compare_places);
    size_t joined = 0;
    for (size_t i = 1; i < dump->stack_count; i++) {
        if (compare_places(&dump->stacks[joined], &dump->stacks[i]) != 0) {
            dump->stacks[++joined] = dump->stacks[i];
            continue;
        }
        for (size_t metric = 0; metric < METRICS; metric++) {
            dump->stacks[joined].values[metric] += dump->stacks[i].values[metric];
        }
    }
    dump->stack_count = joined + 1;
}
