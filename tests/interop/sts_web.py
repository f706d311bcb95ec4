"""Web servers of MTA-STS policies: one address for all of them, told apart by server name, each as good or bad as it is told to be."""

import socket
import ssl

import rig

PORT = 443
POLICY_BYTES_MAX = 64 * 1024
PATH = "/.well-known/mta-sts.txt"
ELSEWHERE = "/elsewhere/mta-sts.txt"
# The kinds of certificates; all but the last are for the right names.
CERTIFICATES = ("good", "expired", "self-signed", "wrong-name")
FAULTS = ("404", "500", "redirect", "too-long", "drips", "html", "typeless", "cut", "closes", *CERTIFICATES[1:])
DRIP_SECONDS = 0.5


class Site:
    """What one policy host serves: a text, and one of FAULTS or "" or "charset" (a parameter behind the media type)."""

    def __init__(self, text, fault=""):
        self.text, self.fault = text, fault


class PolicyHosts(rig.Hop):
    """`sites` maps names to sites; `asked` is every (name, path) that was asked for."""

    def __init__(self, address, chains):
        self.sites, self.asked = {}, []
        self.contexts = {kind: self.context(chain) for kind, chain in chains.items()}
        super().__init__(port=PORT, address=address)

    def context(self, chain):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, chain))
        context.sni_callback = self.choose
        return context

    def choose(self, connection, name, _):
        connection.asked_for = name
        fault = self.sites[name].fault if name in self.sites else ""
        connection.context = self.contexts.get(fault, self.contexts["good"])

    def serve(self, connection):
        with self.contexts["good"].wrap_socket(connection, server_side=True) as protected:
            request = b""
            while b"\r\n\r\n" not in request:
                more = protected.recv(4096)
                if not more:
                    return
                request += more
            path = request.split()[1].decode()
            self.asked.append((protected.asked_for, path))
            self.answer(protected, self.sites[protected.asked_for], path)

    def answer(self, connection, site, path):
        body, fault = site.text.encode(), site.fault
        if fault == "closes":
            return
        if fault == "redirect" and path == PATH:
            return say(connection, "301 Moved Permanently", b"", f"Location: https://{connection.asked_for}{ELSEWHERE}\r\n")
        if fault == "too-long":
            body += b"filler: x\n" * (POLICY_BYTES_MAX // 10)
        kind = {"html": "text/html", "charset": "Text/Plain; charset=utf-8", "typeless": None}.get(fault, "text/plain")
        status = {"404": "404 Not Found", "500": "500 Internal Server Error"}.get(fault, "200 OK")
        fields = f"Content-Type: {kind}\r\n" if kind else ""
        if fault == "cut":
            return say(connection, status, body[:-1], fields, len(body))
        if fault == "drips":
            return self.drip(connection, fields)
        return say(connection, status, body, fields)

    def drip(self, connection, fields):
        """Never idle for long, and never done."""
        say(connection, "200 OK", b"", fields, POLICY_BYTES_MAX)
        connection.settimeout(DRIP_SECONDS)
        while True:
            try:
                if not connection.recv(1):
                    return
            except TimeoutError:
                connection.sendall(b"x")


def say(connection, status, body, fields, length=None):
    length = len(body) if length is None else length
    connection.sendall(f"HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\nConnection: close\r\n\r\n".encode() + body)


def unused(address):
    """A socket that holds the port of policy hosts at this address and counts who comes."""
    return rig.Hop(lambda connection: connection.shutdown(socket.SHUT_RDWR), port=PORT, address=address)
