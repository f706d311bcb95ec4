# What the shell scripts stand on: a scratch folder, free ports, certificates, start and stop of processes, checks.
# Sourced, not run. $GATEPOST names the binary; default: target/release/gatepost of this repository.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
GATEPOST=${GATEPOST:-$(cd "$here/../.." && pwd)/target/release/gatepost}
passed=0 failed=0 processes=()
work=$(mktemp -d "${TMPDIR:-/tmp}/gatepost-interop-XXXXXX")
chmod 755 "$work"

clean_up() {
    for process in "${processes[@]}"; do kill "$process" 2>/dev/null; done
    wait "${processes[@]}" 2>/dev/null
    [ -n "$KEEP" ] || rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

need() {
    for tool in "$@"; do command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; echo "0 passed, 0 failed"; exit 0; }; done
}

ok() { passed=$((passed + 1)); echo "ok    $1"; }
fail() { failed=$((failed + 1)); echo "FAIL  $1   $2"; }

# matches WHAT PATTERN TEXT: the text has a line like the extended regular expression.
matches() {
    if grep -Eq -- "$2" <<<"$3"; then ok "$1"; else fail "$1" "expected /$2/, found: $(tail -c 500 <<<"$3" | tr '\n' '|')"; fi
}

lacks() {
    if grep -Eq -- "$2" <<<"$3"; then fail "$1" "did not expect /$2/: $(grep -E -- "$2" <<<"$3" | tail -3 | tr '\n' '|')"; else ok "$1"; fi
}

equal() { if [ "$2" = "$3" ]; then ok "$1"; else fail "$1" "found '$2', expected '$3'"; fi; }

finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}

# free_ports COUNT: so many that nobody listens on, each another one.
free_ports() {
    python3 -c 'import socket, sys
held = [socket.socket() for _ in range(int(sys.argv[1]))]
for each in held: each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in held))' "$1"
}

# self_signed NAME STEM
self_signed() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" \
        -addext "subjectAltName=DNS:$1" -keyout "$2.key" -out "$2.pem" 2>/dev/null
}

# listening PORT: waits until somebody greets there.
listening() {
    for _ in $(seq 200); do
        (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
        sleep 0.05
    done
    echo "nobody listens on port $1"
    tail -20 "$work"/*.log 2>/dev/null
    exit 1
}

# start_gatepost PORT: with $work/gatepost.toml; waits for the port.
start_gatepost() {
    "$GATEPOST" serve --config "$work/gatepost.toml" 2>>"$work/gatepost.log" &
    gatepost=$!
    processes+=("$gatepost")
    listening "$1"
}

# start_sink PORT FOLDER [CHAIN KEY]
start_sink() {
    python3 "$here/sink.py" "$@" 2>>"$work/sink.log" &
    processes+=("$!")
    listening "$1"
}

# records EXPRESSION [COUNT]: how many records of the audit log make the Python expression over `r` true; waits for
# COUNT of them, by default for the first.
records() {
    python3 - "$work/audit" "$1" "${2:-1}" <<'PYTHON'
import json, pathlib, sys, time
for _ in range(400):
    lines = [line for file in sorted(pathlib.Path(sys.argv[1]).glob("*.jsonl")) for line in file.open()]
    found = sum(bool(eval(sys.argv[2], {"r": json.loads(line)})) for line in lines if line.endswith("\n"))
    if found >= int(sys.argv[3]):
        break
    time.sleep(0.05)
print(found)
PYTHON
}
