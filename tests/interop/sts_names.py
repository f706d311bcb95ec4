"""A name server whose records may change at any time. It speaks for `.test`; what is below `secure.test` it calls authentic, as a
validating resolver would of a signed zone.
"""

import ipaddress
import socket
import struct
import threading
import time

import dns_rig

KINDS = {**dns_rig.KINDS, "NS": 2, "CNAME": 5}
SECURE = "secure.test."
SERVFAIL, NXDOMAIN = 2, 3
# As little as the daemon permits, or less.
TTL = 1
ALIASES_MAX = 8


class Names:
    """`records` maps (owner, type) to data: texts for A, CNAME and TXT, "10 mx.test." for MX, octets for TLSA. Owners end with a dot.
    What is in `broken`
    gets SERVFAIL, what is in `silent` no answer. `asked` is when each question came last.
    """

    def __init__(self, port=0):
        # Whoever wants to know whether this is a validating resolver asks for those of the root.
        self.records, self.broken, self.silent, self.asked = {(".", "NS"): ("ns.test.",)}, set(), set(), {}
        self.lock = threading.Lock()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def set(self, owner, kind, *data):
        """Replaces what the owner has; without data it has nothing of this type any more."""
        with self.lock:
            self.records.pop((owner, kind), None)
            if data:
                self.records[owner, kind] = data

    def serve(self):
        while True:
            try:
                query, client = self.socket.recvfrom(4096)
            except OSError:
                return
            answer = self.answer(query)
            if answer:
                self.socket.sendto(answer, client)

    def answer(self, query):
        name, number, echoed = dns_rig.question(query)
        kind = next((kind for kind, known in KINDS.items() if known == number), None)
        with self.lock:
            self.asked[name, kind] = time.monotonic()
            if (name, kind) in self.silent:
                return None
            is_broken = (name, kind) in self.broken
            found = [] if is_broken else self.find(name, kind)
            exists = found or any(owner == name or owner.endswith("." + name) for owner, _ in self.records)
        rcode = SERVFAIL if is_broken else 0 if exists else NXDOMAIN
        owners = [name, *(owner for owner, _, _ in found)]
        authentic = all(owner == "." or owner.endswith(SECURE) for owner in owners) and not is_broken
        flags = 0x8180 | (0x20 if authentic else 0) | rcode
        answer = b"".join(record(*part) for part in found)
        denial = b"" if found or is_broken else record("test.", "SOA", None)
        head = struct.pack(">HHHHH", flags, 1, len(found), 1 if denial else 0, 0)
        return query[:2] + head + echoed + answer + denial

    def find(self, name, kind):
        """Records of the name and of those that its aliases lead to: (owner, type, data)."""
        found = []
        for _ in range(ALIASES_MAX):
            found += [(name, kind, data) for data in self.records.get((name, kind), ())]
            alias = self.records.get((name, "CNAME"))
            if found[-1:] and found[-1][1] == kind or not alias:
                break
            found.append((name, "CNAME", alias[0]))
            name = alias[0]
        return found

    def close(self):
        self.socket.close()


def wire(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".") if label) + b"\0"


def record(owner, kind, data):
    if kind == "A":
        data = ipaddress.ip_address(data).packed
    elif kind in ("CNAME", "NS"):
        data = wire(data)
    elif kind == "MX":
        preference, host = data.split()
        data = struct.pack(">H", int(preference)) + wire(host)
    elif kind == "TXT":
        text = data.encode()
        data = b"".join(bytes([len(text[at:at + 255])]) + text[at:at + 255] for at in range(0, len(text), 255))
    elif kind == "SOA":
        data = wire("ns.test.") + wire("hostmaster.test.") + struct.pack(">IIIII", 1, 3600, 600, 86400, TTL)
    return wire(owner) + struct.pack(">HHIH", KINDS[kind], 1, TTL, len(data)) + data
