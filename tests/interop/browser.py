#!/usr/bin/env python3
"""The dashboard in a real browser, beside the demo's mail; who is let in, and what a stranger can make of it.

Needs Debian's chromium, Node.js, and in NODE_PATH the packages of tests/browser/package.json.
"""

import http.client
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.parse

from rig import GATEPOST, Checks, Daemon, free_port, wait_for

BROWSER = pathlib.Path(__file__).resolve().parent.parent / "browser"
TOKEN = "correct-horse-battery-staple-7"
DEMO_SECONDS = 90

checks = Checks()
check = checks.equal


def ask(port, path, method="GET", headers=None, body=None, tls=None):
    """One exchange: status, headers in lower case, text."""
    kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
    extra = {"context": tls} if tls else {}
    connection = kind("127.0.0.1", port, timeout=30, **extra)
    connection.request(method, path, body=body, headers=headers or {})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text


class Demo:
    """The demo, which stays up until it is stopped."""

    def __init__(self, folder):
        self.log = folder / "demo.log"
        self.process = subprocess.Popen([GATEPOST, "demo"], stdout=self.log.open("w"), stderr=subprocess.STDOUT)
        wait_for(lambda: "dashboard" in self.text() or self.process.poll() is not None, DEMO_SECONDS)
        found = re.search(r"dashboard\s+http://127\.0\.0\.1:(\d+)/", self.text())
        if not found:
            sys.exit(f"the demo names no dashboard:\n{self.text()}")
        self.port = int(found.group(1))

    def text(self):
        return self.log.read_text()

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


def pages(demo):
    """What there is to see, and what each page must show."""
    _, _, queue = ask(demo.port, "/queue")
    waiting = re.search(r'/message/[0-9A-Z]{26}', queue).group(0)
    explain = "/policy/explain?"
    inbound = urllib.parse.urlencode({"direction": "inbound", "from": "a@partner.example", "to": "ward@clinic.example"})
    outbound = urllib.parse.urlencode({"direction": "outbound", "from": "a@shop.example", "to": "agent@secret.example"})
    wrong = urllib.parse.urlencode({"direction": "inbound", "from": "nonsense", "to": "ward@clinic.example"})
    return [
        {"path": "/", "shows": ["Mail in", "version-below-minimum", "One step stricter", "TLSv1", "starttls-not-supported"]},
        {"path": "/?window=hour", "shows": ["Mail out"]},
        {"path": "/?window=month", "shows": ["Mail out"]},
        {"path": "/queue", "shows": ["Destinations", "secret.toml", "Delivery to agent@secret.example failed"]},
        {"path": waiting, "shows": ["Hops", "inbound.accepted", "outbound.deferred", "starttls-not-supported"]},
        {"path": "/message", "shows": ["Trace a message"]},
        {"path": "/partners", "shows": ["oldmail.example", "Mail from it"]},
        {"path": "/partner/oldmail.example", "shows": ["From it", "tls-required"]},
        {"path": "/partner/clinic.example", "shows": ["To it", "domains.d/clinic.toml"]},
        {"path": "/policy", "shows": ["clinic.example", "Explain one case"]},
        {"path": explain + inbound, "shows": ["550 5.7.10", "Every kind of session"]},
        {"path": explain + outbound, "shows": ["What a session must meet", "were not looked up"]},
        {"path": explain + wrong, "shows": ["From:"]},
        {"path": "/nowhere", "status": 404, "shows": ["No such page"]},
    ]


def browse(demo, folder):
    plan = folder / "plan.json"
    plan.write_text(json.dumps(pages(demo)))
    shots = pathlib.Path(os.environ.get("SCREENSHOTS", folder / "screenshots"))
    command = ["node", str(BROWSER / "pages.cjs"), f"http://127.0.0.1:{demo.port}", str(plan), str(shots)]
    looked = subprocess.run(command, capture_output=True, text=True, timeout=500)
    print(looked.stdout, looked.stderr)
    check("every page in the browser", looked.returncode == 0, True)


def first_old_client(demo):
    """What a newcomer wants to see: the refused TLS 1.0 message, within seconds, by a page that is not loaded again."""
    _, _, text = ask(demo.port, "/")
    check("a refusal of the demo is on the first page", "version-below-minimum" in text, True)


def strangers(demo):
    """What a page of somebody else, or a program, can make of the port."""
    for host, expected in [("evil.example", 421), (f"evil.example:{demo.port}", 421), ("localhost", 200),
                           (f"127.0.0.1:{demo.port}", 200), ("relay.gatepost.example", 200)]:
        check(f"asked as {host}", ask(demo.port, "/", headers={"Host": host})[0], expected)
    status, headers, _ = ask(demo.port, "/")
    check("it is there", status, 200)
    for name, expected in [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"),
                           ("referrer-policy", "no-referrer"), ("cache-control", "no-store"),
                           ("cross-origin-resource-policy", "same-origin")]:
        check(name, headers.get(name), expected)
    for method, path in [("POST", "/"), ("PUT", "/queue"), ("DELETE", "/message"), ("POST", "/policy/explain")]:
        check(f"{method} {path}", ask(demo.port, path, method)[0], 405)
    hostile = '"><script>alert(1)</script>'
    quoted = urllib.parse.quote(hostile, safe="")
    for path in [f"/message?id={quoted}", f"/partner?domain={quoted}", f"/partner/{quoted}", f"/queue?to={quoted}",
                 f"/queue?route={quoted}", f"/policy/explain?to=a@b.example&from={quoted}&session={quoted}",
                 f"/policy/explain?to=a@b.example&client={quoted}", f"/policy/explain?to=a@b.example&listener={quoted}",
                 f"/policy/explain?to={quoted}", f"/?window={quoted}", f"/{quoted}"]:
        status, headers, text = ask(demo.port, path)
        check(f"{path} is answered", status in (200, 400, 404), True)
        check(f"{path} is escaped", "<script>alert" in text, False)
        check(f"{path} keeps its policy", "default-src 'none'" in headers["content-security-policy"], True)
    for path in ["/message/" + "Z" * 26, "/message/" + "0" * 4000, "/partner/" + "a." * 200, "/queue?after=x"]:
        check(f"{path[:40]} is answered", ask(demo.port, path)[0] in (200, 400, 404), True)


def login(folder):
    """Beyond loopback: TLS, a token, a cookie; nothing without them."""
    (folder / "token").write_text(TOKEN + "\n")
    port = free_port()
    daemon = Daemon(folder, {"d": 'domains = ["d.example"]\nhosted = true\nrecipients = "any"\n[route]\nhosts = ["127.0.0.1:9"]\n'})
    text = daemon.config.read_text()
    daemon.config.write_text(text.replace('[admin]\nbind = "off"', f'[admin]\nbind = "0.0.0.0:{port}"\ntoken_file = "token"\n'
                                          'certificate = { chain = "server.pem", key = "server.key" }'))
    daemon.start()
    trust = ssl.create_default_context(cafile=str(folder / "server.pem"))
    trust.check_hostname = False
    try:
        for path in ["/", "/queue", "/partners", "/policy", "/message", "/partner/d.example"]:
            status, headers, body = ask(port, path, tls=trust)
            check(f"{path} leads to the login", (status, headers.get("location")), (303, "/login"))
            check(f"{path} says nothing", body, "")
        check("style is for all", ask(port, "/static/style.css", tls=trust)[0], 200)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        wrong = ask(port, "/login", "POST", form, "token=" + "x" * 30, tls=trust)
        check("a wrong token", (wrong[0], "set-cookie" in wrong[1]), (403, False))
        status, headers, _ = ask(port, "/login", "POST", form, "token=" + TOKEN, tls=trust)
        cookie = headers.get("set-cookie", "")
        check("the token", (status, headers.get("location")), (303, "/"))
        for part in ["__Host-gatepost=", "Secure", "HttpOnly", "SameSite=Strict", "Path=/"]:
            check(f"the cookie has {part}", part in cookie, True)
        check("the cookie is not the token", TOKEN in cookie, False)
        kept = {"Cookie": cookie.split(";")[0]}
        check("who is logged in reads", ask(port, "/", headers=kept, tls=trust)[0], 200)
        check("under a name of ours only", ask(port, "/", headers={**kept, "Host": "evil.example"}, tls=trust)[0], 421)
        check("a cookie that was made up", ask(port, "/", headers={"Cookie": "__Host-gatepost=" + "0" * 64}, tls=trust)[0], 303)
        ask(port, "/logout", "POST", kept, tls=trust)
        check("after the end of the session", ask(port, "/", headers=kept, tls=trust)[0], 303)
        try:
            plain = ask(port, "/")[0]
        except (http.client.HTTPException, OSError):
            plain = "nothing"
        check("without TLS", plain, "nothing")
        check("the token is not in the log", TOKEN in daemon.log.read_text(), False)
    finally:
        daemon.stop()


def refused_configurations(folder):
    """What would let anybody in, or nobody, is told before anything starts."""
    shutil.copy(folder / "gatepost.toml", folder / "other.toml")
    text = (folder / "other.toml").read_text()
    for name, change, expected in [
        ("a short token", lambda: (folder / "token").write_text("short"), "fewer than 24"),
        ("no token", lambda: (folder / "token").unlink(), "cannot read"),
    ]:
        change()
        ended = subprocess.run([GATEPOST, "serve", "--config", str(folder / "other.toml")], capture_output=True, text=True, timeout=60)
        check(f"{name}: exit code", ended.returncode, 2)
        check(f"{name}: told", expected in " ".join(ended.stderr.split()), True)
    (folder / "other.toml").write_text(re.sub(r"token_file = .*\n", "", text))
    ended = subprocess.run([GATEPOST, "check", "--config", str(folder / "other.toml")], capture_output=True, text=True, timeout=60)
    check("no token_file: exit code", ended.returncode, 2)
    check("no token_file: told", "would read who writes to whom" in " ".join((ended.stdout + ended.stderr).split()), True)


def main():
    with tempfile.TemporaryDirectory(prefix="gatepost-dashboard-") as name:
        folder = pathlib.Path(name)
        login(folder)
        refused_configurations(folder)
        demo = Demo(folder)
        try:
            first_old_client(demo)
            strangers(demo)
            if shutil.which("node") and shutil.which("chromium"):
                browse(demo, folder)
            elif os.environ.get("CI"):
                sys.exit("node and chromium are missing")
            else:
                print("skipped: node and chromium are missing")
        finally:
            demo.stop()
    checks.finish()


main()
