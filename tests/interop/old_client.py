#!/usr/bin/env python3
"""A client that speaks SSL 3.0, for programs whose own TLS library has forgotten it: OpenSSL 1.0.2 out of nassl.

`old_client.py PORT VERSION CIPHERS COMMAND…` does STARTTLS, says the commands, and prints one JSON object: `version` and
`cipher` of the handshake and the `replies`, or the `error`. Runs under a Python that has nassl (PyPI); exits with 3
where it is missing.
"""

import json
import socket
import sys

try:
    from nassl.legacy_ssl_client import LegacySslClient
    from nassl.ssl_client import OpenSslVerifyEnum, OpenSslVersionEnum
except ImportError:
    sys.exit(3)

VERSIONS = {"SSLv2": OpenSslVersionEnum.SSLV2, "SSLv3": OpenSslVersionEnum.SSLV3, "TLSv1": OpenSslVersionEnum.TLSV1}
TIMEOUT_SECONDS = 20


def reply(read):
    """One whole reply, octet for octet as it comes."""
    buffer = b""
    while True:
        buffer += read()
        lines = buffer.split(b"\r\n")
        if len(lines) > 1 and lines[-1] == b"" and lines[-2][3:4] == b" ":
            return buffer.decode("utf-8", "replace").rstrip()


def more(connection):
    data = connection.recv(4096)
    if not data:
        raise EOFError("closed")
    return data


def session(port, version, ciphers, commands):
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS) as connection:
        reply(lambda: more(connection))
        for command in (b"EHLO client.test\r\n", b"STARTTLS\r\n"):
            connection.sendall(command)
            reply(lambda: more(connection))
        client = LegacySslClient(underlying_socket=connection, ssl_version=VERSIONS[version],
                                 ssl_verify=OpenSslVerifyEnum.NONE, ignore_client_authentication_requests=True)
        client.set_cipher_list(ciphers)
        client.do_handshake()
        found = {"version": version, "cipher": client.get_current_cipher_name(), "replies": []}
        for command in commands:
            client.write(command.encode() + b"\r\n")
            found["replies"].append(reply(lambda: client.read(4096)))
        return found


try:
    answer = session(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
except Exception as error:  # whatever the library raises is the answer
    answer = {"error": f"{type(error).__name__}: {error}"}
print(json.dumps(answer))
