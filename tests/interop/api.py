#!/usr/bin/env python3
"""Programs change things over the HTTP API of the real daemon; and what a browser, a page of another site, or somebody
without the token can make of the same paths: nothing.

Needs openssl.
"""

import http.client
import json
import re
import socket
import ssl

import rig
from rig import Checks, Client, Daemon, Sink, free_port, message, wait_for

TOKEN = "correct-horse-battery-staple-7"
OTHER_TOKEN = "another-horse-another-staple-8"
BODY_BYTES_MAX = 64 * 1024
JSON = {"Content-Type": "application/json"}
BEARER = {**JSON, "Authorization": "Bearer " + TOKEN}
HOLD = "/api/v1/queue/hold"
VERBS = ["retry", "hold", "release", "bounce", "delete", "reroute"]
PATHS = [*("queue/" + verb for verb in VERBS), "reload", "learned/forget", "tlsrpt/send", "spool/compact", "spool/keep",
         "audit/checkpoint", "audit/rotate-key"]

checks = Checks()
folder = rig.scratch("api")
sink = Sink()
port = free_port()
domains = {name: f'domains = ["{name}.test"]\nhosted = true\nrecipients = "any"\n[route]\nhosts = ["127.0.0.1:{sink.port}"]\n'
           for name in ("home", "one", "two")}
daemon = Daemon(folder, domains)
rig.on_exit(daemon.close)
plain_text = daemon.config.read_text()


def ask(path, body=None, headers=None, method="POST", tls=None, address="127.0.0.1"):
    """One exchange: status, headers in lower case, what the body says."""
    made = {"context": tls} if tls else {}
    kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
    connection = kind(address, port, timeout=60, **made)
    text = json.dumps(body) if isinstance(body, (dict, list)) else body
    connection.request(method, path, body=text, headers=BEARER if headers is None else headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    found = {name.lower(): value for name, value in answer.getheaders()}
    if content and found.get("content-type") == "application/json":
        return answer.status, found, json.loads(content)
    return answer.status, found, content.decode()


def refused(what, status, pattern, *asked, **more):
    """Refused in JSON that says why, and nothing is held."""
    code, headers, found = ask(*asked, **more)
    checks.equal(f"{what}: status", code, status)
    checks.matches(f"{what}: why", isinstance(found, dict) and found.get("error"), pattern)
    checks.equal(f"{what}: no other site may read it", [name for name in headers if name.startswith("access-control")], [])
    return headers


def holds():
    return daemon.ask("queue-holds")["holds"]


def configure(admin):
    daemon.config.write_text(plain_text.replace('[admin]\nbind = "off"', f"[admin]\n{admin}"))


def hand_in(domain, subject):
    client = Client(daemon.port)
    client.say("EHLO client.test")
    answer = client.mail("a@home.test", [f"b@{domain}.test"], message(subject=subject))
    client.close()
    return re.match(r"250 2\.0\.0 Ok: queued as (\w+)", answer)[1]


def came(subject):
    return sum(f"Subject: {subject}\r\n".encode() in entry["data"] for entry in sink.taken())


def recorded(pattern):
    look = lambda: [record for record in daemon.records("queue.admin") if re.search(pattern, record["detail"])]
    return wait_for(look)


def without_a_token():
    configure(f'bind = "127.0.0.1:{port}"')
    daemon.start()
    order = {"filter": {"to_domain": "one.test"}}
    for headers in (JSON, BEARER, {}):
        refused(f"no token_file, {sorted(headers)}", 403, "token_file, and reload", HOLD, order, headers)
    checks.equal("reading needs none on this host", ask("/api/v1/status", method="GET", headers={})[0], 200)
    checks.equal("nothing is held", holds(), [])
    (folder / "token").write_text(TOKEN + "\n")
    configure(f'bind = "127.0.0.1:{port}"\ntoken_file = "token"')
    checks.equal("the token is read at a reload", daemon.ask("reload")["answer"], "reloaded")


def strangers():
    """Who does not know the token, and what others can make a browser send."""
    order = {"filter": {"to_domain": "one.test"}}
    challenge = refused("no token", 401, "Authorization: Bearer", HOLD, order, JSON)
    checks.equal("it says how to show one", challenge.get("www-authenticate"), "Bearer")
    bearer = lambda token: {**JSON, "Authorization": token}
    for what, token in [("wrong", "Bearer " + OTHER_TOKEN), ("a part", "Bearer " + TOKEN[:-1]),
                        ("other case", "Bearer " + TOKEN.upper())]:
        challenge = refused(f"a token that is {what}", 401, "not the token", HOLD, order, bearer(token))
        checks.matches("it says so to programs", challenge.get("www-authenticate"), "invalid_token")
    for what, headers in [("of another scheme", bearer("Basic " + TOKEN)), ("that is empty", bearer("Bearer ")),
                          ("in a cookie", {**JSON, "Cookie": "token=" + TOKEN}),
                          ("in the cookie", {**JSON, "Cookie": "__Host-gatepost=" + TOKEN})]:
        refused(f"a token {what}", 401, "Authorization: Bearer", HOLD, order, headers)
    refused("a token in the address", 401, "Authorization", f"{HOLD}?access_token={TOKEN}", order, JSON)
    for path in PATHS:
        refused(f"{path} without a token", 401, "Authorization", "/api/v1/" + path, {}, JSON)
    for kind in (None, "application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", "application/jsonp"):
        headers = {**BEARER, "Content-Type": kind}
        headers = {name: value for name, value in headers.items() if value}
        refused(f"as {kind}", 415, "application/json", HOLD, order, headers)
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", f"http://127.0.0.1:{port}.evil.example"):
        refused(f"a page of {origin}", 403, "another site", HOLD, order, {**BEARER, "Origin": origin})
    checks.equal("under a name of somebody else", ask(HOLD, order, {**BEARER, "Host": "evil.example"})[0], 421)
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST",
                 "Access-Control-Request-Headers": "authorization,content-type"}
    refused("a browser that asks first", 405, "Allow", HOLD, None, preflight, method="OPTIONS")
    checks.equal("nothing is held", holds(), [])
    checks.equal("nothing is recorded", daemon.records("queue.admin"), [])


def other_methods():
    for path in PATHS:
        for method in ("GET", "PUT", "DELETE", "PATCH"):
            headers = refused(f"{method} {path}", 405, "Allow", "/api/v1/" + path, None, BEARER, method=method)
            checks.equal(f"{method} {path}: Allow", headers.get("allow"), "POST")
        code, headers, found = ask("/api/v1/" + path, None, BEARER, method="HEAD")
        checks.equal(f"HEAD {path}", (code, headers.get("allow"), found), (405, "POST", ""))
    headers = refused("POST of what is read", 405, "Allow", "/api/v1/queue", {})
    checks.equal("POST of what is read: Allow", headers.get("allow"), "GET,HEAD")
    refused("no such path", 404, "no such path", "/api/v1/queue/burn", {})
    checks.equal("a page takes no POST", ask("/queue", {})[0], 405)


def senseless():
    """Orders that are refused as a whole, with what is wrong."""
    for what, path, body, pattern in [
        ("no messages are named", HOLD, {}, "nothing says which messages"),
        ("no body", HOLD, None, "nothing says which messages"),
        ("all and some", HOLD, {"all": True, "filter": {"to_domain": "one.test"}}, "not both"),
        ("a mistyped key", HOLD, {"filter": {"to_domian": "one.test"}}, "unknown field `to_domian`, expected one of"),
        ("a verb", HOLD, {"verb": "delete", "all": True}, "leave it out"),
        ("no JSON", HOLD, "all=true", "line 1 column 1"),
        ("half of it", HOLD, '{"all": tr', "line 1 column"),
        ("a list", HOLD, [], "expected a map"),
        ("deep nesting", HOLD, '{"ids":' + "[" * 10000, "recursion limit"),
        ("no UTF-8", HOLD, b'{"why": "\xff"}', "invalid"),
        ("an end of what has none", "/api/v1/queue/bounce", {"all": True, "for_secs": 60}, "only a hold has an end"),
        ("no such route", "/api/v1/queue/reroute", {"all": True, "via": "x"}, "no .*route.* named"),
        ("no route at all", "/api/v1/queue/reroute", {"all": True}, "by which route"),
        ("no end of keeping", "/api/v1/spool/keep", {}, "missing field `seconds`"),
        ("no domain", "/api/v1/learned/forget", {}, "missing field `domain`"),
        ("no report", "/api/v1/tlsrpt/send", {"domain": "one.test"}, "nothing was counted|no TLS reports"),
    ]:
        refused(what, 400, pattern, path, body)
    refused("nothing was learned", 404, "nothing", "/api/v1/learned/forget", {"domain": "one.test"})
    checks.equal("nothing is recorded", daemon.records("queue.admin"), [])


def huge():
    refused("a body above the limit", 413, f"more than {BODY_BYTES_MAX}", HOLD, json.dumps({"why": "x" * BODY_BYTES_MAX}))
    lines = [f"POST {HOLD} HTTP/1.1", "Host: localhost", "Authorization: Bearer " + TOKEN, "Content-Type: application/json"]
    for what, more, body in [
        ("one that is announced", "Content-Length: 99999999999", b""),
        ("one in chunks", "Transfer-Encoding: chunked", (b"2000\r\n" + b" " * 0x2000 + b"\r\n") * 12),
    ]:
        with socket.create_connection(("127.0.0.1", port), 60) as connection:
            connection.sendall("\r\n".join([*lines, more, "", ""]).encode())
            try:
                connection.sendall(body)
            except OSError:
                pass
            checks.matches(what, connection.recv(4096), "^HTTP/1.1 413 ")
    fits = {"filter": {"to_domain": "one.test"}, "dry_run": True, "why": "x" * (BODY_BYTES_MAX - 1000)}
    checks.equal("one below it", ask(HOLD, fits)[0], 200)


def orders():
    """The same as on the socket, and on record with where it came from."""
    order = {"filter": {"to_domain": "one.test"}, "why": "moving"}
    checks.equal("a dry run", ask(HOLD, {**order, "dry_run": True})[2]["destinations"], ["mail to one.test"])
    checks.equal("changes nothing", (holds(), daemon.records("queue.admin")), ([], []))
    code, _, found = ask(HOLD, order)
    checks.equal("held", (code, found["answer"], found["destinations"]), (200, "steered", ["mail to one.test"]))
    checks.equal("who holds it", [(hold["domain"], hold["by"], hold["reason"]) for hold in holds()], [("one.test", "127.0.0.1", "moving")])
    checks.equal("the API tells it too", ask("/api/v1/queue/holds", method="GET", headers={})[2]["holds"], holds())
    daemon.ask("queue-steer", verb="hold", filter={"to_domain": "two.test"})
    checks.check("an account is a number still", [hold["by"] for hold in holds()][1] == rig.os.getuid())
    kept = hand_in("one", "kept")
    checks.check("it stays", wait_for(lambda: [to["state"] for to in daemon.queue()[0]["recipients"]] == ["held"]))
    checks.matches("why it stays", daemon.queue()[0]["why"], "held by the API from 127.0.0.1 since")
    checks.matches("the record names the API", recorded("^hold of mail to one")[0]["detail"],
                   "asked for by the API from 127.0.0.1: moving$")
    daemon.kill()
    daemon.start()
    checks.equal("after a kill", [hold["by"] for hold in holds()], ["127.0.0.1", rig.os.getuid()])
    gone = hand_in("two", "gone")
    wait_for(lambda: len(daemon.queue()) == 2)
    checks.equal("deleted", ask("/api/v1/queue/delete", {"ids": [gone, "0" * 26]})[2]["changed"], 1)
    checks.equal("what is not there is named", ask("/api/v1/queue/delete", {"ids": [gone]})[2]["unknown"], [gone])
    checks.equal("the record of the message", [(record["message"], record["to"]) for record in recorded("^deleted, asked for by the API")],
                 [(gone, ["b@two.test"])])
    released = ask("/api/v1/queue/release", {"all": True}, {**BEARER, "Content-Type": "application/json; charset=utf-8"})
    checks.equal("released", (released[0], holds()), (200, []))
    checks.check("and goes out", wait_for(lambda: came("kept") == 1), kept)
    checks.equal("what was deleted does not", came("gone"), 0)
    log = daemon.log.read_text()
    checks.check("no token is in the log", TOKEN not in log and OTHER_TOKEN not in log)
    checks.check("a wrong one is told, with where it came from", re.search(r"a wrong token for the API.*127\.0\.0\.1", log))


def of_the_daemon():
    checks.equal("a reload", ask("/api/v1/reload", {})[2]["answer"], "reloaded")
    text = daemon.config.read_text()
    daemon.config.write_text(text + "\n[nonsense]\n")
    code, _, found = ask("/api/v1/reload")
    checks.equal("a reload of what is wrong", (code, "the old one" in found["error"]), (409, True))
    checks.matches("says what", found["errors"][0]["line"], "nonsense")
    daemon.config.write_text(text)
    checks.matches("a checkpoint", ask("/api/v1/audit/checkpoint")[2]["line"], '"event":"checkpoint"')
    checks.equal("the spool is kept still", ask("/api/v1/spool/keep", {"seconds": 60})[2]["seconds"], 60)
    checks.equal("and no more", ask("/api/v1/spool/keep", {"seconds": None})[2]["lasted"], True)
    checks.equal("made smaller", ask("/api/v1/spool/compact")[2]["answer"], "compacting")
    checks.equal("a new key", ask("/api/v1/audit/rotate-key")[2]["answer"], "checkpoint")
    for what in ("no file of the spool goes for 60 s", "files of the spool go again", "a new key for checkpoints"):
        checks.equal(f"on record: {what}", len(recorded(f"^{what}, asked for by the API from 127.0.0.1$") or []), 1)
    (folder / "token").write_text(OTHER_TOKEN + "\n")
    checks.equal("the last order of a token is to forget it", ask("/api/v1/reload")[0], 200)
    refused("the old token", 401, "not the token", "/api/v1/reload")
    checks.equal("the other token", ask("/api/v1/reload", None, {**BEARER, "Authorization": "bearer " + OTHER_TOKEN})[0], 200)
    checks.equal("the chain of the log holds", daemon.broken_links(), [])


def beyond_this_host():
    """A browser that is logged in reads, and changes nothing."""
    daemon.stop()
    (folder / "token").write_text(TOKEN + "\n")
    configure(f'bind = "0.0.0.0:{port}"\ntoken_file = "token"\ncertificate = {{ chain = "server.pem", key = "server.key" }}')
    daemon.start()
    trust = ssl.create_default_context(cafile=str(folder / "server.pem"))
    trust.check_hostname = False
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    checks.equal("the form of strangers has a bound", ask("/login", "token=" + "x" * 5000, form, tls=trust)[0], 413)
    _, headers, _ = ask("/login", "token=" + TOKEN, form, tls=trust)
    kept = {"Cookie": headers["set-cookie"].split(";")[0]}
    order = {"filter": {"to_domain": "one.test"}}
    checks.equal("who is logged in reads", ask("/api/v1/status", None, kept, "GET", trust)[0], 200)
    refused("who is logged in changes nothing", 401, "Authorization: Bearer", HOLD, order, {**kept, **JSON}, tls=trust)
    refused("nor by a form", 401, "Authorization: Bearer", HOLD, "all=true", {**kept, **form}, tls=trust)
    refused("without anything", 401, "Authorization: Bearer", HOLD, order, JSON, tls=trust)
    refused("a wrong token", 401, "not the token", HOLD, order, {**JSON, "Authorization": "Bearer x"}, tls=trust)
    checks.equal("nothing is held", holds(), [])
    checks.equal("the token over TLS", ask(HOLD, order, tls=trust)[2]["destinations"], ["mail to one.test"])
    checks.equal("beside a cookie too", ask("/api/v1/queue/release", order, {**BEARER, **kept}, tls=trust)[0], 200)


without_a_token()
strangers()
other_methods()
senseless()
huge()
orders()
of_the_daemon()
beyond_this_host()
checks.finish()
