#!/usr/bin/env python3
"""Clients that mean ill: each gets a clear reply or a close, memory stays bounded, and the daemon serves on."""

import os
import random
import resource
import socket
import time

import rig
from rig import Client, Daemon, Sink, message, wait_for

# What one attack may leave behind in resident memory, and what all sessions of a flood may hold at a time.
LEFT_KIB_MAX = 64 * 1024
HELD_KIB_MAX = 192 * 1024
IDLE_CONNECTIONS = 2000

checks = rig.Checks()
folder = rig.scratch("abuse")
resource.setrlimit(resource.RLIMIT_NOFILE, (8192, max(8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
sink = Sink()
domains = {"lax": f'domains = ["lax.example"]\nhosted = true\nrecipients = "any"\n[route]\nhosts = ["127.0.0.1:{sink.port}"]\n'}
limits = '[limits]\nmax_connections_per_client = 3000\ncommand_timeout = "4s"\ndata_timeout = "4s"\ntls_handshake_timeout = "3s"\n'
daemon = Daemon(folder, domains, limits, spool_keys='max_message_size = "5MB"\nretry = ["1s"]\n')
rig.on_exit(daemon.close)
daemon.start()
sent = 0


def still_serves(what, before):
    """A good client is served, and nothing much is left of the attack."""
    global sent
    client = Client(daemon.port)
    client.say("EHLO good.test")
    sent += 1
    checks.matches(f"{what}: a good client is served", client.mail("a@sender.example", ["b@lax.example"], message()), "^250")
    client.say("QUIT")
    after = daemon.resident_kib()
    checks.check(f"{what}: memory {before} KiB before, {after} KiB after", after - before < LEFT_KIB_MAX)


def attack(function):
    before = daemon.resident_kib()
    peak = function() or 0
    if peak:
        checks.check(f"{function.__name__}: at most {peak} KiB at a time", peak - before < HELD_KIB_MAX)
    still_serves(function.__name__, before)


def flood(client, piece, bytes_max):
    """Sends until the peer has had enough; gives the octets sent and the highest memory seen."""
    total = peak = 0
    try:
        while total < bytes_max:
            client.send(piece)
            total += len(piece)
            if total % (64 << 20) < len(piece):
                peak = max(peak, daemon.resident_kib())
    except OSError:
        pass
    return total, max(peak, daemon.resident_kib())


def greeted():
    client = Client(daemon.port)
    client.say("EHLO bad.test")
    return client


def in_data():
    client = greeted()
    client.say("MAIL FROM:<a@sender.example>")
    client.say("RCPT TO:<b@lax.example>")
    client.say("DATA")
    return client


def a_command_line_of_a_gigabyte():
    client = greeted()
    total, peak = flood(client, b"A" * (1 << 20), 1 << 30)
    checks.matches(f"line of a gigabyte: refused or closed after {total >> 20} MiB", client.rest(10), "^$|^(500|421|554) ")
    return peak


def a_content_line_of_a_gigabyte():
    client = in_data()
    total, peak = flood(client, b"A" * (1 << 20), 1 << 30)
    checks.check(f"content of a gigabyte: cut off after {total >> 20} MiB", total < 64 << 20)
    return peak


def content_beyond_the_limit():
    client = in_data()
    client.send((b"x" * 78 + b"\r\n") * 100_000 + b".\r\n")
    checks.matches("content of 8 MB where 5 MB are the limit", client.reply(), "^552 5.3.4")
    checks.matches("the session goes on", client.say("NOOP"), "^250")
    client.say("RSET")
    checks.matches("SIZE beyond the limit", client.say("MAIL FROM:<a@sender.example> SIZE=6000000"), "^552 5.3.4")


def a_hundred_thousand_recipients():
    client = greeted()
    client.say("MAIL FROM:<a@sender.example>")
    codes = {}
    try:
        for start in range(0, 100_000, 500):
            client.send(b"".join(b"RCPT TO:<u%d@lax.example>\r\n" % n for n in range(start, start + 500)))
            for _ in range(500):
                reply = client.reply()[:9]
                codes[reply] = codes.get(reply, 0) + 1
    except (OSError, EOFError):
        pass
    checks.equal("recipients: a thousand are taken", codes.get("250 2.1.5"), 1000)
    checks.check(f"recipients: {codes}", set(codes) <= {"250 2.1.5", "452 4.5.3", "421 4.7.0"})


def binary_noise():
    noise = random.Random(7)
    for _ in range(50):
        client = Client(daemon.port)
        try:
            for _ in range(20):
                client.send(noise.randbytes(5000))
        except OSError:
            pass
        client.rest(6)
        client.close()


def tls_noise():
    noise = random.Random(8)
    for _ in range(30):
        client = greeted()
        client.say("STARTTLS")
        try:
            client.send(b"\x16\x03\x01" + noise.randbytes(2000))
        except OSError:
            pass
        checks_rest.append(client.rest(6))
        client.close()
    checks.check("noise for a handshake ends the session", len(checks_rest) == 30)


checks_rest = []


def silence():
    clients = [Client(daemon.port) for _ in range(20)]
    began = time.monotonic()
    last = [client.rest(15) for client in clients]
    took = time.monotonic() - began
    checks.check(f"silence: 421 after {took:.1f} s", all(b"421 4.4.2" in text for text in last) and took < 12, str(last[0]))
    handshake = greeted()
    handshake.say("STARTTLS")
    began = time.monotonic()
    handshake.rest(15)
    checks.check("silence in the handshake: closed", time.monotonic() - began < 8)


def slowloris():
    """An octet every half a second keeps no session alive for ever: the time is for the whole line."""
    client = greeted()
    began, closed = time.monotonic(), False
    try:
        while time.monotonic() - began < 12:
            client.send(b"N")
            if not client.silence(0.5):
                closed = True
                break
    except OSError:
        closed = True
    checks.check(f"slowloris: closed after {time.monotonic() - began:.1f} s", closed)


def starttls_injection():
    client = greeted()
    client.send(b"STARTTLS\r\nMAIL FROM:<evil@sender.example>\r\nRCPT TO:<b@lax.example>\r\n")
    text = client.rest(6)
    checks.check("injection behind STARTTLS ends the session", b"250 2.1.0" not in text and b"354" not in text, str(text))
    client = greeted()
    client.say("MAIL FROM:<a@sender.example>")
    client.starttls()
    checks.matches("what was said in clear is forgotten: RCPT", client.say("RCPT TO:<b@lax.example>"), "^503")
    checks.matches("what was said in clear is forgotten: MAIL", client.say("MAIL FROM:<a@sender.example>"), "^503")
    client.say("EHLO bad.test")
    checks.matches("STARTTLS under TLS", client.say("STARTTLS"), "^503")


def smuggling():
    hidden = b"MAIL FROM:<smuggled@sender.example>\r\nRCPT TO:<smuggled@lax.example>\r\nDATA\r\nSubject: x\r\n\r\nsmuggled\r\n.\r\n"
    for end in [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n\n.\r\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n"]:
        client = in_data()
        client.send(message(X_Mark="outer", body=b"first" + end + hidden + b"\r\n.\r\n"))
        answer = client.reply()
        zero = b"\0" in end
        checks.matches(f"smuggling {end!r}: the whole is {'one message' if zero else 'refused'}", answer, "^(250|550|554|500)" if zero else "^5\\d\\d 5")
        client.send(b"QUIT\r\n")
        client.rest(6)
    for line in [b"NOOP\nNOOP\r\n", b"NOOP\rNOOP\r\n", b"RSET\n"]:
        client = greeted()
        client.send(line + b"QUIT\r\n")
        checks.matches(f"bare line end in a command: {line!r}", client.rest(6), "^5\\d\\d ")
    wait_for(lambda: daemon.ask("status")["messages"] == 0, 10)
    checks.check("nothing was smuggled", all(entry["from"] != "smuggled@sender.example" for entry in sink.taken()))


def two_thousand_idle_connections():
    clients = []
    for _ in range(IDLE_CONNECTIONS):
        try:
            clients.append(Client(daemon.port))
        except (OSError, EOFError):
            break
    peak = daemon.resident_kib()
    checks.equal("idle connections that were greeted", len(clients), IDLE_CONNECTIONS)
    other = Client(daemon.port)
    checks.matches("idle connections: another one is served beside them", other.say("EHLO good.test"), "^250")
    for client in clients:
        client.close()
    return peak


def a_pipelined_flood():
    client = greeted()
    client.socket.settimeout(10)
    total, peak = flood(client, b"NOOP\r\n" * 20_000, 64 << 20)
    checks.check(f"pipelined flood without reading: stopped after {total >> 10} KiB", total < 64 << 20)
    client.close()
    client = greeted()
    client.send(b"NOOP\r\n" * 10_000)
    answers = [client.reply() for _ in range(10_000)]
    checks.check("ten thousand pipelined commands are all answered", all(a.startswith("250") for a in answers))
    return peak


def many_errors():
    client = greeted()
    text = b""
    try:
        for _ in range(200):
            client.send(b"XYZZY\r\n")
    except OSError:
        pass
    text = client.rest(6)
    checks.check("errors: the session ends with 421", b"421 " in text and text.count(b"\n") <= 30, str(text[-80:]))


def header_bombs():
    client = in_data()
    client.send(b"X: y\r\n" * 300_000 + b"\r\n.\r\n")
    checks.matches("300,000 header fields", client.reply(), "^(250|552|554)")
    client = in_data()
    client.send(b"Received: by x\r\n" * 200 + b"\r\nloop\r\n.\r\n")
    checks.matches("200 Received fields are a loop", client.reply(), "^554 5.4.6")
    client = in_data()
    client.send(b"X: " + b"y" * 4_000_000 + b"\r\n\r\n.\r\n")
    checks.matches("a header line of 4 MB", client.reply(), "^(250|5)")


attacks = [a_command_line_of_a_gigabyte, a_content_line_of_a_gigabyte, content_beyond_the_limit, a_hundred_thousand_recipients,
           binary_noise, tls_noise, silence, slowloris, starttls_injection, smuggling, two_thousand_idle_connections,
           a_pipelined_flood, many_errors, header_bombs]
for function in attacks:
    if function.__name__ in os.environ.get("ONLY", function.__name__):
        attack(function)
checks.check("no panic", "panic" not in daemon.log.read_text())
wait_for(lambda: sink.count() >= sent, 20)
checks.equal("the audit chain holds", daemon.broken_links(), [])
checks.equal("stops in order", daemon.stop(), 0)
print(f"      audit log {sum(f.stat().st_size for f in daemon.audit.glob('*')) >> 10} KiB, log {daemon.log.stat().st_size >> 10} KiB")
checks.finish()
