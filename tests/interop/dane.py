#!/usr/bin/env python3
"""DANE against a signed DNS tree: every case of dane_cases.py through the real daemon, once as a validator of its own and once
behind a validating resolver, and through a Postfix beside it on the same zones. Any difference to Postfix has to be explained.

    dane.py [trust-ad] [validate] [postfix] [CASE…]      some of the runs, some of the cases

Needs root, nsd, bind9-utils, unbound, openssl, and postfix for its part.
"""

import os
import shutil
import sys
import time

import dane_cases
import dane_hosts
import dane_postfix
import dns_rig
import postfix_rig
import rig
from rig import Client, Daemon, Sink, message, wait_for

SETTLED_SECONDS_MAX = 120
RESOLVERS = {"trust-ad": ("validating", dns_rig.VALIDATING), "validate": ("plain", dns_rig.PLAIN), "postfix": ("validating", dns_rig.VALIDATING)}
# What the audit record says of where the host's name came from.
SECURITY = {"ee-311": "secure", "kumomta543-nxdomain-is-absence": "secure", "all-insecure": "insecure"}

checks = rig.Checks()


def fits(outcome, expected):
    """Whether an outcome is the expected one, of which the reason may have alternatives."""
    kind, word = expected.split(" ", 1)
    return outcome in [f"{kind} {alternative}" for alternative in word.split("|")]


def recipient(run, case):
    return f"{run}@{case.domain.rstrip('.')}"


class Gatepost:
    """One daemon for all cases, with this kind of DNSSEC."""

    def __init__(self, run, folder, world, cases):
        self.run, self.cases, self.home = run, cases, Sink()
        folder.mkdir()
        domains = {"home": f'domains = ["sender.test"]\nhosted = true\nrecipients = "any"\n[route]\nhosts = ["127.0.0.1:{self.home.port}"]\n'}
        for case in cases:
            keys = f"[outbound]\n{case.keys}\n" if case.keys else ""
            if case.route:
                keys += f'[route]\nhosts = ["{case.absolute(case.route).rstrip(".")}:{case.port}"]\n'
            if keys:
                domains[case.name] = f'domains = ["{case.domain.rstrip(".")}"]\n{keys}'
        anchor = f'trust_anchor = "{world.tree.anchor}"\n' if run == "validate" else ""
        self.port = rig.free_port()
        listeners = f'[[listener]]\nname = "smart"\nbind = ["127.0.0.1:{self.port}"]\nrole = "smarthost"\n'
        self.daemon = Daemon(folder, domains, f'[dns]\nservers = ["{RESOLVERS[run][1]}:53"]\ndnssec = "{run}"\n{anchor}'
                             'allow_targets = ["127.0.0.0/8"]\n[relay]\ntrusted = ["127.0.0.0/8"]\n', listeners=listeners,
                             spool_keys='retry = ["1h"]\n')
        self.daemon.port = self.port

    def send(self):
        self.daemon.start()
        client = Client(self.port)
        client.say("EHLO client.test")
        for case in self.cases:
            answer = client.mail("a@sender.test", [recipient(self.run, case)], message(recipient(self.run, case)))
            if not answer.startswith("250"):
                checks.matches(f"{self.run}, {case.name}: accepted", answer, "^250")
        client.say("QUIT")
        client.close()

    def settled(self):
        """The first end of each recipient: its record."""
        found = {}
        for record in self.daemon.records():
            if record["event"] in ("outbound.delivered", "outbound.deferred", "outbound.bounced"):
                for address in record["to"]:
                    found.setdefault(address, record)
        return found

    def outcomes(self):
        """What each case came to, and what is known about why."""
        self.send()
        wanted = {recipient(self.run, case) for case in self.cases}
        wait_for(lambda: wanted <= set(self.settled()), SETTLED_SECONDS_MAX, 0.5)
        found = self.settled()
        return {case.name: self.outcome(found.get(recipient(self.run, case))) for case in self.cases}

    def outcome(self, record):
        if record is None:
            return "nothing", "no record"
        facts = record["tls"]
        why = f"{record.get('detail')} {record.get('reply')} {record.get('dnssec')} {record.get('requirement')}"
        if record["event"] != "outbound.delivered":
            return f"{record['event'].removeprefix('outbound.')} {record.get('reason')}", why
        verified = facts and (facts.get("peer") or {}).get("verified")
        level = "plaintext" if facts is None else "dane" if verified == "dane" else "encrypted" if verified in (None, "none") else verified
        return f"delivered {level}", why

    def end(self):
        found = self.settled()
        for case in self.cases:
            if case.name in SECURITY:
                record = found.get(recipient(self.run, case)) or {}
                checks.equal(f"{self.run}, {case.name}: the record's word for DNSSEC", record.get("dnssec"), SECURITY[case.name])
        checks.check(f"{self.run}: no panic", "panic" not in self.daemon.log.read_text())
        checks.equal(f"{self.run}: the audit chain holds", self.daemon.broken_links(), [])
        checks.equal(f"{self.run}: stops in order", self.daemon.stop(), 0)

    def close(self):
        self.daemon.close()


def what_hosts_saw(run, case, hosts, before, expected):
    """The hosts are the judges of what was really sent, and of the name that was asked for."""
    what, address = f"{run}, {case.name}", recipient(run, case)
    seen = [[session for to, session in host.named if to == address] for host in hosts]
    if not expected.startswith("delivered"):
        return checks.equal(f"{what}: no host heard of the recipient", sum(map(len, seen)), 0)
    taker = case.delivers - 1
    checks.equal(f"{what}: one host took it once", [len(sessions) for sessions in seen], [int(place == taker) for place in range(len(hosts))])
    checks.equal(f"{what}: in plaintext only if so expected", seen[taker][:1] == [None], expected == dane_cases.PLAINTEXT)
    if expected == dane_cases.DANE:
        names = sorted(set(hosts[taker].heard[before[taker]:]), key=str)
        checks.equal(f"{what}: the server name is the TLSA base domain", names, [case.absolute(case.base).rstrip(".")])


def judge(run, cases, world, runner):
    """All cases through one runner; what it made of each."""
    resolver = RESOLVERS[run][0]
    before = {case.name: [len(host.heard) for host in world.hosts[case.name]] for case in cases}
    asked_before = len(world.tree.asked(resolver, "TLSA"))
    started = time.monotonic()
    outcomes = runner.outcomes()
    print(f"{run}: {len(cases)} cases in {time.monotonic() - started:.0f} s", flush=True)
    asked = set(world.tree.asked(resolver, "TLSA")[asked_before:])
    found = {}
    for case in cases:
        outcome, why = outcomes[case.name]
        found[case.name] = outcome
        expected = dane_postfix.expected(case) if run == "postfix" else case.expect
        if expected is None:
            continue
        if not checks.check(f"{run}, {case.name} ({case.section}): {expected}", fits(outcome, expected), f"found {outcome!r}: {why}"):
            continue
        what_hosts_saw(run, case, world.hosts[case.name], before[case.name], expected)
        if run != "postfix":
            for name in case.unasked:
                checks.check(f"{run}, {case.name}: nobody asks for TLSA records there", case.absolute(name) not in asked)
    return found


def side_by_side(cases, found):
    runs = list(found)
    print("\n" + f"{'':50}" + "".join(f"{run:36}" for run in runs))
    for case in cases:
        row = "".join(f"{found[run][case.name]:36}" for run in runs)
        reason = dane_postfix.EXPLAINED.get(case.name)
        print(f"{case.name:50}{row}{case.section}" + (f"\n{'':50}Postfix: {reason[1]}" if reason and "postfix" in found else ""))
    print(flush=True)


def main():
    runs = [run for run in RESOLVERS if run in sys.argv[1:]] or list(RESOLVERS)
    names = [word for word in sys.argv[1:] if word not in RESOLVERS]
    cases = [case for case in dane_cases.CASES if not names or case.name in names]
    if not dns_rig.is_there() or ("postfix" in runs and not postfix_rig.is_there()):
        print("SKIPPED  it needs root, nsd, bind9-utils, unbound and postfix", flush=True)
        checks.check("the servers can be run", not os.environ.get("CI"))
        return checks.finish()
    folder = rig.scratch("dane")
    folder.chmod(0o755)
    rig.on_exit(lambda: os.environ.get("KEEP") or shutil.rmtree(folder, ignore_errors=True))
    world = dane_hosts.World(folder, cases)
    rig.on_exit(world.close)
    world.tree.start()
    dns_rig.check_tree(checks)
    found = {}
    for run in runs:
        runner = dane_postfix.Postfix(world, cases) if run == "postfix" else Gatepost(run, folder / run, world, cases)
        rig.on_exit(runner.close)
        found[run] = judge(run, cases, world, runner)
        runner.end()
        runner.close()
    if "postfix" in runs and not names:
        dane_postfix.check_explanations(checks, cases)
    side_by_side(cases, found)
    return checks.finish()


main()
