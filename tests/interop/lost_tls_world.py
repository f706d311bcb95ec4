"""The world of lost_tls.py: mail hosts that lose TLS and find it again, what they publish, and a resolver that is believed."""

import socket
import ssl
import struct
import threading
import time

import dane_hosts
import rig
import tls_rig

RESOLVER = "127.31.255.53"
SMTP_PORT, HTTPS_PORT = 25, 443
KINDS = {"A": 1, "NS": 2, "MX": 15, "TXT": 16, "TLSA": 52}
TTL, NXDOMAIN, AUTHENTIC = 60, 3, 0x20
# Below it every answer is authentic; so is what is said of the root.
SECURE = "signed.test"


class Resolver:
    """A validating resolver that knows these lines "OWNER TYPE DATA" and nothing else."""

    def __init__(self, lines):
        self.records = {}
        for owner, kind, data in (line.split(None, 2) for line in [". NS ns.test", *lines]):
            self.records.setdefault(owner.rstrip("."), []).append((KINDS[kind], rdata(kind, data)))
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((RESOLVER, 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                query, client = self.socket.recvfrom(4096)
            except OSError:
                return
            self.socket.sendto(self.answer(query), client)

    def answer(self, query):
        labels, place = [], 12
        while length := query[place]:
            labels.append(query[place + 1:place + 1 + length].decode("latin-1").lower())
            place += 1 + length
        name, kind, question = ".".join(labels), struct.unpack(">H", query[place + 1:place + 3])[0], query[12:place + 5]
        known = [name, *(owner for owner in self.records if owner.endswith("." + name))]
        exists = any(owner in self.records for owner in known)
        found = [data for its, data in self.records.get(name, []) if its == kind]
        secure = not name or name == SECURE or name.endswith("." + SECURE)
        flags = 0x8180 | (AUTHENTIC if secure else 0) | (0 if exists else NXDOMAIN)
        head = query[:2] + struct.pack(">HHHHH", flags, 1, len(found), 0, 0) + question
        return head + b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, TTL, len(data)) + data for data in found)

    def close(self):
        self.socket.close()


def wire_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def rdata(kind, data):
    if kind == "A":
        return socket.inet_aton(data)
    if kind == "MX":
        preference, name = data.split()
        return struct.pack(">H", int(preference)) + wire_name(name)
    if kind == "TXT":
        return bytes([len(data)]) + data.encode()
    if kind == "NS":
        return wire_name(data)
    *numbers, association = data.split()
    return bytes(map(int, numbers)) + bytes.fromhex(association)


class MailHost(rig.Sink):
    """A next hop that can lose TLS and find it again. `plaintext` is all that it was ever told without TLS."""

    def __init__(self, chain, address, port=SMTP_PORT):
        self.plaintext, self.protected = bytearray(), []
        super().__init__(tls=chain, data=self.stamp, port=port, address=address)
        self.whole, self.address = self.tls, address

    def stamp(self, entry):
        entry["time"] = time.time()
        return "250 2.0.0 Ok"

    def serve(self, connection):
        super().serve(Overheard(connection, self.plaintext))

    def shake(self, connection):
        protected = super().shake(connection.inner)
        self.protected.append(protected)
        return protected

    def lose_tls(self):
        """Sessions that have it end."""
        self.tls = None
        for connection in self.protected:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def find_tls(self):
        self.tls = self.whole

    def commands_without_tls(self):
        """The first word of each line."""
        return {line.split()[0].decode("latin-1").upper() for line in bytes(self.plaintext).split(b"\r\n") if line.strip()}


class Overheard:
    """A connection, with all that comes over it before TLS written down."""

    def __init__(self, inner, heard):
        self.inner, self.heard, self.sendall = inner, heard, inner.sendall

    def recv(self, size):
        data = self.inner.recv(size)
        self.heard += data
        return data


class PolicyHost(rig.Hop):
    """The web server of an MTA-STS policy (RFC 8461 section 3.3)."""

    def __init__(self, chain, address, policy):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*map(str, chain))
        self.policy = policy
        super().__init__(port=HTTPS_PORT, address=address)

    def serve(self, connection):
        with self.context.wrap_socket(connection, server_side=True) as web:
            request = b""
            while b"\r\n\r\n" not in request:
                more = web.recv(4096)
                if not more:
                    return
                request += more
            found = request.startswith(b"GET /.well-known/mta-sts.txt ")
            body = self.policy.encode() if found else b""
            status = "200 OK" if found else "404 Not Found"
            web.sendall(f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


class World:
    """A mail host `mx.DOMAIN` for each destination, each in a network of its own, and hosts that routes name."""

    def __init__(self, folder, destinations, routed):
        """`destinations`: domain -> "" | "dane" | "sts" | "other-name" | "expired". `routed` are names, each at a free port."""
        rig.authority(folder)
        self.folder, self.hosts, self.web, lines = folder, {}, [], []
        for number, (domain, kind) in enumerate(destinations.items()):
            name, address = f"mx.{domain}", f"127.31.{number}.25"
            chain = self.certificate(name, kind)
            self.hosts[domain] = MailHost(chain, address)
            lines += [f"{domain} MX 10 {name}", f"{name} A {address}"]
            if kind == "dane":
                spki = dane_hosts.public_key(tls_rig.der_of(chain[0]))
                lines.append(f"_25._tcp.{name} TLSA 3 1 1 {dane_hosts.DANE_DIGESTS['1'](spki).hex()}")
            elif kind == "sts":
                lines += self.announce(domain, f"127.31.{number}.80")
        for number, name in enumerate(routed):
            host = MailHost(self.certificate(name, ""), f"127.31.200.{number + 1}", rig.free_port())
            self.hosts[name] = host
            lines.append(f"{name} A {host.address}")
        self.resolver = Resolver(lines)

    def certificate(self, name, kind):
        names = {"other-name": "mx.elsewhere.test"}
        # Self-signed where DANE alone vouches for it.
        make = rig.self_signed if kind == "dane" else rig.issued
        more = {"days": -1} if kind == "expired" else {}
        # In unsigned DNS the name that counts is that of the domain.
        return make(self.folder, names.get(kind, name if kind in ("dane", "sts") else name.removeprefix("mx.")), name, **more)

    def announce(self, domain, address):
        chain = rig.issued(self.folder, f"mta-sts.{domain}", f"mta-sts.{domain}")
        policy = f"version: STSv1\r\nmode: enforce\r\nmx: mx.{domain}\r\nmax_age: 86400\r\n"
        self.web.append(PolicyHost(chain, address, policy))
        return [f"mta-sts.{domain} A {address}", f"_mta-sts.{domain} TXT v=STSv1; id=1;"]

    def close(self):
        self.resolver.close()
        for hop in [*self.hosts.values(), *self.web]:
            hop.close()
