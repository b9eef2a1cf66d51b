# Sourced by run.sh: interpreters, virtual machines and compilers. See there for what a program consists of.

perl_() {
    needs perl
    measured perl -e 'my %h; for my $round (1 .. 6) { $h{$_ . "k"} .= "x" x ($_ % 90) for 1 .. 60000;
        delete $h{$_ . "k"} for 1 .. 20000 } my $s = 0; $s += length for values %h; print scalar(keys %h), " $s\n"'
}

python3_() {
    needs python3
    PYTHONMALLOC=malloc measured python3 -c '
import json, multiprocessing, re, sys
def work(n):
    d = {str(i): [i, str(i) * (i % 7)] for i in range(n, n + 20000)}
    t = json.dumps(d)
    return len(json.loads(t)) + len(re.findall("[1-9]00", t))
if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool:
        print(sum(pool.map(work, range(0, 160000, 20000))))'
}

ruby_() {
    needs ruby
    measured ruby -e 'h = {}; 200_000.times { |i| h["k#{i}"] = [i.to_s * 3, i] }
        h.delete_if { |_, v| v[1].odd? }; t = 4.times.map { |n| Thread.new { (1..30_000).map { |i| "#{n}#{i}" }.sort.last } }
        puts h.size, t.map(&:value).join(" ")'
}

lua_() {
    needs lua5.4
    measured lua5.4 -e 'local t = {} for r = 1, 5 do for i = 1, 100000 do t[i] = {tostring(i), {i}} end end
        local s = {} for i = 1, 100000 do s[#s + 1] = t[i][1] end print(#table.concat(s))'
}

php_() {
    needs php ab
    measured php -r '$a = []; for ($i = 0; $i < 300000; $i++) { $a["k$i"] = [$i, str_repeat("y", $i % 60)]; }
        for ($i = 0; $i < 300000; $i += 2) { unset($a["k$i"]); }
        $j = json_encode($a); preg_match_all("/y{9}/", $j, $m); echo count($a), " ", strlen($j), " ", count($m[0]), "\n";'
    mkdir -p "$work/www"
    echo '<?php $r = []; for ($i = 0; $i < 2000; $i++) { $r[] = md5($i); } echo count($r);' >"$work/www/index.php"
    local port
    port=$(free_port)
    serve "$port" php -q -S "127.0.0.1:$port" -t "$work/www"
    load_http "http://127.0.0.1:$port/index.php" 2000
    stop_server TERM
}

node_() {
    needs node
    cat >"$work/program.js" <<'JS'
const http = require('http'), zlib = require('zlib');
let sum = 0;
for (let round = 0; round < 10; round++) {
    const map = new Map();
    for (let i = 0; i < 50000; i++) map.set('k' + i, { i, text: 'x'.repeat(i % 50) });
    sum += JSON.parse(JSON.stringify([...map.values()])).length + zlib.gunzipSync(zlib.gzipSync(Buffer.alloc(1e6, 'ab'))).length;
}
const server = http.createServer((request, response) => response.end(request.url.repeat(20)));
server.listen(0, '127.0.0.1', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
    const get = path => new Promise((resolve, reject) => http.get({ port: server.address().port, path, agent }, response => {
        let length = 0;
        response.on('data', data => length += data.length).on('end', () => resolve(length));
    }).on('error', reject));
    for (let i = 0; i < 3000; i += 8)
        for (const length of await Promise.all([...Array(8).keys()].map(k => get('/' + (i + k))))) sum += length;
    console.log(sum);
    process.exit(0);
});
JS
    measured node "$work/program.js"
}

java_() {
    needs javac java
    cat >"$work/Program.java" <<'JAVA'
import java.util.*;
import java.util.stream.*;
public class Program {
    public static void main(String[] arguments) {
        Map<String, List<Integer>> map = IntStream.range(0, 300000).boxed().parallel()
            .collect(Collectors.groupingByConcurrent(i -> "k" + i % 1000));
        System.out.println(map.size() + " " + map.values().stream().mapToInt(List::size).sum());
    }
}
JAVA
    measured javac -d "$work" "$work/Program.java"
    measured java -cp "$work" Program
}

# A file for both C++ compilers.
cpp_source() {
    cat >"$work/program.cpp" <<'CPP'
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <unordered_map>
#include <vector>
int main()
{
    std::map<std::string, std::vector<std::shared_ptr<int>>> map;
    std::unordered_map<int, std::function<int(int)>> functions;
    for (int i = 0; i < 1000; i++) map[std::to_string(i % 77)].push_back(std::make_shared<int>(i));
    for (int i = 0; i < 10; i++) functions[i] = [i](int x) { return x * i; };
    std::regex digits("[0-9]+");
    std::cout << map.size() << functions[3](5) << std::regex_match("123", digits) << '\n';
}
CPP
}

gxx_() {
    needs g++ objdump
    cpp_source
    measured g++ -O2 -c "$work/program.cpp" -o "$work/program.o"
    objdump -d "$work/program.o" | sed 1,3d | sha256sum
}

clangxx_() {
    needs clang++ objdump
    cpp_source
    measured clang++ -O2 -c "$work/program.cpp" -o "$work/program.o"
    objdump -d "$work/program.o" | sed 1,3d | sha256sum
}

rustc_() {
    needs rustc
    cat >"$work/program.rs" <<'RUST'
use std::collections::{BTreeMap, HashMap};
fn main() {
    let mut map: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for i in 0..200000u32 { map.entry(format!("k{}", i % 5000)).or_default().push(i); }
    let other: HashMap<_, _> = map.iter().map(|(k, v)| (k.len(), v.len())).collect();
    let threads: Vec<_> = (0..4u64).map(|n| std::thread::spawn(move || (0..50000u64)
        .map(|i| (i + n).to_string()).collect::<Vec<_>>().concat().len())).collect();
    println!("{} {} {}", map.len(), other.len(), threads.into_iter().map(|t| t.join().unwrap()).sum::<usize>());
}
RUST
    measured rustc -O -o "$work/program" "$work/program.rs"
    measured "$work/program"
}

go_() {
    needs go gcc
    mkdir -p "$work/go"
    cat >"$work/go/main.go" <<'GO'
package main

// #include <stdlib.h>
// #include <string.h>
// static char *copy(const char *text) { return strdup(text); }
import "C"
import (
	"fmt"
	"sync"
	"unsafe"
)

func main() {
	var group sync.WaitGroup
	lengths := make([]int, 4)
	for n := range lengths {
		group.Add(1)
		go func(n int) {
			defer group.Done()
			for i := 0; i < 50000; i++ {
				text := C.CString(fmt.Sprint("text ", i))
				copied := C.copy(text)
				C.free(unsafe.Pointer(text))
				lengths[n] += len(C.GoString(copied))
				C.free(unsafe.Pointer(copied))
			}
		}(n)
	}
	group.Wait()
	fmt.Println(lengths)
}
GO
    (cd "$work/go" && export GOCACHE="$work/cache" GO111MODULE=off GOFLAGS=-p=2 && measured go build -o "$work/program" main.go)
    measured "$work/program"
}
