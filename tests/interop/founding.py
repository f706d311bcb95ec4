#!/usr/bin/env python3
"""The founding scenario: one domain asks for TLS 1.2, everybody else for nothing, and every part says the same of it.

A scanner sees TLS 1.0 offered, the refusal comes at RCPT, `selftest` and `policy explain` agree. Then a week of mail
(RECORDS of them, 200,000 unless $RECORDS says so) from before the domain asked: `audit what-if` lists exactly the senders
and hosts that were generated weak, and the same setting put in force refuses exactly those, each in a session of its own
from its own address.

Needs openssl, sslscan, and 127.0.0.0/8 to connect from.
"""

import collections
import concurrent.futures
import ipaddress
import os
import re
import shutil
import subprocess

import rig
import tls_rig
import traffic_rig
from rig import Daemon, wait_for
from tls_rig import SClient

RECORDS = int(os.environ.get("RECORDS", 200_000))
SESSIONS_AT_ONCE = 16
SETTING = '\n[inbound]\nmin_version = "TLSv1.2"\n'
WEAK = "ALL:@SECLEVEL=0"
ROUTE = 'hosted = true\nrecipients = "any"\n[route]\nhosts = ["127.0.0.1:1"]\n'

checks = rig.Checks()
folder = rig.scratch("founding")
rig.on_exit(lambda: os.environ.get("KEEP") or shutil.rmtree(folder, ignore_errors=True))
traffic_rig.many_files()


def certificates(home):
    """Of both kinds: old suites need RSA."""
    home.mkdir(exist_ok=True)
    for stem, key in [("ec", "ec"), ("rsa", "rsa")]:
        tls_rig.self_signed(home, "mx1.gatepost.example", stem, key)
    return "".join(f'[[certificate]]\nchain = "{stem}.pem"\nkey = "{stem}.key"\n' for stem in ("ec", "rsa"))


def daemon_with(home, domains):
    certificate = certificates(home)
    daemon = Daemon(home, domains, '[limits]\nmax_connections = 4000\n', certificates=certificate)
    rig.on_exit(daemon.close)
    return daemon.start()


def scanned(port):
    done = subprocess.run(["sslscan", "--no-colour", "--timeout=20", "--starttls-smtp", f"127.0.0.1:{port}"], capture_output=True, timeout=120,
                          check=False)
    return set(re.findall(r"^(TLSv[0-9.]+) +enabled", done.stdout.decode("utf-8", "replace"), re.M))


def one_domain_asks():
    daemon = daemon_with(folder / "scenario", {"bank": f'domains = ["bank.example"]\n{ROUTE}{SETTING}',
                                               "other": f'domains = ["other.example"]\n{ROUTE}'})
    told = {}
    for version, expected in {"TLSv1": ("554", "250"), "TLSv1.1": ("554", "250"), "TLSv1.2": ("250", "250"),
                              "TLSv1.3": ("250", "250")}.items():
        with SClient(daemon.port, tls_rig.FLAGS[version], "-cipher", WEAK) as client:
            mail, replies = client.walk("a@sender.example", "b@bank.example", "b@other.example")
            cipher = client.cipher
        checks.equal(f"{version}: MAIL is taken", mail[:3], "250")
        checks.equal(f"{version}: replies at RCPT", tuple(reply[:3] for reply in replies), expected)
        for domain, reply in zip(("bank", "other"), replies):
            _, answer, words = traffic_rig.gatepost(
                "policy", "explain", "--json", "--client", "127.0.0.1", "--from", "a@sender.example", "--to",
                f"b@{domain}.example", "--tls", version, "--cipher", cipher, config=daemon.config)
            explained = answer["reply"] if isinstance(answer, dict) else words
            same = without_id(explained or "250") == without_id(reply) if reply[:3] != "250" else explained[:3] == "250"
            checks.check(f"{version}, {domain}: policy explain gives the reply", same, f"{explained!r} for {reply!r}")
        told[version] = replies[0]
    checks.matches("the refusal says why", told["TLSv1"], r"^554 5\.7\.10 .*bank\.example.*TLSv1\.2.*TLSv1 ")
    code, answer, words = traffic_rig.gatepost("selftest", "--json", config=daemon.config)
    checks.equal("selftest: nothing differs", (code, isinstance(answer, dict) and answer["differences"]), (0, 0))
    if isinstance(answer, dict):
        checks.equal("selftest: by version, at bank.example", selftested(answer, "bank.example"),
                     {"TLSv1": {"refuse"}, "TLSv1.1": {"refuse"}, "TLSv1.2": {"accept"}, "TLSv1.3": {"accept"}})
    else:
        print(words[-500:])
    refused = lambda: [record for record in daemon.records("inbound.refused") if record["to"] == ["b@bank.example"]]
    records = wait_for(lambda: len(refused()) >= 2 and refused(), 10) or refused()
    found = {(r["tls"]["version"], r["policy"]["stage"], r["policy"]["reason"]) for r in records if r["from"] == "a@sender.example"}
    checks.equal("the refusals are on record", found, {(v, "rcpt", "version-below-minimum") for v in ("TLSv1", "TLSv1.1")})
    # Last: a scan fails so often that refusals of the same client are only counted for a while.
    checks.equal("a scanner sees every version offered", scanned(daemon.port), {"TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"})
    checks.equal("stops in order", daemon.stop(), 0)


def without_id(reply):
    return reply.split("; id=")[0]


def selftested(answer, domain):
    """The verdicts about mail to the domain by version."""
    listener = answer["listeners"][0]
    column = [c["column"] for c in listener["columns"] if c["about"] == "to" and domain in c["domains"]]
    verdicts = collections.defaultdict(set)
    for row in listener["rows"]:
        for verdict in row["verdicts"]:
            if row["handshake"] == "made" and verdict["column"] in column and verdict.get("verdict"):
                verdicts[row["version"]].add(verdict["verdict"])
    return dict(verdicts)


def hits(answer, key):
    """Messages that would be refused, by the names of a list."""
    found = collections.Counter()
    for group in answer["groups"]:
        if group["outcome"] == "newly_refused":
            found[group[key]] += group["messages"]
    return found


def what_if(week, truth):
    """What is listed by sender and by network equals what was generated."""
    weak = [pair for pair in truth["pairs"] if pair["weak"] and pair["messages"]]
    checks.check("there is something to find", len(weak) > 20, f"{len(weak)} weak pairs")
    ask = ["audit", "what-if", "--domain", truth["domain"], "--set", f"min_version={truth['min_version']}", "--since", "30d",
           "--limit", "0", "--format", "json"]
    expected = {"sender": collections.Counter(), "client": collections.Counter()}
    for pair in weak:
        expected["sender"][pair["domain"] or "<>"] += pair["messages"]
        expected["client"][str(ipaddress.ip_network(f"{pair['client']}/24", strict=False))] += pair["messages"]
    for key, wanted in expected.items():
        code, answer, words = traffic_rig.gatepost(*ask, "--by", key, config=week / "gatepost.toml")
        if not checks.check(f"what-if answers by {key}", code == 0 and isinstance(answer, dict), f"{code}: {words[-400:]}"):
            continue
        found = hits(answer, key)
        checks.equal(f"by {key}: exactly those that were generated weak", set(found) ^ set(wanted), set())
        checks.equal(f"by {key}: with their messages", found - wanted + (wanted - found), collections.Counter())
        others = {word: answer["outcomes"][word] for word in ("newly_accepted", "newly_deferred", "newly_reported", "unknown")}
        checks.equal(f"by {key}: nothing else changes", set(others.values()), {0})
        checks.equal(f"by {key}: the sum", answer["outcomes"]["newly_refused"], sum(wanted.values()))
        print(f"      {len(found)} of them, {sum(found.values())} messages of {answer['messages']}")


def in_force(week, truth):
    """The setting refuses each weak pair and no other."""
    files = {path.stem: path.read_text() for path in (week / "domains.d").glob("*.toml")}
    lists = {path.name: path.read_text() for path in (week / "domains.d").glob("*.txt")}
    home = folder / "in-force"
    (home / "domains.d").mkdir(parents=True)
    for name, text in lists.items():
        (home / "domains.d" / name).write_text(text)
    files["bank"] += SETTING
    daemon = daemon_with(home, files)

    def visit(pair):
        recipient = truth["to"] if pair["messages"] else truth["postmaster"]
        try:
            return pair, traffic_rig.session(daemon.port, pair, recipient)
        except (OSError, EOFError) as error:
            return pair, ((None, None), f"failed: {error}", "")

    with concurrent.futures.ThreadPoolExecutor(SESSIONS_AT_ONCE) as pool:
        visits = list(pool.map(visit, truth["pairs"]))
    strange = [(pair, found, mail) for pair, (found, mail, _) in visits
               if mail[:3] != "250" or found[0] != pair["version"] or (pair["version"] and found[1] != pair["cipher_openssl"]
                                                                       and pair["version"] != "TLSv1.3")]
    checks.equal(f"{len(visits)} sessions, each with the TLS that is on record", strange[:3], [])
    key = lambda pair: (pair["domain"], pair["client"])
    expected = {key(pair) for pair in truth["pairs"] if pair["weak"] and pair["messages"]}
    codes = lambda pair: "554" if pair["version"] else "550"
    refused = {key(pair) for pair, (_, _, rcpt) in visits if rcpt[:3] == codes(pair)}
    taken = {key(pair) for pair, (_, _, rcpt) in visits if rcpt[:3] == "250"}
    checks.equal("in force, exactly the weak ones are refused at RCPT", refused ^ expected, set())
    checks.equal("and all others are taken", taken, {key(pair) for pair in truth["pairs"]} - expected)
    spared = [pair for pair in truth["pairs"] if pair["weak"] and not pair["messages"]]
    print(f"      {len(refused)} refused, {len(taken)} taken, {len(spared)} of them weak and writing to the postmaster alone")

    def on_record():
        records = daemon.records("inbound.refused")
        return {(record["from"].rpartition("@")[2], record["client"]["ip"]) for record in records}

    wait_for(lambda: len(on_record()) >= len(expected), 20, 0.5)
    checks.equal("each refusal is on record", on_record() ^ expected, set())
    checks.check("no panic", "panic" not in daemon.log.read_text())
    checks.equal("stops in order", daemon.stop(), 0)


one_domain_asks()
week = folder / "week"
truth = traffic_rig.generate(week, RECORDS)
what_if(week, truth)
in_force(week, truth)
checks.finish()
