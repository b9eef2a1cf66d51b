# MariaDB under sysbench, over a unix socket: transactions that read and write over 4 connections; and
# under mariadb-slap, which makes a new connection for each second query.
socket=$work/mysql.sock

start() { # start FOLDER
    serve mariadbd --no-defaults --datadir="$1" --socket="$socket" --skip-networking \
        --pid-file="$work/mysql.pid" --user="$(id -un)" --innodb-buffer-pool-size=64M --innodb-log-file-size=16M \
        --innodb-use-native-aio=0 --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=0
    until_ready answers || die "the server does not start: $(tail -n 3 "$work/log")"
}

answers() { [ -S "$socket" ] && mariadb-admin --no-defaults -u root -S "$socket" ping >/dev/null 2>&1; }
ask() { mariadb --no-defaults -N -u root -S "$socket" -e "$1"; }

shut_down() {
    mariadb-admin --no-defaults -u root -S "$socket" shutdown
    end
}

bench() { # bench TEST COMMAND [OPTION...]
    sysbench "$1" --db-driver=mysql --mysql-socket="$socket" --mysql-user=root --tables=4 --table-size=5000 \
        --threads=4 --rand-seed=1 --time=0 "${@:3}" "$2"
}

prepare() {
    mariadb-install-db --no-defaults --auth-root-authentication-method=normal --user="$(id -un)" --datadir="$data/data" \
        --innodb-log-file-size=16M
    start "$data/data"
    ask 'create database sbtest'
    bench oltp_read_write prepare
    shut_down
}

perform() {
    cp -r "$data/data" "$work/data"
    start "$work/data"
    timed bench oltp_read_write run --events=$((500 * scale)) >"$work/sysbench" ||
        die "sysbench: $(tail -n 3 "$work/sysbench")"
    timed mariadb-slap --no-defaults -u root -S "$socket" --concurrency=4 --detach=2 \
        --number-of-queries=$((1000 * scale)) \
        --query='select c, pad from sbtest.sbtest2 where id < 400 order by pad' >"$work/slap" 2>&1 ||
        die "mariadb-slap: $(tail -n 3 "$work/slap")"
    awk '$1 == "transactions:" { print $1, $2 }' "$work/sysbench"
    awk '/queries per client/ { print }' "$work/slap"
    ask 'select count(*) from sbtest.sbtest1; select count(*) from sbtest.sbtest4;
        check table sbtest.sbtest1, sbtest.sbtest4'
    shut_down
}
