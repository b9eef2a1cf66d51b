#!/usr/bin/env bash
# What programs of one thread, or two, run of the drop-in stands together in 64 KiB, and what ordinary ones do in 128
# (src/sections.ld); so that much of its file counts as their memory: a small C and a small C++ program, also with a
# second thread, one with more threads, one that forks, in parent and child, and a C++ program with files. And each
# function that is named there is there: others would lie elsewhere, and nothing else would say so.
# Usage: sections.sh SOURCE_DIR BUILD_DIR
set -euo pipefail
. "$(dirname "$0")/../support/of_build.sh"
library=$build/lib/libmemorybucket-malloc.so
most_kib=128 small_kib=64 files_kib=128
around=$(cat /sys/kernel/debug/fault_around_bytes 2>/dev/null || echo 65536)
[ "$around" -le 65536 ] || { echo "this kernel maps $around bytes around a page, not 64 KiB" >&2; exit 77; }

for file in "$library" "$build/lib/libmemorybucket.so"; do
    begin=$(objdump -h "$file" | awk '$2 == ".seldom" { print "0x" $4 }')
    [ -n "$begin" ] || { echo "$file was linked by a linker without sections.ld" >&2; exit 77; }
    if ((begin > most_kib * 1024)); then
        complain "$file: what ordinary programs run takes $((begin / 1024)) KiB, more than $most_kib"
    fi
done

# mapped: of each smaps on stdin the KiB of the drop-in's code that are in memory, the most of all
mapped() {
    awk '/^[0-9a-f]+-[0-9a-f]+ / { ours = $2 == "r-xp" && /libmemorybucket-malloc/ }
        ours && /^Rss:/ && $2 > most { most = $2 }
        END { print most + 0 }'
}
# program NAME KIB COMMAND...: prints its own smaps
program() {
    local name=$1 most=$2 kib
    shift 2
    kib=$(LD_PRELOAD=$library "$@" | mapped)
    echo "$name: $kib KiB"
    if [ "$kib" -eq 0 ] || [ "$kib" -gt "$most" ]; then
        complain "$name has $kib KiB of the drop-in's code in memory; 1 to $most is right"
    fi
}
# The names of single functions' sections are gcc's.
if ! readelf -p .comment "$library" | grep -q clang; then
    python3 - "$source/src/sections.ld" "$build" <<'PYTHON' || status=1
import fnmatch, glob, re, subprocess, sys
with open(sys.argv[1], encoding="utf-8") as file:
    script = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
sections = {}
for parts in glob.glob(f"{sys.argv[2]}/CMakeFiles/memorybucket*_parts.dir/src/**/*.o", recursive=True):
    listed = subprocess.run(["readelf", "-SW", parts], capture_output=True, text=True, check=True)
    sections[parts] = re.findall(r"\] (\.\S+)", listed.stdout)
unmatched = [f"{parts}({name})" for parts, names in re.findall(r"(\*\S*?)\(([^)]*)\)", script)
             for name in names.split() if name.startswith(".text")
             and not any(fnmatch.fnmatch(file, parts) and fnmatch.filter(has, name)
                        for file, has in sections.items())]
for one in unmatched:
    print(f"src/sections.ld names {one}, and nothing is called so", file=sys.stderr)
sys.exit(bool(unmatched) or not sections)
PYTHON
    g++ -x c++ -pthread -o "$work/small" - <<'END'
#include <cstdio>
#include <string>
#include <thread>
#include <vector>
int main(int count, char **)
{
    std::vector<std::string> lines;
    if (count > 1) {
        std::thread([&] { for (int i = 0; i < 2000; i++) lines.push_back(std::string(i % 400, ' ')); }).join();
    }
    char line[500];
    FILE *file = std::fopen("/proc/self/smaps", "r");
    while (std::fgets(line, sizeof line, file)) lines.push_back(line);
    for (const auto &one : lines) std::fputs(one.c_str(), stdout);
}
END
    program C "$small_kib" cat /proc/self/smaps
    program perl "$small_kib" perl -e 'open(F, "/proc/self/smaps"); @l = <F>; print @l'
    program 'small C++' "$small_kib" "$work/small"
    program 'a second thread' "$small_kib" "$work/small" more
    files_kib=$small_kib
fi
g++ -x c++ -o "$work/objects" - <<'END'
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
int main()
{
    std::map<std::string, std::unique_ptr<int[]>> objects;
    for (int i = 1; i < 4000; i++) objects[std::to_string(i)] = std::make_unique<int[]>(i);
    std::cout << std::ifstream("/proc/self/smaps").rdbuf();
}
END
program threads "$most_kib" python3 -c '
import threading
def work():
    for size in range(40000): bytearray(size)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(open("/proc/self/smaps").read())'
program forks "$most_kib" python3 -c '
import os
child = os.fork()
if child == 0 or os.waitpid(child, 0): print(open("/proc/self/smaps").read())'
program 'C++ with files' "$files_kib" "$work/objects"
exit $status
