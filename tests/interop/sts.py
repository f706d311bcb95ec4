#!/usr/bin/env python3
"""MTA-STS and REQUIRETLS end to end: every case of sts_cases.py and what TLS reports tell of it, the life of policies that are kept,
and sessions that domains of unlike strictness share.

    sts.py [CASE…]      the table alone, or some of its cases

Needs root (ports 25 and 443 of addresses in 127.0.0.0/8) and openssl; cc for the clock of the policies' life.
"""

import email
import os
import shutil
import sys
import threading

import rig
import sts_cases
import sts_life
import sts_reports
import sts_shared
import sts_web
import sts_world
from rig import Sink, wait_for
from sts_world import Gatepost, World, outcome, recipient, why

# A web server that is slow has a minute.
SETTLED_SECONDS_MAX = 80

checks = rig.Checks()


def judge(case, record, gatepost):
    """One case of the table: outcome, what was known, what the hosts saw, what the log says."""
    found, what = outcome(record), f"{case.name} ({case.section})"
    if not checks.check(f"{what}: {case.expect}", found == case.expect, f"found {found!r}: {why(record)}"):
        return
    published = record.get("published") or {}
    checks.equal(f"{what}: what is on record of the policy", published.get("mta_sts"), case.known)
    hosts, to = gatepost.world.hosts[case.name], recipient(case)
    taken = [[entry for entry in host.taken() if to in entry["to"]] for host in hosts]
    if case.expect.startswith("delivered") and hosts:
        expected = [int(place == case.delivers - 1) for place in range(len(hosts))]
        checks.equal(f"{what}: the right host took it, once", [len(entries) for entries in taken], expected)
        entry = (taken[case.delivers - 1] or [None])[0]
        checks.equal(f"{what}: in plaintext only if so expected", entry and not entry["tls"], found == sts_cases.PLAINTEXT)
        if found == sts_cases.WEBPKI:
            # RFC 8461 section 7.1
            checks.equal(f"{what}: the server name is the host's", sorted(map(str, set(hosts[case.delivers - 1].heard))), [record["mx"]])
        checks.equal(f"{what}: REQUIRETLS goes on", entry and "REQUIRETLS" in entry["parameters"], case.asks == "requiretls")
    elif not case.expect.startswith("delivered"):
        checks.equal(f"{what}: no host heard of the recipient", [host.heard_of(to) for host in hosts], [0] * len(hosts))
    if case.told:
        told = [line for line in gatepost.log_of(case.domain) if case.told in line]
        checks.check(f"{what}: the log says \"{case.told}\"", told, str(gatepost.log_of(case.domain)[-3:]))


def judge_connections(world):
    """Who was not to be connected to, or not to be asked."""
    for name in ("enforce-unlisted", "second-host-is-listed", "no-mx-and-unlisted", "smart-host-unlisted"):
        if name in world.hosts:
            checks.equal(f"{name}: the host that is not listed was not connected to", world.hosts[name][0].connections, 0)
    checks.equal("web-forbidden (3.3): nobody connected to the forbidden address", world.forbidden.connections, 0)
    checks.equal("web-redirect (3.3): nobody followed it", [asked for asked in world.web.asked if asked[1] != sts_web.PATH], [])
    asked = [name for name, _ in world.web.asked if name in ("mta-sts.no-record.sts.test", "mta-sts.off.sts.test")]
    checks.equal("no policy is asked for where none is announced, nor where it is switched off", asked, [])


def judge_repetition(gatepost, cases):
    """RFC 8461 section 3.3: neither a policy nor a failure is fetched anew for each message."""
    again = [case for case in cases if case.name in ("valid", "web-404", "web-wrong-name")]
    gatepost.send(again, "again")
    found = gatepost.settled(again, "again")
    for case in again:
        name = f"mta-sts.{case.domain.rstrip('.')}"
        # Of a certificate that does not hold no request comes.
        expected = 0 if case.web == "wrong-name" else 1
        checks.equal(f"{case.name}: again, and the web server was asked once", sum(asked == name for asked, _ in gatepost.world.web.asked), expected)
        checks.check(f"{case.name}: again, to the same end", outcome(found[case.name]) == case.expect, why(found[case.name]))


def judge_roots(folder, world):
    """The file of $SSL_CERT_FILE is read wherever it is."""
    gatepost = Gatepost(folder, world, roots=world.roots)
    try:
        gatepost.daemon.start()
        cases = [case for case in world.cases if case.name == "any-case"]
        gatepost.send(cases, "roots")
        record = gatepost.settled(cases, "roots")["any-case"]
        checks.check("roots in a folder of their own: delivered webpki", outcome(record) == sts_cases.WEBPKI, why(record))
    finally:
        gatepost.close()


def judge_bounces(homes, gatepost):
    """RFC 8689 section 5: what comes back of a message that demanded TLS is protected as well, and has no body."""
    def of(domain):
        return [entry for entry in homes["home"].taken() if f"rfc822; b@{domain}".encode() in entry["data"]]
    wait_for(lambda: of("demand-lacking.secure.test"), 20)
    bounces = of("demand-lacking.secure.test")
    if not checks.equal("demand-lacking: one bounce came back", [(entry["from"], entry["to"]) for entry in bounces], [("", ["a@home.test"])]):
        return
    bounce = bounces[0]
    checks.check("demand-lacking: the bounce came by TLS", bounce["tls"])
    checks.check("demand-lacking: and demands it of the next host", "REQUIRETLS" in bounce["parameters"], str(bounce["parameters"]))
    parts = email.message_from_bytes(bounce["data"]).get_payload()
    fields = parts[1].get_payload()[1]
    checks.equal("demand-lacking: status", fields["Status"], "5.7.30")
    checks.equal("demand-lacking: recipient", fields["Final-Recipient"], "rfc822; b@demand-lacking.secure.test")
    checks.check("demand-lacking: no body comes back", b"the body itself" not in bounce["data"])
    checks.equal("demand-lacking: the header does", parts[2].get_content_type(), "text/rfc822-headers")

    def waits():
        return [record for record in gatepost.daemon.records("outbound.deferred", to=["a@bare.test"]) if not record["from"]]
    found = wait_for(waits, 10)
    checks.equal("demand-lacking-bare-sender: the bounce waits for TLS", found and found[0]["reason"], "starttls-not-supported")
    checks.equal("demand-lacking-bare-sender: and nothing of it went out", (homes["bare"].count(), homes["bare"].named), (0, []))

    def stays():
        return [record for record in gatepost.daemon.records("outbound.deferred", to=["a@stranger.test"]) if not record["from"]]
    found = wait_for(stays, 10)
    checks.equal("demand-lacking-strange-sender: the bounce waits for a certificate", found and found[0]["reason"], "certificate-not-trusted")
    checks.equal("demand-lacking-strange-sender: and nothing of it went out", (homes["stranger"].count(), homes["stranger"].named), (0, []))
    wait_for(lambda: of("demand-secure-mx-self-signed.secure.test"), 10)
    told = [(entry["data"].count(b"Status: 5.7.10")) for entry in of("demand-secure-mx-self-signed.secure.test")]
    checks.equal("demand-secure-mx-self-signed: the bounce says that encryption is needed", told, [1])


def table(gatepost, homes, cases, parts):
    refused = gatepost.send(cases)
    checks.equal("every message is accepted", refused, [])
    for part in parts:
        part()
    found = gatepost.settled(cases, seconds=SETTLED_SECONDS_MAX)
    for case in cases:
        judge(case, found[case.name], gatepost)
    for case in cases:
        print(f"      {case.name:48}{outcome(found[case.name]):44}{case.section}", flush=True)
    sts_reports.judge(checks, gatepost, cases)
    judge_repetition(gatepost, cases)
    judge_connections(gatepost.world)
    if not sys.argv[1:]:
        judge_bounces(homes, gatepost)
    checks.check("no panic", "panic" not in gatepost.daemon.log.read_text())
    checks.equal("the audit chain holds", gatepost.daemon.broken_links(), [])
    checks.equal("stops in order", gatepost.daemon.stop(), 0)


def main():
    rig.within_a_day(240)
    if not sts_world.is_there():
        print("SKIPPED  it needs root", flush=True)
        checks.check("the servers can be run", not os.environ.get("CI"))
        return checks.finish()
    cases = [case for case in sts_cases.CASES if not sys.argv[1:] or case.name in sys.argv[1:]]
    folder = rig.scratch("sts")
    rig.on_exit(lambda: os.environ.get("KEEP") or shutil.rmtree(folder, ignore_errors=True))
    (folder / "table").mkdir()
    world = World(folder / "table", cases + sts_shared.CASES)
    trusted = world.certificates.leaf("home", "unsent", ["home.test"], "ec")[0]
    homes = {"home": Sink(tls=trusted, extensions=("8BITMIME", "REQUIRETLS")), "bare": Sink(), "sender": Sink(),
             "stranger": Sink(tls=rig.self_signed(folder, "stranger.test"), extensions=("8BITMIME", "REQUIRETLS"))}
    gatepost = Gatepost(folder / "table/daemon", world, homes)
    rig.on_exit(world.close, gatepost.close)
    gatepost.daemon.start()
    parts = []
    if not sys.argv[1:]:
        (folder / "life").mkdir()
        life = threading.Thread(target=sts_life.run, args=(checks, folder / "life"), daemon=True)
        parts = [life.start, lambda: sts_shared.run(checks, gatepost), lambda: judge_roots(folder / "table/roots", world), life.join]
    table(gatepost, homes, cases, parts)
    return checks.finish()


main()
