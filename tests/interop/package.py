#!/usr/bin/env python3
"""The Debian package as its metadata in Cargo.toml has it, installed by dpkg into a root of its own: the configuration that comes with
it passes `gatepost check`, the service runs with it as the account, and a removal leaves spool and audit log alone.

It is built by cargo-deb where that is there ($CARGO_DEB, or on the path), else by dpkg-deb from the same metadata, with $GATEPOST as
the program. Needs root, unshare, setpriv, dpkg, /usr/bin/python3 of 3.11 or later.
"""

import glob
import os
import pathlib
import re
import shutil
import subprocess
import tomllib

import own_root
import rig
from rig import GATEPOST, Client, wait_for

SECONDS = 60
CARGO_DEB = os.environ.get("CARGO_DEB") or shutil.which("cargo-deb")
SCRIPTS = ("postinst", "prerm", "postrm")

checks = rig.Checks()
own_root.enter(checks)
folder = rig.scratch("package")
own = own_root.OwnRoot(folder)
source = folder / "source"
manifest = tomllib.loads((rig.REPOSITORY / "Cargo.toml").read_text())
package, deb = manifest["package"], manifest["package"]["metadata"]["deb"]


def lay_out():
    """The tree as it is after a build, with the program that is tested."""
    (source / "target/release").mkdir(parents=True)
    for path in rig.REPOSITORY.iterdir():
        if path.name not in ("target", ".git"):
            (source / path.name).symlink_to(path)
    os.symlink(GATEPOST, source / "target/release/gatepost")
    done = subprocess.run([rig.REPOSITORY / "config/debian/pages", GATEPOST, source / "target/package"], check=False)
    checks.equal("pages and completions are written", done.returncode, 0)


def placed():
    """Where each file goes: source, path, mode."""
    files = []
    for pattern, target, mode in deb["assets"]:
        found = sorted(glob.glob(str(source / pattern)))
        checks.check(f"there is {pattern}", found)
        files += [(path, target + os.path.basename(path) if target.endswith("/") else target, int(mode, 8)) for path in found]
    return files


def build(files):
    if CARGO_DEB:
        environment = {**os.environ, "CARGO_TARGET_DIR": str(source / "target")}
        words = [CARGO_DEB, "--no-build", "--fast", "--manifest-path", source / "Cargo.toml", "--output", folder / "gatepost.deb"]
        done = subprocess.run(list(map(str, words)), cwd=source, env=environment, capture_output=True, text=True, check=False)
        checks.check("cargo-deb builds it", done.returncode == 0, done.stderr[-1500:])
        return folder / "gatepost.deb"
    stage = folder / "stage"
    for path, target, mode in files:
        place = stage / target
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
        place.chmod(mode)
    (stage / "DEBIAN").mkdir()
    depends = ", ".join(word for word in deb["depends"].split(", ") if not word.startswith("$"))
    architecture = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
    (stage / "DEBIAN/control").write_text(
        f"Package: gatepost\nVersion: {package['version']}\nArchitecture: {architecture}\nMaintainer: {deb['maintainer']}\n"
        f"Section: {deb['section']}\nPriority: optional\nDepends: {depends}\nDescription: {package['description']}\n")
    (stage / "DEBIAN/conffiles").write_text("".join(f"{path}\n" for path in deb["conf-files"]))
    for name in SCRIPTS:
        shutil.copy(source / deb["maintainer-scripts"] / name, stage / "DEBIAN" / name)
    # The file system of a folder that is made by root, whatever the umask is.
    for path in [stage, *stage.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
    own_root.run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", stage, folder / "gatepost.deb", stdout=subprocess.DEVNULL)
    return folder / "gatepost.deb"


def installed(what):
    done = own.ask("dpkg", "--install", "--force-depends", "/run/gatepost.deb")
    checks.check(what, done.returncode == 0, (done.stdout + done.stderr)[-1500:])
    return done.stdout


def owner_and_mode(path):
    return own.ask("stat", "-c", "%U:%G %a", path).stdout.strip()


def service():
    """The service as its unit starts it: the account, the folders, the right to low ports."""
    unit = own.at("/usr/lib/systemd/system/gatepost.service").read_text()
    command = re.search(r"^ExecStart=(.*)$", unit, re.M)[1].split()
    user = re.search(r"^User=(.*)$", unit, re.M)[1]
    runtime = own.at("run", re.search(r"^RuntimeDirectory=(.*)$", unit, re.M)[1])
    runtime.mkdir()
    own.ask("chown", f"{user}:{user}", "/run/" + runtime.name)
    rights = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--no-new-privs", "--inh-caps=-all,+net_bind_service",
              "--ambient-caps=-all,+net_bind_service", "--bounding-set=-all,+net_bind_service"]
    log = (folder / "gatepost.log").open("ab")
    process = subprocess.Popen(["chroot", own.path, *rights, *command], stdout=subprocess.DEVNULL, stderr=log)
    healthy = lambda: own.ask("gatepost", "health").returncode == 0 or process.poll() is not None
    ran = wait_for(healthy, SECONDS, 0.2) and process.poll() is None
    if checks.check("the service runs with what was installed", ran, (folder / "gatepost.log").read_text(errors="replace")[-1500:]):
        client = Client(25)
        checks.matches("on port 25", client.greeting, r"^220 mx1\.example\.org")
        client.close()
        process.terminate()
        checks.equal("and ends", process.wait(SECONDS), 0)


lay_out()
files = placed()
targets = {"/" + target for _, target, _ in files}
checks.equal("what lies in /etc belongs to the operator", {path for path in targets if path.startswith("/etc/")}, set(deb["conf-files"]))
for name in SCRIPTS:
    done = subprocess.run(["sh", "-n", source / deb["maintainer-scripts"] / name], capture_output=True, check=False)
    checks.equal(f"{name} is a shell script", (done.returncode, done.stderr), (0, b""))
shutil.copy(build(files), own.at("/run/gatepost.deb"))
checks.matches("the first installation says what to do next", installed("dpkg installs it"), "gatepost check && systemctl enable")
done = own.ask("gatepost", "check")
checks.check("gatepost check takes the configuration that came along", done.returncode == 0, done.stdout + done.stderr)
checks.check("and so does the account", own.ask("setpriv", "--reuid", "gatepost", "--regid", "gatepost", "--clear-groups", "gatepost",
                                                 "check").returncode == 0)
checks.equal("the key of its certificate is for root and the daemon", owner_and_mode("/etc/gatepost/tls/server.key"), "root:gatepost 640")
checks.equal("the spool is the daemon's", owner_and_mode("/var/lib/gatepost"), "gatepost:gatepost 750")
pages = own.at("/usr/share/man/man1")
checks.check("there is a page for each command", len(list(pages.glob("gatepost-queue-*.1*"))) > 5, str(list(pages.glob("gatepost*"))))
service()
key, main = own.at("/etc/gatepost/tls/server.key").read_bytes(), own.at("/etc/gatepost/gatepost.toml")
main.write_text(main.read_text().replace("[spool]", "# ours\n[spool]", 1))
checks.check("an installation over it says nothing", "gatepost check" not in installed("dpkg installs it again"))
checks.check("and keeps the operator's files", own.at("/etc/gatepost/tls/server.key").read_bytes() == key and "# ours" in main.read_text())
own.at("/var/lib/gatepost/mark").touch()
done = own.ask("dpkg", "--purge", "gatepost")
checks.check("dpkg purges it", done.returncode == 0, done.stdout + done.stderr)
left = [path for path in own_root.FOLDERS if own.at(path).exists()]
checks.equal("spool and log are kept, the configuration is not", left, ["var/lib/gatepost", "var/log/gatepost"])
checks.matches("which is said", done.stdout, "kept /var/lib/gatepost")
checks.check("the program is gone", not own.at("/usr/bin/gatepost").exists())
checks.finish()
