#!/usr/bin/env python3
"""Next hops of every bad kind: the message stays, the queue says why, it goes out when the hop is mended, bounces are right."""

import email
import socket
import struct
import threading

import rig
from rig import Client, Daemon, Hop, Reader, Sink, message, wait_for

checks = rig.Checks()
folder = rig.scratch("next-hops")
rig.authority(folder)
good = rig.issued(folder, "good.test", "good")
other = rig.issued(folder, "other.test", "other")
expired = rig.issued(folder, "good.test", "expired", days=-1)
lonely = rig.self_signed(folder, "good.test", "lonely")
release = threading.Event()


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def garbage(connection):
    connection.sendall(bytes(range(128, 256)) * 8 + b"\r\n")
    connection.recv(1)


def hang_after_banner(connection):
    connection.sendall(b"220 hang.test ESMTP\r\n")
    release.wait(100)


def endless(connection):
    connection.sendall(b"220 endless.test ESMTP\r\n")
    connection.recv(1000)
    while True:
        connection.sendall(b"250-X-MORE\r\n" * 5000)


def endless_line(connection):
    while True:
        connection.sendall(b"220" + b"-" * 100_000)


def close_after_data(connection):
    reader = Reader(connection)
    reader.answer("220 close.test ESMTP")
    while (line := reader.line()) is not None:
        if line.upper() == b"DATA":
            reader.answer("354 go")
            reader.content()
            return
        reader.answer("250 Ok")


def lying_starttls(connection):
    """Offers STARTTLS and cannot do it."""
    reader = Reader(connection)
    reader.answer("220 lying.test ESMTP")
    while (line := reader.line()) is not None:
        if line.upper().startswith(b"EHLO"):
            reader.answer("250-lying.test\r\n250 STARTTLS")
        elif line.upper() == b"STARTTLS":
            reader.answer("220 go")
            connection.recv(5)
            connection.sendall(b"not a server hello, whatever else it may be\r\n")
            return
        elif line.upper() == b"DATA":
            reader.answer("354 go")
            lies_taken.append(reader.content())
            reader.answer("250 Ok")
        else:
            reader.answer("250 Ok")


def injecting(connection):
    """Says more behind the 220 than it should: what is there before the handshake must not count."""
    reader = Reader(connection)
    reader.answer("220 injecting.test ESMTP")
    while (line := reader.line()) is not None:
        if line.upper().startswith(b"EHLO"):
            reader.answer("250-injecting.test\r\n250 STARTTLS")
        elif line.upper() == b"STARTTLS":
            connection.sendall(b"220 go\r\n250-injected\r\n250 SIZE\r\n")
            connection.recv(1000)
            return
        else:
            reader.answer("250 Ok")


lies_taken, tempered = [], []


def temper(entry):
    """4xx once, then ok."""
    tempered.append(entry)
    return "451 4.3.0 not now" if len(tempered) == 1 else "250 2.0.0 Ok"


# name of the domain -> (next hop, TLS keys of the route)
VERIFY = 'tls = "verify"\nmatch = ["good.test"]\n'
hops = {
    "plain-opp": (Sink(), 'tls = "opportunistic"\n'),
    "plain-enc": (Sink(), 'tls = "encrypt"\n'),
    "plain-ver": (Sink(), VERIFY),
    "good-ver": (Sink(tls=good), VERIFY),
    "name-ver": (Sink(tls=other), VERIFY),
    "name-enc": (Sink(tls=other), 'tls = "encrypt"\n'),
    "expired-ver": (Sink(tls=expired), VERIFY),
    "lonely-ver": (Sink(tls=lonely), VERIFY),
    "lonely-enc": (Sink(tls=lonely), 'tls = "encrypt"\n'),
    "lonely-opp": (Sink(tls=lonely), 'tls = "opportunistic"\n'),
    "liar-opp": (Hop(lying_starttls), 'tls = "opportunistic"\n'),
    "liar-enc": (Hop(lying_starttls), 'tls = "encrypt"\n'),
    "inject-enc": (Hop(injecting), 'tls = "encrypt"\n'),
    "hang": (Hop(hang_after_banner), ""),
    "reset": (Hop(reset), ""),
    "garbage": (Hop(garbage), ""),
    "endless": (Hop(endless), ""),
    "endless-line": (Hop(endless_line), ""),
    "closing": (Hop(close_after_data), ""),
    "temper": (Sink(data=temper), ""),
    "choosy": (Sink(rcpt=lambda a: "550 5.1.1 No such user here" if a.startswith("bad") else "250 Ok"), ""),
}
closed_port = rig.free_port()
home = Sink()


def route(port, keys=""):
    return f'hosted = true\nrecipients = "any"\n[route]\nhosts = ["127.0.0.1:{port}"]\n{keys}'


domains = {name: f'domains = ["{name}.test"]\n' + route(hop.port, keys) for name, (hop, keys) in hops.items()}
domains["down"] = 'domains = ["down.test"]\n' + route(closed_port)
domains["home"] = 'domains = ["sender.example"]\n' + route(home.port)
# Without a route: needs the name server, which does not answer.
defaults = f'[dns]\nservers = ["127.0.0.1:{rig.free_port()}"]\n[relay]\ntrusted = ["127.0.0.0/8"]\n'
daemon = Daemon(folder, domains, defaults, spool_keys='retry = ["1h"]\n', environment={"SSL_CERT_FILE": str(folder / "ca.pem")})
smart = rig.free_port()
text = daemon.config.read_text().replace("[[certificate]]", f'[[listener]]\nname = "smart"\nbind = ["127.0.0.1:{smart}"]\n'
                                         'role = "smarthost"\n[[certificate]]', 1)
daemon.config.write_text(text)
rig.on_exit(daemon.close, release.set)
daemon.start()


def send(sender, *recipients, port=None, **fields):
    client = Client(port or daemon.port)
    client.say("EHLO client.test")
    answer = client.mail(sender, recipients, message(recipients[0], **fields))
    checks.matches(f"accepted for {', '.join(recipients)}", answer, "^250 2.0.0")
    client.say("QUIT")


def waiting(domain):
    """The recipient once an attempt has failed."""
    def look():
        found = daemon.queue(domain)
        recipients = found[0]["recipients"] if found else []
        return found and recipients[0]["attempts"] >= 1 and recipients[0]["state"] == "waiting" and found[0]
    return wait_for(look, 40)


for name in [*hops, "down"]:
    recipients = ["bad@choosy.test", "fine@choosy.test"] if name == "choosy" else [f"b@{name}.test"]
    send("a@sender.example", *recipients)
send("a@sender.example", "b@no-route.test", port=smart)

# what goes out
for name, tls in [("plain-opp", False), ("good-ver", True), ("name-enc", True), ("lonely-enc", True), ("lonely-opp", True)]:
    sink = hops[name][0]
    wait_for(sink.count, 20)
    checks.equal(f"{name}: delivered once, TLS", [e["tls"] for e in sink.taken()], [tls])
checks.check("liar-opp: TLS fails, plaintext is permitted and used", wait_for(lambda: lies_taken, 20))
delivered = wait_for(lambda: daemon.records("outbound.delivered", to=["b@good-ver.test"]), 10)
checks.equal("good-ver: on record as verified by WebPKI", delivered and delivered[0]["tls"]["peer"]["verified"], "webpki")

# what must not go out, and why
for name, reason in {
    "plain-enc": "starttls-not-supported", "plain-ver": "starttls-not-supported", "name-ver": "certificate-host-mismatch",
    "expired-ver": "certificate-expired", "lonely-ver": "certificate-not-trusted", "liar-enc": "validation-failure",
    "inject-enc": "validation-failure", "reset": "connection-lost|connect", "garbage": "protocol|remote", "endless": "protocol|remote",
    "endless-line": "protocol|remote", "closing": "lost", "temper": "remote-deferred", "down": "connect",
}.items():
    found = waiting(f"{name}.test")
    recipient = found["recipients"][0] if found else {}
    checks.matches(f"{name}: stays queued and says why", recipient.get("reason"), reason or "\\w")
    checks.matches(f"{name}: one sentence", found and found["why"], f"^Delivery to b@{name}.test failed once with .*in \\d+ (min|s)")
    if isinstance(hops.get(name, [None])[0], Sink):
        checks.equal(f"{name}: nothing was sent", hops[name][0].count(), 0)
    shown = daemon.ask("queue-show", id=found["id"]) if found else {}
    checks.equal(f"{name}: shown with its subject", shown.get("subject"), "hello")
hung = daemon.queue("hang.test")
checks.equal("hang: is being delivered, and held nobody up", hung and hung[0]["recipients"][0]["state"], "active")
release.set()
checks.check("hang: once the hop gives up, it waits", waiting("hang.test"))
found = waiting("no-route.test")
checks.equal("name server down: mail waits", found and found["recipients"][0]["reason"], "dns-failure")

# a bounce for one of two recipients
wait_for(home.count, 20)
bounces = home.taken()
checks.equal("one bounce came", [(e["from"], e["to"]) for e in bounces], [("", ["a@sender.example"])])
checks.equal("the other recipient got the message", [e["to"] for e in hops["choosy"][0].taken()], [["fine@choosy.test"]])
if bounces:
    parsed = email.message_from_bytes(bounces[0]["data"])
    parts = parsed.get_payload()
    checks.equal("it is a report", (parsed.get_content_type(), parsed.get_param("report-type")), ("multipart/report", "delivery-status"))
    checks.matches("it says that it is automatic", parsed["Auto-Submitted"], "^auto-")
    checks.equal("its parts", [p.get_content_type() for p in parts][:2], ["text/plain", "message/delivery-status"])
    checks.check("it returns the message or its header", parts[2].get_content_type() in ("message/rfc822", "text/rfc822-headers"))
    fields = parts[1].get_payload()
    checks.equal("about the right recipient only", [f["Final-Recipient"] for f in fields[1:]], ["rfc822; bad@choosy.test"])
    checks.equal("action and status", (fields[1]["Action"], fields[1]["Status"]), ("failed", "5.1.1"))
    checks.matches("with the remote's words", fields[1]["Diagnostic-Code"], "smtp; *550 5.1.1 No such user here")
    checks.matches("the human part names the recipient", parts[0].get_payload(decode=True), "bad@choosy.test")
    checks.check("no line of the bounce is over 998", max(map(len, bounces[0]["data"].split(b"\r\n"))) <= 998)
before = home.count()
send("", "bad2@choosy.test")
settled = wait_for(lambda: daemon.records("outbound.bounced", to=["bad2@choosy.test"]), 20)
checks.check("null sender: given up and on record", settled)
checks.equal("null sender: nobody is told", home.count(), before)

# mended hops: the same ports, now good
for name in ["plain-ver", "name-ver", "expired-ver", "lonely-ver", "liar-enc", "reset", "garbage", "closing"]:
    port = hops[name][0].port
    hops[name][0].close()
    hops[name] = (Sink(tls=good, port=port), "")
hops["down"] = (Sink(port=closed_port), "")
for name in ["plain-ver", "name-ver", "expired-ver", "lonely-ver", "liar-enc", "reset", "garbage", "closing", "down", "temper"]:
    answer = daemon.ask("queue-retry", to_domain=f"{name}.test")
    checks.equal(f"{name}: retried", (answer["answer"], answer.get("count")), ("retried", 1))
for name in ["plain-ver", "name-ver", "expired-ver", "lonely-ver", "liar-enc", "reset", "garbage", "closing", "down", "temper"]:
    sink = hops[name][0]
    wait_for(sink.count, 20)
    checks.equal(f"{name}: goes out when the hop is mended", [e["to"] for e in sink.taken()], [[f"b@{name}.test"]])
checks.check("the operator's word is on record", wait_for(lambda: len(daemon.records("queue.admin")) == 10, 20))
left = [f"b@{name}.test" for name in ["endless", "endless-line", "hang", "inject-enc", "no-route", "plain-enc"]]
rest = wait_for(lambda: sorted(m["recipients"][0]["address"] for m in daemon.queue()) == sorted(left), 20)
checks.check("what is not mended is still there, and nothing else", rest, str(daemon.queue()))
checks.check("no panic", "panic" not in daemon.log.read_text())
checks.equal("the audit chain holds", daemon.broken_links(), [])
checks.equal("stops in order", daemon.stop(), 0)
checks.finish()
