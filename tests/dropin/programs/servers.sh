# Sourced by run.sh: servers on loopback, each with a client of its own. See there.

nginx_() {
    needs nginx ab
    local port
    port=$(free_port)
    mkdir -p "$work/www"
    seq 2000 >"$work/www/index.html"
    cat >"$work/nginx.conf" <<CONF
user $(id -un) $(id -gn);
worker_processes 2;
daemon off;
pid $work/nginx.pid;
error_log $work/error.log;
events { worker_connections 256; }
http {
    access_log $work/access.log;
    gzip on; gzip_types text/html;
    client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fastcgi;
    uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
    server { listen 127.0.0.1:$port; root $work/www; }
}
CONF
    serve "$port" nginx -p "$work" -c "$work/nginx.conf"
    load_http "http://127.0.0.1:$port/index.html" 20000 -H 'Accept-Encoding: gzip'
    stop_server QUIT
    wc -l <"$work/access.log"
}

memcached_() {
    needs memcached memcslap
    local port
    port=$(free_port)
    serve "$port" memcached -l 127.0.0.1 -p "$port" -U 0 -t 2 -m 64 -u "$(id -un)"
    memcslap --servers="127.0.0.1:$port" --concurrency=8 --execute-number=4000 --test=set --binary >/dev/null
    memcslap --servers="127.0.0.1:$port" --concurrency=8 --execute-number=4000 --test=get --binary >/dev/null
    exec 8<>"/dev/tcp/127.0.0.1/$port"
    printf 'set key 0 0 5\r\nvalue\r\nget key\r\nincr key 1\r\nquit\r\n' >&8
    cat <&8
    exec 8>&-
    stop_server TERM
}

redis_() {
    needs redis-server redis-benchmark redis-cli
    local port
    port=$(free_port)
    serve "$port" redis-server --bind 127.0.0.1 --port "$port" --save '' --dir "$work" --loglevel warning
    redis-benchmark -p "$port" -q -n 60000 -P 8 -r 5000 -t set,get,lpush,lrange_100 >/dev/null
    redis-cli -p "$port" eval 'for i = 1, 20000 do redis.call("hset", "h" .. i % 100, i, i) end
        return redis.call("hlen", "h7")' 0
    stop_server TERM
}

sshd_() {
    needs sshd ssh ssh-keygen
    local port
    port=$(free_port)
    [ "$(id -u)" -ne 0 ] || mkdir -p /run/sshd
    ssh-keygen -q -t ed25519 -N '' -f "$work/host"
    ssh-keygen -q -t ed25519 -N '' -f "$work/user"
    cp "$work/user.pub" "$work/authorized"
    printf '%s\n' "Port $port" 'ListenAddress 127.0.0.1' "HostKey $work/host" "AuthorizedKeysFile $work/authorized" \
        'StrictModes no' 'UsePAM no' 'PasswordAuthentication no' "PidFile $work/sshd.pid" 'PermitRootLogin yes' >"$work/sshd.conf"
    local i stats=${MB_STATS-}
    unset MB_STATS # its sandbox kills whoever opens a file at exit; the clients report
    serve "$port" /usr/sbin/sshd -D -e -f "$work/sshd.conf"
    [ -z "$stats" ] || export MB_STATS=$stats
    for i in 1 2 3 4 5; do
        measured ssh -q -F /dev/null -i "$work/user" -p "$port" -o BatchMode=yes -o StrictHostKeyChecking=no \
            -o UserKnownHostsFile=/dev/null 127.0.0.1 "seq $((i * 10000)) | sha256sum"
    done
    stop_server TERM
}

mariadb_() {
    needs mariadbd mysql_install_db mariadb sysbench
    local socket=$work/mysql.sock
    mysql_install_db --no-defaults --auth-root-authentication-method=normal --user="$(id -un)" --datadir="$work/data" >/dev/null 2>&1
    serve "$socket" mariadbd --no-defaults --datadir="$work/data" --socket="$socket" --skip-networking \
        --user="$(id -un)" --innodb-buffer-pool-size=64M --pid-file="$work/mysql.pid" --innodb-flush-log-at-trx-commit=0
    mariadb --no-defaults -u root -S "$socket" -e 'create database sbtest'
    local bench=(sysbench oltp_read_write --mysql-socket="$socket" --mysql-user=root --tables=2 --table-size=10000 --threads=4)
    "${bench[@]}" prepare >/dev/null
    "${bench[@]}" --events=3000 --time=0 run | awk '$1 == "transactions:" { print $1, $2 }'
    mariadb --no-defaults -N -u root -S "$socket" -e 'select count(*) from sbtest.sbtest1; select count(*) from sbtest.sbtest2;
        check table sbtest.sbtest1, sbtest.sbtest2'
    mariadb-admin --no-defaults -u root -S "$socket" shutdown
    end_server
}

postgresql_() {
    needs /usr/lib/postgresql/*/bin/postgres /usr/lib/postgresql/*/bin/pgbench
    local bin
    bin=$(echo /usr/lib/postgresql/*/bin)
    # It refuses to run as root.
    local as=()
    if [ "$(id -u)" -eq 0 ]; then
        chown postgres "$work" && chmod 755 "$work"
        as=(runuser -u postgres --)
    fi
    "${as[@]}" "$bin/initdb" -D "$work/data" -A trust -U me >/dev/null
    serve "$work/.s.PGSQL.5432" "${as[@]}" "$bin/postgres" -D "$work/data" -k "$work" -c listen_addresses= -c fsync=off
    until "$bin/pg_isready" -q -h "$work"; do sleep 0.1; done
    "$bin/pgbench" -q -i -s 2 -h "$work" -U me postgres >/dev/null 2>&1
    "$bin/pgbench" -n -c 4 -j 2 -t 1500 -h "$work" -U me postgres 2>/dev/null | grep -E '^number of (transactions act|failed)'
    "$bin/psql" -Atq -h "$work" -U me postgres -c 'select sum(abalance) = (select sum(delta) from pgbench_history) from pgbench_accounts;
        select count(*), sum(length(md5(i::text))) from generate_series(1, 200000) i'
    kill -INT "$(head -n 1 "$work/data/postmaster.pid")"
    end_server
}
