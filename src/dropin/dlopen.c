/*
 * dropin/dlopen: no plugin gets another malloc than its program.
 *
 * Ladder: above base. Only libmemorybucket-malloc.so is built from it.
 *
 * RTLD_DEEPBIND lets a plugin find the C library's malloc before ours. What one of the two sides
 * then frees of the other's is nobody's object. So the flag is taken away; the plugin's symbols are
 * looked up as without it. dlmopen, whose plugins have a C library of their own, is left alone.
 *
 * The C library's dlopen looks at its return address: whose RUNPATH and $ORIGIN hold, and in which
 * namespace the plugin goes. So ours is not in the way of a call: it jumps, and the return address
 * stays its caller's. C cannot promise such a jump.
 */
#include "core/base.h"

#include <dlfcn.h>
#include <stdlib.h>

#if defined(__x86_64__) || defined(__aarch64__)

typedef void *dlopen_function(const char *file, int mode);

/* Where dlopen jumps to, and with which mode: in two registers, as both ABIs return it. */
struct dlopen_target {
    dlopen_function *function;
    unsigned long mode;
};

/* Called by name from the assembly below. */
MBI_HIDDEN struct dlopen_target mbi_dlopen_target(int mode);

/* The next one in link order: the C library's, or that of a library which watches plugins. */
__attribute__((used)) struct dlopen_target mbi_dlopen_target(int mode)
{
    void *symbol = dlsym(RTLD_NEXT, "dlopen");
    if (symbol == NULL) {
        mbi_message("no library behind the drop-in has dlopen");
        abort();
    }
    return (struct dlopen_target){
        .function = (dlopen_function *)(uintptr_t)symbol,
        .mode = (unsigned)(mode & ~RTLD_DEEPBIND),
    };
}

#ifdef __x86_64__
__asm__(".text\n"
        ".balign 16\n"
        ".globl dlopen\n"
        ".type dlopen, @function\n"
        "dlopen:\n"
        ".cfi_startproc\n"
        "    endbr64\n"
        "    pushq %rdi\n" /* the file; the stack is aligned for a call now */
        ".cfi_adjust_cfa_offset 8\n"
        "    movl %esi, %edi\n"
        "    call mbi_dlopen_target\n"
        "    movl %edx, %esi\n"
        "    popq %rdi\n"
        ".cfi_adjust_cfa_offset -8\n"
        "    jmp *%rax\n"
        ".cfi_endproc\n"
        ".size dlopen, .-dlopen\n");
#else
__asm__(".text\n"
        ".balign 16\n"
        ".globl dlopen\n"
        ".type dlopen, %function\n"
        "dlopen:\n"
        ".cfi_startproc\n"
        "    hint #34\n" /* bti c, where branches are guarded */
        "    stp x0, x30, [sp, #-16]!\n"
        ".cfi_adjust_cfa_offset 16\n"
        ".cfi_rel_offset x30, 8\n"
        "    mov w0, w1\n"
        "    bl mbi_dlopen_target\n"
        "    mov x16, x0\n"
        "    ldp x0, x30, [sp], #16\n"
        ".cfi_adjust_cfa_offset -16\n"
        ".cfi_restore x30\n"
        "    br x16\n"
        ".cfi_endproc\n"
        ".size dlopen, .-dlopen\n");
#endif

#endif
