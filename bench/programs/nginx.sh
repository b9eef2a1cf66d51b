# nginx with one worker, under ab: a text that it compresses, over connections for one request each and
# over connections that stay, and the same by way of a proxy to itself.
prepare() {
    mkdir "$data/www"
    seq 2000 >"$data/www/text.txt"
}

start() {
    local user=
    [ "$(id -u)" -ne 0 ] || user="user $(id -un) $(id -gn);"
    mkdir -p "$work/tmp"
    cat >"$work/nginx.conf" <<CONF
$user
worker_processes 1;
daemon off;
pid $work/nginx.pid;
error_log $work/error.log;
events { worker_connections 256; }
http {
    access_log $work/access.log;
    default_type text/plain;
    gzip on; gzip_types text/plain; gzip_comp_level 1;
    keepalive_requests 1000000;
    client_body_temp_path $work/tmp/body; proxy_temp_path $work/tmp/proxy; fastcgi_temp_path $work/tmp/fastcgi;
    uwsgi_temp_path $work/tmp/uwsgi; scgi_temp_path $work/tmp/scgi;
    server {
        listen 127.0.0.1:$port;
        root $data/www;
        location /proxied/ { proxy_pass http://unix:$work/nginx.sock:/; }
    }
    server { listen unix:$work/nginx.sock; access_log off; gzip off; root $data/www; }
}
CONF
    serve nginx -e "$work/error.log" -p "$work" -c "$work/nginx.conf"
}

load() { # load PATH REQUESTS [OPTION...]
    local path=$1 requests=$2
    shift 2
    timed ab -q -n "$requests" -c 16 -H 'Accept-Encoding: gzip' "$@" "http://127.0.0.1:$port/$path" >"$work/ab" ||
        die "ab: $(tail -n 3 "$work/ab")"
    grep -E '^(Complete requests|Failed requests|Document Length|HTML transferred)' "$work/ab"
}

perform() {
    on_free_port start
    load text.txt $((3000 * scale))
    load text.txt $((8000 * scale)) -k
    load proxied/text.txt $((3000 * scale)) -k
    stop QUIT
    wc -l <"$work/access.log"
}
