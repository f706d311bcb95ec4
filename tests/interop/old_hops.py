#!/usr/bin/env python3
"""Next hops of every age and fault against every level of policy: delivered or deferred as each says, never weaker.

What the hop saw is the judge. Needs openssl; a real Postfix that speaks TLSv1 only is among the hops where this is root.
"""

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys

import postfix_rig
import rig
import tls_rig
from names import Names
from rig import Client, Daemon, Sink, message, wait_for
from tls_rig import VERSIONS

checks = rig.Checks()
folder = rig.scratch("old-hops")
rig.authority(folder)
good = tls_rig.issued(folder, "good.test", "good", "rsa")
CHAINS = {
    "good": good,
    "short": tls_rig.issued(folder, "good.test", "short", "rsa1024"),
    "plain": tls_rig.issued(folder, "good.test", "plain", "rsa", version1=True),
    "expired": tls_rig.issued(folder, "good.test", "expired", "rsa", days=-1),
    "lonely": tls_rig.self_signed(folder, "good.test", "lonely", "rsa"),
    "other": tls_rig.issued(folder, "other.test", "other", "rsa"),
}
rig.openssl("genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048", "-out", folder / "dh2048.pem")
rig.openssl("dhparam", "-dsaparam", "-out", folder / "dh1024.pem", "1024")


def context(chain="good", low="TLSv1.2", high="TLSv1.3", ciphers="ALL", curve=None, dh=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    made.minimum_version, made.maximum_version = VERSIONS[low], VERSIONS[high]
    made.load_cert_chain(*map(str, CHAINS[chain]))
    if curve:
        made.set_ecdh_curve(curve)
    if dh:
        made.load_dh_params(str(folder / dh))
    return made


def nameless():
    """Wants to hear no name, and says so with a fatal alert."""
    made = context(low="TLSv1.2")
    made.sni_callback = lambda _, name, __: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME if name else None
    return made


OLD_VERSION, WEAK_CIPHER = "version-below-minimum", "cipher-below-minimum"
# name -> (context, version and cipher that it must see, why "v12", "aead" and "verify" do not deliver; "" if they do)
MODERN = ("TLSv1.3", None)
TABLE = {
    "modern": (context(), *MODERN, "", "", ""),
    "tls10": (context(low="TLSv1", high="TLSv1"), "TLSv1", None, OLD_VERSION, WEAK_CIPHER, ""),
    "tls11": (context(low="TLSv1", high="TLSv1.1"), "TLSv1.1", None, OLD_VERSION, WEAK_CIPHER, ""),
    "cbc": (context(high="TLSv1.2", ciphers="ECDHE-RSA-AES256-SHA384"), "TLSv1.2", "ECDHE-RSA-AES256-SHA384", "", WEAK_CIPHER, ""),
    "rsa-exchange": (context(high="TLSv1.2", ciphers="AES256-GCM-SHA384"), "TLSv1.2", "AES256-GCM-SHA384", "", WEAK_CIPHER, ""),
    "dhe": (context(high="TLSv1.2", ciphers="DHE-RSA-AES256-GCM-SHA384", dh="dh2048.pem"), "TLSv1.2", "DHE-RSA-AES256-GCM-SHA384",
            "", "", ""),
    "dhe-1024": (context(low="TLSv1", high="TLSv1.2", ciphers="DHE-RSA-AES128-SHA", dh="dh1024.pem"), "TLSv1.2",
                 "DHE-RSA-AES128-SHA", "", WEAK_CIPHER, ""),
    "p521": (context(high="TLSv1.2", ciphers="ECDHE-RSA-AES128-GCM-SHA256", curve="secp521r1"), "TLSv1.2",
             "ECDHE-RSA-AES128-GCM-SHA256", "", "", ""),
    "p521-tls13": (context(low="TLSv1.3", curve="secp521r1"), *MODERN, "", "", ""),
    # Its chain and its name are good, and its key may be anybody's.
    "rsa-1024": (context("short"), *MODERN, "", "", "certificate-not-trusted"),
    "x509-v1": (context("plain"), *MODERN, "", "", "certificate-host-mismatch"),
    "expired": (context("expired"), *MODERN, "", "", "certificate-expired"),
    "self-signed": (context("lonely"), *MODERN, "", "", "certificate-not-trusted"),
    "wrong-name": (context("other"), *MODERN, "", "", "certificate-host-mismatch"),
    "nameless": (nameless(), *MODERN, "", "", ""),
}
LEVELS = {
    "opportunistic": 'tls = "opportunistic"\n',
    "encrypt": 'tls = "encrypt"\n',
    "v12": 'tls = "encrypt"\nmin_version = "TLSv1.2"\n',
    "aead": 'tls = "encrypt"\ncipher = "aead"\n',
    "verify": 'tls = "verify"\nmatch = ["good.test"]\n',
}


class FfdheOnly:
    """TLS 1.3 with ffdhe2048 only: settings of the library, so a process of its own."""

    def __init__(self):
        settings = folder / "ffdhe.cnf"
        settings.write_text("openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nGroups = ffdhe2048\n"
                            "MinProtocol = TLSv1.3\n")
        self.port, self.kept = rig.free_port(), folder / "ffdhe"
        self.process = subprocess.Popen([sys.executable, rig.REPOSITORY / "tests/interop/sink.py", str(self.port), self.kept, *good],
                                        env={**os.environ, "OPENSSL_CONF": str(settings)}, stderr=subprocess.DEVNULL)
        wait_for(lambda: greets(self.port), 20)

    def taken(self):
        return [json.loads(file.read_text()) for file in self.kept.glob("*.json")]

    @property
    def named(self):
        return [(to, entry["session"] and tuple(entry["session"])) for entry in self.taken() for to in entry["to"]]

    def close(self):
        self.process.kill()
        self.process.wait()


class OldPostfix:
    """What a real Postfix that speaks TLSv1 only writes into its log."""

    def __init__(self):
        self.port = rig.free_port()
        settings = (f"smtpd_tls_chain_files = {good[1]}, {good[0]}\nsmtpd_tls_protocols = TLSv1\nsmtpd_tls_ciphers = low\n"
                    "tls_low_cipherlist = ALL:@SECLEVEL=0\ntls_export_cipherlist = ALL:@SECLEVEL=0\n")
        self.postfix = postfix_rig.Postfix({self.port: {}}, settings).start(greets)

    @property
    def named(self):
        """Recipients by the queue id of the session's message, sessions by the process that served them."""
        found, sessions = [], {}
        for line in self.postfix.log().splitlines():
            if established := re.search(r"smtpd\[(\d+)\]: .*TLS connection established .*: (\S+) with cipher (\S+)", line):
                sessions[established[1]] = (established[2], established[3])
            elif connected := re.search(r"smtpd\[(\d+)\]: connect from", line):
                sessions[connected[1]] = None
            elif begun := re.search(r"smtpd\[(\d+)\]: ([0-9A-F]+): client=", line):
                sessions[begun[2]] = sessions.get(begun[1])
            elif sent := re.search(r": ([0-9A-F]+): to=<([^>]+)>.*status=sent", line):
                found.append((sent[2], sessions.get(sent[1])))
        return found

    def taken(self):
        return [{"to": [to], "session": session} for to, session in self.named]

    def close(self):
        self.postfix.close()


def greets(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as probe:
            return probe.recv(4) == b"220 "
    except OSError:
        return False


names = Names()
hops = {name: Sink(tls=row[0]) for name, row in TABLE.items()}
hops["ffdhe"] = FfdheOnly()
TABLE["ffdhe"] = (None, "TLSv1.3", None, "", "", "")
rig.on_exit(lambda: shutil.rmtree(folder, ignore_errors=True), hops["ffdhe"].close)
if postfix_rig.is_there():
    hops["postfix"] = OldPostfix()
    TABLE["postfix"] = (None, "TLSv1", None, OLD_VERSION, WEAK_CIPHER, "")
    rig.on_exit(hops["postfix"].close)
else:
    print("SKIPPED  postfix: it needs root and the package postfix", flush=True)
    checks.check("postfix can be run", not os.environ.get("CI"))
# No cipher of it is one that anybody should use: its TLS always fails.
hops["anonymous"] = Sink(tls=context(high="TLSv1.2", ciphers="ADH", dh="dh2048.pem"))

domains = {}
for name, hop in hops.items():
    for level, keys in LEVELS.items():
        domains[f"{name}-{level}"] = (f'domains = ["{level}.{name}.test"]\nhosted = true\nrecipients = "any"\n[route]\n'
                                      f'hosts = ["{name}.hop.test:{hop.port}"]\n{keys}')
daemon = Daemon(folder, domains, f'[dns]\nservers = ["127.0.0.1:{names.port}"]\n', spool_keys='retry = ["1h"]\n',
                environment={"SSL_CERT_FILE": str(folder / "ca.pem")}, metrics_port=rig.free_port())
rig.on_exit(daemon.close)
daemon.start()


def send(name, level):
    client = Client(daemon.port)
    client.say("EHLO client.test")
    recipient = f"b@{level}.{name}.test"
    answer = client.mail("a@sender.example", [recipient], message(recipient))
    if not answer.startswith("250"):
        checks.matches(f"{name}, {level}: accepted", answer, "^250")
    client.say("QUIT")
    client.close()


def outcome(name, level):
    """The record of the first end that the recipient came to."""
    def look():
        found = daemon.records("outbound.delivered", to=[f"b@{level}.{name}.test"])
        return found or daemon.records("outbound.deferred", to=[f"b@{level}.{name}.test"])
    found = wait_for(look, 40, 0.2)
    return found[0] if found else {}


def seen(name, level):
    return [session for to, session in list(hops[name].named) if to == f"b@{level}.{name}.test"]


def delivered(name, level, version, cipher):
    """Delivered once, under TLS, and the hop and the log agree about it."""
    what = f"{name}, {level}"
    record = outcome(name, level)
    if not checks.equal(f"{what}: delivered", record.get("event"), "outbound.delivered"):
        print(f"      {record.get('reason')}: {record.get('detail')} {record.get('reply')}", flush=True)
        return record.get("reason", "nothing")
    sessions = wait_for(lambda: seen(name, level), 10)
    facts = record["tls"] or {}
    checks.equal(f"{what}: what the hop saw is on record", sessions, [(facts.get("version"), facts.get("cipher_openssl"))])
    checks.equal(f"{what}: the version", facts.get("version"), version)
    if cipher:
        checks.equal(f"{what}: the cipher", facts.get("cipher_openssl"), cipher)
    verified = (facts.get("peer") or {}).get("verified")
    checks.check(f"{what}: on record as {verified}", (verified == "webpki") == (level == "verify"))
    return f"{facts.get('version')} {facts.get('stack')}"


def deferred(name, level, reason):
    """Still queued for that reason, and the hop heard no name of it."""
    what = f"{name}, {level}"
    record = outcome(name, level)
    checks.equal(f"{what}: deferred", record.get("event"), "outbound.deferred")
    checks.matches(f"{what}: the reason", record.get("reason"), f"^({reason})$")
    queued = daemon.queue(f"{level}.{name}.test")
    checks.equal(f"{what}: still queued", len(queued), 1)
    checks.equal(f"{what}: the hop heard nothing of it", seen(name, level), [])
    return record.get("reason") or record.get("event", "nothing")


def every_hop_and_level():
    for name in TABLE:
        for level in LEVELS:
            send(name, level)
    lines = []
    for name, (_, version, cipher, *reasons) in TABLE.items():
        reasons = dict(zip(["v12", "aead", "verify"], reasons))
        cells = []
        for level in LEVELS:
            reason = reasons.get(level)
            cells.append(deferred(name, level, reason) if reason else delivered(name, level, version, cipher))
        lines.append(f"{name:13}" + "".join(f"{cell[:22]:>23}" for cell in cells[1:]))
    print("\n".join(["", f'{"":13}' + "".join(f"{level:>23}" for level in list(LEVELS)[1:]), *lines, ""]), flush=True)


def plaintext_only_where_permitted():
    for level in LEVELS:
        send("anonymous", level)
    record = outcome("anonymous", "opportunistic")
    checks.equal("TLS that always fails, opportunistic: delivered", record.get("event"), "outbound.delivered")
    checks.equal("TLS that always fails, opportunistic: in plaintext, and on record", (record.get("tls"), seen("anonymous", "opportunistic")),
                 (None, [None]))
    for level in list(LEVELS)[1:]:
        deferred("anonymous", level, "validation-failure|cipher-below-minimum")
    plain = [(name, to) for name, hop in hops.items() for to, session in list(hop.named) if session is None]
    checks.equal("nothing else went in plaintext", plain, [("anonymous", "b@opportunistic.anonymous.test")])


def what_worked_is_remembered_and_lowers_nothing():
    hop = hops["tls10"]
    before = len(hop.failures)
    send("tls10", "opportunistic")
    wait_for(lambda: len(seen("tls10", "opportunistic")) > 1, 20)
    checks.equal("tls10: a second message begins with what worked", (len(seen("tls10", "opportunistic")), len(hop.failures)), (2, before))
    send("tls10", "v12")
    wait_for(lambda: len(daemon.records("outbound.deferred", to=["b@v12.tls10.test"])) > 1, 20)
    checks.equal("tls10: and that lowers no requirement", seen("tls10", "v12"), [])


for part in [every_hop_and_level, plaintext_only_where_permitted, what_worked_is_remembered_and_lowers_nothing]:
    part()
checks.check("no panic", "panic" not in daemon.log.read_text())
checks.equal("the audit chain holds", daemon.broken_links(), [])
checks.equal("stops in order", daemon.stop(), 0)
checks.finish()
