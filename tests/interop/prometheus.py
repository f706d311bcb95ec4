#!/usr/bin/env python3
"""What operators of Prometheus and Grafana get, tried with a real Prometheus that scrapes the demo.

Each query of each panel must be answered, and with data; the rules load, pass their tests, and none of the alerts fires in the
demo but for what the demo is made to show. Commands that alerts and the page on metrics name must be such that there are.
"""

import math
import re
import shlex
import shutil
import ssl
import time

import dashboard
import load_rig
import prometheus_rig
import rig
from prometheus_rig import promtool
from rig import wait_for

ANSWER_SECONDS = 90
WINDOW_SECONDS = 60
STEP_SECONDS = 5
# Expected in the demo: it has a policy that only reports, and a message that waits for TLS.
FIRING = {"GatepostWouldRefuse"}
PENDING = {"GatepostQueueWaitsForTls", "GatepostWouldRefuse"}
# A scrape that takes longer than the short interval of this test is such a moment.
MOMENTARY = {"GatepostDown"}
# Rightly 0 in the demo: nothing of that kind happens there, or it may be over when it is looked at.
NOTHING = re.compile("Share of plaintext B|Connections A|Enforcement|Sessions by|Learned|Our own path|Exceptions|Audit write"
                     "|Destinations behind|TLS reports")
# Rightly empty in the demo, with series that would fill them: nothing is reloaded there and nothing suspended.
EMPTY = {
    "Configuration loaded": ('gatepost_config_last_reload_success_timestamp_seconds{instance="a"}', "1000x5 2000x5", "6m"),
    "Enforcement suspended": ('gatepost_enforcement_suspended{instance="a"}', "0x5 1x5", "7m"),
}
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
TRAFFIC = [
    ("anna@shop.example", None, "mx", "250"),
    ("anna@shop.example", V12, "mx", "250"),
    ("anna@shop.example", V13, "mx", "250"),
    ("news@press.example", V12, "mx", "250"),
    ("teller@bank.example", V13, "mx", "250"),
    ("teller@bank.example", V12, "mx", "554"),
    ("ward@clinic.example", None, "mx", "550"),
    ("otto@lab.example", V12, "mx", "450"),
    ("victim@elsewhere.example", V13, "mx", "550"),
    ("agent@secret.example", V13, "smarthost", "250"),
    ("info@gone.example", V13, "smarthost", "250"),
]
# The demo's word for our own application.
OWN = "127.0.0.2"

checks, folder = rig.Checks(), rig.scratch("prometheus")
(folder / "relay").mkdir()
board = dashboard.Dashboard()


def tools():
    """The files alone."""
    files = {"config": "prometheus.yml", "rules": "alerts.yml"}
    for what, file in files.items():
        code, said = promtool("check", what, file)
        checks.check(f"promtool check {what}", code == 0, said[-1500:])
    code, said = promtool("test", "rules", "tests.yml", "tests_of_days.yml")
    checks.check("promtool test rules", code == 0, said[-3000:])


def untested(names):
    """Alerts that no case lets fire, or no case holds still."""
    text = "".join((prometheus_rig.CONFIG / file).read_text() for file in ("tests.yml", "tests_of_days.yml"))
    asked = re.findall(r"alertname: (\w+)\n( +exp_alerts:)?", text)
    fires, quiet = {name for name, expected in asked if expected}, {name for name, expected in asked if not expected}
    return {name for name in names if name not in fires or name not in quiet}


def made_up(name, query):
    """Whether the query finds something in series that are made for it."""
    series, values, at = EMPTY[name]
    text = (f"tests:\n  - interval: 1m\n    input_series:\n      - series: '{series}'\n        values: '{values}'\n"
            f"    promql_expr_test:\n      - expr: 'count({query})'\n        eval_time: {at}\n"
            "        exp_samples:\n          - labels: '{}'\n            value: 1\n")
    # A window of a minute holds one sample of those.
    (folder / "made_up.yml").write_text(text.replace("[1m]", "[5m]"))
    code, said = promtool("test", "rules", folder / "made_up.yml")
    return checks.check(f"with a series that is made up: {name}", code == 0, said)


def send_traffic():
    for recipient, tls, listener, expected in TRAFFIC:
        answer = demo.mail(recipient, tls, listener, OWN if listener == "smarthost" else "127.0.0.1")
        checks.check(f"{recipient} over {tls.name if tls else 'plaintext'}: {expected}", answer.startswith(expected), answer)
    demo.broken_handshake()


def answered(name, target, query):
    """Whether the query is answered as its panel asks it, with a number, and with one above 0 where something happens."""
    now = time.time()
    if target.get("instant"):
        answer = server.ask("query", query=query, time=now)
    else:
        answer = server.ask("query_range", query=query, start=now - WINDOW_SECONDS, end=now, step=STEP_SECONDS)
    if isinstance(answer, str):
        return answer
    samples = [value for one in answer["result"] for _, value in one.get("values") or [one["value"]]]
    numbers = [float(value) for value in samples if math.isfinite(float(value))]
    if numbers and (NOTHING.search(name) or max(numbers) > 0):
        return True
    return f"{len(answer['result'])} series, {len(samples)} samples, at most {max(numbers, default=None)}"


def panels():
    for name, target, query in board.queries():
        found = None
        def look():
            nonlocal found
            found = answered(name, target, query)
            return found is True
        checks.check(f"answered: {name}", wait_for(look, ANSWER_SECONDS, 0.5), f"{found}: {query}")
    for name, query in board.annotations():
        checks.equal(f"valid, and rightly empty: {name}", server.values(query), [])
        made_up(name, query)
    for name, selector, label in board.label_queries():
        values = server.ask(f"label/{label}/values", **{"match[]": selector})
        checks.check(f"choices of ${name}", isinstance(values, list) and len(values) > 0, str(values))


def rules():
    """All are loaded and can be evaluated; what fires does for its reason."""
    def loaded():
        return [rule for group in server.ask("rules")["groups"] for rule in group["rules"]]
    wait_for(lambda: all(rule["health"] != "unknown" for rule in loaded()), ANSWER_SECONDS, 0.5)
    wrong = [(rule["name"], rule["health"], rule.get("lastError")) for rule in loaded() if rule["health"] != "ok"]
    checks.equal("each rule is evaluated", wrong, [])
    names = {rule["name"] for rule in loaded() if rule["type"] == "alerting"}
    checks.check("there are alerts", len(names) > 20, str(names))
    checks.equal("alerts without a case that fires or one that does not", untested(names), set())
    alerts = lambda state: {one["labels"]["alertname"] for one in server.ask("alerts")["alerts"] if one["state"] == state}
    wait_for(lambda: "GatepostQueueWaitsForTls" in alerts("pending"), ANSWER_SECONDS, 0.5)
    checks.check("the message that waits for TLS is seen", "GatepostQueueWaitsForTls" in alerts("pending"), str(alerts("pending")))
    checks.equal("alerts that fire for no reason", alerts("firing") - FIRING, set())
    checks.equal("alerts that are about to for no reason", alerts("pending") - PENDING - MOMENTARY, set())
    return [text for rule in loaded() if rule["type"] == "alerting" for text in rule["annotations"].values()]


def restarted():
    """What waits for TLS is known after a restart, before it is tried again, and is no more when it went."""
    hop = rig.Sink()
    route = 'tls = "encrypt"\n'
    daemon = load_rig.relay(folder / "relay", {"strict": load_rig.domain("strict.test", hop.port, route=route)})
    rig.on_exit(hop.close, daemon.close)
    daemon.start()
    waiting = lambda: daemon.metric("gatepost_queue_waiting_for_tls", reason="starttls-not-supported")
    client = rig.Client(daemon.port)
    client.say("EHLO client.test")
    client.mail("a@sender.example", ["b@strict.test"], rig.message())
    client.close()
    checks.check("a message waits for TLS", wait_for(lambda: waiting() == 1, ANSWER_SECONDS))
    daemon.stop()
    daemon.start()
    checks.check("and after a restart it still does", wait_for(lambda: waiting() == 1, ANSWER_SECONDS))
    checks.equal("though it was not tried again", daemon.metric("gatepost_smtp_tls_failures_total"), 0)
    checks.equal("mail is accepted", daemon.metric("gatepost_ready"), 1)
    checks.equal("the space that must be free is told", daemon.metric("gatepost_spool_min_free_bytes"), 50_000_000)
    code, _, said = load_rig.command("queue", "bounce", "--to-domain", "strict.test", "--why", "over", config=daemon.config)
    checks.check("the message goes back", code == 0, said)
    checks.check("and waits no more", wait_for(lambda: waiting() == 0, ANSWER_SECONDS))


def commands(texts):
    """With --help behind it a command is read and not done."""
    named = {found for text in texts for found in re.findall(r"`(gatepost [^`]+)`", text)}
    checks.check("commands are named", len(named) > 15, str(named))
    for line in sorted(named):
        words = shlex.split(re.sub(r"\{\{ \$labels\.reason \}\}", "tlsa-invalid", line))
        code, said = demo.command(*words[1:], "--help")
        checks.check(f"there is such a command: {' '.join(words)}", code == 0 and "Usage:" in said, f"exit {code}: {said[:400]}")
    code, _ = demo.command("audit", "tail", "--no-such-option", "--help")
    checks.equal("and that would be seen", code, 2)


dashboard.check(checks, board)
tools()
demo = prometheus_rig.Demo()
server = prometheus_rig.Prometheus(folder, demo.metrics)
rig.on_exit(demo.close, server.close, lambda: shutil.rmtree(folder, ignore_errors=True))
code, complaints = promtool("check", "metrics", text=demo.exposition())
checks.check("promtool check metrics has no complaint", code == 0 and not complaints.strip(), complaints)
seen = wait_for(lambda: server.values('count_over_time(up{job="gatepost"}[1m]) >= 3'), ANSWER_SECONDS, 0.2)
checks.check("the target is scraped", seen and server.values('up{job="gatepost"}') == [1.0], str(seen))
send_traffic()
panels()
texts = rules()
commands([*texts, (rig.REPOSITORY / "docs/METRICS.md").read_text()])
restarted()
checks.check("Prometheus complains of nothing", not re.search("level=error", server.log.read_text()),
             server.log.read_text()[-1500:])
checks.finish()
