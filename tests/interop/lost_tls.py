#!/usr/bin/env python3
"""The whole life of mail whose destination loses STARTTLS: it waits, the sender is told, it takes another protected way or goes
out when TLS is back, and never goes out without; kills and a changed configuration on the way change nothing of that.

Needs root, for the ports 25 and 443 of addresses in 127.31.0.0/16, and openssl.
"""

import collections
import email.utils
import os
import re
import shutil

import lost_tls_kills
import lost_tls_world
import rig
import traffic_rig
from lost_tls_relay import (ESCROW, LATE_SECONDS_MAX, LEARN, LOST, NOTIFY, ROUTE_AFTER, VERIFY, Relay, between, checks, hops,
                            learning, seconds_of, sender_to, verified, words_of)
from rig import wait_for

DEFAULT_LIFETIME_DAYS = 5
# Its other route may take plaintext.
LOOSE = "loose.signed.test"
NOT_OFFERED = "requires an encrypted connection, and the receiving mail server does not offer encryption"
DESTINATIONS = {
    "verify.test": "", "dane.signed.test": "dane", "sts.test": "sts", "back.test": "", "stuck.test": "",
    "bounce.test": "", "misnamed.test": "other-name", "lapsed.test": "expired", "learned.test": "",
}
WHOLE_LIVES = ["verify.test", "dane.signed.test", "sts.test"]
# Lose TLS, and had it before.
LOSING = [*WHOLE_LIVES, "back.test", "stuck.test", "bounce.test"]
STUCK_LIFETIME, STUCK_ROUTE_AFTER, STUCK_NOTIFY = 24, 4, 2


def life_domains():
    policies = {
        "verify.test": VERIFY + ESCROW, "dane.signed.test": ESCROW, "sts.test": ESCROW, "back.test": VERIFY + ESCROW,
        "stuck.test": f'{VERIFY}on_tls_failure = "route:broken"\nroute_after = "{STUCK_ROUTE_AFTER}s"\n'
                      f'notify_sender = "{STUCK_NOTIFY}s"\nlifetime = "{STUCK_LIFETIME}s"\n',
        **{domain: f'{VERIFY}on_tls_failure = "bounce"\n' for domain in ("bounce.test", "misnamed.test", "lapsed.test")},
        "learned.test": LEARN,
    }
    return {domain.split(".")[0]: f'domains = ["{domain}"]\n[outbound]\n{keys}' for domain, keys in policies.items()}


def hosted_domain(world):
    """Mail for it goes by a route of its own, so that strangers may bring some."""
    store = f'hosts = ["store.test:{world.hosts["store.test"].port}"]\n'
    return f'domains = ["hosted.test"]\nhosted = true\nrecipients = "any"\n[route]\n{store}{VERIFY}[outbound]\n{ESCROW}'


def all_works(relay, learned):
    """Before anything is lost, mail goes out protected."""
    sent = {domain: relay.send(sender_to(domain), f"first@{domain}") for domain in LOSING}
    for domain, ident in sent.items():
        record = relay.await_record(ident, "outbound.delivered")
        expected = "dane" if domain.startswith("dane") else "webpki"
        checks.equal(f"{domain}: delivered while there is TLS, and verified", verified(record), expected)
    if learned:
        for ident in [relay.send(sender_to("learned.test"), f"n{number}@learned.test") for number in range(3)]:
            relay.await_record(ident, "outbound.delivered")


def it_waits(relay, domain, ident):
    record = relay.await_record(ident, "outbound.deferred")
    checks.equal(f"{domain}: deferred, and why", record.get("reason"), LOST)
    checks.check(f"{domain}: the record says when it is tried again", record.get("next_attempt"), str(record))
    checks.equal(f"{domain}: the record says what was needed", record["requirement"]["tls"], "verify")
    checks.equal(f"{domain}: nothing was sent, so no TLS is on record", record["tls"], None)
    sentence = relay.why(ident)
    checks.matches(f"{domain}: queue why, while it waits", sentence,
                   rf"^Delivery to b@{domain} failed (once|twice|\d+ times) with {LOST} at mx\.{domain} "
                   r".*; it is tried again (now|in \d+ s); it has waited for TLS for \d+ s\. TLS is asked for by (DANE|MTA-STS|domains\.d/\S+:\d+|what was learned)")
    checks.matches(f"{domain}: the same for people", relay.why_for_people(ident), rf"^0 Delivery to b@{domain} failed")
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
    checks.matches(f"{domain}: the notice says that TLS is what it waits for", text, NOT_OFFERED)
    checks.matches(f"{domain}: that it is held back rather than sent", text, "held back until the connection can be protected as required")
    then = re.search(r"If that is not possible by (.*?), it goes by another route, which is protected", text)
    checks.check(f"{domain}: what comes then, and when", then, text)
    if then:
        until = email.utils.parsedate_to_datetime(then[1]).timestamp()
        between(f"{domain}: the moment is that of the other route", until - began, ROUTE_AFTER - 1.5, ROUTE_AFTER + 0.5)
    checks.matches(f"{domain}: nothing needs to be done", text, "You need not send it again")
    checks.equal(f"{domain}: the notice is from nobody", notice["entry"]["from"], "")
    checks.matches(f"{domain}: automatic", notice["report"]["Auto-Submitted"], "^auto-")
    checks.matches(f"{domain}: a subject that says it", notice["report"]["Subject"], f"delayed: b@{domain}")
    checks.equal(f"{domain}: status", (fields["Status"], fields["X-Gatepost-Reason"]), ("4.7.10", LOST))
    checks.equal(f"{domain}: about whom", fields["Final-Recipient"], f"rfc822; b@{domain}")
    checks.equal(f"{domain}: by whose fault", fields["Remote-MTA"], f"dns; mx.{domain}")
    accepted = seconds_of(relay.records(ident, "inbound.accepted")[0]["time"])
    until = email.utils.parsedate_to_datetime(fields["Will-Retry-Until"]).timestamp()
    lifetime = DEFAULT_LIFETIME_DAYS * 86400
    between(f"{domain}: Will-Retry-Until is the end of the lifetime", until - accepted, lifetime - 2, lifetime + 2)
    checks.check(f"{domain}: it is told before the other route is taken", came < began + ROUTE_AFTER)
    if not by_route:
        return
    sentence = relay.why(ident)
    checks.matches(f"{domain}: queue why, after the notice", sentence, rf"failed (twice|\d+ times) with {LOST} at mx\.{domain}")


def another_way(relay, domain, ident):
    record = relay.await_record(ident, "outbound.rerouted")
    began = seconds_of(relay.records(ident, "outbound.deferred")[0]["time"])
    checks.equal(f"{domain}: rerouted to the escrow, because of TLS", words_of(record, "rerouted_to", "reason"), ("escrow", LOST))
    between(f"{domain}: when it was due", seconds_of(record["time"]) - began, ROUTE_AFTER - 0.5, ROUTE_AFTER + LATE_SECONDS_MAX)
    delivered = relay.await_record(ident, "outbound.delivered")
    checks.equal(f"{domain}: delivered by the route", words_of(delivered, "route", "mx"), ("escrow", "escrow.test"))
    checks.equal(f"{domain}: which proved who it is", verified(delivered), "webpki")
    checks.equal(f"{domain}: as the route asks", delivered["requirement"]["tls"], "verify")
    taken = relay.world.hosts["escrow.test"].for_recipient(f"b@{domain}")
    checks.equal(f"{domain}: the escrow got it once, by TLS", [entry["tls"] for entry in taken], [True])
    if taken:
        checks.equal(f"{domain}: in the sender's name", taken[0]["from"], sender_to(domain))
        checks.check(f"{domain}: whole", taken[0]["data"].endswith(b"\r\n\r\nhello\r\n"), taken[0]["data"][-100:])
    code, _, words = relay.gatepost("queue", "why", ident)
    checks.matches(f"{domain}: the queue knows it no more", f"{code} {words}", "^1 .*no message .* is in the queue")
    told = [len(relay.notices(sender_to(domain), action)) for action in ("delayed", "failed")]
    checks.equal(f"{domain}: the sender was told of the delay, once", told, [1, 0])


def on_record(relay, domain, ident):
    """Trace and receipt show every hop."""
    expected = ["inbound.accepted", "outbound.deferred", "outbound.rerouted", "outbound.delivered"]
    records = relay.records(ident)
    telling = [record for record in records if record["event"] != "outbound.attempt"]
    checks.equal(f"{domain}: the hops on record", hops(telling), expected)
    checks.check(f"{domain}: each try is on record", len(relay.records(ident, "outbound.deferred")) >= ROUTE_AFTER // 2)
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
        moved = [record["rerouted_to"] for record in answer["records"] if "rerouted_to" in record]
        checks.equal(f"{domain}: where it was sent instead", moved, ["escrow"])
        code, answer, words = traffic_rig.gatepost("audit", "verify", "--receipt", receipt, *relay.key)
        shown = [event in str(answer) for event in expected]
        checks.equal(f"{domain}: the receipt tells people the same", (code, shown), (0, [True] * len(expected)))


def it_comes_back(relay, ident):
    """TLS is there again before the other route is due."""
    domain = "back.test"
    the_sender_is_told(relay, domain, ident, by_route=False)
    relay.world.hosts[domain].find_tls()
    record = relay.await_record(ident, "outbound.delivered")
    checks.equal(f"{domain}: delivered by its own host", words_of(record, "route", "mx"), (None, f"mx.{domain}"))
    checks.equal(f"{domain}: which proved who it is", verified(record), "webpki")
    checks.equal(f"{domain}: once", len(relay.world.hosts[domain].for_recipient(f"b@{domain}")), 1)


def it_is_stuck(relay, ident):
    """The other route fails, too: it waits there, goes nowhere else, and comes back to the sender in the end."""
    domain, sender = "stuck.test", sender_to("stuck.test")
    record = relay.await_record(ident, "outbound.rerouted")
    checks.equal(f"{domain}: rerouted", record.get("rerouted_to"), "broken")
    by_route = lambda: [each for each in relay.records(ident, "outbound.deferred") if each["route"] == "broken"]
    found = wait_for(by_route, 10)
    if checks.check(f"{domain}: deferred on the route", found):
        lacking = (found[0]["reason"], found[0]["requirement"]["tls"])
        checks.equal(f"{domain}: for want of the TLS that the route asks for", lacking, (LOST, "verify"))
    checks.matches(f"{domain}: queue why names the route's host", relay.why(ident), rf"{LOST} at broken\.test ")
    checks.equal(f"{domain}: queue show names the route", relay.standing(ident).get("destination"), "broken")
    return lambda: it_is_over(relay, ident, domain, sender)


def it_is_over(relay, ident, domain, sender):
    bounced = relay.await_record(ident, "outbound.bounced", STUCK_LIFETIME + 10)
    found = words_of(bounced, "route", "expired", "reason")
    checks.equal(f"{domain}: given up on the route, for its time was over", found, ("broken", True, LOST))
    accepted = seconds_of(relay.records(ident, "inbound.accepted")[0]["time"])
    between(f"{domain}: when its lifetime ended", seconds_of(bounced["time"]) - accepted,
            STUCK_LIFETIME - 0.5, STUCK_LIFETIME + LATE_SECONDS_MAX)
    rerouted = relay.records(ident, "outbound.rerouted")
    checks.equal(f"{domain}: rerouted once", len(rerouted), 1)
    ends = relay.records(ident, "outbound.deferred", "outbound.bounced")
    after = {record["route"] for record in ends if record["seq"] > rerouted[0]["seq"]}
    checks.equal(f"{domain}: from the route it goes nowhere else", after, {"broken"})
    notice = relay.await_notice(sender, "failed")
    if notice:
        fields = notice["fields"]
        checks.equal(f"{domain}: the bounce's status", fields["Status"], "4.4.7")
        checks.equal(f"{domain}: the bounce names what was wrong", fields["X-Gatepost-Reason"], LOST)
        checks.equal(f"{domain}: and where", fields["Remote-MTA"], "dns; broken.test")
        checks.matches(f"{domain}: the bounce says it in words", notice["text"], NOT_OFFERED)
    checks.equal(f"{domain}: told of the delay once", len(relay.notices(sender, "delayed")), 1)
    taken = [host.for_recipient(f"b@{domain}") for host in relay.world.hosts.values()]
    checks.equal(f"{domain}: nothing went out", [entries for entries in taken if entries], [])


def it_bounces(relay, domain, ident, reason, words):
    record = relay.await_record(ident, "outbound.bounced")
    found = words_of(record, "reason", "expired", "attempt")
    checks.equal(f"{domain}: bounces at once, with the word of RFC 8460", found, (reason, None, 1))
    notice = relay.await_notice(sender_to(domain), "failed")
    if notice:
        checks.equal(f"{domain}: the bounce has it, too", notice["fields"]["X-Gatepost-Reason"], reason)
        checks.equal(f"{domain}: the bounce's status", notice["fields"]["Status"], "5.7.10")
        checks.matches(f"{domain}: the bounce says it in words", notice["text"], words)


def who_is_told(relay, waiting):
    """Whose address can be relied on, and who wants to know. All of it is rerouted all the same."""
    for sender, (ident, told) in waiting.items():
        record = relay.await_record(ident, "outbound.delivered")
        checks.equal(f"<{sender}>: goes by the escrow", record.get("route"), "escrow")
        if sender:
            expected = 1 if told else 0
            wait_for(lambda: len(relay.notices(sender, "delayed")) >= expected, 20)
            checks.equal(f"<{sender}>: notices of the delay", len(relay.notices(sender, "delayed")), expected)
    to_strangers = [record for record in relay.daemon.records() if any("elsewhere.test" in to for to in record.get("to") or [])]
    checks.equal("a stranger: no notice is even made", to_strangers, [])


def one_of_two(relay, ident):
    """The other recipient of the message has nothing to wait for."""
    checks.check("one of two: the other one is served at once", wait_for(lambda: relay.home.for_recipient("x@sender.test"), 20))
    notice = relay.await_notice("both@sender.test", "delayed")
    if notice:
        about = [fields["Final-Recipient"] for fields in (notice["fields"], *notice["others"])]
        checks.equal("one of two: told of the right one only", about, ["rfc822; two@verify.test"])
        checks.check("one of two: also in words", "x@sender.test" not in notice["text"], notice["text"])
    delivered = wait_for(lambda: [r for r in relay.records(ident, "outbound.delivered") if r["route"] == "escrow"], 20)
    checks.equal("one of two: that one goes by the escrow", [r["to"] for r in delivered], [["two@verify.test"]])
    moved = [r["to"] for r in relay.records(ident, "outbound.rerouted")]
    checks.equal("one of two: and it alone is rerouted", moved, [["two@verify.test"]])


def nobody_else_is_told(relay, learned):
    """All that came to senders."""
    expected = {sender_to(domain): 1 for domain in [*WHOLE_LIVES, "back.test", "bounce.test", "misnamed.test", "lapsed.test"]}
    expected |= {f"{name}@sender.test": 1 for name in ("delay", "ours", "both", "x")} | {sender_to("stuck.test"): 2}
    expected |= {sender_to("learned.test"): 1} if learned else {}
    found = collections.Counter(address for entry in relay.home.taken() for address in entry["to"])
    checks.equal("who was told anything, and how often", dict(found), expected)


def refused_routes(relay):
    """A route that is weaker than the policy is refused before it is in force."""
    text = relay.daemon.config.read_text()
    code, answer, words = relay.gatepost("check")
    checks.check("check takes the configuration", code == 0, f"{answer}{words}")
    weaker = 'route "escrow" is weaker than this policy: it lacks tls = "verify"'
    for what, old, new, said in [
        ("encrypts without verifying", VERIFY, 'tls = "encrypt"\n', weaker),
        ("may take plaintext", VERIFY, "", weaker),
        ("is not there", 'name = "escrow"', 'name = "other"', r'there is no \[\[route\]\] named "escrow"'),
    ]:
        head, tail = text.split('[[route]]\nname = "escrow"', 1)
        changed = head + ('[[route]]\nname = "escrow"' + tail).replace(old, new, 1)
        other = relay.daemon.config.with_name("other.toml")
        other.write_text(changed)
        code, answer, words = relay.gatepost("check", config=other)
        found = " ".join(f"{code} {answer} {words}".split())
        checks.matches(f"check refuses a route that {what}", found, f"^2 .*{said}")


def loose_relay(folder, world, number, keys):
    """A relay whose other route may take plaintext, and what `check` says of that."""
    text = f'domains = ["{LOOSE}"]\n[outbound]\n{keys}on_tls_failure = "route:loose"\nroute_after = "2s"\n'
    relay = Relay(folder / f"loose-{number}", world, {"loose": text}, {"loose": ""})
    code, answer, words = relay.gatepost("check")
    return relay, " ".join(f"{code} {answer} {words}".split())


def loose_routes(folder, world):
    """A route that may take plaintext is no way for mail that may not, whoever asks for its protection."""
    for number, keys in enumerate(['dane = "required"\n', 'learn = "enforce"\n']):
        relay, said = loose_relay(folder, world, number, keys)
        what = f"check refuses a route that may take plaintext beside {keys.strip()}"
        checks.matches(what, said, "^2 .*is weaker than this policy")
        relay.close()
    # Nothing is written but the route: the destination's DANE asks, and here a message itself. To refuse it is as good.
    relay, said = loose_relay(folder, world, "auto", "")
    if said.startswith("0"):
        relay.start()
        loose = world.hosts["loose.test"]
        for host in (world.hosts[LOOSE], loose):
            host.lose_tls()
        for who, asks in [("dane", False), ("requiretls", True)]:
            ident = relay.send(sender_to(LOOSE), f"{who}@{LOOSE}", requiretls=asks)
            goes_loose(relay, ident, who, loose)
    relay.close()


def goes_loose(relay, ident, who, loose):
    ends = ("outbound.deferred", "outbound.delivered", "outbound.bounced")
    rerouted = relay.await_record(ident, "outbound.rerouted")
    after = lambda: [record for record in relay.records(ident, *ends) if record["seq"] > rerouted.get("seq", 0)]
    found = [words_of(record, "event", "reason") for record in wait_for(after, 10)]
    checks.equal(f"{who}: the other route does not take it without TLS", found[:1], [("outbound.deferred", LOST)])
    taken = [entry["tls"] for entry in loose.for_recipient(f"{who}@{LOOSE}")]
    checks.equal(f"{who}: and nobody heard of it there", taken, [])


def learned_and_told(relay, ident):
    """What was learned is lost: one alert for the destination, and one for the many that lost TLS at once."""
    domain = "learned.test"
    record = relay.await_record(ident, "outbound.deferred")
    held = (record.get("reason"), record["requirement"]["tls"])
    checks.equal(f"{domain}: held back by what was learned", held, (LOST, "verify"))
    another_way(relay, domain, ident)
    checks.check(f"{domain}: on record when it was learned", relay.daemon.records("learned.raised"))
    checks.check(f"{domain}: the violation is on record", wait_for(lambda: relay.daemon.records("learned.violation"), 20))
    told = lambda about: [alert for alert in relay.alerts() if alert["alert"] == about]
    found = wait_for(lambda: told("learned.violation"), 10)
    about = [words_of(alert, "state", "domain", "reason") for alert in found]
    checks.equal(f"{domain}: one alert, however often it is tried", about, [("raised", domain, LOST)])
    found = wait_for(lambda: told("path.interference"), 10)
    checks.equal("many destinations at once: one alert about our own path", [alert["state"] for alert in found], ["raised"])
    checks.check("the suspicion is on record", relay.daemon.records("path.interference"))
    _, answer, words = relay.gatepost("status")
    checks.matches("status says it, and names them", f"{answer}{words}", r"bounce\.test.*verify\.test")
    checks.equal("and a metric", relay.daemon.metric("gatepost_path_interference_suspected"), 1)
    checks.check("the violations are counted", relay.daemon.metric("gatepost_learned_violations_total") >= 1)


def lives(folder, world):
    domains = {**life_domains(), "hosted": hosted_domain(world)}
    routes = {"escrow": VERIFY, "broken": VERIFY}
    relay = Relay(folder / "lives", world, domains, routes)
    learned = learning(relay)
    refused_routes(relay)
    relay.start()
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
    for domain in WHOLE_LIVES:
        the_sender_is_told(relay, domain, sent[domain])
    it_comes_back(relay, sent["back.test"])
    over = it_is_stuck(relay, sent["stuck.test"])
    it_bounces(relay, "bounce.test", sent["bounce.test"], LOST, NOT_OFFERED)
    it_bounces(relay, "misnamed.test", bounces["misnamed.test"], "certificate-host-mismatch", "is for another name")
    it_bounces(relay, "lapsed.test", bounces["lapsed.test"], "certificate-expired", "is not valid at this time")
    for domain in WHOLE_LIVES:
        another_way(relay, domain, sent[domain])
        on_record(relay, domain, sent[domain])
    who_is_told(relay, waiting)
    one_of_two(relay, both)
    if learned:
        learned_and_told(relay, sent["learned.test"])
    over()
    nobody_else_is_told(relay, learned)
    checks.equal("back.test: never rerouted", relay.records(sent["back.test"], "outbound.rerouted"), [])
    rerouted = len(relay.daemon.records("outbound.rerouted"))
    checks.equal("reroutes are counted", relay.daemon.metric("gatepost_smtp_deliveries_total", result="rerouted"), rerouted)
    relay.end([*LOSING, "store.test", "broken.test"])
    relay.close()


def main():
    if os.geteuid() != 0:
        print("SKIPPED  it needs root", flush=True)
        checks.check("the ports can be had", not os.environ.get("CI"))
        return checks.finish()
    folder = rig.scratch("lost-tls")
    rig.on_exit(lambda: os.environ.get("KEEP") or shutil.rmtree(folder, ignore_errors=True))
    routed = ["escrow.test", "broken.test", "store.test", "moody.test", "leased.test", "loose.test"]
    world = lost_tls_world.World(folder, {**DESTINATIONS, **lost_tls_kills.DESTINATIONS, LOOSE: "dane"}, routed)
    rig.on_exit(world.close)
    lives(folder, world)
    lost_tls_kills.run(folder, world)
    loose_routes(folder, world)
    return checks.finish()


main()
