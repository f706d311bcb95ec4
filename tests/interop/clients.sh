#!/bin/bash
# Clients that nobody here wrote (swaks, openssl) against every kind of listener and policy; every verdict as documented.

. "$(dirname "$0")/rig.sh"
need swaks openssl python3

read -r mx smart implicit hop < <(free_ports 4)
self_signed mx1.example.org "$work/server"
mkdir "$work/domains.d"
cat >"$work/gatepost.toml" <<TOML
hostname = "mx1.example.org"
postmaster = "postmaster@lax.example"
domains = "domains.d"
[spool]
path = "spool"
min_free_space = "50MB"
[[listener]]
name = "mx"
bind = ["127.0.0.1:$mx"]
role = "mx"
[[listener]]
name = "smart"
bind = ["127.0.0.1:$smart"]
role = "smarthost"
min_version = "TLSv1.3"
[[listener]]
name = "implicit"
bind = ["127.0.0.1:$implicit"]
role = "mx"
tls = "implicit"
[[certificate]]
chain = "server.pem"
key = "server.key"
[default.route]
hosts = ["127.0.0.1:$hop"]
[relay]
trusted = ["127.0.0.9"]
[audit]
path = "audit"
key = "audit.key"
[metrics]
bind = "off"
[admin]
bind = "off"
socket = "control/control.sock"
TOML
hosted() {
    printf 'domains = ["%s.example"]\nhosted = true\nrecipients = "any"\n[route]\nhosts = ["127.0.0.1:%s"]\n' "$1" "$hop"
    [ -z "$2" ] || printf '[inbound]\ntls = "required"\nmin_version = "TLSv1.3"\nmode = "%s"\n' "$2"
}
hosted strict enforce >"$work/domains.d/strict.toml"
hosted lax >"$work/domains.d/lax.toml"
hosted report report >"$work/domains.d/report.toml"
hosted defer defer >"$work/domains.d/defer.toml"
printf 'domains = ["partner.example"]\n[inbound]\ntls = "required"\nmin_version = "TLSv1.3"\n' >"$work/domains.d/partner.toml"
printf 'domains = ["late.example"]\n[inbound]\ntls = "required"\nmode = "defer"\n' >"$work/domains.d/late.toml"
printf 'domains = ["routed.example"]\n[route]\nhosts = ["127.0.0.1:%s"]\n' "$hop" >"$work/domains.d/routed.toml"
start_sink "$hop" "$work/mail"
start_gatepost "$mx"

# How many recipients were accepted, and how many the next hop has got.
accepted_recipients() {
    cat "$work"/audit/*.jsonl | python3 -c 'import json, sys
records = [json.loads(line) for line in sys.stdin if line.endswith("\n")]
print(sum(len(r["to"]) for r in records if r["event"] == "inbound.accepted"))'
}
arrived_recipients() {
    cat "$work"/mail/*.json | python3 -c 'import json, sys
print(sum(len(json.loads(part)["to"]) for part in sys.stdin.read().replace("}{", "}\n{").splitlines()))'
}

# session FROM TO [OPTION…]: a session on the mx listener.
session() { swaks --server 127.0.0.1 --port "$mx" --helo client.test --from "$1" --to "$2" --body hello "${@:3}" 2>&1; }
tls12=(--tls --tls-protocol tlsv1_2) tls13=(--tls --tls-protocol tlsv1_3)

# TLS 1.2: strict refuses, lax accepts, in one session.
text=$(session a@x.example u@strict.example,v@lax.example "${tls12[@]}")
matches "TLS 1.2: RCPT of the strict domain" '^<~\* 554 5\.7\.10 Encryption needed: strict\.example requires TLSv1\.3( or later)?; this session uses TLSv1\.2 [A-Z0-9-]+; id=[0-9A-Z]{26}' "$text"
matches "TLS 1.2: the lax recipient of the same session" '^<~  250 2\.0\.0 Ok: queued' "$text"
id=$(grep -oE 'id=[0-9A-Z]{26}' <<<"$text" | cut -c4-)
equal "TLS 1.2: the reply names its record, with version, cipher, rule and reason" "$(records "r['id'] == '$id' and r['event'] == 'inbound.refused' and r['tls']['version'] == 'TLSv1.2' and r['tls']['cipher'].startswith('TLS_ECDHE_') and r['tls']['cipher_openssl'].startswith('ECDHE-') and r['policy']['rule'] == 'domains.d/strict.toml:8' and r['policy']['reason'] == 'version-below-minimum' and r['policy']['stage'] == 'rcpt' and r['reply'].startswith('554 5.7.10') and r['to'] == ['u@strict.example']")" 1
equal "TLS 1.2: the acceptance is on record with its facts" "$(records "r['event'] == 'inbound.accepted' and r['tls'] and r['tls']['version'] == 'TLSv1.2' and r['to'] == ['v@lax.example'] and r['message'] is not None")" 1
text=$(session a@x.example u@strict.example,v@lax.example "${tls13[@]}")
lacks "TLS 1.3: nothing is refused" '^<\*?~?\*? ?[45][0-9][0-9] ' "$text"
matches "TLS 1.3: accepted" '^<~  250 2\.0\.0 Ok: queued' "$text"
text=$(session a@x.example u@strict.example,v@lax.example)
matches "plaintext: RCPT of the strict domain" '^<\*\* 550 5\.7\.10 Encryption needed: strict\.example' "$text"
matches "plaintext: the lax recipient of the same session" '^<-  250 2\.0\.0 Ok: queued' "$text"
equal "plaintext: on record with tls null" "$(records "r['event'] == 'inbound.refused' and r['tls'] is None and r['policy']['reason'] == 'tls-required' and r['to'] == ['u@strict.example']")" 1
text=$(session a@x.example v@lax.example --pipeline "${tls13[@]}")
matches "pipelining under TLS" '^<~  250 2\.0\.0 Ok: queued' "$text"

# The sender's domain has a policy.
text=$(session a@partner.example v@lax.example)
matches "plaintext from a domain with a policy: MAIL" '^<\*\* 530 5\.7\.10 Encryption needed: partner\.example' "$text"
text=$(session a@partner.example v@lax.example "${tls12[@]}")
matches "TLS 1.2 from it: MAIL" '^<~\* 554 5\.7\.10 Encryption needed: partner\.example requires TLSv1\.3' "$text"
equal "MAIL refusals are on record as such" "$(records "r['event'] == 'inbound.refused' and r['policy']['stage'] == 'mail' and r['policy']['rule'].startswith('domains.d/partner.toml:')" 2)" 2
text=$(session a@partner.example v@lax.example "${tls13[@]}")
matches "TLS 1.3 from it" '^<~  250 2\.0\.0 Ok: queued' "$text"
text=$(session a@late.example v@lax.example)
matches "plaintext from a domain in defer mode: MAIL" '^<\*\* 450 4\.7\.10 ' "$text"
text=$(session '<>' u@strict.example,v@lax.example)
matches "the null sender is judged at RCPT only" '^<-  250 2\.1\.0' "$text"
matches "the null sender: RCPT of the strict domain" '^<\*\* 550 5\.7\.10 ' "$text"
text=$(session a@x.example postmaster@strict.example)
matches "postmaster of a strict domain, in plaintext" '^<-  250 2\.0\.0 Ok: queued' "$text"

# Report and defer.
text=$(session a@x.example u@report.example)
matches "report mode: accepted in plaintext" '^<-  250 2\.0\.0 Ok: queued' "$text"
equal "report mode: would_refuse on record" "$(records "r['event'] == 'inbound.accepted' and r['to'] == ['u@report.example'] and r['policy']['verdict'] == 'would_refuse' and r['policy']['reason'] == 'tls-required' and '550 5.7.10' in r['detail']")" 1
text=$(session a@x.example u@report.example "${tls12[@]}")
matches "report mode: accepted under TLS 1.2" '^<~  250 2\.0\.0 Ok: queued' "$text"
text=$(session a@x.example u@defer.example,v@lax.example)
matches "defer mode, plaintext: RCPT" '^<\*\* 450 4\.7\.10 Encryption needed' "$text"
matches "defer mode: the lax recipient of the same session" '^<-  250 2\.0\.0 Ok: queued' "$text"
text=$(session a@x.example u@defer.example "${tls12[@]}")
matches "defer mode, TLS 1.2: RCPT" '^<~\* 450 4\.7\.10 ' "$text"

# Relaying.
for to in v@elsewhere.example v@routed.example 'v%elsewhere.example@nowhere.example' '"v@elsewhere.example"@nowhere.example'; do
    matches "strangers may not relay to $to" '^<\*\* 550 5\.7\.1 Relaying denied' "$(session a@x.example "$to")"
done
matches "a trusted address has no right to relay on role mx" '^<\*\* 550 5\.7\.1 ' "$(session a@x.example v@elsewhere.example --local-interface 127.0.0.9)"
text=$(session a@x.example v@elsewhere.example --port "$smart" "${tls13[@]}")
matches "smarthost: strangers are denied" '^<~\* 550 5\.7\.1 ' "$text"
text=$(session a@x.example v@lax.example --port "$smart" "${tls13[@]}")
matches "smarthost: strangers are denied for hosted domains, too" '^<~\* 550 5\.7\.1 ' "$text"
text=$(session a@x.example v@elsewhere.example,w@routed.example --port "$smart" --local-interface 127.0.0.9 "${tls13[@]}")
matches "smarthost: trusted clients send to anywhere" '^<~  250 2\.0\.0 Ok: queued' "$text"
text=$(session a@x.example v@elsewhere.example --port "$smart" --local-interface 127.0.0.9 "${tls12[@]}")
matches "smarthost: below the floor of the listener" '^<~\* 554 5\.7\.10 ' "$text"
text=$(session a@x.example v@elsewhere.example --port "$smart" --local-interface 127.0.0.9)
matches "smarthost: plaintext" '^<\*\* 530 5\.7\.10 ' "$text"
text=$(session a@partner.example u@strict.example --port "$smart" --local-interface 127.0.0.9 "${tls13[@]}")
matches "smarthost: the floor counts, not the domains" '^<~  250 2\.0\.0 Ok: queued' "$text"

# Implicit TLS.
text=$(session a@x.example u@strict.example --port "$implicit" --tls-on-connect)
matches "implicit TLS: accepted for the strict domain" '^<~  250 2\.0\.0 Ok: queued' "$text"
lacks "implicit TLS: STARTTLS is not offered" 'STARTTLS' "$text"
text=$(timeout 5 bash -c "exec 3<>/dev/tcp/127.0.0.1/$implicit; printf 'EHLO x\r\n' >&3; cat <&3" 2>&1 | tr -d '\0')
lacks "implicit TLS: no word in clear" '^220|^250' "$text"

# openssl
for version in tls1_2 tls1_3; do
    text=$(printf 'EHLO o.test\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<v@lax.example>\r\nQUIT\r\n' | tr -d '\r' |
        timeout 20 openssl s_client -starttls smtp -connect "127.0.0.1:$mx" "-$version" -crlf -ign_eof -quiet 2>&1)
    matches "openssl $version" '^250 2\.1\.5' "$text"
done
text=$(printf 'EHLO o.test\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<v@lax.example>\r\nRCPT TO:<u@strict.example>\r\nQUIT\r\n' | tr -d '\r' |
    timeout 20 openssl s_client -starttls smtp -connect "127.0.0.1:$mx" -tls1_1 -cipher DEFAULT@SECLEVEL=0 -crlf -ign_eof -quiet 2>&1)
matches "openssl tls1_1: served where nothing more is asked for" '^250 2\.1\.5' "$text"
matches "openssl tls1_1: refused by the strict domain" '^554 5\.7\.10 .*this session uses TLSv1\.1 ' "$text"
text=$(timeout 20 openssl s_client -starttls smtp -connect "127.0.0.1:$mx" -tls1_1 -fallback_scsv -cipher DEFAULT@SECLEVEL=0 </dev/null 2>&1)
matches "openssl tls1_1 as a fallback: no such session" 'alert inappropriate fallback' "$text"
equal "the failed handshake is on record" "$(records "r['event'] == 'inbound.handshake_failed' and r['listener'] == 'mx'")" 1
text=$(printf 'QUIT\n' | timeout 20 openssl s_client -starttls smtp -connect "127.0.0.1:$mx" -servername mx1.example.org -crlf -ign_eof 2>&1)
matches "openssl: the certificate" 'CN ?= ?mx1\.example\.org' "$text"
before=$(records "r['event'] == 'inbound.accepted'")
text=$(printf 'EHLO o.test\r\nSTARTTLS\r\nMAIL FROM:<a@x.example>\r\n' | timeout 5 bash -c "exec 3<>/dev/tcp/127.0.0.1/$mx; cat >&3; cat <&3" 2>&1)
lacks "commands behind STARTTLS are not carried out" '^250 2\.1\.0' "$text"
equal "and nothing was accepted by it" "$(records "r['event'] == 'inbound.accepted'")" "$before"

# What arrived.
for _ in $(seq 100); do
    [ "$(arrived_recipients)" -ge "$(accepted_recipients)" ] && break
    sleep 0.1
done
equal "every message that was accepted has arrived for each recipient" "$(arrived_recipients)" "$(accepted_recipients)"
trace=$(sed 's/\r$//' "$work"/mail/*.eml | sed -z 's/\n[ \t]/ /g')
matches "the trace field: protocol, TLS version, cipher and group" \
    '^Received: from client\.test \(\[127\.0\.0\.1\]\) by mx1\.example\.org with ESMTPS \(TLSv1\.3\) id [0-9A-Z]{26} .*tls TLS_[A-Z0-9_]+ group [A-Za-z0-9]+;' "$trace"
matches "the trace field of plaintext" 'with ESMTP id [0-9A-Z]{26} for <[^>]+>;' "$trace"
lacks "nothing was relayed to a refused recipient" 'u@defer\.example' "$(cat "$work"/mail/*.json)"
lacks "no panic" 'panic' "$(cat "$work/gatepost.log")"
kill -TERM "$gatepost"
wait "$gatepost"
equal "stops in order" $? 0
finish
