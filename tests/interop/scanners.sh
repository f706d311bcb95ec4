#!/bin/bash
# Scanners that nobody here wrote must agree about what the listeners offer, with and without SSLv3, and find no known hole.
#
# Needs openssl, sslscan, nmap, gnutls-bin and testssl.sh (Debian), and a Python with sslyze (PyPI), named by
# $INTEROP_PYTHON (default: python3). What is missing is skipped with a loud line; where $CI is set it is a failure,
# except sslyze where PyPI cannot be reached.
# By design they find TLS 1.0 and 1.1, CBC, 3DES, IDEA and RC4: policy decides about them, not the handshake.

. "$(dirname "$0")/rig.sh"
need openssl python3

PYTHON=${INTEROP_PYTHON:-python3}
SCAN_SECONDS_MAX=180
TESTSSL_SECONDS_MAX=420
TLS="TLSv1.0 TLSv1.1 TLSv1.2 TLSv1.3"
NAME=mx1.example.org

declare -A port
read -r port[mx] port[ancient] port[implicit] port[ancient-implicit] < <(free_ports 4)
self_signed "$NAME" "$work/ec"
for stem in rsa old; do
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=$NAME" -addext "subjectAltName=DNS:$NAME" \
        -keyout "$work/$stem.key" -out "$work/$stem.pem" 2>/dev/null
done
mkdir "$work/domains.d"
cat >"$work/gatepost.toml" <<TOML
hostname = "$NAME"
postmaster = "postmaster@example.org"
domains = "domains.d"
[spool]
path = "spool"
min_free_space = "50MB"
[[listener]]
name = "mx"
bind = ["127.0.0.1:${port[mx]}"]
role = "mx"
[[listener]]
name = "ancient"
bind = ["127.0.0.1:${port[ancient]}"]
role = "mx"
offer = "SSLv3"
[[listener]]
name = "implicit"
bind = ["127.0.0.1:${port[implicit]}"]
role = "mx"
tls = "implicit"
[[listener]]
name = "ancient-implicit"
bind = ["127.0.0.1:${port[ancient-implicit]}"]
role = "mx"
tls = "implicit"
offer = "SSLv3"
[[certificate]]
chain = "ec.pem"
key = "ec.key"
[[certificate]]
chain = "rsa.pem"
key = "rsa.key"
[[certificate]]
chain = "old.pem"
key = "old.key"
stack = "legacy"
[audit]
path = "audit"
key = "audit.key"
[metrics]
bind = "off"
[admin]
bind = "off"
socket = "control/control.sock"
[limits]
max_connections_per_client = 2000
tls_handshake_timeout = "10s"
TOML
start_gatepost "${port[mx]}"

# there TOOL: whether it is; says so loudly if not.
there() {
    command -v "$1" >/dev/null && return
    echo "SKIPPED  $1 is not installed"
    [ -z "$CI" ] || fail "$1 is installed" "install the Debian package"
    return 1
}

has_sslyze() {
    "$PYTHON" -c 'import sslyze' 2>/dev/null && return
    echo "SKIPPED  $PYTHON has no sslyze; name one by INTEROP_PYTHON"
    if [ -n "$CI" ] && python3 -c 'import socket; socket.create_connection(("pypi.org", 443), 10)' 2>/dev/null; then
        fail "sslyze is installed" "install it from PyPI"
    fi
    return 1
}

# versions_are WHAT EXPECTED < versions, one a line
versions_are() { equal "$1: the versions on offer" "$(sort -u | tr '\n' ' ')" "$(tr ' ' '\n' <<<"$2" | sort | tr '\n' ' ')"; }

run() { timeout "$1" "${@:3}" >"$work/$2" 2>&1 </dev/null; }

scan() {
    local listener
    for listener in mx ancient; do
        ! there sslscan >/dev/null || run $SCAN_SECONDS_MAX "sslscan.$listener" sslscan --no-colour --timeout=20 --starttls-smtp \
            --sni-name=$NAME "127.0.0.1:${port[$listener]}"
    done
}

enumerate() {
    local listener scripts=+ssl-enum-ciphers,+ssl-heartbleed,+ssl-ccs-injection,+ssl-dh-params
    for listener in ancient-implicit implicit; do
        # SSLv3 has POODLE, whoever speaks it.
        [ $listener = ancient-implicit ] || scripts+=,+ssl-poodle
        ! there nmap >/dev/null || run $SCAN_SECONDS_MAX "nmap.$listener" nmap -Pn -n -p "${port[$listener]}" --script "$scripts" 127.0.0.1
    done
}

debug() {
    ! there gnutls-cli-debug >/dev/null || run $SCAN_SECONDS_MAX gnutls gnutls-cli-debug --starttls-proto smtp -p "${port[mx]}" 127.0.0.1
}

analyse() {
    local listener
    for listener in mx ancient; do
        "$PYTHON" -c 'import sslyze' 2>/dev/null && run $SCAN_SECONDS_MAX "sslyze.$listener" "$PYTHON" -m sslyze --starttls=smtp \
            --sni=$NAME --sslv2 --sslv3 --tlsv1 --tlsv1_1 --tlsv1_2 --tlsv1_3 --compression --heartbleed --openssl_ccs --robot \
            --reneg --fallback --resum --elliptic_curves --json_out="$work/sslyze.$listener.json" "127.0.0.1:${port[$listener]}"
    done
}

inspect() {
    there testssl >/dev/null || return
    run $TESTSSL_SECONDS_MAX testssl.log testssl --starttls smtp -p -P -U --warnings off --color 0 --openssl /usr/bin/openssl \
        --jsonfile "$work/testssl.mx.json" "127.0.0.1:${port[mx]}"
    run $SCAN_SECONDS_MAX testssl.ancient testssl --starttls smtp -p --warnings off --color 0 --openssl /usr/bin/openssl \
        --jsonfile "$work/testssl.ancient.json" "127.0.0.1:${port[ancient]}"
}

# expected LISTENER [WORD]: the versions that it offers.
expected() { case $1 in ancient*) echo "SSLv3 $TLS" ;; *) echo "$TLS" ;; esac; }

judge_sslscan() {
    local listener text
    for listener in mx ancient; do
        text=$(cat "$work/sslscan.$listener")
        grep -E '^(SSLv|TLSv)[0-9.]+ +enabled' <<<"$text" | awk '{print $1}' | versions_are "sslscan, $listener" "$(expected $listener)"
        matches "sslscan, $listener: fallbacks are refused" 'supports TLS Fallback SCSV' "$text"
        lacks "sslscan, $listener: no compression" 'Compression enabled' "$text"
        lacks "sslscan, $listener: no Heartbleed" '^TLSv.* vulnerable to heartbleed' "$(grep -v ' not vulnerable' <<<"$text")"
        matches "sslscan, $listener: it looked for Heartbleed" 'not vulnerable to heartbleed' "$text"
        lacks "sslscan, $listener: no weak DHE" 'DHE (512|768|1024|1536) bits' "$text"
        matches "sslscan, $listener: DHE has 2048 bits" 'DHE 2048 bits' "$text"
        lacks "sslscan, $listener: nothing anonymous, for export, without encryption" ' (ADH|AECDH|EXP|NULL)-' "$text"
    done
}

judge_nmap() {
    local listener text offered
    for listener in implicit ancient-implicit; do
        text=$(cat "$work/nmap.$listener")
        grep -oE '^\| +(SSLv[0-9]|TLSv1\.[0-3]):' <<<"$text" | grep -oE '[ST][A-Za-z0-9.]+' | versions_are "nmap, $listener" "$(expected $listener)"
        offered=$(expected $listener | wc -w)
        equal "nmap, $listener: the server chooses, in each version" "$(grep -c 'cipher preference: server' <<<"$text")" "$offered"
        lacks "nmap, $listener: no client preference" 'cipher preference: client' "$text"
        matches "nmap, $listener: DHE has 2048 bits" 'DHE_RSA.*\(dh 2048\)' "$text"
        lacks "nmap, $listener: no weak DHE" '\(dh (512|768|1024|1536)\)' "$text"
        lacks "nmap, $listener: no Heartbleed, no CCS injection, no weak group" 'VULNERABLE' "$text"
        lacks "nmap, $listener: nothing anonymous, for export, without encryption" '_anon_|_EXPORT|WITH_NULL|_WITH_DES_' "$text"
        lacks "nmap, $listener: no cipher below C" ' - [DEF]$' "$text"
    done
}

judge_gnutls() {
    local text
    text=$(cat "$work/gnutls")
    grep -oE 'for TLS 1\.[0-3] \(RFC[0-9]+\) support\.\.\. yes' <<<"$text" | grep -oE 'TLS 1\.[0-3]' | sed 's/TLS /TLSv/' | versions_are gnutls "$TLS"
    matches "gnutls: fallbacks are refused" 'inappropriate fallback \(RFC7507\) support\.\.\. yes' "$text"
    matches "gnutls: safe renegotiation" 'safe renegotiation \(RFC5746\) support\.\.\. yes' "$text"
    lacks "gnutls: no anonymous key exchange" 'anonymous.*\.\.\. yes' "$text"
}

judge_sslyze() {
    local listener
    for listener in mx ancient; do
        python3 - "$work/sslyze.$listener.json" "$(expected $listener)" "sslyze, $listener" <<'PYTHON' | tee "$work/judged"
import json, sys

path, expected, what = sys.argv[1:]
found = json.load(open(path))["server_scan_results"][0]["scan_result"]
kinds = {"ssl_2_0": "SSLv2", "ssl_3_0": "SSLv3", "tls_1_0": "TLSv1.0", "tls_1_1": "TLSv1.1", "tls_1_2": "TLSv1.2", "tls_1_3": "TLSv1.3"}
suites = {word: found[f"{kind}_cipher_suites"]["result"] for kind, word in kinds.items()}
result = lambda kind: (found.get(kind) or {}).get("result") or {}
names = [suite["cipher_suite"]["name"] for each in suites.values() if each for suite in each["accepted_cipher_suites"]]
sizes = [suite["ephemeral_key"]["size"] for each in suites.values() if each for suite in each["accepted_cipher_suites"]
         if suite["ephemeral_key"] and suite["ephemeral_key"]["type_name"] == "DH"]
checks = {
    "the versions on offer": " ".join(word for word, each in suites.items() if each and each["accepted_cipher_suites"]) == expected,
    "no Heartbleed": result("heartbleed").get("is_vulnerable_to_heartbleed") is False,
    "no CCS injection": result("openssl_ccs_injection").get("is_vulnerable_to_ccs_injection") is False,
    "no ROBOT": "NOT_VULNERABLE" in str(result("robot").get("robot_result")),
    "no compression": result("tls_compression").get("supports_compression") is False,
    "secure renegotiation": result("session_renegotiation").get("supports_secure_renegotiation") is True,
    "no renegotiation by clients": result("session_renegotiation").get("is_vulnerable_to_client_renegotiation_dos") is False,
    "fallbacks are refused": result("tls_fallback_scsv").get("supports_fallback_scsv") is True,
    f"DHE of 2048 bits, in {len(sizes)} suites": sizes and min(sizes) >= 2048,
    f"nothing anonymous, for export, without encryption, of {len(names)}":
        names and not [n for n in names if "_anon_" in n or "EXPORT" in n or "_NULL_" in n or "_WITH_DES_" in n],
}
for name, holds in checks.items():
    print(f"ok    {what}: {name}" if holds else f"FAIL  {what}: {name}   {names if 'nothing' in name else ''}")
PYTHON
        passed=$((passed + $(grep -c '^ok' "$work/judged"))) failed=$((failed + $(grep -c '^FAIL' "$work/judged")))
        [ -s "$work/judged" ] || fail "sslyze, $listener" "$(tail -c 300 "$work/sslyze.$listener")"
    done
}

# found ID: what testssl found about it on the listener mx, as `SEVERITY: words`.
found() {
    python3 -c 'import json, sys
print(*(": ".join((e["severity"], e["finding"])) for e in json.load(open(sys.argv[1])) if e["id"] == sys.argv[2]))' \
        "$work/testssl.mx.json" "$1" 2>&1
}

judge_testssl() {
    local listener id
    for listener in mx ancient; do
        python3 - "$work/testssl.$listener.json" <<'PYTHON' 2>/dev/null | versions_are "testssl, $listener" "$(expected $listener)"
import json, sys
words = {"SSLv2": "SSLv2", "SSLv3": "SSLv3", "TLS1": "TLSv1.0", "TLS1_1": "TLSv1.1", "TLS1_2": "TLSv1.2", "TLS1_3": "TLSv1.3"}
for entry in json.load(open(sys.argv[1])):
    if entry["id"] in words and entry["finding"].startswith("offered"):
        print(words[entry["id"]])
PYTHON
    done
    for id in heartbleed CCS ROBOT secure_renego secure_client_renego CRIME_TLS POODLE_SSL fallback_SCSV FREAK DROWN LOGJAM; do
        matches "testssl: $id" '^OK' "$(found $id)"
    done
    matches "testssl: the server chooses" '^OK' "$(found cipher_order)"
    for id in TLSv1 TLSv1_1 TLSv1_2; do
        matches "testssl: 3DES and RC4 come last in $id" 'ECDHE.*(DES-CBC3|RC4)' "$(found cipherorder_$id)"
        lacks "testssl: nothing better behind them in $id" '(DES-CBC3|RC4)-[A-Z0-9]+ .*(AES|CAMELLIA|CHACHA|SEED|IDEA)' "$(found cipherorder_$id)"
    done
    matches "testssl: groups of DHE" '2048|ffdhe|Oakley Group 14|^OK' "$(found LOGJAM-common_primes)"
}

for scanner in scan enumerate debug analyse inspect; do
    $scanner &
    scanners+=("$!")
done
wait "${scanners[@]}"
! there sslscan || judge_sslscan
! there nmap || judge_nmap
! there gnutls-cli-debug || judge_gnutls
! has_sslyze || judge_sslyze
! there testssl || judge_testssl
matches "a client is served after all of it" '^250 ' "$(printf 'EHLO c.test\r\nNOOP\r\nQUIT\r\n' | timeout 10 openssl s_client \
    -starttls smtp -connect "127.0.0.1:${port[mx]}" -quiet -ign_eof 2>/dev/null)"
lacks "no panic" 'panic' "$(grep -a panic "$work/gatepost.log" | head -c 1000)"
kill -TERM "$gatepost"
wait "$gatepost"
equal "stops in order" $? 0
finish
