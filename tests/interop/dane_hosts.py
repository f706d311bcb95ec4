"""The world of the DANE cases: certificates, mail hosts at addresses of their own, the records that name them, the DNS tree."""

import concurrent.futures
import hashlib
import socket
import ssl
import struct
import threading

import dns_rig
import rig
from tls_rig import KEYS, VERSIONS

ADDRESSES_MAX = 250 * 250
DANE_DIGESTS = {"0": bytes, "1": lambda data: hashlib.sha256(data).digest(), "2": lambda data: hashlib.sha512(data).digest()}

SETTINGS = """[req]
distinguished_name = name
x509_extensions = leaf
[name]
[leaf]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = {names}
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[ca]
default_ca = old
[old]
new_certs_dir = {folder}
database = {folder}/{stem}.index
serial = {folder}/{stem}.serial
default_md = sha256
policy = any
unique_subject = no
x509_extensions = leaf
[any]
commonName = supplied
"""


class Certificates:
    """Two authorities, of which the second is nobody's, one below the first, and a leaf for each host."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.settings = self.write_settings("authorities", "DNS:none.test")
        self.make("issuer", "authority", [])
        self.make("other-issuer", "authority", [])
        self.make("subordinate", "authority", ["-CA", folder / "issuer.pem", "-CAkey", folder / "issuer.key"])
        self.make("other", "leaf", [])

    def write_settings(self, stem, names):
        path = self.folder / f"{stem}.cnf"
        path.write_text(SETTINGS.format(names=names, folder=self.folder, stem=stem))
        return path

    def make(self, stem, extensions, issuer, settings=None, key="ec"):
        rig.openssl("req", "-x509", "-config", settings or self.settings, "-newkey", *KEYS[key], "-nodes",
                    "-subj", f"/CN=The {stem}"[:60], "-days", "30", "-extensions", extensions, *issuer,
                    "-keyout", self.folder / f"{stem}.key", "-out", self.folder / f"{stem}.pem")

    def leaf(self, stem, kind, names, key):
        """STEM.chain and STEM.key for a host; gives the two, and the stem of the issuer."""
        settings = self.write_settings(stem, ",".join(f"DNS:{name.rstrip('.')}" for name in names))
        issuer = {"self": stem, "subordinate": "subordinate"}.get(kind, "issuer")
        signer = [] if kind == "self" else ["-CA", self.folder / f"{issuer}.pem", "-CAkey", self.folder / f"{issuer}.key"]
        if kind == "expired":
            self.expired(stem, settings)
        else:
            self.make(stem, "leaf", signer, settings, key)
        sent = [stem] if kind in ("unsent", "self") else [stem, issuer]
        chain = self.folder / f"{stem}.chain"
        chain.write_text("".join(self.pem(part) for part in sent))
        return (chain, self.folder / f"{stem}.key"), issuer

    def expired(self, stem, settings):
        (self.folder / f"{stem}.index").touch()
        (self.folder / f"{stem}.serial").write_text("1000\n")
        key, request = self.folder / f"{stem}.key", self.folder / f"{stem}.csr"
        rig.openssl("req", "-new", "-config", settings, "-newkey", *KEYS["ec"], "-nodes",
                    "-subj", f"/CN=The {stem}"[:60], "-keyout", key, "-out", request)
        rig.openssl("ca", "-batch", "-config", settings, "-in", request, "-cert", self.folder / "issuer.pem",
                    "-keyfile", self.folder / "issuer.key", "-startdate", "20200101000000Z", "-enddate", "20200201000000Z",
                    "-notext", "-out", self.folder / f"{stem}.pem")

    def pem(self, stem):
        return (self.folder / f"{stem}.pem").read_text()

    def association(self, stem, selector, matching):
        """The data of a TLSA record (RFC 6698 section 2.1); numbers that mean nothing get a digest of the key."""
        whole = ssl.PEM_cert_to_DER_cert(self.pem(stem))
        whole = whole if selector == "0" else public_key(whole)
        return DANE_DIGESTS.get(matching, DANE_DIGESTS["1"])(whole).hex()


def elements(data):
    """The elements, with their headers, of a DER sequence's contents."""
    while data:
        size, header = data[1], 2
        if size & 0x80:
            header += size & 0x7f
            size = int.from_bytes(data[2:header])
        yield data[:header + size], data[header:header + size]
        data = data[header + size:]


def public_key(certificate):
    """The SubjectPublicKeyInfo of a version 3 certificate: the seventh part of what is signed (RFC 5280 section 4.1)."""
    signed = next(elements(next(elements(certificate))[1]))[1]
    return list(elements(signed))[6][0]


class MailHost(rig.Sink):
    """A next hop with a certificate; keeps in `heard` the server name of each handshake. `fault` as in dane_cases.Host."""

    def __init__(self, address, port, chain, fault):
        self.fault, self.heard = fault, []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if fault == "tls10":
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = VERSIONS["TLSv1"]
        context.load_cert_chain(*map(str, chain))
        context.sni_callback = lambda _, name, __: self.heard.append(name)
        super().__init__(tls=None if fault in ("no-starttls", "refuses") else context, port=port, address=address)
        self.address = address

    def serve(self, connection):
        if self.fault == "turns-away":
            connection.sendall(b"554 5.7.1 go away\r\n")
            return
        if self.fault == "refuses":
            self.extensions = ("8BITMIME", "STARTTLS")
            connection = Refusing(connection)
        super().serve(connection)

    def shake(self, connection):
        if self.fault == "breaks":
            connection.recv(5)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise EOFError
        return super().shake(connection)


class Refusing:
    """Turns the answer to STARTTLS, which a sink without TLS does not know, into one that says that TLS is not there now."""

    def __init__(self, connection):
        self.connection = connection

    def recv(self, size):
        data = self.connection.recv(size)
        self.starts = data.upper().startswith(b"STARTTLS")
        return data

    def sendall(self, data):
        self.connection.sendall(b"454 4.7.0 TLS is not there now\r\n" if getattr(self, "starts", False) else data)


class World:
    """Everything that the cases name. `hosts` are a case's mail hosts, by its name."""

    def __init__(self, folder, cases):
        self.certificates, self.hosts, self.stems = Certificates(folder / "certificates"), {}, {}
        self.lock, self.places = threading.Lock(), iter(range(ADDRESSES_MAX))
        self.cases = cases
        records, broken, faults = [], [], {}
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for case, hosts in zip(cases, pool.map(self.hosts_of, cases)):
                self.hosts[case.name] = hosts
        for case in cases:
            for owner, kind, data in case.lines():
                if kind == "FAULT":
                    faults[owner] = data
                    # What nobody gets to see; without it a resolver infers from other answers that nothing is there.
                    kind, data = "TLSA", "3 1 1 other"
                records.append(f"{owner} {kind} {self.data(case, kind, data)}")
            broken += [(case.absolute(owner), kind) for owner, kind in case.broken]
        self.tree = dns_rig.Tree(folder / "dns", records, broken, faults)

    def hosts_of(self, case):
        return [self.host(case, number) for number in range(len(case.hosts))]

    def host(self, case, number):
        wanted = case.hosts[number]
        stem = f"{case.name}-{number + 1}"
        names = [f"*.{case.domain}" if name == "*" else case.absolute(name) for name in wanted.names]
        chain, issuer = self.certificates.leaf(stem, wanted.chain, names, "rsa" if wanted.fault == "tls10" else "ec")
        suffix = "" if number == 0 else str(number + 1)
        self.stems[case.name, f"leaf{suffix}"], self.stems[case.name, f"issuer{suffix}"] = stem, issuer
        with self.lock:
            place = next(self.places)
        return MailHost(f"127.21.{place // 250}.{place % 250 + 1}", case.port, chain, wanted.fault)

    def data(self, case, kind, data):
        if kind in ("A", "AAAA"):
            return self.hosts[case.name][int(data) - 1].address
        if kind == "MX":
            preference, name = data.split()
            return f"{preference} {case.absolute(name)}"
        if kind in ("CNAME", "DNAME"):
            return case.absolute(data)
        if kind == "TXT":
            return f'"{data}"'
        usage, selector, matching, subject = data.split()
        if not subject.startswith("="):
            stem = self.stems.get((case.name, subject), subject)
            subject = "=" + self.certificates.association(stem, selector, matching)
        return f"{usage} {selector} {matching} {subject[1:]}"

    def close(self):
        self.tree.close()
        for hosts in self.hosts.values():
            for host in hosts:
                host.close()
