#!/usr/bin/env python3
"""The documentation keeps its word: every command and every configuration of its pages is run, page by page from top to bottom, each in
a root of its own, and what a page shows as printed is compared with what is printed.

documents.py [PAGE...]      default: the README and all of docs
Needs root, unshare, openssl, swaks, dig, curl, strip. KEEP=1 keeps the roots, SHOW=1 shows what is printed.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import threading

import documents_pages
import own_root
import rig
from documents_world import SECONDS_MAX, World, open_network

ROOT = rig.REPOSITORY
# Pages of which nothing is run: what they show is compared with the code elsewhere.
NOT_STORIES = {"docs/METRICS.md"}
MARK = "--documents-of-gatepost--"
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8", "COLUMNS": "80"}

checks = rig.Checks()


class Shell:
    """One bash in the page's root: the lines of all of its blocks share directory and variables."""

    def __init__(self, root):
        self.process = subprocess.Popen(["chroot", str(root), "/bin/bash", "--norc"], env=ENVIRONMENT, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        self.run("cd /root")

    def run(self, line):
        """What it prints, and its exit code; None if it does not end."""
        late = threading.Timer(SECONDS_MAX, self.process.kill)
        late.start()
        try:
            self.process.stdin.write(f"{{ {line.rstrip()}\n}} </dev/null\nprintf '%s %s\\n' '{MARK}' $?\n")
            self.process.stdin.flush()
            printed = []
            for answer in self.process.stdout:
                before, mark, code = answer.partition(MARK)
                printed.append(before)
                if mark:
                    return "".join(printed), int(code)
            return "".join(printed), None
        finally:
            late.cancel()

    def close(self):
        self.process.kill()
        self.process.wait(SECONDS_MAX)


def write(world, step):
    path = world.own.at("etc/gatepost", step.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a" if step.adds else "w") as file:
        file.write(step.text)


def run(name, step, shell):
    whole = ""
    for line, code in step.lines:
        printed, ended = shell.run(line)
        whole += printed
        if not checks.check(f"{name}:{step.line}: {line.strip().splitlines()[0][:100]}", ended == code,
                            f"exit code {ended}, expected {code}: {printed[-1500:]}") and ended is None:
            return False
    if os.environ.get("SHOW"):
        print(whole)
    if step.printed is not None:
        shown = "\n".join(step.printed)
        checks.check(f"{name}:{step.line}: prints what the page shows", documents_pages.fits(whole, step.printed),
                     f"printed:\n{whole}\n--- expected:\n{shown}\n---")
    return True


def pages_before(path, page):
    """What has to be run first: the page that this one goes on from, and so on."""
    if page.before is None:
        return []
    before = path.parent / f"{page.before}.md"
    first = documents_pages.read(before)
    return [*pages_before(before, first), (before, first)]


def story(path, hosts):
    name, page = str(path.relative_to(ROOT)), documents_pages.read(path)
    for fault in page.faults:
        checks.check(f"{name}: {fault}", False)
    for line, reason in page.left_out:
        print(f"      {name}:{line} is not run: {reason}")
    if not page.steps:
        return
    folder = rig.scratch("documents")
    world = World(folder, hosts)
    shell = Shell(world.own.path)
    try:
        tell(world, shell, [*pages_before(path, page), (path, page)])
    finally:
        shell.close()
        world.close()
        shutil.rmtree(folder, ignore_errors=True)


def tell(world, shell, pages):
    has_configuration = False
    for path, page in pages:
        for step in page.steps:
            if isinstance(step, documents_pages.File):
                has_configuration = True
                write(world, step)
            elif not run(str(path.relative_to(ROOT)), step, shell):
                return
    if has_configuration and world.own.at("etc/gatepost/gatepost.toml").exists():
        printed, code = shell.run("gatepost check --config /etc/gatepost/gatepost.toml")
        checks.check(f"{pages[-1][0].relative_to(ROOT)}: its configuration has no error at the end", code == 0, printed)


def main():
    own_root.enter(checks)
    asked = [pathlib.Path(page).resolve() for page in sys.argv[1:]]
    every = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "config").rglob("*.md"))]
    folder = rig.scratch("documents-world")
    rig.on_exit(lambda: shutil.rmtree(folder, ignore_errors=True))
    hosts = open_network(folder)
    for path in asked or [path for path in every if str(path.relative_to(ROOT)) not in NOT_STORIES]:
        story(path, hosts)
    checks.finish()


main()
