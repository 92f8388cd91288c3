# What the benches share: programs beside each other in one run, started, awaited, measured by what the kernel says of them.
# Sourced from the repository's root. `dir` is a temporary directory; it and all that was started end with the bench.
#
# The binary under test is the one that THROUGHLINE names, else this checkout's, built here with optimisations.

need() { # PACKAGES TOOL…: stops where a tool is missing, and says what installs it
    local packages=$1 tool
    shift
    for tool; do
        command -v "$tool" >/dev/null || { echo "needs $tool: apt-get install $packages" >&2; exit 1; }
    done
}

binary() { # prints the path of the binary under test
    if [ -z "${THROUGHLINE:-}" ]; then cargo build --release --quiet -p throughline; fi
    echo "${THROUGHLINE:-$PWD/target/release/throughline}"
}

dir=$(mktemp -d)
# nginx reads files as another user when it is started by root.
chmod 755 "$dir"
started=()
finish() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$dir"
}
trap finish EXIT

# A port that nobody listens on. nginx cannot be told to choose one.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
}

until_listening() { # PORT: waits, for at most ten seconds
    for _ in $(seq 200); do
        (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
        sleep 0.05
    done
    echo "nobody listens on port $1; see:" >&2
    tail -n 5 "$dir"/*.err >&2
    exit 1
}

start() { # NAME COMMAND…: its process is `$!`
    local name=$1
    shift
    "$@" >"$dir/$name.out" 2>"$dir/$name.err" &
    started+=($!)
}

# The first lines of an nginx in the foreground, up to within `http`, which the caller closes.
nginx_head() { # NAME WORKERS
    cat <<CONF
worker_processes $2; daemon off; error_log stderr warn; pid $dir/$1.pid;
events { worker_connections 4096; }
http { client_body_temp_path $dir/t; proxy_temp_path $dir/t; fastcgi_temp_path $dir/t; uwsgi_temp_path $dir/t;
       scgi_temp_path $dir/t; keepalive_requests 1000000000;
CONF
}

# What nginx is told to log, as much as a line of ours says.
json_log="log_format json escape=json '{\"timestamp\":\"\$time_iso8601\",\"method\":\"\$request_method\",\"path\":\"\$uri\",'
        '\"status\":\$status,\"response_time\":\$request_time,\"upstream_time\":\"\$upstream_response_time\",'
        '\"upstream\":\"\$upstream_addr\",\"bytes\":\$body_bytes_sent,\"agent\":\"\$http_user_agent\",\"id\":\"\$request_id\"}';"

family() { # PID…: they and their children
    local pid
    for pid; do
        echo "$pid"
        pgrep -P "$pid" || true
    done
}

# CPU ticks of processes and their children so far, children that have ended included.
ticks() { # PID…
    local pid sum=0 stat
    for pid in $(family "$@"); do
        read -r stat <"/proc/$pid/stat" || continue
        set -- ${stat##*) }
        sum=$((sum + ${12} + ${13} + ${14} + ${15}))
    done
    echo "$sum"
}
