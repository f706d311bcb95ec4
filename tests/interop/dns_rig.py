"""A signed DNS tree of our own on loopback: root, zones of every state below it, and two resolvers that know only this root.

Needs root (port 53 of addresses in 127.20.0.0/24) and Debian's nsd, bind9-utils and unbound; starts no service of theirs.

    .                    signed, NSEC; `anchor` is its key
    example              signed, NSEC3
    signed.example       signed, a zone of its own
    unsigned.example     not signed, and the parent proves it
    expired.example      signed, and the signatures are over
    misfit.example       signed with another key than the parent's DS names
    denial.example       signed; here the proof that something does not exist may be damaged
    faulty.example       signed, behind a server that fails at the questions that it is told to fail at
    silent.example       signed, behind another such server
    outlook.example      not signed, behind that of faulty.example
"""

import base64
import hashlib
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import threading

from rig import wait_for

ROOT_SERVER, EXAMPLE_SERVER, OTHER_SERVER = "127.20.0.1", "127.20.0.2", "127.20.0.3"
FAULTY_SERVER, SILENT_SERVER = "127.20.0.4", "127.20.0.5"
VALIDATING, PLAIN = "127.20.0.10", "127.20.0.11"
# zone -> (who answers for it to resolvers, whether it is signed)
ZONES = {
    ".": (ROOT_SERVER, True),
    "example.": (EXAMPLE_SERVER, True),
    "signed.example.": (OTHER_SERVER, True),
    "unsigned.example.": (OTHER_SERVER, False),
    "expired.example.": (OTHER_SERVER, True),
    "misfit.example.": (OTHER_SERVER, True),
    "denial.example.": (OTHER_SERVER, True),
    "faulty.example.": (FAULTY_SERVER, True),
    "silent.example.": (SILENT_SERVER, True),
    "outlook.example.": (FAULTY_SERVER, False),
}
TTL = 300
TLSA = 52
RCODES = {"FORMERR": 1, "SERVFAIL": 2, "NOTIMP": 4, "REFUSED": 5}
PROGRAMS = ["/usr/sbin/nsd", "/usr/bin/dnssec-keygen", "/usr/bin/dnssec-signzone", "/usr/bin/dnssec-dsfromkey", "/usr/sbin/unbound"]

UNBOUND = """server:
    interface: {address}@53
    access-control: 127.0.0.0/8 allow
    directory: "{folder}"
    username: "unbound"
    chroot: ""
    pidfile: ""
    use-syslog: no
    logfile: ""
    log-queries: yes
    num-threads: 1
    do-ip6: no
    do-not-query-localhost: no
    root-hints: "{folder}/root.hints"
    minimal-responses: no
    module-config: "{modules}"
{anchor}remote-control:
    control-enable: no
"""


NSD = """server:
    ip-address: {address}
    port: 53
    username: nsd
    zonesdir: "{folder}"
    zonelistfile: "{folder}/{address}.list"
    xfrdfile: ""
    xfrdir: "{folder}"
    database: ""
    pidfile: ""
    logfile: ""
    server-count: 1
    do-ip6: no
    minimal-responses: no
remote-control:
    control-enable: no
"""


def is_there():
    return os.geteuid() == 0 and all(pathlib.Path(program).exists() for program in PROGRAMS)


def zone_of(name):
    """The zone that a name belongs to; names end with a dot."""
    fitting = [zone for zone in ZONES if zone == "." or name == zone or name.endswith("." + zone)]
    return max(fitting, key=len)


def nsec3_hash(name):
    """The hash of a name without salt and further rounds (RFC 5155 section 5)."""
    wire = b"".join(bytes([len(label)]) + label.encode() for label in name.lower().rstrip(".").split(".")) + b"\0"
    return base64.b32hexencode(hashlib.sha1(wire).digest()).decode()


def file_of(zone):
    return zone.rstrip(".") or "root"


class Tree:
    """`records` are lines "OWNER TYPE DATA" with absolute owners. `broken` are pairs (owner, type) whose signature is damaged;
    the type NSEC3 stands for the proof of what an owner does not have. `faults` maps an owner to what a question for its TLSA
    records gets where the zone is behind a failing server: "DROP" or the name of an RCODE.
    """

    def __init__(self, folder, records, broken=(), faults=None):
        self.folder, self.processes, self.proxies = folder, [], []
        folder.mkdir()
        folder.chmod(0o755)
        self.keys = folder / "keys"
        self.keys.mkdir()
        self.anchor = folder / "anchor.key"
        self.texts = {zone: [] for zone in ZONES}
        for line in records:
            self.texts[zone_of(line.split()[0])].append(line)
        # Children first: each zone needs the DS records of those below it.
        for zone in sorted(ZONES, key=lambda zone: (-zone.count("."), zone == ".")):
            self.write(zone, [pair for pair in broken if zone_of(pair[0]) == zone])
        (folder / "root.hints").write_text(f". 3600000 NS ns.root.\nns.root. 3600000 A {ROOT_SERVER}\n")
        self.proxies = [Proxy(address, faults or {}) for address in (FAULTY_SERVER, SILENT_SERVER)]

    def write(self, zone, broken):
        server, signed = ZONES[zone]
        host = f"ns.{zone}" if zone != "." else "ns.root."
        path = self.folder / file_of(zone)
        lines = [f"{zone} {TTL} IN SOA {host} hostmaster.{zone.lstrip('.')} 1 3600 600 86400 {TTL}", f"{zone} {TTL} IN NS {host}",
                 f"{host} {TTL} IN A {server}"]
        for line in self.texts[zone]:
            owner, rest = line.split(None, 1)
            lines.append(f"{owner} {TTL} IN {rest}")
        key = self.new_key(zone) if signed else None
        if key:
            lines.append((self.keys / f"{key}.key").read_text())
        path.write_text("\n".join(lines) + "\n")
        if zone == ".":
            self.anchor.write_text(self.key_line(key))
        else:
            self.delegate(zone, host, server, self.new_key(zone) if zone == "misfit.example." else key)
        if key:
            self.sign(zone, path, key)
            damage(path, zone, broken)

    def new_key(self, zone):
        return run("dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", "-K", self.keys, zone).strip()

    def key_line(self, key):
        lines = (self.keys / f"{key}.key").read_text().splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith(";"))

    def delegate(self, zone, host, server, key):
        parent = self.texts[zone_of(zone.split(".", 1)[1] or ".")]
        parent += [f"{zone} NS {host}", f"{host} A {server}"]
        if key:
            parent.append(re.sub(r"^(\S+) IN ", r"\1 ", run("dnssec-dsfromkey", "-2", self.keys / f"{key}.key").strip()))

    def sign(self, zone, path, key):
        when = ["-s", "20200101000000", "-e", "20200201000000"] if zone == "expired.example." else ["-s", "-3600", "-e", "+864000"]
        denial = [] if zone == "." else ["-3", "-", "-H", "0"]
        run("dnssec-signzone", "-q", "-d", self.keys, "-z", "-P", "-O", "full", *denial, *when, "-o", zone, "-f", path, "-K", self.keys, path, key)

    def start(self):
        """Starts the servers and waits until both resolvers answer."""
        # A copy: confinement of the packaged path would keep it out of this folder.
        shutil.copy("/usr/sbin/unbound", self.folder)
        shutil.chown(self.folder, "nsd")
        for address in (ROOT_SERVER, EXAMPLE_SERVER, OTHER_SERVER):
            self.start_authority(address)
        for name, address, modules in [("validating", VALIDATING, "validator iterator"), ("plain", PLAIN, "iterator")]:
            anchor = f'    trust-anchor-file: "{self.anchor}"\n' if name == "validating" else ""
            (self.folder / f"{name}.conf").write_text(UNBOUND.format(address=address, folder=self.folder, modules=modules, anchor=anchor))
            self.run_daemon(self.folder / "unbound", "-d", "-c", self.folder / f"{name}.conf", log=name)
        for address in (VALIDATING, PLAIN):
            if not wait_for(lambda: ask(address, "example.", "SOA", 1)[0] == 0, 20):
                raise SystemExit(f"no answers from {address}: " + "".join(map(self.log, (ROOT_SERVER, EXAMPLE_SERVER, "validating", "plain"))))
        return self

    def start_authority(self, address):
        behind = (FAULTY_SERVER, SILENT_SERVER) if address == OTHER_SERVER else ()
        zones = [zone for zone, (server, _) in ZONES.items() if server == address or server in behind]
        path = self.folder / f"{address}.conf"
        path.write_text(NSD.format(address=address, folder=self.folder)
                        + "".join(f'zone:\n    name: "{zone}"\n    zonefile: "{file_of(zone)}"\n' for zone in zones))
        self.run_daemon("/usr/sbin/nsd", "-d", "-c", path, log=address)

    def run_daemon(self, program, *arguments, log):
        output = (self.folder / f"{log}.log").open("ab")
        self.processes.append(subprocess.Popen([program, *map(str, arguments)], stdout=output, stderr=output))

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(errors="replace")[-4000:]

    def asked(self, resolver, kind):
        """The names that a resolver ("validating" or "plain") was asked for, in order, each as often as it was."""
        text = (self.folder / f"{resolver}.log").read_text(errors="replace")
        return [name.lower() for name in re.findall(rf"info: 127\S+ (\S+) {kind} IN", text)]

    def close(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for proxy in self.proxies:
            proxy.close()


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]}: {done.stderr.decode()}")
    return done.stdout.decode()


def damage(path, zone, broken):
    """Changes one octet of the signatures over these sets of records."""
    lines = path.read_text().splitlines()
    for owner, kind in broken:
        if kind == "NSEC3":
            owner = f"{nsec3_hash(owner)}.{zone}"
        pattern = re.compile(rf"{re.escape(owner)}\s+\d+\s+IN\s+RRSIG\s+{kind}\s", re.I)
        found = [place for place, line in enumerate(lines) if pattern.match(line)]
        if not found:
            raise SystemExit(f"{zone} has no signature over {owner} {kind}")
        for place in found:
            head, signature = lines[place].rsplit(None, 1)
            octets = bytearray(base64.b64decode(signature))
            octets[9] ^= 0x55
            lines[place] = f"{head} {base64.b64encode(octets).decode()}"
    path.write_text("\n".join(lines) + "\n")


def question(query):
    """Name and type that a message asks for."""
    labels, place = [], 12
    while length := query[place]:
        labels.append(query[place + 1:place + 1 + length].decode("latin-1").lower())
        place += 1 + length
    return ".".join(labels) + ".", struct.unpack(">H", query[place + 1:place + 3])[0], query[12:place + 5]


class Proxy:
    """Answers as the server behind it would, but fails at the TLSA questions that it is told to fail at."""

    def __init__(self, address, faults):
        self.faults, self.asked = {name.lower(): fault for name, fault in faults.items()}, []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((address, 53))
        self.tcp = socket.create_server((address, 53), backlog=64)
        for target in (self.serve_udp, self.serve_tcp):
            threading.Thread(target=target, daemon=True).start()

    def serve_udp(self):
        while True:
            try:
                query, client = self.udp.recvfrom(4096)
            except OSError:
                return
            threading.Thread(target=self.answer_udp, args=(query, client), daemon=True).start()

    def answer_udp(self, query, client):
        reply = self.reply(query, forward_udp)
        if reply:
            self.udp.sendto(reply, client)

    def serve_tcp(self):
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self.answer_tcp, args=(connection,), daemon=True).start()

    def answer_tcp(self, connection):
        with connection:
            connection.settimeout(10)
            try:
                reply = self.reply(read_framed(connection), forward_tcp)
                if reply:
                    connection.sendall(struct.pack(">H", len(reply)) + reply)
            except OSError:
                pass

    def reply(self, query, forward):
        try:
            name, kind, echoed = question(query)
        except (IndexError, struct.error):
            return None
        fault = self.faults.get(name) if kind == TLSA else None
        if kind == TLSA:
            self.asked.append(name)
        if fault == "DROP":
            return None
        if fault:
            return query[:2] + struct.pack(">HHHHH", 0x8400 | RCODES[fault], 1, 0, 0, 0) + echoed
        try:
            return forward(query)
        except OSError:
            return None

    def close(self):
        self.udp.close()
        self.tcp.close()


def read_framed(connection):
    data = b""
    while len(data) < 2 or len(data) < 2 + struct.unpack(">H", data[:2])[0]:
        more = connection.recv(65536)
        if not more:
            raise OSError("closed")
        data += more
    return data[2:]


def forward_udp(query):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forward:
        forward.settimeout(3)
        forward.sendto(query, (OTHER_SERVER, 53))
        return forward.recv(65536)


def forward_tcp(query):
    with socket.create_connection((OTHER_SERVER, 53), 3) as forward:
        forward.sendall(struct.pack(">H", len(query)) + query)
        return read_framed(forward)


KINDS = {"A": 1, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28, "TLSA": TLSA}


def ask(server, name, kind, seconds=15):
    """One question with AD and DO set: RCODE (None: no answer in time), whether it is authentic, how many records."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".") if label)
    query = struct.pack(">HHHHHH", 0x4242, 0x0120, 1, 0, 0, 1) + labels + b"\0" + struct.pack(">HH", KINDS[kind], 1)
    query += b"\0" + struct.pack(">HHIH", 41, 4096, 0x8000, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(seconds)
        try:
            client.sendto(query, (server, 53))
            reply = client.recv(65536)
        except OSError:
            return None, False, 0
    flags, _, answers = struct.unpack(">HHH", reply[2:8])
    return flags & 15, bool(flags & 0x20), answers


def check_tree(checks):
    """That the tree is what it claims to be: RCODE and authenticity of answers of every kind, by both resolvers."""
    for name, kind, rcode, authentic in [
        ("example.", "SOA", 0, True), ("signed.example.", "SOA", 0, True), ("unsigned.example.", "SOA", 0, False),
        ("outlook.example.", "SOA", 0, False), ("expired.example.", "SOA", 2, False), ("misfit.example.", "SOA", 2, False),
        ("faulty.example.", "SOA", 0, True), ("silent.example.", "SOA", 0, True), ("denial.example.", "SOA", 0, True),
        ("example.", "TXT", 0, True), ("nothing.example.", "A", 3, True), ("nothing.unsigned.example.", "A", 3, False),
    ]:
        checks.equal(f"the tree: {name} {kind} of the validating resolver", ask(VALIDATING, name, kind)[:2], (rcode, authentic))
        checks.equal(f"the tree: {name} {kind} of the plain one", ask(PLAIN, name, kind)[:2], (rcode if rcode == 3 else 0, False))
