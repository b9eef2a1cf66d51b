/* symbols: asks dladdr, and reads the symbol tables of files. */
#include "check/symbols.h"

#include "core/os.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

static void copy_name(char *to, size_t room, const char *from)
{
    size_t length = strnlen(from, room - 1);
    memcpy(to, from, length);
    to[length] = '\0';
}

/* A file, mapped read-only. */
struct image {
    const char *start;
    size_t bytes;
};

/* NULL when the range does not lie in the file. */
static const void *image_at(const struct image *image, uint64_t offset, uint64_t bytes)
{
    bool is_inside = offset <= image->bytes && bytes <= image->bytes - offset;
    return is_inside ? image->start + offset : NULL;
}

static const Elf64_Shdr *image_section(const struct image *image, size_t index)
{
    const Elf64_Ehdr *header = image_at(image, 0, sizeof *header);
    return image_at(image, header->e_shoff + index * sizeof(Elf64_Shdr), sizeof(Elf64_Shdr));
}

/* The function that holds the address; NULL when the table has none. */
static const Elf64_Sym *table_find(const struct image *image, const Elf64_Shdr *table,
                                   uint64_t address)
{
    size_t count = table->sh_size / sizeof(Elf64_Sym);
    const Elf64_Sym *symbols = image_at(image, table->sh_offset, table->sh_size);
    for (size_t i = 0; symbols != NULL && i < count; i++) {
        const Elf64_Sym *symbol = &symbols[i];
        if (ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_shndx != SHN_UNDEF
            && address - symbol->st_value < symbol->st_size) {
            return symbol;
        }
    }
    return NULL;
}

static bool is_elf(const Elf64_Ehdr *header)
{
    return header != NULL && memcmp(header->e_ident, ELFMAG, SELFMAG) == 0
           && header->e_ident[EI_CLASS] == ELFCLASS64
           && header->e_shentsize == sizeof(Elf64_Shdr);
}

/* Looks an address, as the file counts, up in the file's .symtab. */
static void image_find(const struct image *image, uint64_t address, struct symbol *out)
{
    const Elf64_Ehdr *header = image_at(image, 0, sizeof *header);
    for (size_t i = 0; is_elf(header) && i < header->e_shnum; i++) {
        const Elf64_Shdr *table = image_section(image, i);
        if (table == NULL || table->sh_type != SHT_SYMTAB) {
            continue;
        }
        const Elf64_Sym *found = table_find(image, table, address);
        const Elf64_Shdr *names = image_section(image, table->sh_link);
        if (found == NULL || names == NULL || found->st_name >= names->sh_size) {
            return;
        }
        uint64_t room = names->sh_size - found->st_name;
        const char *name = image_at(image, names->sh_offset + found->st_name, room);
        if (name != NULL && memchr(name, '\0', room) != NULL) {
            copy_name(out->name, sizeof out->name, name);
            out->offset = address - found->st_value;
        }
        return;
    }
}

static void file_find(const char *path, uint64_t address, struct symbol *out)
{
    struct image image;
    image.start = mbi_os_map_file(path, &image.bytes);
    if (image.start != NULL) {
        image_find(&image, address, out);
        mbi_os_unreserve((void *)(uintptr_t)image.start, image.bytes);
    }
}

/* Where the file that an address lies in was loaded; NULL when it lies in none. */
static const void *load_base(const void *address)
{
    Dl_info found;
    return dladdr(address, &found) != 0 ? found.dli_fbase : NULL;
}

/* Where the library's own shared object was loaded; NULL when it is part of the program. */
static const void *own_base(void)
{
    Dl_info found;
    struct link_map *map = NULL;
    bool is_shared = dladdr1(&load_base, &found, (void **)&map, RTLD_DL_LINKMAP) != 0
                     && map != NULL && map->l_name != NULL && map->l_name[0] != '\0';
    return is_shared ? found.dli_fbase : NULL;
}

bool mbi_symbol_is_own(const void *address)
{
    const void *base = own_base();
    return base != NULL && load_base(address) == base;
}

/* The static library has no shared object of its own; its functions are known by their names. */
static bool symbol_is_ours(const struct symbol *symbol, const void *address)
{
    return own_base() != NULL ? mbi_symbol_is_own(address)
                              : strncmp(symbol->name, "mb_", 3) == 0
                                    || strncmp(symbol->name, "mbi_", 4) == 0;
}

bool mbi_symbol_is_loaders(const void *address)
{
    uintptr_t base = getauxval(AT_BASE);
    return base != 0 && (uintptr_t)load_base(address) == base;
}

void mbi_symbol_find(const void *return_address, struct symbol *symbol)
{
    const char *address = (const char *)return_address - 1;
    Dl_info found;
    struct link_map *map = NULL;
    *symbol = (struct symbol){ .offset = 0 };
    if (dladdr1(address, &found, (void **)&map, RTLD_DL_LINKMAP) == 0 || map == NULL) {
        return;
    }
    /* The program has no name in the link map, and dladdr's name for it may be relative. */
    bool is_program = map->l_name == NULL || map->l_name[0] == '\0';
    const char *file = is_program ? "/proc/self/exe" : map->l_name;
    copy_name(symbol->file, sizeof symbol->file, is_program ? found.dli_fname : file);
    symbol->file_offset = (uintptr_t)address - map->l_addr;
    if (found.dli_sname != NULL) {
        copy_name(symbol->name, sizeof symbol->name, found.dli_sname);
        symbol->offset = (uintptr_t)return_address - (uintptr_t)found.dli_saddr;
    } else {
        file_find(file, symbol->file_offset, symbol);
        symbol->offset += symbol->name[0] != '\0';
    }
    symbol->ours = symbol_is_ours(symbol, address);
}
