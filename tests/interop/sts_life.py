"""The life of a policy that is kept: what ends it, and what does not.

Each domain begins with a policy of mode enforce, a good web server and a good mail host, and gets one message, so that the policy is
kept. Then the mail host shows a certificate of its own making, which the policy does not let pass, and the domain loses or changes
what its `then` says. What comes of the next message tells which policy is in force.
"""

import dataclasses
import subprocess
import time

from rig import GATEPOST, wait_for
from sts_cases import ENCRYPTED, ENFORCED, UNTRUSTED, WEBPKI, Case, policy_text
from sts_world import Gatepost, World, outcome, recipient, why

# Longer than the daemon keeps an answer of the name server, or a connection that carries nothing.
KEPT_SECONDS = 10
# From an answer to the disk: half a second and a sync.
WRITTEN_SECONDS = 2
NEW_RECORD = "v=STSv1; id=2;"
SHORT, WEEK = 60, 604800
# Behind the end of a policy with a short max_age, which is in force for five minutes at least; behind the end of all.
LATER, MUCH_LATER = 600, WEEK + 600
CLOCK = """#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    const char *ahead = getenv("CLOCK_AHEAD_SECONDS");
    if (clock == CLOCK_REALTIME && ahead) now->tv_sec += atol(ahead);
    return result;
}
"""


@dataclasses.dataclass(frozen=True)
class Life:
    """`then` is what happens to the domain: words of `change`. `expect` is what comes of the second message, `lasts` of a message after
    the daemon was killed and came back while no web server answers and no record is there.
    """

    name: str
    section: str
    then: str
    expect: str = UNTRUSTED
    lasts: str = UNTRUSTED
    told: str = ""
    max_age: int = WEEK

    def case(self):
        policy = "version: STSv1\nmode: enforce\nmx: mx.{domain}\n" + f"max_age: {self.max_age}\n"
        return Case(f"life-{self.name}", self.section, self.expect, text=policy, known=ENFORCED)


# Whose policy ends while a message waits for it to be met.
TAKEN_BACK = "taken-back"
WEB = [("404", "status 404"), ("redirect", "redirects"), ("too-long", "longer than 65536"), ("drips", ""), ("html", "text/html"),
       ("expired", "certificate is not valid"), ("self-signed", "certificate is not valid"), ("wrong-name", "certificate is not valid"),
       ("closes", "ends early"), ("refused", "cannot connect"), ("forbidden", "no address"), ("nowhere", "cannot be looked up")]
LIVES = [
    *(Life(f"new-id-and-web-{fault}", "3.3, 5.1", f"id web:{fault}", told=told) for fault, told in WEB),
    Life("record-gone", "3.3, 8.3", "no-record"),
    Life("record-servfail", "3.3, 10.2", "servfail"),
    Life("record-unanswered", "3.3, 10.2", "silent"),
    Life("two-records", "3.1, 3.3", "two-records"),
    Life("malformed-record", "3.1, 3.3", "malformed-record"),
    Life("same-id", "3.3", "policy:none"),
    Life("new-id-none", "3.1, 8.3", "id policy:none", ENCRYPTED, ENCRYPTED),
    Life("new-id-testing", "3.1, 5.1", "id policy:testing", ENCRYPTED, ENCRYPTED),
    Life("new-id-other-hosts", "3.1, 5.1", "id policy:other", "deferred validation-failure", "deferred validation-failure"),
    Life("new-id-and-malformed-policy", "3.2, 5.1", "id policy:malformed", told="no `mode`"),
    Life("untouched", "3.3, 5.1", ""),
    Life(TAKEN_BACK, "5.1, 8.3", "", lasts=ENCRYPTED),
    Life("short", "3.2, 5.1", "", max_age=SHORT),
    Life("mended", "5.1", "good-host", WEBPKI, WEBPKI),
]


class Lives:
    def __init__(self, checks, folder):
        self.checks, self.folder, self.lives = checks, folder, LIVES
        self.cases = {life.name: life.case() for life in LIVES}
        self.world = World(folder, list(self.cases.values()), number=2)
        # Who was good before and is not later.
        names = [f"mx.{case.domain}" for case in self.cases.values()]
        self.bad = self.world.certificates.leaf("life-bad", "self", names, "ec")[0]
        self.gatepost = Gatepost(folder / "daemon", self.world)
        self.daemon = self.gatepost.daemon

    def each(self, stage, expected, seconds=30):
        """One message to each, and what comes of it."""
        cases = list(self.cases.values())
        self.checks.equal(f"life, {stage}: every message is accepted", self.gatepost.send(cases, stage), [])
        found = self.gatepost.settled(cases, stage, seconds)
        for life in self.lives:
            case, wanted = self.cases[life.name], expected(life)
            record = found[case.name]
            what = f"{case.name} ({life.section}), {stage}"
            end = outcome(record)
            self.checks.check(f"{what}: {wanted}", end == wanted, f"found {end!r}: {why(record)}")
            heard = self.world.hosts[case.name][0].heard_of(recipient(case, stage))
            self.checks.equal(f"{what}: the host heard of it only then", heard, int(wanted.startswith("delivered")))
        return found

    def run(self):
        self.daemon.start()
        found = self.each("first", lambda life: WEBPKI)
        for life in self.lives:
            record = found[self.cases[life.name].name]
            self.checks.equal(f"life-{life.name}, first: the policy is in force", ((record or {}).get("published") or {}).get("mta_sts"), ENFORCED)
        self.wait_until_nothing_is_kept()
        for life in self.lives:
            self.change(life)
        self.each("second", lambda life: life.expect)
        for life in self.lives:
            log = self.gatepost.log_of(self.cases[life.name].domain)
            if life.told:
                self.checks.check(f"life-{life.name}: the log says \"{life.told}\"", [line for line in log if life.told in line], str(log[-2:]))
        self.take_back()
        self.after_kill()
        self.after_time()
        self.checks.check("life: no panic", "panic" not in self.daemon.log.read_text())
        # Old segments are compressed by now.
        verified = subprocess.run([GATEPOST, "audit", "verify", "--config", self.daemon.config], capture_output=True, check=False)
        self.checks.equal("life: the audit chain holds", (verified.returncode, verified.stderr), (0, b""))
        self.checks.equal("life: stops in order", self.daemon.stop(), 0)

    def wait_until_nothing_is_kept(self):
        """But policies."""
        names = self.world.names
        wait_for(lambda: time.monotonic() - max(names.asked.values()) > KEPT_SECONDS, 3 * KEPT_SECONDS)

    def change(self, life):
        case, names = self.cases[life.name], self.world.names
        if "good-host" not in life.then:
            self.world.hosts[case.name][0].shows(self.bad)
        host = f"mx.{case.domain}".rstrip(".")
        name = f"mta-sts.{case.domain}"
        site = self.world.web.sites[name.rstrip(".")]
        record = f"_mta-sts.{case.domain}"
        for word in life.then.split():
            if word == "id":
                names.set(record, "TXT", NEW_RECORD)
            elif word == "no-record":
                names.set(record, "TXT")
            elif word == "servfail":
                names.broken.add((record, "TXT"))
            elif word == "silent":
                names.silent.add((record, "TXT"))
            elif word == "two-records":
                names.set(record, "TXT", *case.txt, NEW_RECORD)
            elif word == "malformed-record":
                names.set(record, "TXT", "v=STSv1; id=no-such-id;")
            elif word.startswith("policy:"):
                site.text = {
                    "none": policy_text("none", [], WEEK), "testing": policy_text("testing", [host], WEEK),
                    "other": policy_text("enforce", ["other.test"], WEEK), "malformed": f"version: STSv1\nmx: {host}\nmax_age: {WEEK}\n",
                }[word.removeprefix("policy:")]
            elif word.startswith("web:"):
                # Whoever took this one would take the bad host.
                changed = dataclasses.replace(case, web=word.removeprefix("web:"), text=policy_text("none", [], WEEK))
                self.world.publish_site(changed)

    def take_back(self):
        """A message that the policy held back goes out when the domain has said that there is none any more."""
        case = self.cases[TAKEN_BACK]
        self.wait_until_nothing_is_kept()
        self.change(Life(TAKEN_BACK, "", "id policy:none"))
        self.daemon.ask("queue-retry", to_domain=case.domain.rstrip("."))
        to = recipient(case, "second")
        found = wait_for(lambda: self.daemon.records("outbound.delivered", to=[to]), 15)
        self.checks.equal(f"{case.name} (5.1): what waited goes out by the next attempt", [outcome(record) for record in found or []], [ENCRYPTED])
        # The kill that follows must find the policy on disk.
        time.sleep(WRITTEN_SECONDS)

    def take_everything_away(self):
        """No web server answers, and the name server knows no record of any domain; of one it says nothing at all."""
        self.world.web.close()
        for life in self.lives:
            case = self.cases[life.name]
            self.world.names.set(f"_mta-sts.{case.domain}", "TXT")
        self.world.names.broken.add((f"_mta-sts.{self.cases['untouched'].domain}", "TXT"))

    def after_kill(self):
        self.daemon.kill()
        self.take_everything_away()
        self.daemon.start()
        self.each("after-kill-9", lambda life: life.lasts)

    def after_time(self):
        """The clock goes on: what has a short max_age is over, and nothing else."""
        library = self.folder / "clock.so"
        (self.folder / "clock.c").write_text(CLOCK)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(self.folder / "clock.c"), "-ldl"], check=True)
        self.daemon.environment["LD_PRELOAD"] = str(library)
        for stage, seconds, over in [("after-ten-minutes", LATER, (SHORT,)), ("after-a-week", MUCH_LATER, (SHORT, WEEK))]:
            self.daemon.stop()
            self.daemon.environment["CLOCK_AHEAD_SECONDS"] = str(seconds)
            self.daemon.start()
            self.each(stage, lambda life: ENCRYPTED if life.max_age in over else life.lasts)

    def close(self):
        self.gatepost.close()
        self.world.close()


def run(checks, folder):
    lives = Lives(checks, folder)
    try:
        lives.run()
    except (SystemExit, Exception) as error:
        checks.check("life: runs to its end", False, repr(error))
    finally:
        lives.close()
