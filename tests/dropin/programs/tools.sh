# Sourced by run.sh: shells, builds, archives, documents, databases in a file. See there.

bash_() {
    needs bash
    measured bash -c 'for ((i = 0; i < $1; i++)); do (exit 0); done
        declare -A words; for ((i = 0; i < 20000; i++)); do words[k$i]=$((i * i)); done
        echo ${#words[@]} ${words[k19999]} $(seq 1000 | sort -R | sort -n | sha256sum)' bash "$(of_all 2000 300)"
}

xargs_() {
    needs find xargs
    measured sh -c 'find "$1" -name "*.h" -print0 | xargs -0 -n 8 cat | wc -c' sh "/usr/include$(of_all '' /linux)"
}

make_() {
    needs make gcc
    mkdir -p "$work/make"
    local i
    for i in $(seq "$(of_all 60 12)"); do
        printf '#include <stdio.h>\n#include <stdlib.h>\nint f%d(int x) { return printf("%%d", x * %d); }\n' "$i" "$i" \
            >"$work/make/f$i.c"
    done
    printf 'all: $(patsubst %%.c,%%.o,$(wildcard *.c))\n%%.o: %%.c\n\t@gcc -O2 -c $< -o $@\n' >"$work/make/Makefile"
    measured make -s -j2 -C "$work/make"
    cat "$work"/make/*.o | sha256sum
}

cmake_() {
    needs cmake ninja gcc g++ pkg-config
    measured cmake -G Ninja -S "$source" -B "$work/build" -DMEMORYBUCKET_TESTS=OFF -DMEMORYBUCKET_BENCH=OFF >"$work/log" 2>&1
    grep -E '^-- (Configuring|Generating) done' "$work/log"
    measured ninja -C "$work/build" -t targets all | wc -l
}

git_() {
    needs git
    export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@t GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@t
    export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z' GIT_CONFIG_GLOBAL=/dev/null
    git init -q -b main "$work/repo"
    cp -r "$source/src" "$source/tests" "$work/repo/"
    git -C "$work/repo" add . && git -C "$work/repo" commit -q -m first
    local i
    for i in $(seq "$(of_all 60 10)"); do
        find "$work/repo/src" -name '*.c' -exec sed -i "$((i * 3))s/\$/ \/\/ $i/" {} +
        git -C "$work/repo" commit -qam "change $i"
    done
    measured git -C "$work/repo" log -p | sha256sum
    measured git -C "$work/repo" gc -q
    measured git -C "$work/repo" fsck --full
    measured git -C "$work/repo" blame src/core/pool.c | wc -l
}

jq_() {
    needs jq
    measured jq -n '[range(150000) | {a: ., b: "text \(.)", c: [., . * 2]}] | map(select(.a % 3 == 0) | .c[1]) | add'
}

sqlite3_() {
    needs sqlite3
    measured sqlite3 "$work/db" 'create table t(a integer primary key, b text);
        with recursive c(x) as (select 1 union all select x + 1 from c where x < 200000)
        insert into t select x, hex(x) from c; create index i on t(b);
        select count(*), sum(length(b)) from t where b > 33;
        select b, count(*) from t group by substr(b, 1, 3) order by 2 desc, 1 limit 3; pragma integrity_check;'
}

7z_() {
    needs 7z
    tar -C "$source" -cf "$work/in.tar" --sort=name --mtime=@0 src tests docs
    measured 7z a -mmt=2 -bd "$work/out.7z" "$work/in.tar" >/dev/null
    measured 7z x -so "$work/out.7z" | cmp - "$work/in.tar" && echo same
}

gdb_() {
    needs gdb gcc
    printf '#include <stdlib.h>\nint g(int n) { return n ? g(n - 1) + 1 : atoi("7"); }\nint main(void) { return g(9); }\n' \
        >"$work/program.c"
    gcc -g -O0 -o "$work/program" "$work/program.c"
    measured gdb -q -nx -batch -ex 'break g if n == 0' -ex run -ex bt -ex 'info locals' -ex finish "$work/program" 2>/dev/null |
        grep -oE '^#[0-9]+|in g \(n=[0-9]\)|\$1 = 7'
}

gs_() {
    needs gs
    {
        echo '%!PS'
        echo '/Times-Roman findfont 12 scalefont setfont'
        echo '1 1 60 { /p exch def 1 1 50 { dup 14 mul 40 exch moveto 10 string cvs show ( page ) show p 10 string cvs show } for showpage } for'
    } >"$work/in.ps"
    measured gs -q -dNOPAUSE -dBATCH -sDEVICE=pgmraw -r50 -sOutputFile="$work/page%d.pgm" "$work/in.ps"
    cat "$work"/page*.pgm | sha256sum
}

imagemagick_() {
    needs convert
    measured convert -size 800x600 plasma:red-blue -seed 7 -blur 0x2 -rotate 30 -resize 300% -depth 8 ppm:- | wc -c
    measured convert -size 1200x900 gradient:red-blue -swirl 180 -charcoal 2 -depth 8 ppm:- | sha256sum
}

tar_() {
    needs tar zstd xz
    measured tar -C "$source" --sort=name --mtime=@0 --owner=0 --group=0 -I 'zstd -T2' -cf "$work/out.tar.zst" src tests docs
    measured tar -I zstd -tf "$work/out.tar.zst" | measured sort | sha256sum
    measured xz -T2 -c "$source/docs/architecture.md" | measured xz -d | sha256sum
}
