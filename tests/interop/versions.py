#!/usr/bin/env python3
"""Clients of every age against domains of every floor: each is answered as its policy says, and the log has what it saw.

Needs openssl. SSL 3.0, RC4 and 3DES need a client that still has them: a Python with nassl (PyPI), named by
$INTEROP_PYTHON (default: the one that runs this); without it those rows are skipped. Where $CI is set that is a
failure, unless PyPI cannot be reached.
"""

import json
import os
import re
import subprocess
import sys

import rig
import tls_rig
from rig import Daemon, Sink, wait_for
from tls_rig import FLAGS, SClient

OLD_CLIENT = [os.environ.get("INTEROP_PYTHON", sys.executable), str(rig.REPOSITORY / "tests/interop/old_client.py")]
WEAK = "@SECLEVEL=0"

checks = rig.Checks()
folder = rig.scratch("versions")
rig.authority(folder)
for stem, key in {"ec": "ec", "rsa": "rsa", "old": "rsa"}.items():
    tls_rig.self_signed(folder, "mx1.example.org", stem, key)
friend = tls_rig.issued(folder, "client.test", "friend")
known = tls_rig.self_signed(folder, "client.test", "known", "rsa")
relayer = tls_rig.self_signed(folder, "client.test", "relayer")
stranger = tls_rig.self_signed(folder, "client.test", "stranger")

sink = Sink()
ROUTE = f'recipients = "any"\n[route]\nhosts = ["127.0.0.1:{sink.port}"]\n'
FLOORS = {
    "none": "",
    "v12": '[inbound]\ntls = "required"\nmin_version = "TLSv1.2"\n',
    "aead": '[inbound]\ntls = "required"\nmin_version = "TLSv1.2"\ncipher = "aead"\n',
    "v13": '[inbound]\ntls = "required"\nmin_version = "TLSv1.3"\n',
}
CREDENTIALS = {
    "friend": f'[inbound]\nclient_certificate = ["sha256:{tls_rig.fingerprint(friend[0])}"]\n',
    "known": f'[inbound]\nclient_certificate = ["sha256:{tls_rig.key_fingerprint(known[1])}"]\n',
    "verified": '[inbound]\nclient_certificate = "verified"\n',
}
domains = {name: f'domains = ["{name}.example"]\nhosted = true\n{ROUTE}{floor}' for name, floor in {**FLOORS, **CREDENTIALS}.items()}
ports = {name: rig.free_port() for name in ["mx", "ancient", "certified", "smart"]}
REQUEST = 'request_client_certificate = true\nclient_ca = "ca.pem"\n'
LISTENERS = {"mx": 'role = "mx"\n', "ancient": 'role = "mx"\noffer = "SSLv3"\n', "certified": f'role = "mx"\n{REQUEST}',
             "smart": f'role = "smarthost"\n{REQUEST}'}
listeners = "".join(f'[[listener]]\nname = "{name}"\nbind = ["127.0.0.1:{ports[name]}"]\n{keys}' for name, keys in LISTENERS.items())
certificates = "".join(f'[[certificate]]\nchain = "{stem}.pem"\nkey = "{stem}.key"\n{keys}'
                       for stem, keys in [("ec", ""), ("rsa", ""), ("old", 'stack = "legacy"\n')])
defaults = f'[relay]\ntrusted = ["sha256:{tls_rig.fingerprint(relayer[0])}"]\n[default.route]\nhosts = ["127.0.0.1:{sink.port}"]\n'
daemon = Daemon(folder, domains, defaults, listeners, certificates=certificates, metrics_port=rig.free_port())
daemon.port = ports["mx"]
rig.on_exit(daemon.close)
daemon.start()

# name, listener, version, cipher by OpenSSL's name (None: the client's choice), stack, codes for the domains of FLOORS
ROWS = [
    ("SSLv3", "ancient", "SSLv3", "AES256-SHA", "openssl", (250, 554, 554, 554)),
    ("SSLv3 RC4", "ancient", "SSLv3", "RC4-SHA", "openssl", (250, 554, 554, 554)),
    ("TLSv1 3DES", "mx", "TLSv1", "DES-CBC3-SHA", "openssl", (250, 554, 554, 554)),
    ("TLSv1", "mx", "TLSv1", "ECDHE-RSA-AES256-SHA", "openssl", (250, 554, 554, 554)),
    ("TLSv1 ECDSA", "mx", "TLSv1", "ECDHE-ECDSA-AES128-SHA", "openssl", (250, 554, 554, 554)),
    ("TLSv1.1", "mx", "TLSv1.1", "ECDHE-RSA-AES128-SHA", "openssl", (250, 554, 554, 554)),
    ("TLSv1.2 AEAD", "mx", "TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384", "rustls", (250, 250, 250, 554)),
    ("TLSv1.2 ECDSA", "mx", "TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", "rustls", (250, 250, 250, 554)),
    ("TLSv1.2 CBC", "mx", "TLSv1.2", "ECDHE-RSA-AES256-SHA384", "openssl", (250, 250, 554, 554)),
    ("TLSv1.2 RSA", "mx", "TLSv1.2", "AES256-GCM-SHA384", "openssl", (250, 250, 554, 554)),
    ("TLSv1.2 DHE", "mx", "TLSv1.2", "DHE-RSA-AES256-GCM-SHA384", "openssl", (250, 250, 250, 554)),
    ("TLSv1.3", "mx", "TLSv1.3", None, "rustls", (250, 250, 250, 250)),
]
# Rows that Debian's OpenSSL cannot play.
FORGOTTEN = {"SSLv3", "SSLv3 RC4", "TLSv1 3DES"}
GROUPS = {"X25519": "x25519", "prime256v1": "secp256r1", "secp384r1": "secp384r1", "X448": "x448"}
MAIL = "Subject: hello\n\nhello\n."


def old_client(port, version, cipher, *commands):
    """What the old client prints; None where there is none."""
    done = subprocess.run([*OLD_CLIENT, str(port), version, cipher, *commands], capture_output=True, timeout=60, check=False)
    return None if done.returncode == 3 else json.loads(done.stdout)


def play(row, sender):
    """Walks one row to RCPT TO for each floor, and brings a message to the domain without one."""
    name, listener, version, cipher, _, _ = row
    recipients = [f"u@{floor}.example" for floor in FLOORS]
    if name in FORGOTTEN:
        commands = ["EHLO client.test", f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{r}>" for r in recipients), "DATA",
                    MAIL.replace("\n", "\r\n")]
        found = old_client(ports[listener], version, cipher, *commands)
        return found and {**found, "replies": found.get("replies", [])[2:6], "peer": None, "group": None}
    wanted = ["-cipher", (cipher or "ALL") + WEAK]
    with SClient(ports[listener], FLAGS[version], *wanted) as client:
        _, replies = client.walk(sender, *recipients)
        client.say("DATA")
        client.say(MAIL)
        group = client.facts.get("Server Temp Key", "")
        return {"version": client.version, "cipher": client.cipher, "replies": replies, "peer": client.peer, "group": group,
                "error": client.said}


def explained(row, found, sender, floor):
    """The reply that `policy explain` gives for the same session."""
    command = [rig.GATEPOST, "policy", "explain", "--json", "--config", str(daemon.config), "--listener", row[1], "--client",
               "127.0.0.1", "--from", sender, "--to", f"u@{floor}.example", "--tls", row[2], "--cipher", found["cipher"]]
    done = subprocess.run(command, capture_output=True, timeout=20, check=False)
    return json.loads(done.stdout)["reply"] if done.stdout else done.stderr.decode()


def without_id(reply):
    """The id is that of the record, so each reply has its own."""
    return reply.split("; id=")[0]


def facts_agree(row, found, sender):
    """What is on record, counted and written into the message equals what the client saw."""
    name, listener, version, _, stack, codes = row
    judged = lambda: [r for r in daemon.records(**{"from": sender}) if r["event"] in ("inbound.accepted", "inbound.refused")]
    records = wait_for(lambda: sum(len(r["to"]) for r in judged()) >= len(codes) and judged(), 10) or judged()
    verdicts = {to: r["event"] for r in records for to in r["to"]}
    expected = {f"u@{floor}.example": f"inbound.{'accepted' if code == 250 else 'refused'}" for floor, code in zip(FLOORS, codes)}
    checks.equal(f"{name}: each verdict is on record", verdicts, expected)
    facts = {(r["listener"], r["tls"]["version"], r["tls"]["cipher_openssl"], r["tls"]["stack"]) for r in records if r["tls"]}
    checks.equal(f"{name}: facts on record", facts, {(listener, version, found["cipher"], stack)})
    if found["group"]:
        group = {r["tls"]["group"] for r in records if r["tls"]}
        seen = found["group"].split(", ")
        if seen[0] == "DH":
            checks.check(f"{name}: the DH group has {seen[1]}", int(seen[1].split()[0]) >= 2048)
        else:
            checks.equal(f"{name}: the group on record", group, {GROUPS.get(seen[1] if seen[0] == "ECDH" else seen[0])})
    iana = records[0]["tls"]["cipher"] if records and records[0]["tls"] else ""
    counted = daemon.metric("gatepost_smtpd_tls_connections_total", listener=listener, protocol=version, cipher=iana)
    checks.check(f"{name}: counted under {iana}", counted >= 1)
    entry = wait_for(lambda: [e for e in sink.taken() if e["from"] == sender], 10)
    text = entry[0]["data"].decode().replace("\r\n\t", " ").replace("\r\n ", " ") if entry else ""
    checks.matches(f"{name}: the trace field", text.split("\r\n")[0], rf"\({version}\).* tls {iana}\b")


def inbound_table():
    lines = [f'{"":16}{"cipher":31}{"none":>8}{"v1.2":>8}{"aead":>8}{"v1.3":>8}']
    for number, row in enumerate(ROWS):
        name, sender = row[0], f"row{number}@sender.example"
        found = play(row, sender)
        if found is None:
            print(f"SKIPPED  {name}: no Python with nassl; name one by INTEROP_PYTHON", flush=True)
            checks.check(f"{name}: a client that can", tls_rig.may_be_missing(), "nassl is missing")
            continue
        if not checks.equal(f"{name}: the version is served", found.get("version"), row[2]):
            print(f"      {found.get('error', '')[-300:]}")
            continue
        if row[3]:
            checks.equal(f"{name}: the cipher", found["cipher"], row[3])
        codes = [reply[:3] for reply in found["replies"]]
        lines.append(f'{name:16}{found["cipher"]:31}' + "".join(f"{code:>8}" for code in codes))
        checks.equal(f"{name}: replies at RCPT", tuple(int(code or 0) for code in codes), row[5])
        for floor, reply in zip(FLOORS, found["replies"]):
            checks.equal(f"{name}, {floor}: as policy explain says", without_id(reply), without_id(explained(row, found, sender, floor)))
        facts_agree(row, found, sender)
        if found["peer"]:
            expected = "ec" if "ECDSA" in found["cipher"] or row[2] == "TLSv1.3" else "rsa" if row[4] == "rustls" else "old"
            checks.matches(f"{name}: the certificate", found["peer"], rf"OU = {expected}$")
    print("\n".join(["", "Replies at RCPT, by the floor of the recipient's domain", *lines, ""]), flush=True)


def failure_counted(what, reason, before):
    after = wait_for(lambda: (now := failed(reason)) > before and now, 10)
    checks.check(f"{what}: counted as {reason}", after, f"{failed(reason)} after {before}")


def failed(reason):
    return daemon.metric("gatepost_smtpd_tls_handshake_failures_total", listener="mx", reason=reason)


def refused_handshakes():
    for version in ["TLSv1.2", "TLSv1.1", "TLSv1"]:
        before = failed("inappropriate-fallback")
        with SClient(ports["mx"], FLAGS[version], "-fallback_scsv", "-cipher", f"ALL{WEAK}") as client:
            checks.matches(f"{version} as a fallback is refused", client.said, "alert number 86")
        failure_counted(f"{version} as a fallback", "inappropriate-fallback", before)
    with SClient(ports["mx"], FLAGS["TLSv1.3"], "-fallback_scsv") as client:
        checks.equal("a fallback to the highest is none", client.version, "TLSv1.3")
    before = failed("no-common-version")
    found = old_client(ports["mx"], "SSLv3", "ALL", "EHLO client.test")
    if found is not None:
        checks.matches("SSLv3 is refused where it is not offered", found.get("error", "served"), "handshake|protocol|alert|version")
        failure_counted("SSLv3", "no-common-version", before)
        handshakes = lambda: [r["handshake"] for r in daemon.records("inbound.handshake_failed", listener="mx")]
        found = wait_for(lambda: [h for h in handshakes() if h["reason"] == "no-common-version"], 10)
        record = found[-1] if found else {}
        offered = record.get("offered") or {}
        checks.equal("SSLv3: what was offered is on record", offered.get("versions"), ["SSLv3"])
        checks.check("SSLv3: with its ciphers", "TLS_RSA_WITH_AES_256_CBC_SHA" in offered.get("ciphers", []), str(record))
        checks.matches("SSLv3: and a fingerprint", offered.get("ja4"), r"^ts3\w+_\w{12}_\w{12}$")


def resumption():
    saved = folder / "session.pem"
    for name, arguments, stack in [
        ("TLSv1.3", ["-tls1_3"], "rustls"),
        ("TLSv1.2 AEAD", ["-tls1_2", "-cipher", "ECDHE+AESGCM"], "rustls"),
        ("TLSv1.2 AEAD without tickets", ["-tls1_2", "-cipher", "ECDHE+AESGCM", "-no_ticket"], "rustls"),
        ("TLSv1.2 CBC", ["-tls1_2", "-cipher", f"ECDHE-RSA-AES256-SHA384{WEAK}"], "openssl"),
        ("TLSv1", ["-tls1", "-cipher", f"ALL{WEAK}"], "openssl"),
        ("TLSv1 without tickets", ["-tls1", "-cipher", f"ALL{WEAK}", "-no_ticket"], "openssl"),
    ]:
        checks.equal(f"{name}: a first session, by {stack}", tls_rig.resumes(ports["mx"], saved, *arguments, fresh=True), False)
        checks.equal(f"{name}: the second resumes", tls_rig.resumes(ports["mx"], saved, *arguments), True)
        tls_rig.resumes(ports["mx"], saved, *arguments, fresh=True)
        checks.equal(f"{name}: not on another listener", tls_rig.resumes(ports["ancient"], saved, *arguments), False)
    tls_rig.resumes(ports["mx"], saved, "-tls1_3", fresh=True)
    with SClient(ports["mx"], "-tls1_3", "-sess_in", saved) as client:
        client.walk("resumed@sender.example", "u@none.example")
        client.say("DATA")
        client.say(MAIL)
    records = wait_for(lambda: daemon.records("inbound.accepted", **{"from": "resumed@sender.example"}), 10)
    checks.equal("a resumed session is on record as such", [r["tls"]["resumed"] for r in records or []], [True])


def client_certificates():
    tls13, tls12 = ["-tls1_3"], ["-tls1_2", "-cipher", "ECDHE+AESGCM"]
    cbc, tls11 = ["-tls1_2", "-cipher", f"ECDHE-RSA-AES256-SHA384{WEAK}"], ["-tls1_1", "-cipher", f"ALL{WEAK}"]
    sha1 = ["-tls1_2", "-cipher", f"ECDHE-RSA-AES256-SHA384{WEAK}", "-client_sigalgs", "RSA+SHA1:ECDSA+SHA1", "-sigalgs",
            "RSA+SHA256:RSA+SHA1:ECDSA+SHA1"]
    everyone = {"friend": "554", "known": "554", "verified": "554", "none": "250"}
    for name, certificate, arguments, expected in [
        ("no certificate", None, tls13, {}),
        ("TLSv1.3, by the certificate", friend, tls13, {"friend": "250", "verified": "250"}),
        ("TLSv1.2, by the certificate", friend, tls12, {"friend": "250", "verified": "250"}),
        ("TLSv1.2 CBC, by the certificate", friend, cbc, {"friend": "250", "verified": "250"}),
        ("TLSv1.3, by the key", known, tls13, {"known": "250"}),
        ("TLSv1.2 CBC, by the key", known, cbc, {"known": "250"}),
        ("another certificate", stranger, tls13, {}),
        ("a trusted client answers to its listener's floor", relayer, tls13, {"friend": "250", "known": "250", "verified": "250"}),
        ("TLSv1.1 does not count", friend, tls11, {}),
    ]:
        own = ["-cert", certificate[0], "-key", certificate[1]] if certificate else []
        with SClient(ports["certified"], *arguments, *own) as client:
            _, replies = client.walk("c@sender.example", *(f"u@{domain}.example" for domain in everyone))
        checks.equal(f"client certificate: {name}", [r[:3] for r in replies], list({**everyone, **expected}.values()))
    with SClient(ports["certified"], *sha1, "-cert", known[0], "-key", known[1]) as client:
        _, replies = client.walk("c@sender.example", "u@known.example")
        checks.check("client certificate: a SHA-1 signature does not count", not replies[0].startswith("250"), replies[0])
    saved = folder / "certified.pem"
    for name, arguments in [("TLSv1.3", tls13), ("TLSv1.2", tls12), ("TLSv1.2 CBC", cbc)]:
        own = [*arguments, "-cert", friend[0], "-key", friend[1]]
        tls_rig.resumes(ports["certified"], saved, *own, fresh=True)
        if not saved.exists():
            checks.check(f"client certificate: {name} gives no session to resume", True)
            continue
        reused = tls_rig.resumes(ports["certified"], saved, *own)
        with SClient(ports["certified"], *own, "-sess_in", saved) as client:
            _, replies = client.walk("c@sender.example", "u@friend.example")
        checks.check(f"client certificate: {name}, a resumed session has none", not reused or replies[0][:3] == "554", replies[0])
        saved.unlink()
    refused = lambda: daemon.records("inbound.refused", listener="certified", to=["u@known.example"])
    shown = lambda: {r["tls"]["peer"]["sha256"] for r in refused() if r["tls"] and r["tls"]["peer"]}
    wait_for(lambda: tls_rig.fingerprint(friend[0]) in shown(), 10)
    records, seen = refused(), shown()
    checks.check("client certificate: on record", tls_rig.fingerprint(friend[0]) in seen, str(seen))
    reasons = {r["policy"]["reason"] for r in records}
    checks.equal("client certificate: the reason", reasons, {"client-certificate"})


def relaying_by_certificate():
    for name, certificate, arguments, code in [
        ("no certificate", None, ["-tls1_3"], "550"),
        ("a trusted one", relayer, ["-tls1_3"], "250"),
        ("a trusted one under TLSv1.2", relayer, ["-tls1_2"], "250"),
        ("another", stranger, ["-tls1_3"], "550"),
        ("a trusted one under TLSv1.1", relayer, ["-tls1_1", "-cipher", f"ALL{WEAK}"], "550"),
    ]:
        own = ["-cert", certificate[0], "-key", certificate[1]] if certificate else []
        with SClient(ports["smart"], *arguments, *own) as client:
            _, replies = client.walk("r@sender.example", "u@elsewhere.example")
        checks.equal(f"relaying: {name}", replies[0][:3], code)


def renegotiation():
    """A client that asks for it gets no second handshake, and nobody else waits for it."""
    for name, arguments in [("rustls", ["-tls1_2"]), ("openssl", ["-tls1", "-cipher", f"ALL{WEAK}"])]:
        command = ["stdbuf", "-oL", "openssl", "s_client", "-connect", f"127.0.0.1:{ports['mx']}", "-starttls", "smtp", "-msg",
                   *arguments]
        with (folder / "messages").open("wb") as messages:
            client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=messages, stderr=subprocess.STDOUT)
        said = lambda: (folder / "messages").read_text(errors="replace")
        wait_for(lambda: "Verify return code" in said() or client.poll() is not None, 10)
        begun = said()
        if client.poll() is None:
            client.stdin.write(b"R\n")
            client.stdin.flush()
        wait_for(lambda: re.search("<<< .*(Alert|ServerHello)", said()[len(begun):]) or client.poll() is not None, 10)
        after = said()[len(begun):]
        checks.check(f"renegotiation is refused by {name}", "RENEGOTIATING" in after and "ServerHello" not in after, after[-300:])
        checks.matches(f"renegotiation: {name} says so", after, "<<< .*Alert.*no_renegotiation")
        client.kill()
        client.wait()
        client.stdin.close()


for part in [inbound_table, refused_handshakes, resumption, client_certificates, relaying_by_certificate, renegotiation]:
    part()
checks.check("no panic", "panic" not in daemon.log.read_text())
checks.equal("the audit chain holds", daemon.broken_links(), [])
checks.equal("stops in order", daemon.stop(), 0)
checks.finish()
