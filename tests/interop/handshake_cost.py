#!/usr/bin/env python3
"""What a full handshake costs the server in CPU time, and an idle session in memory: both TLS libraries, and Postfix.

All with the same certificates and the same clients, in one run, in alternating rounds; medians count. CPU time is that
of all processes of a server, from /proc, so other work on the machine matters little. The dialog around the handshake is
part of it; what a session without TLS costs stands in the first row. Postfix needs root and is left out elsewhere.

HANDSHAKES a round (default 400), ROUNDS (5), SESSIONS that are idle (2000). Times mean nothing for a debug build: then
set ANY_SPEED, and nothing is required of them.
"""

import concurrent.futures
import multiprocessing
import os
import pathlib
import re
import resource
import shutil
import socket
import ssl
import statistics

import postfix_rig
import rig
import tls_rig
from rig import Daemon, Sink

HANDSHAKES = int(os.environ.get("HANDSHAKES", 400))
ROUNDS = int(os.environ.get("ROUNDS", 5))
SESSIONS = int(os.environ.get("SESSIONS", 2000))
# Postfix has a process for each session, of which it starts at most 100.
POSTFIX_SESSIONS = 80
CLIENTS = 3
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# A handshake of ours may cost this part of one of Postfix, and an idle session this much memory.
COST_RATIO_MAX = 1.2
SESSION_KIB_MAX = 100

# name, version, cipher, key, library that serves it here
ROWS = [
    ("plaintext", None, None, "ec", ""),
    ("TLSv1.3, ECDSA", "TLSv1.3", None, "ec", "rustls"),
    ("TLSv1.3, RSA", "TLSv1.3", None, "rsa", "rustls"),
    ("TLSv1.2 AEAD, ECDSA", "TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", "ec", "rustls"),
    ("TLSv1.2 AEAD, RSA", "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "rsa", "rustls"),
    ("TLSv1.2 CBC, ECDSA", "TLSv1.2", "ECDHE-ECDSA-AES128-SHA", "ec", "openssl"),
    ("TLSv1.2 CBC, RSA", "TLSv1.2", "ECDHE-RSA-AES128-SHA", "rsa", "openssl"),
    ("TLSv1, ECDSA", "TLSv1", "ECDHE-ECDSA-AES128-SHA", "ec", "openssl"),
    ("TLSv1, RSA", "TLSv1", "ECDHE-RSA-AES128-SHA", "rsa", "openssl"),
]


def client_context(version, cipher):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers(f"{cipher or 'ALL'}:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = tls_rig.VERSIONS[version]
    return context


def reply(connection):
    data = b""
    while not re.search(rb"(?m)^\d{3} .*\r\n\Z", data):
        more = connection.recv(4096)
        if not more:
            raise EOFError(data)
        data += more
    return data


def begin(port, context, timeout=30):
    """A session up to its handshake, or to a NOOP in its place."""
    connection = socket.create_connection(("127.0.0.1", port), timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    reply(connection)
    for command in (b"EHLO client.test\r\n", b"STARTTLS\r\n" if context else b"NOOP\r\n"):
        connection.sendall(command)
        answer = reply(connection)
    if not answer.startswith(b"2"):
        raise EOFError(answer)
    return context.wrap_socket(connection) if context else connection


def clients(port, version, cipher, count):
    """Runs in a process of its own; how many sessions were as they should be."""
    context, good = version and client_context(version, cipher), 0
    for _ in range(count):
        connection = begin(port, context)
        if not version or (connection.version() == version and not connection.session_reused):
            good += 1
        connection.sendall(b"QUIT\r\n")
        reply(connection)
        connection.close()
    return good


def cpu_seconds(processes, with_children):
    """Of processes that live, and of those of their children that have ended."""
    ticks = 0
    for process in processes:
        try:
            fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15] if process == with_children else fields[11:13]))
    return ticks / TICKS_PER_SECOND


def pss_kib(processes):
    total = 0
    for process in processes:
        try:
            text = pathlib.Path(f"/proc/{process}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1])
        except (OSError, TypeError):
            pass
    return total


class Ours:
    def __init__(self, key):
        place = folder / f"ours-{key}"
        place.mkdir()
        domains = {"lax": f'domains = ["lax.example"]\nhosted = true\nrecipients = "any"\n[route]\nhosts = ["127.0.0.1:{sink.port}"]\n'}
        limits = "[limits]\nmax_connections_per_client = 5000\n"
        certificate = f'[[certificate]]\nchain = "{certificates[key][0]}"\nkey = "{certificates[key][1]}"\n'
        self.daemon = Daemon(place, domains, limits, certificates=certificate).start()
        self.port = self.daemon.port

    def processes(self):
        return [self.daemon.process.pid]

    def cpu(self):
        return cpu_seconds(self.processes(), None)

    def close(self):
        self.daemon.close()


class Theirs:
    """One port of Postfix."""

    def __init__(self, postfix, port):
        self.postfix, self.port = postfix, port

    def processes(self):
        return self.postfix.processes()

    def cpu(self):
        return cpu_seconds(self.processes(), self.postfix.master())


def greets(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as probe:
            return probe.recv(4) == b"220 "
    except OSError:
        return False


def start_postfix():
    """A server for each key, or nothing."""
    if not postfix_rig.is_there():
        print("SKIPPED  postfix: it needs root and the package postfix", flush=True)
        return {}
    ports = {key: rig.free_port() for key in certificates}
    services = {ports[key]: {"smtpd_tls_chain_files": f"{private}, {chain}"} for key, (chain, private) in certificates.items()}
    settings = ("smtpd_tls_protocols = >=TLSv1\nsmtpd_tls_ciphers = low\nsmtpd_tls_loglevel = 0\n"
                "tls_low_cipherlist = ALL:@SECLEVEL=0\ntls_export_cipherlist = ALL:@SECLEVEL=0\n")
    postfix = postfix_rig.Postfix(services, settings)
    rig.on_exit(postfix.close)
    postfix.start(greets)
    return {key: Theirs(postfix, port) for key, port in ports.items()}


def cost(pool, server, version, cipher):
    """CPU seconds of the server for one session of a round."""
    before = server.cpu()
    parts = [pool.submit(clients, server.port, version, cipher, HANDSHAKES // CLIENTS) for _ in range(CLIENTS)]
    good = sum(part.result() for part in parts)
    if good != HANDSHAKES // CLIENTS * CLIENTS:
        checks.check(f"{version} {cipher}: every handshake as it should be", False, f"{good} of {HANDSHAKES}")
    return (server.cpu() - before) / max(good, 1)


def handshakes():
    measured = {}
    with concurrent.futures.ProcessPoolExecutor(CLIENTS, multiprocessing.get_context("fork")) as pool:
        for round_ in range(ROUNDS + 1):
            for name, version, cipher, key, _ in ROWS:
                for side, servers in [("ours", ours), ("postfix", theirs)]:
                    if servers:
                        taken = cost(pool, servers[key], version, cipher)
                        # The first round only warms up.
                        if round_:
                            measured.setdefault((name, side), []).append(taken)
    medians = {where: statistics.median(taken) for where, taken in measured.items()}
    print(f'\n{"CPU of the server, a session":22}{"library":>9}{"µs":>8}{"per s":>8}{"Postfix µs":>12}{"per s":>8}{"ratio":>8}')
    for name, *_, library in ROWS:
        own, other = medians[name, "ours"], medians.get((name, "postfix"))
        line = f"{name:28}{library:>9}{own * 1e6:8.0f}{1 / max(own, 1e-9):8.0f}"
        print(line + (f"{other * 1e6:12.0f}{1 / max(other, 1e-9):8.0f}{own / other:8.2f}" if other else ""), flush=True)
    bases = {side: medians.get(("plaintext", side), 0) for side in ("ours", "postfix")}
    print(f'\n{"The handshake alone":28}{"":>9}{"µs":>8}{"per s":>8}{"Postfix µs":>12}{"per s":>8}{"ratio":>8}')
    for name, *_, library in ROWS[1:]:
        own, other = medians[name, "ours"] - bases["ours"], medians.get((name, "postfix"), 0) - bases["postfix"]
        line = f"{name:28}{library:>9}{own * 1e6:8.0f}{1 / max(own, 1e-9):8.0f}"
        print(line + (f"{other * 1e6:12.0f}{1 / max(other, 1e-9):8.0f}{own / other:8.2f}" if other > 0 else ""), flush=True)
    print()
    for name, *_ in ROWS:
        if theirs and not ANY_SPEED:
            ratio = medians[name, "ours"] / medians[name, "postfix"]
            checks.check(f"{name}: costs {ratio:.2f} of what it costs Postfix", ratio < COST_RATIO_MAX)
    checks.check("every row was measured", all(len(taken) == ROUNDS for taken in measured.values()))


def idle(server, version, cipher, count):
    """KiB that one idle session holds."""
    context, held = version and client_context(version, cipher), []
    # What the first session loads is no cost of a session.
    held.append(begin(server.port, context))
    before = pss_kib(server.processes())
    try:
        for _ in range(count):
            held.append(begin(server.port, context))
        return (pss_kib(server.processes()) - before) / count
    finally:
        for connection in held:
            connection.close()


def memory():
    print(f'\n{"Memory of one idle session":28}{"library":>9}{"KiB":>8}{"Postfix KiB":>13}')
    for name, version, cipher, key, library in ROWS:
        if key == "rsa":
            continue
        # New processes each time: memory that was used before would not count again.
        ours[key].daemon.stop()
        ours[key].daemon.start()
        own = idle(ours[key], version, cipher, SESSIONS)
        if theirs:
            theirs[key].postfix.restart(greets)
        other = f"{idle(theirs[key], version, cipher, POSTFIX_SESSIONS):13.0f}" if theirs else ""
        print(f"{name:28}{library:>9}{own:8.1f}{other}", flush=True)
        checks.check(f"{SESSIONS} idle sessions, {name}: {own:.1f} KiB each", own < SESSION_KIB_MAX)
    print()


ANY_SPEED = bool(os.environ.get("ANY_SPEED"))
checks = rig.Checks()
folder = rig.scratch("handshake-cost")
resource.setrlimit(resource.RLIMIT_NOFILE, (8192, max(8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
rig.on_exit(lambda: shutil.rmtree(folder, ignore_errors=True))
certificates = {key: tls_rig.self_signed(folder, "mx1.example.org", key, key) for key in ("ec", "rsa")}
sink = Sink()
ours = {key: Ours(key) for key in certificates}
rig.on_exit(*(server.close for server in ours.values()))
theirs = start_postfix()
handshakes()
memory()
for server in ours.values():
    checks.check("no panic", "panic" not in server.daemon.log.read_text())
    checks.equal("stops in order", server.daemon.stop(), 0)
checks.finish()
