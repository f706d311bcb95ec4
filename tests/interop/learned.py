#!/usr/bin/env python3
"""Learned TLS from the first delivery on: a level rises, holds through kill -9, is violated, alarms once, and is met again; five
unrelated destinations that lose TLS together are taken for our own path.

Needs root (port 25 of addresses in 127.23.0.0/16).
"""

import json
import os
import re
import socket
import struct
import subprocess
import threading

import rig
from rig import Client, Daemon, Sink, message, wait_for

DNS_ADDRESS, SMTP_PORT = "127.23.0.53", 25
# recipient domain -> (mail host, its address); each in a network and under a name of its own
BANK = {"bank.test": ("mx.bank.test", "127.23.0.1")}
OTHERS = {f"d{n}.test": (f"mx.host{n}.test", f"127.23.{n}.1") for n in range(1, 6)}
# A second mail host of bank.test that takes no mail while the first one does.
BACKUP = ("backup.bank.test", "127.23.0.2")
HOSTS = {**BANK, **OTHERS}
TYPES = {"A": 1, "MX": 15}

checks = rig.Checks()


class Dns:
    """Answers MX and A from HOSTS and has nothing else."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((DNS_ADDRESS, 0))
        self.port = self.socket.getsockname()[1]
        self.addresses = dict([*HOSTS.values(), BACKUP])
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            question, client = self.socket.recvfrom(4096)
            self.socket.sendto(self.answer(question), client)

    def answer(self, question):
        name, end = self.name(question, 12)
        kind = struct.unpack_from("!H", question, end)[0]
        records = []
        if kind == TYPES["MX"] and name in HOSTS:
            hosts = [HOSTS[name][0], *([BACKUP[0]] if name in BANK else [])]
            records = [struct.pack("!H", 10 + place) + self.wire(host) for place, host in enumerate(hosts)]
        elif kind == TYPES["A"] and name in self.addresses:
            records = [socket.inet_aton(self.addresses[name])]
        is_known = name in HOSTS or name in self.addresses
        head = question[:2] + struct.pack("!HHHHH", 0x8180 | (0 if is_known else 3), 1, len(records), 0, 0)
        body = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(data)) + data for data in records)
        return head + question[12:end + 4] + body

    @staticmethod
    def wire(name):
        return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"

    @staticmethod
    def name(question, at):
        labels = []
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode().lower())
            at += 1 + question[at]
        return ".".join(labels), at + 1


class Hosts:
    """The mail hosts of some domains, with STARTTLS or without."""

    def __init__(self, domains, tls):
        self.sinks = {domain: Sink(tls=tls, address=address, port=SMTP_PORT) for domain, (_, address) in domains.items()}

    def count(self):
        return sum(sink.count() for sink in self.sinks.values())

    def close(self):
        for sink in self.sinks.values():
            sink.close()


def command(daemon, *words):
    done = subprocess.run([rig.GATEPOST, *words, "--config", str(daemon.config)], env={**os.environ, "NO_COLOR": "1"},
                          check=False, capture_output=True, timeout=60)
    return done.returncode, done.stdout.decode()


def learned(daemon, domain, *words):
    code, text = command(daemon, "learned", "list", "--domain", domain, "--json", *words)
    return json.loads(text)[0] if code == 0 else None


def send(port, domains):
    client = Client(port)
    client.say("EHLO client.test")
    for domain in domains:
        address = f"a@{domain}"
        checks.matches(f"mail to {domain} is accepted", client.mail("a@sender.test", [address], message(address)), "^250")
    client.say("QUIT")
    client.close()


def alerts(folder):
    path = folder / "control" / "alerts"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def states(folder, subject):
    return [alert["state"] for alert in alerts(folder) if alert["alert"] == subject]


def details(daemon, event):
    return [record["detail"] for record in daemon.records(event)]


def rises(daemon, port, tls):
    """Three deliveries and a look at the backup host, and the level is in force, also for whoever looks while no daemon runs."""
    hosts, backup = Hosts(BANK, tls), Sink(tls=tls, address=BACKUP[1], port=SMTP_PORT)
    for number in range(3):
        checks.equal(f"nothing is in force before delivery {number + 1}", details(daemon, "learned.raised"), [])
        send(port, BANK)
        checks.check("it is delivered", wait_for(lambda number=number: hosts.count() == number + 1))
    checks.check("the backup host is looked at, and nothing is sent there", wait_for(lambda: len(backup.handshakes) == 1) and not backup.named)
    wait_for(lambda: "backup.bank.test" in str(learned(daemon, "bank.test")))
    send(port, BANK)
    checks.check("it is delivered", wait_for(lambda: hosts.count() == 4))
    wait_for(lambda: details(daemon, "learned.raised"))
    raised = details(daemon, "learned.raised")
    checks.matches("the level rises, once, with its evidence", raised, r"^\['bank\.test: the learned level rises from none to encrypt: 3 deliveries on 1 days [^']*by backup\.bank\.test, mx\.bank\.test'\]$")
    checks.check("the metric tells", wait_for(lambda: daemon.metric("gatepost_learned_domains", level="encrypt") == 1))
    # On disk within a second, not at once. Where nobody listens, the file itself is read.
    beside = ("--socket", str(daemon.folder / "nobody.sock"))
    wait_for(lambda: (learned(daemon, "bank.test", *beside) or {}).get("in_force"), 10)
    wait_for(lambda: len(daemon.records("outbound.delivered")) == 4, 10)
    daemon.kill()
    stopped = learned(daemon, "bank.test")
    checks.equal("after kill -9 it is on disk", stopped and stopped["in_force"]["level"], "encrypt")
    daemon.start()
    running = learned(daemon, "bank.test")
    checks.equal("the next daemon has it", running, stopped)
    hosts.close()
    backup.close()


def is_violated(daemon, port, folder):
    """The host offers no STARTTLS any more: nothing goes out, and one alarm is told."""
    hosts = Hosts(BANK, None)
    send(port, BANK)
    deferred = lambda: [record for record in daemon.records("outbound.deferred") if record["reason"] == "starttls-not-supported"]
    checks.check("the mail is kept back", wait_for(lambda: len(deferred()) >= 3))
    checks.check("and says by what", any("(learned)" in because for because in deferred()[0]["requirement"]["because"]),
                 deferred()[0]["requirement"])
    checks.check("the alert arrives", wait_for(lambda: alerts(folder)))
    checks.equal("once", states(folder, "learned.violation"), ["raised"])
    alert = alerts(folder)[0]
    found = {key: alert.get(key) for key in ("domain", "mx", "wanted", "reason", "node")}
    checks.equal("the alert tells what is wrong", found, {
        "domain": "bank.test", "mx": "mx.bank.test", "wanted": "encrypt", "reason": "starttls-not-supported", "node": "mx1.example.org"})
    violations = daemon.records("learned.violation")
    checks.equal("one violation is on record, with its message", [bool(record["message"]) for record in violations], [True])
    checks.check("each is counted", daemon.metric("gatepost_learned_violations_total") >= 3)
    daemon.kill()
    daemon.start()
    checks.check("tried again after kill -9", wait_for(lambda: daemon.metric("gatepost_learned_violations_total") >= 1))
    status = daemon.ask("status")["destinations"]
    checks.equal("the alarm stands", (status["alarm_count"], status["alarms"][0]["domain"]), (1, "bank.test"))
    checks.equal("and nobody is told again", states(folder, "learned.violation"), ["raised"])
    checks.matches("status shows it", command(daemon, "status")[1], r"destinations lack TLS.*alarm +1 domain below that: bank\.test since")
    checks.equal("nothing went out", hosts.count(), 0)
    hosts.close()


def is_met_again(daemon, port, folder, tls):
    hosts = Hosts(BANK, tls)
    checks.check("with STARTTLS the mail is delivered", wait_for(lambda: hosts.count() == 1))
    checks.equal("one delivery is not enough to be sure", states(folder, "learned.violation"), ["raised"])
    for number in range(2):
        send(port, BANK)
        checks.check("it is delivered", wait_for(lambda number=number: hosts.count() == number + 2))
    checks.check("then it is over", wait_for(lambda: states(folder, "learned.violation") == ["raised", "cleared"]), alerts(folder))
    checks.equal("no alarm stands", daemon.ask("status")["destinations"]["alarm_count"], 0)
    checks.equal("all of it went over TLS", {entry["tls"] for sink in hosts.sinks.values() for entry in sink.taken()}, {True})
    hosts.close()


def path_is_suspected(daemon, port, folder, tls):
    """Five destinations that have nothing to do with each other lose TLS, and get it back."""
    hosts = Hosts(OTHERS, tls)
    send(port, OTHERS)
    checks.check("they have TLS", wait_for(lambda: hosts.count() == len(OTHERS)))
    checks.equal("stops in order", daemon.stop(), 0)
    hosts.close()
    daemon.start()
    hosts = Hosts(OTHERS, None)
    send(port, OTHERS)
    checks.check("our own path is suspected", wait_for(lambda: states(folder, "path.interference") == ["raised"]), alerts(folder))
    alert = next(alert for alert in alerts(folder) if alert["alert"] == "path.interference")
    checks.equal("by these", (alert["count"], alert["destinations"]), (5, sorted(OTHERS)))
    checks.check("the metric tells", wait_for(lambda: daemon.metric("gatepost_path_interference_suspected") == 1))
    status = daemon.ask("status")["destinations"]["interference"]
    checks.equal("the socket tells", status["destinations"], sorted(OTHERS))
    checks.matches("the page tells, and where to look", re.sub(r"\s+", " ", command(daemon, "status")[1]),
                   "TLS is lost on our own path.*d1.test, d2.test.*250-XXXXXXXA")
    checks.matches("the log tells", daemon.log.read_text(), "ERROR.*TLS is being taken out of sessions on our own path")
    checks.equal("nothing went out", hosts.count(), 0)
    hosts.close()
    hosts = Hosts(OTHERS, tls)
    checks.check("with TLS all is delivered", wait_for(lambda: hosts.count() == len(OTHERS)))
    checks.check("the suspicion ends", wait_for(lambda: states(folder, "path.interference") == ["raised", "cleared"]), alerts(folder))
    wait_for(lambda: len(details(daemon, "path.interference")) == 2)
    checks.equal("both are on record", len(details(daemon, "path.interference")), 2)
    hosts.close()


def is_forgotten(daemon):
    code, text = command(daemon, "learned", "forget", "bank.test")
    checks.matches("the operator may forget it", f"{code} {text}", "^0 .*bank.test is forgotten")
    checks.equal("then nothing is known", (learned(daemon, "bank.test"), command(daemon, "learned", "forget", "bank.test")[0]), (None, 1))
    # What is durable in the journal reaches the log a moment later.
    wait_for(lambda: details(daemon, "queue.admin"))
    checks.matches("on record with who asked", details(daemon, "queue.admin"), "all that was learned of bank.test is forgotten, asked for by uid 0")


def main():
    rig.within_a_day(120)
    if os.geteuid() != 0:
        print("SKIPPED  it needs root, for port 25", flush=True)
        checks.check("port 25 can be used", not os.environ.get("CI"))
        return checks.finish()
    folder, dns, port = rig.scratch("learned"), Dns(), rig.free_port()
    tls = rig.self_signed(folder, "mx.test", "host")
    program = folder / "page.sh"
    # One write for each alert, so that no reader sees half of it.
    program.write_text(f'#!/bin/sh\nread -r alert && printf "%s\\n" "$alert" >>{folder}/control/alerts 2>/dev/null\n')
    program.chmod(0o755)
    domains = {name: f'domains = ["{name}"]\n[outbound]\ntls = "encrypt"\n' for name in OTHERS}
    defaults = (f'[dns]\nservers = ["{DNS_ADDRESS}:{dns.port}"]\nallow_targets = ["127.0.0.0/8"]\n[relay]\ntrusted = ["127.0.0.0/8"]\n'
                '[default.outbound]\nlearn = "enforce"\n[learn]\ndeliveries = 3\ndays = 1\n'
                f'[alert]\ncommand = ["{program}"]\nquiet = "1s"\n')
    listeners = f'[[listener]]\nname = "smart"\nbind = ["127.0.0.1:{port}"]\nrole = "smarthost"\n'
    daemon = Daemon(folder, domains, defaults, listeners=listeners, spool_keys='retry = ["1s"]\n', metrics_port=rig.free_port())
    daemon.port = port
    rig.on_exit(daemon.close)
    daemon.start()
    rises(daemon, port, tls)
    is_violated(daemon, port, folder)
    is_met_again(daemon, port, folder, tls)
    path_is_suspected(daemon, port, folder, tls)
    is_forgotten(daemon)
    checks.check("no panic", "panic" not in daemon.log.read_text())
    checks.equal("stops in order", daemon.stop(), 0)
    checks.equal("the audit chain holds", daemon.broken_links(), [])
    return checks.finish()


main()
