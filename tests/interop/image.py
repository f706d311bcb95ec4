#!/usr/bin/env python3
"""The Dockerfile's steps taken without a container engine: what the final stage makes runs in a root of its own that is read-only,
as its account, with the ports, volumes and signals that it names. It takes a message, is healthy, and can write to its volumes alone.

The program is $GATEPOST instead of the builder's, and the base is the Debian that this runs on. Needs root, unshare, setpriv, ip, cargo.
"""

import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess

import own_root
import rig
from own_root import run
from rig import GATEPOST, Client, Sink, message, wait_for

SECONDS = 60
UNPRIVILEGED = pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
CONFIG = "/etc/gatepost"

checks = rig.Checks()
own_root.enter(checks)
folder = rig.scratch("image")
own = own_root.OwnRoot(folder)
root = own.path


def stages():
    """The instructions of each stage, in order."""
    text = (rig.REPOSITORY / "Dockerfile").read_text()
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    parts = []
    for line in text.replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            parts.append([])
        if word:
            parts[-1].append((word, rest.strip()))
    return parts


class Image:
    """The final stage, laid over the file system of this machine."""

    def __init__(self, steps):
        self.steps = steps
        self.user = self.one("USER")
        self.entry, self.command = json.loads(self.one("ENTRYPOINT")), json.loads(self.one("CMD"))
        self.volumes = json.loads(self.one("VOLUME"))
        (folder / "volumes").mkdir()

    def one(self, word):
        return [rest for instruction, rest in self.steps if instruction == word][-1]

    def build(self):
        for word, rest in self.steps:
            if word == "RUN":
                # Packages are those of this machine.
                steps = [step.strip() for step in rest.split("&&")]
                kept = [step for step in steps if not step.startswith(("apt-get", "rm -rf /var/lib/apt"))]
                checks.check("the packages are installed without what they recommend, and their lists go", len(steps) - len(kept) == 3
                             and "--no-install-recommends" in rest)
                run("chroot", root, "sh", "-ec", "\n".join(kept))
            elif word == "COPY":
                *sources, target = [part for part in rest.split() if not part.startswith("--")]
                for source in sources:
                    place = root / target.lstrip("/")
                    (place if target.endswith("/") else place.parent).mkdir(parents=True, exist_ok=True)
                    shutil.copy(GATEPOST if rest.startswith("--from=builder") else rig.REPOSITORY / source, place)

    def close(self):
        """Read-only but for the volumes, which begin as the image has them."""
        for number, volume in enumerate(self.volumes):
            inside, outside = root / volume.lstrip("/"), folder / "volumes" / str(number)
            shutil.copytree(inside, outside)
            run("chown", "-R", "--reference", inside, outside)
            run("chmod", "--reference", inside, outside)
            run("mount", "--bind", outside, inside)
        (folder / "config").mkdir()
        run("mount", "--bind", folder / "config", root / CONFIG.lstrip("/"))

    def seal(self):
        run("mount", "-o", "remount,bind,ro", root / CONFIG.lstrip("/"))
        own.seal()

    def words(self, *command, user=None):
        """A command as the engine starts it: no rights, and none to be had."""
        user = user or self.user
        return ["chroot", root, "setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--no-new-privs", "--inh-caps=-all",
                "--bounding-set=-all", *command]

    def ask(self, *command, user=None):
        return subprocess.run(self.words(*command, user=user), capture_output=True, text=True, check=False, timeout=SECONDS,
                              stdin=subprocess.DEVNULL)


def context(steps):
    """What the builder copies is what cargo needs, and the lock file is obeyed."""
    home = folder / "src"
    home.mkdir()
    for word, rest in steps:
        if word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                place = home / target / (source if target.endswith("/") else "")
                copy = shutil.copytree if (rig.REPOSITORY / source).is_dir() else shutil.copy
                copy(rig.REPOSITORY / source, place)
    # Cargo looks at all of it before it asks for the compiler, which is where this ends.
    build = next(rest for word, rest in steps if word == "RUN").partition("cargo ")[2].partition("&&")[0]
    done = subprocess.run(["cargo", *build.split(), "--offline"], cwd=home, env={**os.environ, "RUSTC": "/bin/false"},
                          capture_output=True, text=True, check=False)
    checks.matches("what the builder copies is enough for cargo", done.stderr, r"^error: process didn't exit successfully: `/bin/false")
    missing = set()
    for path in home.glob("src/**/*.rs"):
        if "tests" in path.stem or "tests" in path.parts:
            continue
        for name in re.findall(r'include_(?:str|bytes)!\(\s*"([^"]+)"', path.read_text()):
            if not (path.parent / name).exists():
                missing.add(name)
    checks.equal("files that the sources include are copied too", missing, set())
    build = " ".join(rest for word, rest in steps if word == "RUN")
    checks.check("the build obeys the lock file and keeps its caches", "--locked" in build and build.count("type=cache") == 2, build)
    ignored = (rig.REPOSITORY / ".dockerignore").read_text().split()
    sent = {word.lstrip("!") for word in ignored if word.startswith("!")}
    copied = {source for word, rest in steps + final if word == "COPY" and not rest.startswith("--") for source in rest.split()[:-1]}
    checks.equal("what is copied is sent to the builder, and nothing else", ("*" in ignored, sent), (True, copied))


def serve(image):
    """Starts what the image starts."""
    log = (folder / "gatepost.log").open("ab")
    process = subprocess.Popen(image.words(*image.entry, *image.command), stdout=subprocess.DEVNULL, stderr=log,
                               env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"})
    return process


def health(image):
    _, _, command = image.one("HEALTHCHECK").partition("CMD ")
    return image.ask(*json.loads(command))


# As engines set it for the networks of their containers.
UNPRIVILEGED.write_text("0")
builder, final = stages()
context(builder)
image = Image(final)
image.build()
image.close()
sink = Sink()
init = ["chroot", root, *image.entry, "init", CONFIG, "--hostname", "mx1.example.org", "--mailboxes", f"127.0.0.1:{sink.port}"]
done = subprocess.run(init, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
checks.check("init, as root, into the folder that is mounted", done.returncode == 0, done.stderr[-600:])
image.seal()
checks.equal("check, as the account", image.ask(*image.entry, "check").returncode, 0)
checks.check("the account is nobody's root", image.ask("id", "-u").stdout.strip() not in ("", "0"), image.user)
checks.equal("before it runs it is not healthy", health(image).returncode, 3)
process = serve(image)
healthy = wait_for(lambda: health(image).returncode == 0 or process.poll() is not None, SECONDS, 0.2) and process.poll() is None
if not checks.check("it runs and is healthy", healthy, (folder / "gatepost.log").read_text(errors="replace")[-1500:]):
    checks.finish()
ports = image.one("EXPOSE").split()
client = Client(int(ports[0]))
client.say("EHLO client.test")
checks.matches("TLS", client.starttls(), "^220")
client.say("EHLO client.test")
answer = client.mail("a@sender.example", ["postmaster@example.org"], message(X_Mark="in-a-container"))
client.close()
checks.matches("it takes a message", answer, "^250")
checks.check("and passes it on", wait_for(lambda: sink.count() == 1, SECONDS))
checks.matches("status, by `exec`", image.ask(*image.entry, "status").stdout, "mx1.example.org: gatepost")

find = "find / -xdev -writable ! -type l ! -path '/proc/*' 2>/dev/null; for at in " + " ".join(map(shlex.quote, image.volumes))
find += "; do find $at -xdev -writable -type d; done"
writable = set(image.ask("sh", "-c", find).stdout.split())
strange = {path for path in writable if not path.startswith(tuple(image.volumes))}
checks.equal("what its account can write to outside of its volumes", strange, set())
checks.check("and it can write to each of them", set(image.volumes) <= writable, str(writable))
for path in ("/x", "/etc/x", f"{CONFIG}/x", "/tmp/x", "/run/x", "/usr/local/bin/x"):
    tried = subprocess.run(["chroot", root, "touch", path], capture_output=True, text=True, check=False)
    checks.matches(f"even root cannot make {path}", tried.stderr, "Read-only file system")
status = (root / f"proc/{process.pid}/status").read_text()
checks.matches("the daemon has no rights", status, r"\nUid:\t990\t990\t990\t990\n.*\nCapPrm:\t0+\n.*\nCapBnd:\t0+\n.*\nNoNewPrivs:\t1\n")

process.send_signal(signal.Signals[image.one("STOPSIGNAL")])
checks.equal("it ends as it is told to", process.wait(SECONDS), 0)
process = serve(image)
checks.check("and starts again on its volumes", wait_for(lambda: health(image).returncode == 0, SECONDS, 0.2))
process.terminate()
checks.equal("and ends", process.wait(SECONDS), 0)
checks.finish()
