"""What the TLS programs stand on: certificates of every kind, and `openssl s_client` as a sender."""

import hashlib
import os
import re
import socket
import ssl
import subprocess
import threading
import time
import warnings

import rig

# Deprecated versions are what these programs are about.
warnings.filterwarnings("ignore", category=DeprecationWarning)

KEYS = {
    "ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "p521": ["ec", "-pkeyopt", "ec_paramgen_curve:P-521"],
    "rsa": ["rsa:2048"],
    "rsa1024": ["rsa:1024"],
}
VERSIONS = {"TLSv1": ssl.TLSVersion.TLSv1, "TLSv1.1": ssl.TLSVersion.TLSv1_1, "TLSv1.2": ssl.TLSVersion.TLSv1_2,
            "TLSv1.3": ssl.TLSVersion.TLSv1_3}
# What s_client calls them.
FLAGS = {"TLSv1": "-tls1", "TLSv1.1": "-tls1_1", "TLSv1.2": "-tls1_2", "TLSv1.3": "-tls1_3"}


def may_be_missing():
    """Whether what comes from PyPI may be missing: by hand always, where $CI is set only if PyPI does not answer."""
    if not os.environ.get("CI"):
        return True
    try:
        socket.create_connection(("pypi.org", 443), 10).close()
        return False
    except OSError:
        return True


def self_signed(folder, name, stem, key="ec"):
    """Makes STEM.pem and STEM.key for `name`; the subject names the stem, so that a client sees which one it got."""
    chain, private = folder / f"{stem}.pem", folder / f"{stem}.key"
    rig.openssl("req", "-x509", "-newkey", *KEYS[key], "-nodes", "-days", "30", "-subj", f"/CN={name}/OU={stem}",
                "-addext", f"subjectAltName=DNS:{name}", "-keyout", private, "-out", chain)
    return chain, private


def issued(folder, name, stem, key="ec", days=30, version1=False):
    """A certificate of the authority of `rig.authority(folder)`; `version1`: without extensions, so X.509 version 1."""
    chain, private = folder / f"{stem}.pem", folder / f"{stem}.key"
    request, extensions = folder / f"{stem}.csr", folder / f"{stem}.ext"
    extensions.write_text(f"subjectAltName=DNS:{name}\nextendedKeyUsage=serverAuth,clientAuth\n")
    rig.openssl("req", "-newkey", *KEYS[key], "-nodes", "-subj", f"/CN={name}/OU={stem}", "-keyout", private, "-out", request)
    rig.sign(folder, request, chain, days, None if version1 else extensions)
    return chain, private


def der_of(chain):
    return ssl.PEM_cert_to_DER_cert(chain.read_text())


def fingerprint(chain):
    """SHA-256 of the certificate, hexadecimal."""
    return hashlib.sha256(der_of(chain)).hexdigest()


def key_fingerprint(private):
    """SHA-256 of the public key, hexadecimal."""
    done = subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-outform", "DER"], check=True, capture_output=True)
    return hashlib.sha256(done.stdout).hexdigest()


def resumes(port, saved, *arguments, fresh=False):
    """One session of s_client from the state in the file `saved`, or a `fresh` one that writes it; whether it resumed."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-starttls", "smtp", "-nocommands", "-ign_eof", "-crlf",
               "-sess_out" if fresh else "-sess_in", saved, *arguments]
    done = subprocess.run(command, input=b"EHLO client.test\nQUIT\n", capture_output=True, timeout=20, check=False)
    found = re.search(rb"^(New|Reused), ", done.stdout, re.M)
    return found and found[1] == b"Reused"


class SClient:
    """`openssl s_client` that walks an SMTP session as it is told.

    `version`, `cipher`, `peer` and the rest of `facts` are what it says about its own handshake; `facts` is empty if
    there was none, and `said` is then why.
    """

    def __init__(self, port, *arguments, starttls=True, timeout=20):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-brief", "-nocommands", "-ign_eof", "-crlf",
                   *(["-starttls", "smtp", "-name", "client.test"] if starttls else []), *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.said, self.answers, self.changed = "", [], threading.Condition()
        self.deadline = time.monotonic() + timeout
        self.threads = [threading.Thread(target=target, daemon=True) for target in (self.hear, self.overhear)]
        for thread in self.threads:
            thread.start()
        self.until(lambda: "Verification" in self.said or self.is_over())

    @property
    def facts(self):
        with self.changed:
            said = self.said
        return dict(re.findall(r"^([A-Z][\w ]+): (.+)$", said, re.M)) if "ESTABLISHED" in said else {}

    @property
    def version(self):
        return self.facts.get("Protocol version")

    @property
    def cipher(self):
        return self.facts.get("Ciphersuite")

    @property
    def peer(self):
        return self.facts.get("Peer certificate")

    def hear(self):
        lines = []
        for raw in self.process.stdout:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            if re.match(r"\d{3}[ -]", line):
                lines.append(line)
            if re.match(r"\d{3} ", line):
                with self.changed:
                    self.answers.append("\n".join(lines))
                    self.changed.notify_all()
                lines = []
        self.notify()

    def overhear(self):
        for raw in self.process.stderr:
            with self.changed:
                self.said += raw.decode("utf-8", "replace")
                self.changed.notify_all()
        self.notify()

    def notify(self):
        with self.changed:
            self.changed.notify_all()

    def is_over(self):
        """All that it said has been read: it may have ended before that."""
        return not any(thread.is_alive() for thread in self.threads)

    def until(self, holds):
        with self.changed:
            while not holds() and time.monotonic() < self.deadline:
                self.changed.wait(0.1)

    def say(self, command):
        """One command; gives its whole reply, empty if the session has ended."""
        try:
            self.process.stdin.write(command.encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            return ""
        self.until(lambda: self.answers or self.is_over())
        return self.answers.pop(0) if self.answers else ""

    def walk(self, sender, *recipients):
        """Up to RCPT TO; gives the reply to MAIL and those to each RCPT."""
        self.say("EHLO client.test")
        mail = self.say(f"MAIL FROM:<{sender}>")
        return mail, [self.say(f"RCPT TO:<{recipient}>") for recipient in recipients]

    def close(self):
        self.say("QUIT")
        try:
            self.process.stdin.close()
            self.process.wait(5)
        except (OSError, subprocess.TimeoutExpired):
            pass
        self.process.kill()
        self.process.wait()
        for thread in self.threads:
            thread.join(5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
