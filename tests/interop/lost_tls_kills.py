"""The part of lost_tls.py in which the daemon is killed at each stage, and its route is taken from it."""

import re

from lost_tls_relay import (ESCROW, LATE_SECONDS_MAX, LEARN, LOST, ROUTE_AFTER, VERIFY, Relay, between, checks, learning,
                            seconds_of, sender_to, words_of)
from rig import wait_for

DESTINATIONS = {"early.test": "", "late.test": "", "taken.test": "", "kept.test": ""}
SOON = 2


def policies_of_them():
    policies = {
        "early.test": VERIFY + ESCROW,
        "late.test": f'{VERIFY}on_tls_failure = "route:moody"\nroute_after = "{SOON}s"\nnotify_sender = "1h"\n',
        "taken.test": f'{VERIFY}on_tls_failure = "route:leased"\nroute_after = "{SOON}s"\n',
        "kept.test": LEARN,
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
    checks.matches("killed while it waits: it still does, and why", relay.why(ident), rf"with {LOST} at mx\.{domain} ")
    relay.await_notice(sender, "delayed")
    killed(relay)
    goes_on = wait_for(lambda: len(relay.records(ident, "outbound.deferred")) > seen, 10)
    checks.check("killed while it waits: it is tried on", goes_on)
    rerouted, delivered = relay.await_record(ident, "outbound.rerouted"), relay.await_record(ident, "outbound.delivered")
    began = seconds_of(relay.records(ident, "outbound.deferred")[0]["time"])
    between("killed while it waits: rerouted when it was due from the start", seconds_of(rerouted["time"]) - began,
            ROUTE_AFTER - 0.5, ROUTE_AFTER + LATE_SECONDS_MAX)
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
    checks.equal("killed right after the reroute: it goes on by the route", {record["route"] for record in found}, {"moody"})
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
    deferred = lambda: relay.records(ident, "outbound.deferred")
    later = lambda route, after: [record for record in deferred() if record["seq"] > after and record["route"] == route]
    checks.check("a route is taken away: until then the mail waits on it", wait_for(lambda: later("leased", rerouted["seq"]), 10))
    config, file = relay.daemon.config, relay.daemon.folder / "domains.d" / "taken.toml"
    config.write_text(config.read_text().replace(relay.route("leased", VERIFY), ""))
    file.write_text(re.sub("(?m)^(on_tls_failure|route_after).*\n", "", file.read_text()))
    code, answer, words = relay.gatepost("reload")
    checks.check("a route is taken away: the configuration is taken", code == 0, f"{answer}{words}")
    last = relay.records(ident)[-1]["seq"]
    checks.check("a route is taken away: the mail waits for its own host's TLS", wait_for(lambda: later(None, last), 20))
    # A try that was under way at the reload has ended.
    leased.find_tls()
    tried = deferred()[-1]["seq"]
    checks.check("a route is taken away: also once that has TLS", wait_for(lambda: later(None, tried), 20))
    checks.matches("a route is taken away: queue why names its own host", relay.why(ident), rf"{LOST} at mx\.{domain} ")
    checks.equal("a route is taken away: so says the queue", relay.standing(ident).get("destination"), domain)
    own.find_tls()
    delivered = relay.await_record(ident, "outbound.delivered")
    checks.equal("a route is taken away: delivered by its own host", words_of(delivered, "route", "mx"), (None, f"mx.{domain}"))
    checks.equal("a route is taken away: the route's host gets nothing", leased.count(), 0)


def learned_is_kept(relay):
    """What was learned, and the alarm about it, outlive a kill."""
    domain, host = "kept.test", relay.world.hosts["kept.test"]
    for ident in [relay.send(sender_to(domain), f"n{number}@{domain}") for number in range(3)]:
        relay.await_record(ident, "outbound.delivered")
    checks.check(f"{domain}: learned", wait_for(lambda: relay.daemon.records("learned.raised"), 20))
    host.lose_tls()
    ident = relay.send(sender_to(domain), f"b@{domain}")
    told = lambda: [alert for alert in relay.alerts() if alert.get("domain") == domain]
    checks.check(f"{domain}: alerted", wait_for(told, 10))
    # What is learned is on disk a second later at most.
    wait_for(lambda: len(relay.records(ident, "outbound.deferred")) >= 3, 10)
    killed(relay)
    delivered = relay.await_record(ident, "outbound.delivered")
    checks.equal(f"{domain}: held back after the kill, too, until the other way is due", delivered.get("route"), "escrow")
    checks.equal(f"{domain}: no second alert", len(told()), 1)


def run(folder, world):
    relay = Relay(folder / "kills", world, policies_of_them(), {"escrow": VERIFY, "moody": VERIFY, "leased": VERIFY})
    learned = learning(relay)
    relay.start()
    for domain in ("early.test", "late.test", "taken.test"):
        world.hosts[domain].lose_tls()
    killed_before(relay)
    killed_after(relay)
    route_taken(relay)
    if learned:
        learned_is_kept(relay)
    relay.end(["early.test", "late.test", "taken.test", "moody.test", "leased.test"])
    relay.close()
