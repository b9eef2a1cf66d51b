#!/usr/bin/env -S python3 -B
"""What share of a server's CPU time its allocator takes, in percent, from samples of perf.

Usage:   cpu_share.py PERF_DATA MAPS LIBRARY
  PERF_DATA  what `perf record` wrote, without call graphs
  MAPS       a copy of the server's /proc/PID/maps
  LIBRARY    part of the path of the allocator's library; libc for glibc's malloc; inlined for
             MemoryBucket compiled into the server, whose functions are told apart by their source
             files, as the debug information has them
Output:  the percent; samples in the kernel count as CPU time, and never as the allocator's.
Ends with status 1 and a message when there are fewer than 100 samples: a share of them says little.
"""
import functools
import re
import subprocess
import sys

SAMPLES_MIN = 100
OURS = re.compile(r"/include/memorybucket/|/src/(core|tcache|api|check)/")


def fail(message, status=1):
    print(f"cpu_share: {message}", file=sys.stderr)
    sys.exit(status)


def output_of(*command, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        fail(f"{command[0]} failed: {' '.join(done.stderr.split())[:300]}")
    return done.stdout


def read_maps(path):
    """Of each mapped part with code: its first address, its end, its place in the file, which."""
    with open(path, encoding="utf-8", errors="replace") as lines:
        fields = [line.split(maxsplit=5) for line in lines]
    return [(*(int(one, 16) for one in field[0].split("-")), int(field[2], 16), field[5].strip())
            for field in fields if len(field) == 6 and "x" in field[1]]


@functools.cache
def segments(path):
    """Of each part of the file that is loaded: its place in the file, and its address."""
    return [(int(found[1], 16), int(found[2], 16)) for found in re.finditer(
        r"^\s+LOAD\s+(0x\w+)\s+(0x\w+)", output_of("readelf", "-lW", path), re.MULTILINE)]


def address_in(path, place):
    """The address in the file, as nm and addr2line have it, of a place in it."""
    offset, address = max((one for one in segments(path) if one[0] <= place), default=(0, 0))
    return place - offset + address


def malloc_of_libc(path):
    """Its functions lie side by side: from the first to the last that is exported."""
    addresses = {}
    for line in output_of("nm", "-D", "-S", "--defined-only", path).splitlines():
        fields = line.split()
        if len(fields) == 4:
            addresses[fields[3].partition("@")[0]] = (int(fields[0], 16), int(fields[1], 16))
    first = addresses.get("__default_morecore", addresses["malloc"])[0]
    last, size = addresses["malloc_info"]
    return first, last + size


def is_ours(path, addresses):
    """Which of the addresses belong to a function of MemoryBucket, inlined ones too."""
    text = output_of("addr2line", "-a", "-i", "-e", path,
                     text="".join(f"{one:#x}\n" for one in addresses))
    ours, address = set(), None
    for line in text.splitlines():
        if line.startswith("0x"):
            address = int(line, 16)
        elif OURS.search(line):
            ours.add(address)
    return ours


def count(samples, maps, library):
    """How many of the samples, a list of addresses in the process, are the allocator's."""
    placed = [(path, address_in(path, one - first + offset)) for one in samples
              for first, end, offset, path in maps
              if first <= one < end and path.startswith("/")]
    if library == "libc":
        ranges = {path: malloc_of_libc(path) for path, _ in set(placed) if "/libc.so" in path}
        return sum(path in ranges and ranges[path][0] <= address < ranges[path][1]
                   for path, address in placed)
    if library == "inlined":
        server = next(path for *_, path in maps if path.startswith("/"))
        ours = is_ours(server, {address for path, address in placed if path == server})
        return sum(path == server and address in ours or "/libmemorybucket" in path
                   for path, address in placed)
    return sum(library in path for path, _ in placed)


def main():
    if len(sys.argv) != 4:
        fail("Usage: cpu_share.py PERF_DATA MAPS LIBRARY", 2)
    data, maps, library = sys.argv[1:]
    samples = [int(one, 16) for one in output_of("perf", "script", "-i", data, "-F", "ip").split()]
    if len(samples) < SAMPLES_MIN:
        fail(f"{data}: {len(samples)} samples, and at least {SAMPLES_MIN} are needed")
    print(f"{100 * count(samples, read_maps(maps), library) / len(samples):.2f}")


main()
