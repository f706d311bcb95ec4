"""The file system of this machine under a layer of our own, as a root to change into: what is done there leaves nothing behind.

For root, in namespaces of its own.
"""

import os
import shutil
import subprocess
import sys

import rig

INSIDE = "GATEPOST_INTEROP_INSIDE"
# What this machine may have of Gatepost.
FOLDERS = ("etc/gatepost", "var/lib/gatepost", "var/log/gatepost")


def run(*words, **options):
    return subprocess.run([str(word) for word in words], check=True, **options)


def enter(checks):
    """Goes on in mounts, ports and processes of its own, all of which end with this."""
    if os.geteuid() != 0:
        checks.check("root", "CI" not in os.environ, "cannot change roots")
        checks.finish()
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        program = [sys.executable, os.path.abspath(sys.argv[0]), *sys.argv[1:]]
        os.execvp("unshare", ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", *program])
    run("ip", "link", "set", "lo", "up")


class OwnRoot:
    def __init__(self, folder):
        self.folder, self.path = folder, folder / "root"
        rig.on_exit(self.clean)
        for name in ("upper", "work", "root"):
            (folder / name).mkdir()
        layers = f"lowerdir=/,upperdir={folder}/upper,workdir={folder}/work"
        run("mount", "-t", "overlay", "overlay", "-o", layers, self.path)
        run("mount", "-t", "proc", "proc", self.at("proc"))
        self.mounted = [self.at(path) for path in ("dev", "tmp", "run", "var/tmp")]
        for path in self.mounted:
            run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", path)
        for name in ("null", "zero", "urandom"):
            self.at("dev", name).touch()
            run("mount", "--bind", f"/dev/{name}", self.at("dev", name))
        for path in FOLDERS:
            shutil.rmtree(self.at(path), ignore_errors=True)
        for command in ("userdel", "groupdel"):
            subprocess.run(["chroot", self.path, command, "gatepost"], check=False, stderr=subprocess.DEVNULL)

    def at(self, *parts):
        return self.path.joinpath(*(str(part).lstrip("/") for part in parts))

    def ask(self, *words, **options):
        """Runs a command as root in there."""
        return subprocess.run(["chroot", self.path, *map(str, words)], capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL, **options)

    def seal(self):
        for path in [*self.mounted, self.path]:
            run("mount", "-o", "remount,ro", path)

    def clean(self):
        """First the mounts: what is laid over this machine must not be walked through."""
        if self.path.is_mount():
            run("umount", "--recursive", self.path)
        if not os.environ.get("KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)
