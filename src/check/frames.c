/* frames: what is known of return addresses, and how it is found out. */
#include "check/frames.h"

#include <dlfcn.h>
#include <errno.h>
#include <unwind.h>

typedef _Unwind_Reason_Code backtrace_function(_Unwind_Trace_Fn note, void *argument);
typedef _Unwind_Word cfa_function(struct _Unwind_Context *context);
typedef _Unwind_Word register_function(struct _Unwind_Context *context, int number);
typedef _Unwind_Ptr address_function(struct _Unwind_Context *context);

/* Written before stacks says that it is warm; NULL: not found. */
static backtrace_function *unwind;
static cfa_function *get_cfa;
static register_function *get_register;
static address_function *get_address;

/* The C library has loaded it by this name, for backtrace(3). Not dlopen, which the drop-in has. */
void mbi_frames_find_unwinder(void)
{
    void *unwinder = dlmopen(LM_ID_BASE, "libgcc_s.so.1", RTLD_LAZY | RTLD_NOLOAD);
    if (unwinder == NULL) {
        return;
    }
    get_cfa = (cfa_function *)dlsym(unwinder, "_Unwind_GetCFA");
    get_register = (register_function *)dlsym(unwinder, "_Unwind_GetGR");
    get_address = (address_function *)dlsym(unwinder, "_Unwind_GetIP");
    if (get_cfa != NULL && get_register != NULL && get_address != NULL) {
        unwind = (backtrace_function *)dlsym(unwinder, "_Unwind_Backtrace");
    }
}

#ifdef __x86_64__
enum { FRAMES_ARE_LIKE_THAT = 1, REGISTER_RBP = 6 };
#else
enum { FRAMES_ARE_LIKE_THAT = 0, REGISTER_RBP = 0 };
#endif

/* A step's word: a return address, and words of the frame or one of these. */
enum { STEP_BITS = 16, STEP_MAX = 0xfff0, FRAMED = 0xfffd, END = 0xfffe, VARIES = 0xffff };
/* At the end of a frame with a frame pointer: the caller's pointer, and where it returns to. */
enum { FRAME_BYTES = 2 * sizeof(uintptr_t) };
enum { STEPS_LOG2 = 12, RANGES_LOG2 = 8, PAGE_BITS = 12 };
static _Atomic uint64_t steps[1 << STEPS_LOG2];
/* A range's word: where it ends, and on how many pages it lies before that. */
static _Atomic uint64_t ranges[1 << RANGES_LOG2];

/* Fibonacci hashing (Knuth, TAOCP 6.4). */
static size_t hash_of(uintptr_t key, unsigned log2)
{
    return (size_t)(key * UINT64_C(0x9E3779B97F4A7C15) >> (64 - log2));
}

static uint64_t read_word(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed); /* [FRAMES] */
}

static void write_word(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed); /* [FRAMES] */
}

static _Atomic uint64_t *step_of(uintptr_t address)
{
    return &steps[hash_of(address, STEPS_LOG2)];
}

/* The thread's: threads that share one lose time only, as each looks whether it is in it. */
static _Atomic uint64_t *own_range(void)
{
    return &ranges[hash_of((uintptr_t)&errno >> PAGE_BITS, RANGES_LOG2)];
}

/* What lies below an address on the stack. */
static __attribute__((no_sanitize("address", "thread"))) uintptr_t read_below(uintptr_t address,
                                                                              unsigned words)
{
    return ((const volatile uintptr_t *)address)[-(int)words];
}

uint32_t mbi_frames_walk(const void *frame, void **frames, uint32_t frames_max)
{
    uintptr_t cfa = (uintptr_t)frame + FRAME_BYTES;
    uint64_t range = read_word(own_range());
    uintptr_t end = (uintptr_t)(range >> STEP_BITS);
    if (cfa > end || (end >> PAGE_BITS) - (cfa >> PAGE_BITS) > (uint16_t)range) {
        return 0;
    }
    uintptr_t pointer = read_below(cfa, 2); /* rbp; 0: not known */
    uint32_t count = 0;
    while (count < frames_max) {
        uintptr_t address = read_below(cfa, 1);
        uint64_t step = read_word(step_of(address));
        frames[count++] = (void *)address;
        unsigned kind = (unsigned)step & 0xffff;
        if (step >> STEP_BITS != address || kind == VARIES) {
            return 0;
        }
        if (kind == END) {
            break;
        }
        uintptr_t next = kind == FRAMED ? pointer + FRAME_BYTES : cfa + kind * sizeof cfa;
        if (next <= cfa || next > end || next % sizeof next != 0) {
            return 0;
        }
        pointer = kind == FRAMED ? read_below(next, 2) : 0;
        cfa = next;
    }
    return count;
}

struct unwinding {
    uintptr_t start; /* the CFA from which on frames count */
    void **frames;
    uint32_t frames_max;
    uint32_t count;
    uintptr_t cfa; /* of the frame before, with the two below; 0: not begun */
    uintptr_t address;
    uintptr_t pointer;
    bool plain; /* all return addresses lie where calls put them */
};

/* What leads on from a return address. Two answers make one that no walk believes. */
static void learn(uintptr_t address, uintptr_t kind)
{
    _Atomic uint64_t *step = step_of(address);
    uint64_t known = read_word(step);
    bool differs = known >> STEP_BITS == address && (uint16_t)known != kind;
    write_word(step, (uint64_t)address << STEP_BITS | (differs ? VARIES : kind));
}

static void learn_from(const struct unwinding *unwinding, uintptr_t cfa)
{
    uintptr_t words = (cfa - unwinding->cfa) / sizeof(uintptr_t);
    uintptr_t kind = words > STEP_MAX ? (uintptr_t)VARIES : words;
    learn(unwinding->address,
          unwinding->pointer + FRAME_BYTES == cfa ? (uintptr_t)FRAMED : kind);
}

static _Unwind_Reason_Code note_frame(struct _Unwind_Context *context, void *argument)
{
    struct unwinding *unwinding = argument;
    uintptr_t cfa = get_cfa(context);
    uintptr_t address = get_address(context);
    if (cfa < unwinding->start || address == 0) {
        return _URC_NO_REASON;
    }
    if (unwinding->count == unwinding->frames_max) {
        return _URC_NORMAL_STOP;
    }
    bool plain = FRAMES_ARE_LIKE_THAT && read_below(cfa, 1) == address;
    if (unwinding->cfa != 0 && unwinding->plain) {
        if (plain) {
            learn_from(unwinding, cfa);
        } else {
            learn(unwinding->address, VARIES);
        }
    }
    unwinding->plain = plain && (unwinding->plain || unwinding->cfa == 0);
    unwinding->cfa = cfa;
    unwinding->address = address;
    /* Not asked elsewhere: a register that no frame saved has no place to be read from. */
    unwinding->pointer = FRAMES_ARE_LIKE_THAT ? get_register(context, REGISTER_RBP) : 0;
    unwinding->frames[unwinding->count++] = (void *)address;
    return _URC_NO_REASON;
}

/*
 * The stack is in use from `start` to `end`, which is its end if `all` was seen. Otherwise what was
 * known beyond stays.
 */
static void note_range(uintptr_t start, uintptr_t end, bool all)
{
    uint64_t range = read_word(own_range());
    uintptr_t known_end = (uintptr_t)(range >> STEP_BITS);
    uintptr_t first = start >> PAGE_BITS;
    uintptr_t known_first = (known_end >> PAGE_BITS) - (uint16_t)range;
    if (known_end == end || (!all && known_end > end && known_first <= end >> PAGE_BITS)) {
        end = known_end;
        first = size_min(first, known_first);
    }
    size_t pages = size_min((end >> PAGE_BITS) - first, UINT16_MAX);
    write_word(own_range(), (uint64_t)end << STEP_BITS | pages);
}

uint32_t mbi_frames_unwind(const void *frame, void **frames, uint32_t frames_max)
{
    struct unwinding unwinding = { .start = (uintptr_t)frame + FRAME_BYTES, .frames = frames,
                                   .frames_max = frames_max };
    if (unwind == NULL) {
        return 0;
    }
    bool all = unwind(note_frame, &unwinding) == _URC_END_OF_STACK;
    if (unwinding.plain) {
        if (all) {
            learn(unwinding.address, END);
        }
        note_range(unwinding.start, unwinding.cfa, all);
    }
    return unwinding.count;
}
