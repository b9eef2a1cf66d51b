"""Objects of MemoryBucket in Python, through ctypes."""
import ctypes

mb = ctypes.CDLL("libmemorybucket.so", use_errno=True)
for name, result, arguments in [
    ("mb_alloc", ctypes.c_void_p, [ctypes.c_size_t]),  # without these a pointer is cut to 32 bits
    ("mb_free", None, [ctypes.c_void_p]),
    ("mb_usable_size", ctypes.c_size_t, [ctypes.c_void_p]),
    ("mb_stats_write", ctypes.c_int, [ctypes.c_int, ctypes.c_int]),
]:
    function = getattr(mb, name)
    function.restype, function.argtypes = result, arguments


def new_bytes(size):
    """An array of bytes that lives until mb.mb_free(array): nothing frees it by itself."""
    pointer = mb.mb_alloc(size)
    if pointer is None:
        raise MemoryError(f"{size} bytes")
    return (ctypes.c_ubyte * size).from_address(pointer)


numbers = new_bytes(100)
numbers[:] = range(100)
print(sum(numbers), mb.mb_usable_size(numbers), flush=True)  # before what the library writes itself
mb.mb_stats_write(1, 1)  # to stdout, as JSON (MB_STATS_JSON)
mb.mb_free(numbers)
