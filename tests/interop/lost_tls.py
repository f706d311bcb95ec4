#!/usr/bin/env python3
"""The whole life of mail whose destination loses STARTTLS: it waits, the sender is told, it takes another protected way or goes
out when TLS is back, and never goes out without; kills and a changed configuration on the way change nothing of that.

Needs root, for the ports 25 and 443 of addresses in 127.31.0.0/16, and openssl.
"""

import collections
import datetime
import email
import email.utils
import json
import os
import re
import shutil

import lost_tls_world
import rig
import traffic_rig
from rig import Client, Daemon, Sink, message, wait_for

TRUSTED, STRANGER = "127.0.0.1", "127.0.0.9"
ROUTE_AFTER, NOTIFY = 6, 3
# How much later than it is due something may come: an attempt a second, on a busy machine.
LATE_SECONDS_MAX = 3
DEFAULT_LIFETIME_DAYS = 5
LOST = "starttls-not-supported"
ESCROW = f'on_tls_failure = "route:escrow"\nroute_after = "{ROUTE_AFTER}s"\nnotify_sender = "{NOTIFY}s"\n'
VERIFY = 'tls = "verify"\n'
ALERT_SCRIPT = 'cat >>"$1"\n'

checks = rig.Checks()


def seconds_of(time):
    return datetime.datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()


class Relay:
    """A daemon that believes the world's resolver, with what its senders and the world got to see of a message."""

    def __init__(self, folder, world, domains, routes, more=""):
        folder.mkdir()
        shutil.copy(world.folder / "ca.pem", folder)
        self.world, self.home = world, Sink(data=stamped)
        smart, mx = rig.free_port(), rig.free_port()
        listeners = "".join(f'[[listener]]\nname = "{role}"\nbind = ["127.0.0.1:{port}"]\nrole = "{role}"\n'
                            for role, port in [("smarthost", smart), ("mx", mx)])
        home = f'domains = ["sender.test"]\nhosted = true\nrecipients = "any"\n[route]\nhosts = ["127.0.0.1:{self.home.port}"]\n'
        tables = "".join(self.route(name, keys) for name, keys in routes.items())
        self.daemon = Daemon(
            folder, {**domains, "home": home}, f'[dns]\nservers = ["{lost_tls_world.RESOLVER}:{world.resolver.port}"]\n'
            f'dnssec = "trust-ad"\nallow_targets = ["127.0.0.0/8"]\n[relay]\ntrusted = ["{TRUSTED}"]\n{tables}{more}',
            listeners=listeners, spool_keys='retry = ["1s"]\n', metrics_port=rig.free_port(),
            environment={"SSL_CERT_FILE": str(folder / "ca.pem")})
        self.daemon.port, self.mx = smart, mx
        rig.on_exit(self.close)

    def route(self, name, keys):
        return f'[[route]]\nname = "{name}"\nhosts = ["{name}.test:{self.world.hosts[f"{name}.test"].port}"]\n{keys}'

    def close(self):
        self.daemon.close()
        self.home.close()

    def gatepost(self, *words, config=None):
        return traffic_rig.gatepost(*words, config=config or self.daemon.config, timeout=30)

    def send(self, sender, *recipients, parameters="", mx=False):
        """Hands in a message; gives its id. `mx`: as a stranger at the public listener."""
        client = Client(self.mx if mx else self.daemon.port, source=STRANGER if mx else TRUSTED)
        client.say("EHLO client.test")
        client.say(f"MAIL FROM:<{sender}>")
        for recipient in recipients:
            answer = client.say(f"RCPT TO:<{recipient}>{parameters}")
        if answer.startswith("250"):
            client.say("DATA")
            client.send(message(recipients[0], From=sender or "mailer@sender.test") + b".\r\n")
            answer = client.reply()
        client.say("QUIT")
        client.close()
        found = re.search(r"^250 .*?\b([0-9A-Z]{26})\b", answer)
        checks.check(f"a message from <{sender}> to {', '.join(recipients)} is taken", found, answer)
        return found and found[1]

    def records(self, ident, *events):
        found = [record for record in self.daemon.records(message=ident) if not events or record["event"] in events]
        return sorted(found, key=lambda record: record["seq"])

    def await_record(self, ident, event, seconds=20):
        found = wait_for(lambda: self.records(ident, event), seconds)
        checks.check(f"{self.about(ident)}: {event} is on record", found, str([r["event"] for r in self.records(ident)]))
        return found[0] if found else {}

    def about(self, ident):
        return next((record["to"][0] for record in self.records(ident, "inbound.accepted")), ident)

    def notices(self, sender, action):
        """What this sender was told of that kind: the message that came, its text, and the fields about each recipient.

        The same notice may come again after a kill: like any mail, it may have been taken before that was written down.
        """
        found = {}
        for entry in self.home.for_recipient(sender):
            report = email.message_from_bytes(entry["data"])
            if report.get_content_type() != "multipart/report":
                continue
            text, status, *_ = report.get_payload()
            _, fields, *others = status.get_payload()
            if fields["Action"] == action:
                words = " ".join(text.get_payload(decode=True).decode().split())
                found.setdefault(report["Message-Id"], {"entry": entry, "report": report, "text": words, "fields": fields, "others": others})
        return list(found.values())

    def await_notice(self, sender, action, seconds=20):
        found = wait_for(lambda: self.notices(sender, action), seconds)
        checks.check(f"{sender} is told: {action}", found)
        return found[0] if found else None

    def why(self, ident):
        code, answer, words = self.gatepost("queue", "why", ident, "--json")
        return answer["why"] if code == 0 else f"exit code {code}: {words}"

    def standing(self, ident):
        """The first recipient, as the queue shows it."""
        code, answer, _ = self.gatepost("queue", "show", ident, "--json")
        return answer["recipients"][0] if code == 0 else {}

    def end(self):
        checks.check("no panic", "panic" not in self.daemon.log.read_text())
        checks.equal("the audit chain holds", self.daemon.broken_links(), [])
        checks.equal("stops in order", self.daemon.stop(), 0)


def stamped(entry):
    entry["time"] = datetime.datetime.now(datetime.timezone.utc).timestamp()
    return "250 2.0.0 Ok"


def between(what, found, low, high):
    checks.check(f"{what}: between {low} and {high} s", low <= found <= high, f"found {found:.2f}")


def hops(records):
    """The events of a message, those that repeat once."""
    events = [record["event"] for record in records]
    return [event for place, event in enumerate(events) if place == 0 or events[place - 1] != event]


# What the daemon A sees: the life of mail to one destination of each kind, and every way it may end.

DESTINATIONS = {
    "verify.test": "", "dane.signed.test": "dane", "sts.test": "sts", "back.test": "", "stuck.test": "",
    "bounce.test": "", "misnamed.test": "other-name", "lapsed.test": "expired", "learned.test": "",
}
WHOLE_LIVES = ["verify.test", "dane.signed.test", "sts.test"]
# Lose TLS, and had it before.
LOSING = [*WHOLE_LIVES, "back.test", "stuck.test", "bounce.test"]
STUCK_LIFETIME, STUCK_ROUTE_AFTER, STUCK_NOTIFY = 11, 4, 2


def life_domains():
    policies = {
        "verify.test": VERIFY + ESCROW, "dane.signed.test": ESCROW, "sts.test": ESCROW, "back.test": VERIFY + ESCROW,
        "stuck.test": f'{VERIFY}on_tls_failure = "route:broken"\nroute_after = "{STUCK_ROUTE_AFTER}s"\n'
                      f'notify_sender = "{STUCK_NOTIFY}s"\nlifetime = "{STUCK_LIFETIME}s"\n',
        **{domain: f'{VERIFY}on_tls_failure = "bounce"\n' for domain in ("bounce.test", "misnamed.test", "lapsed.test")},
        "learned.test": f'learn = "enforce"\n{ESCROW}',
    }
    return {domain.split(".")[0]: f'domains = ["{domain}"]\n[outbound]\n{keys}' for domain, keys in policies.items()}


def hosted_domain(world):
    """Mail for it goes by a route of its own, so that strangers may bring some."""
    return (f'domains = ["hosted.test"]\nhosted = true\nrecipients = "any"\n[route]\nhosts = ["store.test:{world.hosts["store.test"].port}"]\n'
            f'{VERIFY}[outbound]\n{ESCROW}')


def sender_to(domain):
    return f"to-{domain.replace('.', '-')}@sender.test"


def all_works(relay, learned):
    """Before anything is lost, mail goes out protected."""
    sent = {domain: relay.send(sender_to(domain), f"first@{domain}") for domain in LOSING}
    for domain, ident in sent.items():
        record = relay.await_record(ident, "outbound.delivered")
        verified = ((record.get("tls") or {}).get("peer") or {}).get("verified")
        checks.equal(f"{domain}: delivered while there is TLS, and verified", verified, "dane" if domain.startswith("dane") else "webpki")
    if learned:
        for ident in [relay.send(sender_to("learned.test"), f"n{number}@learned.test") for number in range(3)]:
            relay.await_record(ident, "outbound.delivered")


def it_waits(relay, domain, ident):
    record = relay.await_record(ident, "outbound.deferred")
    checks.equal(f"{domain}: deferred, and why", record.get("reason"), LOST)
    checks.check(f"{domain}: the record says when it is tried again", record.get("next_attempt"), str(record))
    checks.check(f"{domain}: the record says that TLS was needed", record["requirement"]["tls"] in ("encrypt", "verify"), str(record["requirement"]))
    checks.equal(f"{domain}: nothing was sent, so no TLS is on record", record["tls"], None)
    sentence = relay.why(ident)
    checks.matches(f"{domain}: queue why, while it waits", sentence,
                   rf"^Delivery to b@{domain} failed (once|twice|\d+ times) with {LOST} at mx\.{domain} .*; it is tried again (now|in \d+ s)\.$")
    code, answer, words = relay.gatepost("queue", "why", ident)
    checks.matches(f"{domain}: the same for people", f"{code} {' '.join(str(answer).split())}{words}", rf"^0 Delivery to b@{domain} failed")
    found = relay.daemon.ask("queue-list", filter={"to_domain": domain, "reason": LOST})["messages"]
    checks.check(f"{domain}: found in the queue by its reason", ident in [each["id"] for each in found], str(found))


def the_sender_is_told(relay, domain, ident, by_route=True):
    sender = sender_to(domain)
    notice = relay.await_notice(sender, "delayed")
    if not notice:
        return
    first, text, fields = relay.records(ident, "outbound.deferred")[0], notice["text"], notice["fields"]
    began, came = seconds_of(first["time"]), notice["entry"]["time"]
    between(f"{domain}: the notice comes when it is due", came - began, NOTIFY - 0.5, NOTIFY + LATE_SECONDS_MAX)
    reason = "requires an encrypted connection, and the receiving mail server does not offer encryption"
    checks.matches(f"{domain}: the notice says that TLS is what it waits for", text, reason)
    checks.matches(f"{domain}: that it is held back rather than sent", text, "held back until that is so, rather than sent without")
    then = re.search(r"If it is not so by (.*?), another protected route is taken", text)
    checks.check(f"{domain}: what comes then, and when", then, text)
    if then:
        until = email.utils.parsedate_to_datetime(then[1]).timestamp()
        between(f"{domain}: the moment is that of the other route", until - began, ROUTE_AFTER - 1.5, ROUTE_AFTER + 0.5)
    checks.matches(f"{domain}: nothing needs to be done", text, "You need not send it again")
    checks.equal(f"{domain}: the notice is from nobody", notice["entry"]["from"], "")
    checks.matches(f"{domain}: automatic", notice["report"]["Auto-Submitted"], "^auto-")
    checks.matches(f"{domain}: a subject that says it", notice["report"]["Subject"], f"delayed: b@{domain}")
    checks.equal(f"{domain}: status", (fields["Status"], fields["X-Gatepost-Reason"]), ("4.7.10", LOST))
    checks.equal(f"{domain}: whom and where", (fields["Final-Recipient"], fields["Remote-MTA"]), (f"rfc822; b@{domain}", f"dns; mx.{domain}"))
    accepted = seconds_of(relay.records(ident, "inbound.accepted")[0]["time"])
    until = email.utils.parsedate_to_datetime(fields["Will-Retry-Until"]).timestamp()
    between(f"{domain}: Will-Retry-Until is the end of the lifetime", until - accepted, DEFAULT_LIFETIME_DAYS * 86400 - 2, DEFAULT_LIFETIME_DAYS * 86400 + 2)
    checks.check(f"{domain}: it is told before the other route is taken", came < began + ROUTE_AFTER)
    if not by_route:
        return
    sentence = relay.why(ident)
    checks.matches(f"{domain}: queue why, after the notice", sentence, rf"failed (twice|\d+ times) with {LOST} at mx\.{domain}")


def another_way(relay, domain, ident):
    record = relay.await_record(ident, "outbound.rerouted")
    began = seconds_of(relay.records(ident, "outbound.deferred")[0]["time"])
    checks.equal(f"{domain}: rerouted to the escrow, because of TLS", (record.get("rerouted_to"), record.get("reason")), ("escrow", LOST))
    between(f"{domain}: when it was due", seconds_of(record["time"]) - began, ROUTE_AFTER - 0.5, ROUTE_AFTER + LATE_SECONDS_MAX)
    delivered = relay.await_record(ident, "outbound.delivered")
    verified = ((delivered.get("tls") or {}).get("peer") or {}).get("verified")
    checks.equal(f"{domain}: delivered by the route, verified", (delivered.get("route"), delivered.get("mx"), verified), ("escrow", "escrow.test", "webpki"))
    checks.equal(f"{domain}: as the route asks", delivered["requirement"]["tls"], "verify")
    taken = relay.world.hosts["escrow.test"].for_recipient(f"b@{domain}")
    checks.equal(f"{domain}: the escrow got it once, by TLS", [entry["tls"] for entry in taken], [True])
    if taken:
        checks.equal(f"{domain}: whole, in the sender's name", (taken[0]["from"], taken[0]["data"].endswith(b"\r\nhello\r\n")), (sender_to(domain), True))
    code, _, words = relay.gatepost("queue", "why", ident)
    checks.matches(f"{domain}: the queue knows it no more", f"{code} {words}", "^1 .*no message .* is in the queue")
    checks.equal(f"{domain}: the sender was told once", [len(relay.notices(sender_to(domain), action)) for action in ("delayed", "failed")], [1, 0])


def on_record(relay, domain, ident):
    """Trace and receipt show every hop."""
    expected = ["inbound.accepted", "outbound.deferred", "outbound.rerouted", "outbound.delivered"]
    records = relay.records(ident)
    telling = [record for record in records if record["event"] != "outbound.attempt"]
    checks.equal(f"{domain}: the hops on record", hops(telling), expected)
    checks.check(f"{domain}: each try is on record", len(relay.records(ident, "outbound.deferred")) >= ROUTE_AFTER - 2)
    routes = [(record["event"], record.get("route")) for record in telling[-2:]]
    checks.equal(f"{domain}: which way each hop went", routes, [("outbound.rerouted", None), ("outbound.delivered", "escrow")])
    attempts = [record["attempt"] for record in telling if "attempt" in record]
    checks.check(f"{domain}: the tries are counted on", attempts == sorted(set(attempts)), str(attempts))
    code, answer, words = relay.gatepost("audit", "trace", ident)
    headings = re.findall(r"^\d{4}-\S+ \S+(?: UTC)?  (\S+)", str(answer), re.M)
    checks.equal(f"{domain}: audit trace shows them in order", (code, headings), (0, [record["event"] for record in records]))
    rerouted = str(answer).split("outbound.rerouted", 1)[-1].split("outbound.", 1)[0]
    checks.matches(f"{domain}: audit trace says where the mail goes from now on", rerouted, r"\bescrow\b")
    receipt = relay.daemon.folder / f"{domain}.receipt"
    code, _, words = relay.gatepost("audit", "receipt", ident, "--out", receipt)
    if checks.check(f"{domain}: a receipt is made", code == 0, words):
        code, answer, words = traffic_rig.gatepost("audit", "verify", "--receipt", receipt, "--json", *relay.key)
        checks.check(f"{domain}: the receipt proves", code == 0 and answer["proved"], f"{code} {answer} {words}")
        proved = [record["event"] for record in answer["records"]] if code == 0 else []
        checks.equal(f"{domain}: every hop", proved, [record["event"] for record in records])
        checks.equal(f"{domain}: where it was sent instead", [r.get("rerouted_to") for r in answer["records"] if "rerouted_to" in r], ["escrow"])
        code, answer, words = traffic_rig.gatepost("audit", "verify", "--receipt", receipt, *relay.key)
        shown = [event in str(answer) for event in expected]
        checks.equal(f"{domain}: the receipt tells people the same", (code, shown), (0, [True] * len(expected)))


def it_comes_back(relay, ident):
    """TLS is there again before the other route is due."""
    domain = "back.test"
    the_sender_is_told(relay, domain, ident, by_route=False)
    relay.world.hosts[domain].find_tls()
    record = relay.await_record(ident, "outbound.delivered")
    verified = ((record.get("tls") or {}).get("peer") or {}).get("verified")
    checks.equal(f"{domain}: delivered by its own host, verified", (record.get("route"), record.get("mx"), verified), (None, f"mx.{domain}", "webpki"))
    checks.equal(f"{domain}: once", len(relay.world.hosts[domain].for_recipient(f"b@{domain}")), 1)


def it_is_stuck(relay, ident):
    """The other route fails, too: it waits there, goes nowhere else, and comes back to the sender in the end."""
    domain, sender = "stuck.test", sender_to("stuck.test")
    record = relay.await_record(ident, "outbound.rerouted")
    checks.equal(f"{domain}: rerouted", record.get("rerouted_to"), "broken")
    by_route = lambda: [each for each in relay.records(ident, "outbound.deferred") if each["route"] == "broken"]
    found = wait_for(by_route, 10)
    if checks.check(f"{domain}: deferred on the route", found):
        checks.equal(f"{domain}: for want of the TLS that the route asks for", (found[0]["reason"], found[0]["requirement"]["tls"]), (LOST, "verify"))
    checks.matches(f"{domain}: queue why names the route's host", relay.why(ident), rf"{LOST} at broken\.test ")
    checks.equal(f"{domain}: queue show names the route", relay.standing(ident).get("destination"), "broken")
    return lambda: it_is_over(relay, ident, domain, sender)


def it_is_over(relay, ident, domain, sender):
    bounced = relay.await_record(ident, "outbound.bounced", STUCK_LIFETIME + 10)
    checks.equal(f"{domain}: given up on the route, for its time was over", (bounced.get("route"), bounced.get("expired"), bounced.get("reason")), ("broken", True, LOST))
    accepted = seconds_of(relay.records(ident, "inbound.accepted")[0]["time"])
    between(f"{domain}: when its lifetime ended", seconds_of(bounced["time"]) - accepted, STUCK_LIFETIME - 0.5, STUCK_LIFETIME + LATE_SECONDS_MAX)
    after = [record["route"] for record in relay.records(ident, "outbound.deferred", "outbound.bounced") if record["seq"] > relay.records(ident, "outbound.rerouted")[0]["seq"]]
    checks.equal(f"{domain}: from the route it goes nowhere else", set(after), {"broken"})
    checks.equal(f"{domain}: rerouted once", len(relay.records(ident, "outbound.rerouted")), 1)
    notice = relay.await_notice(sender, "failed")
    if notice:
        fields = notice["fields"]
        checks.equal(f"{domain}: the bounce's status", fields["Status"], "4.4.7")
        checks.equal(f"{domain}: the bounce names what was wrong, and where", (fields["X-Gatepost-Reason"], fields["Remote-MTA"]), (LOST, "dns; broken.test"))
        checks.matches(f"{domain}: the bounce says it in words", notice["text"], "requires an encrypted connection, and the receiving mail server does not offer")
    checks.equal(f"{domain}: told of the delay once", len(relay.notices(sender, "delayed")), 1)
    checks.equal(f"{domain}: nothing went out", [relay.world.hosts[host].for_recipient(f"b@{domain}") for host in (domain, "broken.test")], [[], []])


def it_bounces(relay, domain, ident, reason, words):
    record = relay.await_record(ident, "outbound.bounced")
    checks.equal(f"{domain}: bounces at once, with the word of RFC 8460", (record.get("reason"), record.get("expired"), record.get("attempt")), (reason, None, 1))
    notice = relay.await_notice(sender_to(domain), "failed")
    if notice:
        checks.equal(f"{domain}: the bounce has it, too", (notice["fields"]["X-Gatepost-Reason"], notice["fields"]["Status"]), (reason, "5.7.10"))
        checks.matches(f"{domain}: the bounce says it in words", notice["text"], words)


def who_is_told(relay, waiting):
    """Whose address can be relied on, and who wants to know. All of it is rerouted all the same."""
    for sender, (ident, told) in waiting.items():
        record = relay.await_record(ident, "outbound.delivered")
        checks.equal(f"<{sender}>: goes by the escrow", record.get("route"), "escrow")
        if sender:
            expected = 1 if told else 0
            wait_for(lambda: len(relay.notices(sender, "delayed")) >= expected, 5)
            checks.equal(f"<{sender}>: notices of the delay", len(relay.notices(sender, "delayed")), expected)
    to_strangers = [record for record in relay.daemon.records() if any("elsewhere.test" in to for to in record.get("to") or [])]
    checks.equal("a stranger: no notice is even made", to_strangers, [])


def one_of_two(relay, ident):
    """The other recipient of the message has nothing to wait for."""
    checks.check("one of two: the other one is served at once", wait_for(lambda: relay.home.for_recipient("x@sender.test"), 5))
    notice = relay.await_notice("both@sender.test", "delayed")
    if notice:
        checks.equal("one of two: told of the right one only", (notice["fields"]["Final-Recipient"], notice["others"]), ("rfc822; two@verify.test", []))
        checks.check("one of two: also in words", "x@sender.test" not in notice["text"], notice["text"])
    delivered = wait_for(lambda: [r for r in relay.records(ident, "outbound.delivered") if r["route"] == "escrow"], 20)
    checks.equal("one of two: that one goes by the escrow", [r["to"] for r in delivered], [["two@verify.test"]])
    moved = [r["to"] for r in relay.records(ident, "outbound.rerouted")]
    checks.equal("one of two: and it alone is rerouted", moved, [["two@verify.test"]])


def nobody_else_is_told(relay, learned):
    """All that came to senders."""
    expected = {sender_to(domain): 1 for domain in [*WHOLE_LIVES, "back.test", "bounce.test", "misnamed.test", "lapsed.test"]}
    expected |= {sender_to("stuck.test"): 2, "delay@sender.test": 1, "ours@sender.test": 1, "both@sender.test": 1, "x@sender.test": 1}
    expected |= {sender_to("learned.test"): 1} if learned else {}
    found = collections.Counter(address for entry in relay.home.taken() for address in entry["to"])
    checks.equal("who was told anything, and how often", dict(found), expected)


def refused_routes(relay):
    """A route that is weaker than the policy is refused before it is in force."""
    text = relay.daemon.config.read_text()
    code, answer, words = relay.gatepost("check")
    checks.check("check takes the configuration", code == 0, f"{answer}{words}")
    for what, old, new, said in [
        ("encrypts without verifying", VERIFY, 'tls = "encrypt"\n', r'route "escrow" is weaker than this policy: it lacks tls = "verify"'),
        ("takes plaintext", VERIFY, "", r'route "escrow" is weaker than this policy: it lacks tls = "verify"'),
        ("is not there", 'name = "escrow"', 'name = "other"', r'there is no \[\[route\]\] named "escrow"'),
    ]:
        head, tail = text.split('[[route]]\nname = "escrow"', 1)
        changed = head + ('[[route]]\nname = "escrow"' + tail).replace(old, new, 1)
        other = relay.daemon.config.with_name("other.toml")
        other.write_text(changed)
        code, answer, words = relay.gatepost("check", config=other)
        checks.matches(f"check refuses a route that {what}", f"{code} {' '.join(f'{answer}{words}'.split())}", f"^2 .*{said}")


def learned_and_told(relay, ident, alerts):
    """What was learned is lost: one alert for the destination, and one for the many that lost TLS at once."""
    domain = "learned.test"
    record = relay.await_record(ident, "outbound.deferred")
    checks.equal(f"{domain}: held back by what was learned", (record.get("reason"), record["requirement"]["tls"]), (LOST, "verify"))
    another_way(relay, domain, ident)
    raised = [record for record in relay.daemon.records("learned.raised")]
    checks.check(f"{domain}: on record when it was learned", raised)
    checks.check(f"{domain}: the violation is on record", wait_for(lambda: relay.daemon.records("learned.violation"), 5))
    told = lambda about: [alert for alert in read_alerts(alerts) if alert["alert"] == about]
    found = wait_for(lambda: told("learned.violation"), 10)
    checks.equal(f"{domain}: one alert, however often it is tried", [(a["state"], a.get("domain"), a.get("reason")) for a in found], [("raised", domain, LOST)])
    found = wait_for(lambda: told("path.interference"), 10)
    checks.equal("many destinations at once: one alert about our own path", [alert["state"] for alert in found], ["raised"])
    checks.check("the suspicion is on record", relay.daemon.records("path.interference"))
    checks.equal("and a metric", relay.daemon.metric("gatepost_path_interference_suspected"), 1)
    checks.check("the violations are counted", relay.daemon.metric("gatepost_learned_violations_total") >= 1)


def read_alerts(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line] if path.exists() else []


def lives(folder, world):
    domains = {**life_domains(), "hosted": hosted_domain(world)}
    routes = {"escrow": VERIFY, "broken": VERIFY}
    # Where the daemon, and so what it starts, may write.
    alerts, script = folder / "lives" / "alerts", folder / "lives" / "alert.sh"
    tables = ('[learn]\ndeliveries = 2\ndays = 1\ninterference_destinations = 4\n'
              f'[alert]\ncommand = ["/bin/sh", "{script}", "{alerts}"]\n')
    relay = Relay(folder / "lives", world, domains, routes, tables)
    script.write_text(ALERT_SCRIPT)
    learned = relay.gatepost("check")[0] == 0
    if not learned:
        print("SKIPPED  learned TLS and its alerts: this build does not know [alert]", flush=True)
        relay.daemon.config.write_text(relay.daemon.config.read_text().replace(tables, ""))
    refused_routes(relay)
    relay.daemon.start()
    key = relay.gatepost("audit", "key", "--json")[1]
    relay.key = ["--key", key["key"]] if isinstance(key, dict) and "key" in key else []
    all_works(relay, learned)
    for domain in [*LOSING, "learned.test", "store.test", "broken.test"]:
        world.hosts[domain].lose_tls()
    sent = {domain: relay.send(sender_to(domain), f"b@{domain}") for domain in LOSING}
    if learned:
        sent["learned.test"] = relay.send(sender_to("learned.test"), "b@learned.test")
    bounces = {domain: relay.send(sender_to(domain), f"b@{domain}") for domain in ("misnamed.test", "lapsed.test")}
    waiting = {
        "": (relay.send("", "null@verify.test"), False),
        "never@sender.test": (relay.send("never@sender.test", "never@verify.test", parameters=" NOTIFY=NEVER"), False),
        "failure@sender.test": (relay.send("failure@sender.test", "failure@verify.test", parameters=" NOTIFY=FAILURE"), False),
        "delay@sender.test": (relay.send("delay@sender.test", "delay@verify.test", parameters=" NOTIFY=FAILURE,DELAY"), True),
        "stranger@elsewhere.test": (relay.send("stranger@elsewhere.test", "s@hosted.test", mx=True), False),
        "ours@sender.test": (relay.send("ours@sender.test", "o@hosted.test", mx=True), True),
    }
    both = relay.send("both@sender.test", "two@verify.test", "x@sender.test")
    for domain in WHOLE_LIVES:
        it_waits(relay, domain, sent[domain])
    it_comes_back(relay, sent["back.test"])
    for domain in WHOLE_LIVES:
        the_sender_is_told(relay, domain, sent[domain])
    over = it_is_stuck(relay, sent["stuck.test"])
    none = "requires an encrypted connection, and the receiving mail server does not offer encryption"
    it_bounces(relay, "bounce.test", sent["bounce.test"], LOST, none)
    it_bounces(relay, "misnamed.test", bounces["misnamed.test"], "certificate-host-mismatch", "is for another name")
    it_bounces(relay, "lapsed.test", bounces["lapsed.test"], "certificate-expired", "is not valid at this time")
    for domain in WHOLE_LIVES:
        another_way(relay, domain, sent[domain])
        on_record(relay, domain, sent[domain])
    who_is_told(relay, waiting)
    one_of_two(relay, both)
    if learned:
        learned_and_told(relay, sent["learned.test"], alerts)
    over()
    nobody_else_is_told(relay, learned)
    checks.equal("back.test: never rerouted", relay.records(sent["back.test"], "outbound.rerouted"), [])
    rerouted = len(relay.daemon.records("outbound.rerouted"))
    checks.equal("reroutes are counted", relay.daemon.metric("gatepost_smtp_deliveries_total", result="rerouted"), rerouted)
    for name, host in world.hosts.items():
        checks.check(f"{name}: nobody told it anything of a message without TLS", host.is_told_nothing())
    checks.check("the queue is empty", relay.daemon.drained(10), str(relay.daemon.queue()))
    relay.end()
    relay.close()


# What the daemon B sees: it is killed at each stage, and its route is taken from it.

KILLED = {"early.test": "", "late.test": "", "taken.test": ""}
SOON = 2


def kills_domains():
    policies = {
        "early.test": VERIFY + ESCROW,
        "late.test": f'{VERIFY}on_tls_failure = "route:moody"\nroute_after = "{SOON}s"\nnotify_sender = "1h"\n',
        "taken.test": f'{VERIFY}on_tls_failure = "route:leased"\nroute_after = "{SOON}s"\n',
    }
    return {domain.split(".")[0]: f'domains = ["{domain}"]\n[outbound]\n{keys}' for domain, keys in policies.items()}


def killed(relay):
    relay.daemon.kill()
    relay.daemon.start()


def killed_before(relay):
    """Before the other route is due, and again when the sender has been told."""
    domain, sender = "early.test", sender_to("early.test")
    ident = relay.send(sender, f"b@{domain}")
    relay.await_record(ident, "outbound.deferred")
    killed(relay)
    seen = len(relay.records(ident, "outbound.deferred"))
    checks.matches("killed while it waits: it still does, and why", relay.why(ident), f"with {LOST} at mx.{domain}|right now")
    relay.await_notice(sender, "delayed")
    killed(relay)
    checks.check("killed while it waits: it is tried on", wait_for(lambda: len(relay.records(ident, "outbound.deferred")) > seen, 10))
    rerouted, delivered = relay.await_record(ident, "outbound.rerouted"), relay.await_record(ident, "outbound.delivered")
    began = seconds_of(relay.records(ident, "outbound.deferred")[0]["time"])
    between("killed while it waits: rerouted when it was due from the start", seconds_of(rerouted["time"]) - began, ROUTE_AFTER - 0.5, ROUTE_AFTER + LATE_SECONDS_MAX)
    checks.equal("killed while it waits: delivered by the escrow", delivered.get("route"), "escrow")
    checks.equal("killed while it waits: once", len(relay.world.hosts["escrow.test"].for_recipient(f"b@{domain}")), 1)
    checks.equal("killed after the notice: told once", len(relay.notices(sender, "delayed")), 1)


def killed_after(relay):
    """As soon as it goes by the other route, which has no TLS for now."""
    domain, moody = "late.test", relay.world.hosts["moody.test"]
    moody.lose_tls()
    ident = relay.send(sender_to(domain), f"b@{domain}")
    wait_for(lambda: relay.records(ident, "outbound.rerouted"), 20, 0.005)
    killed(relay)
    rerouted = relay.await_record(ident, "outbound.rerouted")
    later = lambda: [record for record in relay.records(ident, "outbound.deferred") if record["seq"] > rerouted["seq"]]
    found = wait_for(lambda: len(later()) >= 2 and later(), 10) or later()
    checks.check("killed right after the reroute: it goes on by the route", found and {r["route"] for r in found} == {"moody"}, str(found)[:300])
    checks.equal("killed right after the reroute: so says the queue", relay.standing(ident).get("destination"), "moody")
    killed(relay)
    moody.find_tls()
    delivered = relay.await_record(ident, "outbound.delivered")
    checks.equal("killed on the route: delivered there", delivered.get("route"), "moody")
    checks.equal("killed on the route: once", len(moody.for_recipient(f"b@{domain}")), 1)
    checks.equal("killed on the route: rerouted once", len(relay.records(ident, "outbound.rerouted")), 1)


def route_taken(relay):
    """The configuration names the route no more: the mail goes to its own hosts again, and waits for their TLS."""
    domain, own, leased = "taken.test", relay.world.hosts["taken.test"], relay.world.hosts["leased.test"]
    leased.lose_tls()
    ident = relay.send(sender_to(domain), f"b@{domain}")
    rerouted = relay.await_record(ident, "outbound.rerouted")
    later = lambda route, after: [r for r in relay.records(ident, "outbound.deferred") if r["seq"] > after and r["route"] == route]
    checks.check("a route is taken away: until then the mail waits on it", wait_for(lambda: later("leased", rerouted["seq"]), 10))
    config, file = relay.daemon.config, relay.daemon.folder / "domains.d" / "taken.toml"
    config.write_text(config.read_text().replace(relay.route("leased", VERIFY), ""))
    file.write_text(re.sub("(?m)^(on_tls_failure|route_after).*\n", "", file.read_text()))
    code, answer, words = relay.gatepost("reload")
    checks.check("a route is taken away: the configuration is taken", code == 0, f"{answer}{words}")
    last = relay.records(ident)[-1]["seq"]
    leased.find_tls()
    checks.check("a route is taken away: the mail waits for its own host's TLS", wait_for(lambda: later(None, last), 10))
    checks.matches("a route is taken away: queue why names its own host", relay.why(ident), rf"{LOST} at mx\.{domain} ")
    checks.equal("a route is taken away: so says the queue", relay.standing(ident).get("destination"), domain)
    own.find_tls()
    delivered = relay.await_record(ident, "outbound.delivered")
    checks.equal("a route is taken away: delivered by its own host", (delivered.get("route"), delivered.get("mx")), (None, f"mx.{domain}"))
    checks.equal("a route is taken away: the route's host gets nothing", leased.count(), 0)


def kills(folder, world):
    relay = Relay(folder / "kills", world, kills_domains(), {"escrow": VERIFY, "moody": VERIFY, "leased": VERIFY})
    relay.daemon.start()
    for domain in KILLED:
        world.hosts[domain].lose_tls()
    killed_before(relay)
    killed_after(relay)
    route_taken(relay)
    for name, host in world.hosts.items():
        checks.check(f"{name}: nor over kills and reloads", host.is_told_nothing())
    checks.check("the queue is empty, after kills", relay.daemon.drained(10), str(relay.daemon.queue()))
    relay.end()
    relay.close()


def main():
    if os.geteuid() != 0:
        print("SKIPPED  it needs root", flush=True)
        checks.check("the ports can be had", not os.environ.get("CI"))
        return checks.finish()
    folder = rig.scratch("lost-tls")
    rig.on_exit(lambda: os.environ.get("KEEP") or shutil.rmtree(folder, ignore_errors=True))
    routed = ["escrow.test", "broken.test", "store.test", "moody.test", "leased.test"]
    world = lost_tls_world.World(folder, {**DESTINATIONS, **KILLED}, routed)
    rig.on_exit(world.close)
    lives(folder, world)
    kills(folder, world)
    return checks.finish()


main()
