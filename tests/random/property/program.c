/* program: how bytes and random numbers become calls. */
#include "property/program.h"

#include "testing.h"

/*
 * What the first byte of a call means, by weight. Rare calls are those that change what all others
 * do for a while, or that take long.
 */
static const struct {
    unsigned weight;
    enum call_kind kind;
} kinds[] = {
    { 44, CALL_ALLOC },      { 14, CALL_CALLOC },       { 24, CALL_ALIGNED_ALLOC },
    { 40, CALL_REALLOC },    { 44, CALL_FREE },         { 14, CALL_FREE_SIZED },
    { 10, CALL_ALLOC_BATCH }, { 12, CALL_FREE_BATCH },  { 16, CALL_SHARE },
    { 4, CALL_FLUSH },       { 2, CALL_IDLE },          { 2, CALL_BUSY },
    { 4, CALL_TRIM },        { 2, CALL_LIMIT },         { 2, CALL_HANDLER },
    { 2, CALL_STATS },       { 1, CALL_BACKGROUND_START }, { 2, CALL_BACKGROUND_STOP },
    { 1, CALL_INIT },        { 4, CALL_THREAD_EXIT },   { 4, CALL_CHECK },
};

/* The rest of the 256 values: the calls that follow are another thread's. */
static const int CHANGE_THREAD = -1;

static int kind_of(unsigned byte)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (byte < kinds[i].weight) {
            return (int)kinds[i].kind;
        }
        byte -= kinds[i].weight;
    }
    return CHANGE_THREAD;
}

void program_add_call(struct program *program, struct call call)
{
    if ((program->count & (program->count - 1)) == 0) { /* full at each power of two */
        size_t room = program->count != 0 ? 2 * program->count : 1;
        program->calls = realloc(program->calls, room * sizeof call);
        CHECK(program->calls != NULL, "no memory for a program of %zu calls", room);
    }
    program->calls[program->count++] = call;
}

void program_clear(struct program *program)
{
    free(program->calls);
    *program = (struct program){ .calls = NULL };
}

/* The largest request that pools serve; as in model.h, without bringing the library up. */
static size_t border_given(void)
{
    const char *given = getenv("MB_POOL_MAX");
    return given != NULL ? strtoul(given, NULL, 10) : MB_SMALL_MAX;
}

/*
 * Where the border was moved, sizes up to it and beyond: as many of each doubling, and beside the
 * border and the slots of the last doublings.
 */
static size_t upper_size_from(unsigned code)
{
    unsigned value = code & 0x1FFF;
    size_t doubling = (size_t)8 << value % 13; /* 8 .. 32,768 */
    switch (code >> 13) {
    case 4: { /* 8, 9, 10, 12, 14 or 16 eighths */
        size_t place = value / 13 % 6;
        return doubling / 8 * (place < 2 ? 8 + place : 6 + 2 * place) + value % 3 - 1;
    }
    case 5:
        return border_given() - 8 + value % 17;
    default:
        return doubling + value / 13 * doubling / (0x1FFF / 13 + 1);
    }
}

/* Sizes near what the library treats differently come up more often than others. */
static size_t size_from(unsigned code)
{
    unsigned value = code & 0x1FFF;
    if (code >> 13 < 6 && border_given() > MB_SMALL_MAX) {
        return upper_size_from(code);
    }
    switch (code >> 13) {
    case 4:
        return 8 * (value / 3 % 64) + 8 + value % 3 - 1; /* beside a slot's size */
    case 5:
        return MB_SMALL_MAX - 8 + value % 17;
    case 6:
        return value;
    case 7:
        if (value < 64) {
            return (value % 2 != 0 ? SIZE_MAX : PTRDIFF_MAX) - value / 2 * 8;
        }
        return value < 192 ? (value - 63) * 1024 : value % 1200;
    default:
        return value % (MB_SMALL_MAX + 1);
    }
}

static size_t alignment_from(unsigned code)
{
    return code < 0xF000 ? (size_t)1 << code % 14 : code % 0x1000; /* mostly no power of two */
}

/* The few places that single calls use: so that most of them meet an object. */
static size_t place_from(unsigned byte)
{
    return byte % 64;
}

/* Objects of batches are smaller. */
enum { BATCH_BYTES = 2048, UPPER_BATCH_BYTES = 20000, UPPER_BATCH_MAX = 40 };

static struct call call_from(enum call_kind kind, unsigned thread, const uint8_t *bytes)
{
    unsigned size_code = bytes[2] | (unsigned)bytes[3] << 8;
    unsigned extra_code = bytes[4] | (unsigned)bytes[5] << 8;
    struct call call = { .kind = kind, .thread = thread };
    switch (kind) {
    case CALL_ALLOC:
    case CALL_REALLOC:
    case CALL_FREE:
    case CALL_FREE_SIZED:
        call.place = place_from(bytes[1]);
        call.size = kind != CALL_FREE ? size_from(size_code) : 0;
        break;
    case CALL_CALLOC:
        call.place = place_from(bytes[1]);
        call.size = size_from(size_code);
        call.extra = extra_code < 0xFF00 ? extra_code % 8 : SIZE_MAX / (extra_code % 256 + 1);
        break;
    case CALL_ALIGNED_ALLOC:
        call.place = place_from(bytes[1]);
        call.size = size_from(size_code);
        call.extra = alignment_from(extra_code);
        break;
    case CALL_ALLOC_BATCH:
    case CALL_FREE_BATCH:
        call.place = (size_t)bytes[1] % 32 * 8;
        call.extra = extra_code % (PROGRAM_BATCH_MAX + 1);
        call.size = kind == CALL_ALLOC_BATCH ? size_from(size_code) : 0;
        if (call.size <= PTRDIFF_MAX / 2) {
            call.size %= border_given() > MB_SMALL_MAX ? UPPER_BATCH_BYTES : BATCH_BYTES;
            call.extra %= call.size < BATCH_BYTES ? PROGRAM_BATCH_MAX + 1 : UPPER_BATCH_MAX;
        }
        break;
    case CALL_SHARE:
        call.place = place_from(bytes[1]);
        call.extra = extra_code % PROGRAM_SHARED_PLACES;
        break;
    case CALL_TRIM:
        call.size = bytes[1] < 128 ? 0 : (size_t)size_code << 6;
        break;
    case CALL_LIMIT:
        call.size = bytes[1] < 64 ? 0 : ((size_t)size_code % 64 + 1) << 14;
        break;
    case CALL_HANDLER:
        call.extra = extra_code % 3;
        break;
    default:
        break;
    }
    return call;
}

void program_add_bytes(struct program *program, const uint8_t *bytes, size_t count)
{
    unsigned thread = 0;
    for (; count >= CALL_BYTES; bytes += CALL_BYTES, count -= CALL_BYTES) {
        int kind = kind_of(bytes[0]);
        if (kind == CHANGE_THREAD) {
            thread = bytes[1] % THREADS_ONE_BY_ONE;
        } else {
            program_add_call(program, call_from((enum call_kind)kind, thread, bytes));
        }
    }
}

static void random_bytes(uint64_t *random, uint8_t bytes[CALL_BYTES])
{
    uint64_t number = random_next(random) >> 16;
    memcpy(bytes, &number, CALL_BYTES);
}

/* xorshift needs a state other than 0, and seeds that follow each other shall differ at once. */
static uint64_t random_start(uint64_t seed, unsigned thread)
{
    uint64_t state = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15)
                     + thread * UINT64_C(0xD1B54A32D192ED03);
    return state != 0 ? state : 1;
}

/* `length` random calls; a thread that does not change stays the one it is. */
static void add_random(struct program *program, uint64_t random, size_t length, unsigned thread,
                       unsigned threads)
{
    uint8_t bytes[CALL_BYTES];
    for (size_t i = 0; i < length; i++) {
        random_bytes(&random, bytes);
        int kind = kind_of(bytes[0]);
        if (kind != CHANGE_THREAD) {
            program_add_call(program, call_from((enum call_kind)kind, thread, bytes));
        } else if (!program->at_once) {
            thread = bytes[1] % threads;
        }
    }
}

void program_add_random(struct program *program, uint64_t seed, size_t length, unsigned threads)
{
    if (!program->at_once) {
        add_random(program, random_start(seed, 0), length, 0, threads);
        return;
    }
    for (unsigned thread = 0; thread < threads; thread++) {
        add_random(program, random_start(seed, thread + 1), length, thread, threads);
    }
}
