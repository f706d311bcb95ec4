"""The world of the MTA-STS cases: a name server, web servers with policies, mail hosts at addresses of their own, and a daemon among them.

Needs root: ports 25 of 127.22.0.0/16 and 443 of 127.23.0.0/24 and 127.24.0.1.
"""

import concurrent.futures
import os
import shutil
import threading

import dane_hosts
import rig
import sts_names
import sts_reports
import sts_web
from dane_hosts import Certificates, MailHost
from rig import Client, Daemon, message, wait_for
from tls_rig import VERSIONS

MAIL_NETWORK, WEB_NETWORK = "127.22.0.0/16", "127.23.0.0/24"
# Beside the networks that are permitted.
FORBIDDEN = "127.24.0.1"
HOSTS_MAX = 250 * 90
ENDS = ("outbound.delivered", "outbound.deferred", "outbound.bounced")


def is_there():
    return os.geteuid() == 0


class StsHost(MailHost):
    """A mail host whose certificate and fault may be changed while it runs."""

    def __init__(self, address, chain, fault, offers=()):
        super().__init__(address, 25, chain, "tls10" if fault == "tls11" else fault)
        self.extensions = (*self.extensions, *offers)
        if fault == "tls11":
            self.tls.maximum_version = VERSIONS["TLSv1.1"]

    def shows(self, chain):
        """Another certificate from now on."""
        context = dane_hosts.ssl.SSLContext(dane_hosts.ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, chain))
        self.tls = context

    def heard_of(self, address):
        """By how many transactions a recipient was named here."""
        return sum(named == address for named, _ in self.named)


class World:
    """All that the cases name. `hosts` are a case's mail hosts, by its name."""

    def __init__(self, folder, cases, number=1):
        self.cases, self.number, self.hosts, self.stems = cases, number, {}, {}
        self.certificates = Certificates(folder / "certificates")
        self.lock, self.places = threading.Lock(), iter(range(HOSTS_MAX))
        self.names = sts_names.Names()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for case, hosts in zip(cases, pool.map(self.hosts_of, cases)):
                self.hosts[case.name] = hosts
        sites = [f"mta-sts.{case.domain.rstrip('.')}" for case in cases]
        kinds = {"good": ("unsent", sites), "expired": ("expired", sites), "self-signed": ("self", sites), "wrong-name": ("unsent", ["wrong.test"])}
        chains = {kind: self.certificates.leaf(f"web-{kind}", chain, names, "ec")[0] for kind, (chain, names) in kinds.items()}
        self.web_address = f"127.23.0.{number}"
        # A port that nobody listens at.
        self.deserted = "127.23.0.250"
        self.chains = chains
        self.web = sts_web.PolicyHosts(self.web_address, chains)
        self.forbidden = sts_web.unused(FORBIDDEN) if number == 1 else None
        for case in cases:
            self.publish(case)
        sts_reports.publish(self)

    def hosts_of(self, case):
        hosts = []
        for place, wanted in enumerate(case.hosts):
            stem = f"{case.name}-{place + 1}"
            names = [f"*.{case.domain}" if name == "*.@" else case.absolute(name) for name in wanted.names]
            key = "rsa" if wanted.fault in ("tls10", "tls11") else "ec"
            chain, issuer = self.certificates.leaf(stem, wanted.chain, names, key)
            self.stems[case.name, "leaf"] = stem if place == 0 else self.stems[case.name, "leaf"]
            self.stems[case.name, "issuer"] = issuer
            with self.lock:
                number = next(self.places)
            hosts.append(StsHost(f"127.22.{number // 250 + 100 * (self.number - 1)}.{number % 250 + 1}", chain, wanted.fault, wanted.offers))
        return hosts

    def publish(self, case):
        """The records of a case, and its policy."""
        domain, hosts = case.domain, self.hosts[case.name]
        names = case.host_names()
        for name, host in zip(names, hosts):
            self.names.set(case.absolute(name), "A", host.address)
        targets = case.mx or names
        if targets != ("none",):
            self.names.set(domain, "MX", *(f"{place * 10} {case.absolute(name)}" for place, name in enumerate(targets, 1)))
        self.names.set(f"_mta-sts.{domain}", "TXT", *case.txt)
        for line in case.records.splitlines():
            owner, kind, data = line.split(None, 2)
            if kind == "A":
                data = data[1:] if data.startswith("=") else hosts[int(data) - 1].address
            self.names.set(case.absolute(owner), kind, data)
        for owner, kind in map(str.split, case.broken):
            self.names.broken.add((case.absolute(owner), kind))
        tlsa = [bytes([int(usage), int(selector), int(matching)])
                + bytes.fromhex(self.certificates.association(self.stems.get((case.name, subject), subject), selector, matching))
                for usage, selector, matching, subject in map(str.split, case.tlsa)]
        self.names.set(f"_25._tcp.{case.absolute('mx')}", "TLSA", *tlsa)
        self.publish_site(case)

    def publish_site(self, case):
        name = f"mta-sts.{case.domain}"
        address = {"forbidden": FORBIDDEN, "refused": self.deserted, "nowhere": None}.get(case.web, self.web_address)
        self.names.set(name, "A", *([address] if address else []))
        if case.site() is not None:
            self.web.sites[name.rstrip(".")] = sts_web.Site(case.site(), case.web)

    def domain_files(self):
        files = {}
        for case in self.cases:
            text = f"[outbound]\n{case.keys}\n" if case.keys else ""
            if case.route:
                text += f'[route]\nhosts = ["{case.absolute(case.route).rstrip(".")}:25"]\n'
            if text:
                files[case.name] = f'domains = ["{case.domain.rstrip(".")}"]\n{text}'
        return files

    def close(self):
        self.names.close()
        self.web.close()
        if self.forbidden:
            self.forbidden.close()
        for hosts in self.hosts.values():
            for host in hosts:
                host.close()


def recipient(case, local="b"):
    return f"{local}@{case.domain.rstrip('.')}"


class Gatepost:
    """One daemon in a world."""

    def __init__(self, folder, world, homes=None):
        folder.mkdir()
        # Where the daemon may read.
        roots = shutil.copy(world.certificates.folder / "issuer.pem", folder / "roots.pem")
        self.world = world
        domains = world.domain_files()
        for name, sink in (homes or {}).items():
            domains[name] = f'domains = ["{name}.test"]\nhosted = true\nrecipients = "any"\n[route]\nhosts = ["127.0.0.1:{sink.port}"]\n'
        self.port = rig.free_port()
        listeners = f'[[listener]]\nname = "smart"\nbind = ["127.0.0.1:{self.port}"]\nrole = "smarthost"\n'
        settings = (f'[dns]\nservers = ["127.0.0.1:{world.names.port}"]\ndnssec = "trust-ad"\n'
                    f'allow_targets = ["{MAIL_NETWORK}", "{WEB_NETWORK}"]\n[relay]\ntrusted = ["127.0.0.0/8"]\n{sts_reports.SETTINGS}')
        self.daemon = Daemon(folder, domains, settings,
                             listeners=listeners, spool_keys='retry = ["1h"]\n', environment={"SSL_CERT_FILE": str(roots)})
        self.daemon.port = self.port

    def session(self):
        client = Client(self.port)
        client.say("EHLO client.test")
        client.starttls()
        client.say("EHLO client.test")
        return client

    def send(self, cases, local="b"):
        """One message for each, over TLS. Gives what was not accepted."""
        client, refused = self.session(), []
        for case in cases:
            to = recipient(case, local)
            fields = {"TLS_Required": "No"} if case.asks == "tls-required-no" else {}
            parameter = " REQUIRETLS" if case.asks == "requiretls" else ""
            answers = [client.say(command) for command in (f"MAIL FROM:<{case.sender}>{parameter}", f"RCPT TO:<{to}>", "DATA")]
            client.send(message(to, body=b"the body itself\r\n", **fields) + b".\r\n")
            answers.append(client.reply())
            if not answers[-1].startswith("250"):
                refused.append((case.name, answers))
        client.say("QUIT")
        client.close()
        return refused

    def ends(self):
        """The first end of each recipient: its record."""
        found = {}
        for record in self.daemon.records():
            if record["event"] in ENDS and record["from"]:
                for address in record["to"]:
                    found.setdefault(address, record)
        return found

    def settled(self, cases, local="b", seconds=30):
        """Those records, once there is one for each case."""
        wanted = {recipient(case, local) for case in cases}
        wait_for(lambda: wanted <= set(self.ends()), seconds, 0.2)
        found = self.ends()
        return {case.name: found.get(recipient(case, local)) for case in cases}

    def log_of(self, domain):
        """The lines that speak of a domain."""
        return [line for line in self.daemon.log.read_text(errors="replace").splitlines() if domain.rstrip(".") in line]

    def close(self):
        self.daemon.close()


def outcome(record):
    """In the words of the cases."""
    if record is None:
        return "nothing"
    if record["event"] != "outbound.delivered":
        return f"{record['event'].removeprefix('outbound.')} {record.get('reason')}"
    verified = record["tls"] and (record["tls"].get("peer") or {}).get("verified")
    return f"delivered {'plaintext' if record['tls'] is None else 'encrypted' if verified in (None, 'none') else verified}"


def why(record):
    keys = ("detail", "reply", "requirement", "published", "mx", "dnssec")
    return {key: record.get(key) for key in keys} if record else "no record"
