#!/bin/bash
# A real Postfix hands 500 mixed messages to Gatepost, Gatepost hands them on under TLS: all arrive, none twice, octet for octet.

. "$(dirname "$0")/rig.sh"
need postfix openssl python3
[ "$(id -u)" -eq 0 ] || { echo "skipped: Postfix needs root"; echo "0 passed, 0 failed"; exit 0; }

MESSAGES=${MESSAGES:-500}
read -r mx entry hop < <(free_ports 3)
self_signed mx1.example.org "$work/server"
self_signed sink.test "$work/sink"
mkdir "$work/domains.d"
cat >"$work/gatepost.toml" <<TOML
hostname = "mx1.example.org"
postmaster = "postmaster@d0.example"
domains = "domains.d"
[spool]
path = "spool"
min_free_space = "50MB"
retry = ["2s"]
[[listener]]
name = "mx"
bind = ["127.0.0.1:$mx"]
role = "mx"
[[certificate]]
chain = "server.pem"
key = "server.key"
[audit]
path = "audit"
key = "audit.key"
[metrics]
bind = "off"
[admin]
bind = "off"
socket = "control/control.sock"
TOML
cat >"$work/domains.d/all.toml" <<TOML
domains = ["d0.example", "d1.example", "d2.example"]
hosted = true
recipients = "any"
[route]
hosts = ["127.0.0.1:$hop"]
tls = "encrypt"
[inbound]
tls = "required"
min_version = "TLSv1.2"
TOML

postfix_folder=$work/postfix etc=$work/postfix/etc
mkdir -p "$etc" "$postfix_folder/spool" "$postfix_folder/data"
chown postfix "$postfix_folder/data"
cat >"$etc/main.cf" <<CF
compatibility_level = 3.6
queue_directory = $postfix_folder/spool
data_directory = $postfix_folder/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
meta_directory = /etc/postfix
shlib_directory = /usr/lib/postfix
mail_owner = postfix
setgid_group = postdrop
myhostname = sender.test
mydestination =
alias_maps =
alias_database =
biff = no
append_dot_mydomain = no
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:$mx
smtpd_relay_restrictions = permit_mynetworks reject
message_size_limit = 20000000
smtp_line_length_limit = 0
smtp_tls_security_level = encrypt
minimal_backoff_time = 5s
queue_run_delay = 5s
maillog_file = $postfix_folder/mail.log
maillog_file_prefixes = $work, /var
CF
awk -v p="127.0.0.1:$entry" '/^smtp +inet/{$1=p} /^[a-z0-9.:]+ +(inet|unix|unix-dgram) /{if(NF>=8&&$5=="y")$5="n"} {print}' \
    /etc/postfix/master.cf >"$etc/master.cf"
postfix -c "$etc" set-permissions >/dev/null 2>&1 || true

stop_postfix() { postfix -c "$etc" abort >/dev/null 2>&1; clean_up; }
trap stop_postfix EXIT
start_sink "$hop" "$work/mail" "$work/sink.pem" "$work/sink.key"
start_gatepost "$mx"
postfix -c "$etc" start >/dev/null 2>&1
listening "$entry"

python3 "$here/mixed_mail.py" send "$entry" "$MESSAGES" || fail "sending into Postfix"
python3 "$here/mixed_mail.py" compare "$work/mail" "$MESSAGES" | tee "$work/compared"
passed=$((passed + $(grep -c '^ok' "$work/compared"))) failed=$((failed + $(grep -c '^FAIL' "$work/compared")))
left() { postqueue -c "$etc" -p | tail -1; }
# It may get to know of the last delivery after the next hop.
for _ in $(seq 100); do [ "$(left)" = "Mail queue is empty" ] && break; sleep 0.2; done
equal "Postfix has nothing left" "$(left)" "Mail queue is empty"
for word in refused panic bounced; do
    lacks "Gatepost's log has no '$word'" " $word " "$(tail -c 10000000 "$work/gatepost.log")"
done
lacks "Postfix had no trouble" 'status=(deferred|bounced)' "$(cat "$postfix_folder/mail.log")"
matches "Postfix spoke TLS 1.3 with it" 'TLSv1.3' "$(head -c 100000 "$work"/mail/1.eml)"
kill -TERM "$gatepost"
wait "$gatepost"
equal "stops in order" $? 0
finish
