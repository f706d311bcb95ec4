#!/usr/bin/env python3
"""TLS reports (RFC 8460) of the real daemon, and what software of others makes of them.

Mail goes to domains whose hosts have good TLS, none, TLS that breaks, and a policy of MTA-STS that they do not meet. What is
counted must survive kill -9; the reports must arrive by mail, also where TLS fails, and by POST, and be taken by parsedmarc, with a
DKIM signature that dkimpy verifies.

Needs root (ports 25 and 443 of addresses in 127.21.0.0/24), openssl, and parsedmarc and dkimpy from PyPI: $INTEROP_PYTHON names a
Python that has them. Without that, and if $CI is not set, the reports are checked by what Python brings along.
"""

import base64
import gzip
import http.server
import json
import os
import pathlib
import shutil
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
import time

import rig
from rig import Client, Daemon, Sink, message, wait_for

DNS, WEB, WEB_PORT = "127.21.0.1", "127.21.0.2", 8443
HOSTS = {"good.test": "127.21.0.11", "plain.test": "127.21.0.12", "broken.test": "127.21.0.13", "quiet.test": "127.21.0.14",
         "sts.test": "127.21.0.15", "reports.test": "127.21.0.16"}
STS = "version: STSv1\nmode: testing\nmx: mx.sts.test\nmax_age: 86400\n"
PARSERS = pathlib.Path(__file__).with_name("tlsrpt_parsers.py")
A, MX, TXT = 1, 15, 16

checks = rig.Checks()


class Names(socketserver.ThreadingUDPServer):
    """A name server on loopback that knows these records: (name, type) -> texts."""

    daemon_threads = True

    def __init__(self, records):
        self.records, self.asked = records, []
        super().__init__((DNS, 53), None)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def finish_request(self, request, client_address):
        data, connection = request
        name, position = [], 12
        while length := data[position]:
            name.append(data[position + 1:position + 1 + length].decode().lower())
            position += length + 1
        kind = struct.unpack(">H", data[position + 1:position + 3])[0]
        question, name = data[12:position + 5], ".".join(name)
        self.asked.append((name, kind))
        answers = [self.answer(kind, text) for text in self.records.get((name, kind), [])]
        known = any(owner == name or owner.endswith("." + name) for owner, _ in self.records)
        head = data[:2] + struct.pack(">HHHHH", 0x8180 | (0 if known else 3), 1, len(answers), 0, 0)
        connection.sendto(head + question + b"".join(answers), client_address)

    @staticmethod
    def answer(kind, text):
        if kind == A:
            value = socket.inet_aton(text)
        elif kind == MX:
            value = struct.pack(">H", 10) + b"".join(bytes([len(part)]) + part.encode() for part in text.split(".")) + b"\0"
        else:
            value = bytes([len(text)]) + text.encode()
        return struct.pack(">HHHIH", 0xC00C, kind, 1, 5, len(value)) + value


class Web:
    """Two web servers: one takes reports, the other has the policy of sts.test. `status` is what the first answers."""

    def __init__(self, folder):
        self.posts, self.status = [], 200
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                web.posts.append((self.path, self.headers["Content-Type"], body))
                self.send_response(web.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self):
                content = STS.replace("\n", "\r\n").encode()
                self.send_response(200 if self.path == "/.well-known/mta-sts.txt" else 404)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        for name, port in (("reports.test", WEB_PORT), ("mta-sts.sts.test", 443)):
            chain, key = rig.issued(folder, name, name)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(chain, key)
            server = http.server.ThreadingHTTPServer((WEB, port), Handler)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, daemon=True).start()


class Broken(Sink):
    """Offers STARTTLS, and hangs up in the handshake."""

    def shake(self, connection):
        connection.close()
        raise OSError("no handshake here")


def records():
    found = {("mta-sts.sts.test", A): [WEB], ("web.reports.test", A): [WEB], ("_mta-sts.sts.test", TXT): ["v=STSv1; id=1;"]}
    for domain, address in HOSTS.items():
        found[(domain, MX)], found[(f"mx.{domain}", A)] = [f"mx.{domain}"], [address]
    found[("reports.test", A)] = [WEB]
    both = f"mailto:good@reports.test,https://reports.test:{WEB_PORT}/tlsrpt?to=good"
    for domain, rua in (("good.test", both), ("plain.test", "mailto:tls@plain.test"), ("broken.test", "mailto:broken@reports.test"),
                        ("sts.test", "mailto:sts@reports.test"), ("reports.test", "mailto:own@reports.test")):
        found[(f"_smtp._tls.{domain}", TXT)] = [f"v=TLSRPTv1; rua={rua}"]
    return found


def dkim_key(folder):
    """A key, and its record by the name."""
    rig.openssl("genrsa", "-out", folder / "dkim.pem", "2048")
    public = subprocess.run(["openssl", "rsa", "-in", folder / "dkim.pem", "-pubout", "-outform", "DER"], check=True, capture_output=True)
    text = base64.b64encode(public.stdout).decode()
    return f"s1._domainkey.sender.test=v=DKIM1; k=rsa; p={text}"


class World:
    def __init__(self, folder):
        rig.authority(folder)
        self.folder, self.names, self.web = folder, Names(records()), Web(folder)
        good, sts, reports = (rig.issued(folder, name, name) for name in ("mx.good.test", "elsewhere.test", "mx.reports.test"))
        self.hosts = {domain: Sink(tls=chain, port=25, address=HOSTS[domain]) for domain, chain in
                      (("good.test", good), ("quiet.test", good), ("sts.test", sts), ("reports.test", reports))}
        self.hosts["plain.test"] = Sink(port=25, address=HOSTS["plain.test"])
        self.hosts["broken.test"] = Broken(tls=good, port=25, address=HOSTS["broken.test"])
        self.key = dkim_key(folder)
        port = rig.free_port()
        home = folder / "relay"
        home.mkdir()
        listeners = f'[[listener]]\nname = "smart"\nbind = ["127.0.0.1:{port}"]\nrole = "smarthost"\n'
        reports = f'[tlsrpt]\norganization = "Sender Test"\ncontact = "tls-reports@sender.test"\ndkim = {{ selector = "s1", key = "{folder}/dkim.pem" }}\n'
        domains = {"plain": 'domains = ["plain.test"]\n[outbound]\ntls = "encrypt"\n'}
        self.daemon = Daemon(home, domains, f'[dns]\nservers = ["{DNS}:53"]\ndnssec = "off"\nallow_targets = ["127.0.0.0/8"]\n'
                             f'[relay]\ntrusted = ["127.0.0.0/8"]\n{reports}', listeners=listeners, spool_keys='retry = ["1h"]\n',
                             environment={"SSL_CERT_FILE": str(folder / "ca.pem")}, metrics_port=rig.free_port())
        self.daemon.port = port

    def send(self, *domains):
        client = Client(self.daemon.port)
        client.say("EHLO client.test")
        for domain in domains:
            answer = client.mail("a@sender.test", [f"b@{domain}"], message(f"b@{domain}"))
            checks.matches(f"mail to {domain} is taken", answer, "^250")
        client.say("QUIT")
        client.close()

    def tlsrpt(self, *arguments):
        """Exit code, and what is printed as JSON."""
        done = subprocess.run([rig.GATEPOST, "tlsrpt", *arguments, "--json", "--config", str(self.daemon.config)], check=False,
                              capture_output=True, env=self.daemon.environment, timeout=90)
        return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr.decode()

    def counts(self, *words):
        """Domain -> successes and failures."""
        code, found = self.tlsrpt("list", *words)
        return {one["domain"]: (one["successes"], one["failures"]) for one in found["tallies"]} if code == 0 else found


EXPECTED = {"good.test": (1, 0), "plain.test": (0, 1), "broken.test": (0, 1), "sts.test": (0, 1)}


def counting(world):
    world.send(*EXPECTED, "quiet.test")
    checks.check("each domain that asks for reports is counted for, and no other",
                 wait_for(lambda: world.counts() == EXPECTED), world.counts())
    checks.equal("mail to a domain that asks for none arrives like any", wait_for(world.hosts["quiet.test"].count), 1)
    # From the session to the disk: about a second. Where nobody listens, the file itself is read.
    time.sleep(1)
    wait_for(lambda: world.counts("--socket", str(world.folder / "nobody.sock")) == EXPECTED)
    world.daemon.kill()
    checks.equal("after kill -9 the counts are read without the daemon", world.counts(), EXPECTED)
    world.daemon.start()
    checks.equal("after the next start they are the same", world.counts(), EXPECTED)
    world.send("good.test")
    EXPECTED["good.test"] = (2, 0)
    checks.check("and are counted on", wait_for(lambda: world.counts() == EXPECTED), world.counts())


def showing(world):
    for domain, kind, result in (("good.test", "no-policy-found", None), ("plain.test", "no-policy-found", "starttls-not-supported"),
                                 ("broken.test", "no-policy-found", "validation-failure"), ("sts.test", "sts", "certificate-host-mismatch")):
        code, report = world.tlsrpt("show", domain)
        policy = report["policies"][0]
        results = [detail["result-type"] for detail in policy["failure-details"]]
        checks.equal(f"the report to {domain}", (code, policy["policy"]["policy-type"], results), (0, kind, [result] if result else []))
        for detail in policy["failure-details"]:
            checks.equal(f"the failure at {domain} names the host", (detail["receiving-mx-hostname"], detail["receiving-ip"],
                         detail["receiving-mx-helo"]), (f"mx.{domain}", HOSTS[domain], "sink.test"))
            checks.check(f"the failure at {domain} names us", detail.get("sending-mta-ip", "").startswith("127."), detail)
    code, report = world.tlsrpt("show", "sts.test")
    checks.equal("the policy is told as it is published", report["policies"][0]["policy"]["policy-string"], STS.split("\n")[:-1])
    checks.equal("there is no report to a domain that asks for none", world.tlsrpt("show", "quiet.test")[0], 1)


def sending(world):
    today = time.strftime("%Y-%m-%d", time.gmtime())
    code, told = world.tlsrpt("send", "good.test")
    checks.check("no day is over, and none is sent unless it is named", code == 1 and f"good.test {today}" in told, (code, told))
    world.web.status = 503
    code, sent = world.tlsrpt("send", "good.test", today)
    states = {next(iter(target["to"])): target["state"]["state"] for target in sent["targets"]}
    checks.equal("a web server that fails gets no second try of an early report", (code, states), (1, {"mailto": "sent", "https": "given-up"}))
    world.web.status = 201
    before = world.counts()
    for domain in ("good.test", "plain.test", "broken.test", "sts.test"):
        code, sent = world.tlsrpt("send", domain, today)
        checks.equal(f"the report to {domain} is sent", code, 0)
    arrived = wait_for(lambda: world.hosts["reports.test"].count() >= 4 and world.hosts["plain.test"].count())
    checks.check("the reports arrive by mail", arrived, (world.hosts["reports.test"].count(), world.hosts["plain.test"].count()))
    taken = world.hosts["plain.test"].taken()
    checks.equal("where TLS is required and missing, the report arrives and nothing else", [entry["to"] for entry in taken], [["tls@plain.test"]])
    checks.check("where there is TLS, it is used", all(entry["tls"] for entry in world.hosts["reports.test"].taken()))
    checks.equal("reports go from the contact", {entry["from"] for entry in world.hosts["reports.test"].taken()}, {"tls-reports@sender.test"})
    checks.equal("both POSTs have the path and the media type", {post[:2] for post in world.web.posts},
                 {("/tlsrpt?to=good", "application/tlsrpt+gzip")})
    time.sleep(1)
    checks.equal("no session that carried a report is counted", world.counts(), before)
    found = lambda: [record for record in world.daemon.records("queue.admin") if "TLS report" in record["detail"]]
    checks.check("each report that was asked for is on record", wait_for(lambda: len(found()) == 5), len(found()))
    checks.equal("the metrics count them", (world.daemon.metric("gatepost_tlsrpt_reports_total", result="sent", transport="mail"),
                 world.daemon.metric("gatepost_tlsrpt_reports_total", result="failed", transport="https")), (5, 1))


def parsing(world):
    """What others make of the reports."""
    files = []
    mails = world.hosts["reports.test"].taken() + world.hosts["plain.test"].taken()
    for number, entry in enumerate(mails):
        files.append(world.folder / f"{number}.eml")
        files[-1].write_bytes(entry["data"])
    for number, (_, _, body) in enumerate(world.web.posts):
        files.append(world.folder / f"{number}.json.gz")
        files[-1].write_bytes(body)
        checks.check(f"POST {number} is compressed JSON", json.loads(gzip.decompress(body))["organization-name"] == "Sender Test")
    python = os.environ.get("INTEROP_PYTHON", sys.executable)
    has_parsers = subprocess.run([python, "-c", "import dkim, parsedmarc"], check=False, capture_output=True).returncode == 0
    if not has_parsers and not os.environ.get("CI"):
        print("skipped: parsedmarc and dkimpy are not there, so nobody else has read the reports")
        return
    done = subprocess.run([python, PARSERS, "--key", world.key, *files], check=False, capture_output=True, text=True)
    checks.equal("parsedmarc and dkimpy take every report", (done.returncode, done.stdout.count("ok    ")), (0, len(files)))
    if done.returncode:
        print(done.stdout, done.stderr)


def main():
    rig.within_a_day(120)
    folder = rig.scratch("tlsrpt")
    # Whoever the daemon runs as must read the authority.
    folder.chmod(0o755)
    world = World(folder)
    rig.on_exit(world.daemon.close)
    world.daemon.start()
    counting(world)
    showing(world)
    sending(world)
    parsing(world)
    checks.check("no panic", "panic" not in world.daemon.log.read_text(errors="replace"))
    checks.equal("the audit chain holds", world.daemon.broken_links(), [])
    checks.equal("stops in order", world.daemon.stop(), 0)
    if not os.environ.get("KEEP"):
        shutil.rmtree(folder, ignore_errors=True)
    checks.finish()


if __name__ == "__main__":
    main()
