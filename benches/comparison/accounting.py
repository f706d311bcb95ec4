"""CPU time and memory of all processes of a relay, those that have ended included."""

import os
import pathlib
import signal
import time

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
V1 = pathlib.Path("/sys/fs/cgroup/cpuacct")
V2 = [pathlib.Path("/sys/fs/cgroup"), pathlib.Path("/sys/fs/cgroup/unified")]


class Account:
    """A control group where one can be made; else the tree of processes below `root`, which the relay names."""

    def __init__(self, name):
        self.root = None
        self.folder, self.version = _control_group(f"gatepost-compare-{os.getpid()}-{name}")

    def command(self, words):
        """The command, so that it and all that it starts are counted."""
        if self.folder is None:
            return words
        return ["sh", "-c", f'echo $$ > {self.folder}/cgroup.procs; exec "$@"', "sh", *words]

    def processes(self):
        if self.folder is not None:
            return [int(word) for word in (self.folder / "cgroup.procs").read_text().split()]
        return _tree(self.root() if self.root else None)

    def cpu_seconds(self):
        if self.version == 1:
            return int((self.folder / "cpuacct.usage").read_text()) / 1e9
        if self.version == 2:
            fields = (line.split() for line in (self.folder / "cpu.stat").read_text().splitlines())
            return int(dict(fields)["usage_usec"]) / 1e6
        # With the time of children that have ended, as far as their parents live.
        ticks = (sum(int(field) for field in _stat(pid)[11:15]) for pid in self.processes() if _stat(pid))
        return sum(ticks) / TICKS_PER_SECOND

    def memory(self):
        """Proportional set size: what is shared by many is counted once."""
        pss_kb, count = 0, 0
        for pid in self.processes():
            try:
                lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            except OSError:
                continue
            pss_kb += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
            count += 1
        return {"pss_mb": round(pss_kb / 1024, 1), "processes": count}

    def end(self):
        """Ends what is left, and only that."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.processes():
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
            until = time.monotonic() + 5
            while self.processes() and time.monotonic() < until:
                time.sleep(0.05)
        if self.folder is not None:
            try:
                self.folder.rmdir()
            except OSError:
                pass


class Machine:
    """What all processes of the machine used between two moments."""

    def __init__(self):
        self.moment, self.busy, self.stolen = time.monotonic(), *_busy_and_stolen()

    def since(self):
        busy, stolen = _busy_and_stolen()
        return time.monotonic() - self.moment, busy - self.busy, stolen - self.stolen


def _control_group(name):
    places = [(V1, 1, "cpuacct.usage")]
    places += [(place, 2, "cpu.stat") for place in V2 if (place / "cgroup.controllers").exists()]
    for place, version, file in places:
        folder = place / name
        try:
            folder.mkdir(exist_ok=True)
            (folder / "cgroup.procs").read_text()
        except OSError:
            continue
        if (folder / file).exists() and os.access(folder / "cgroup.procs", os.W_OK):
            return folder, version
        folder.rmdir()
    return None, 0


def _busy_and_stolen():
    fields = [int(word) for word in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _, _, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq) / TICKS_PER_SECOND, steal / TICKS_PER_SECOND


def _tree(root):
    children = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(entry.name)):
            children.setdefault(int(stat[1]), []).append(int(entry.name))
    found, open_ends = [], [root] if root else []
    while open_ends:
        found.append(open_ends.pop())
        open_ends += children.get(found[-1], [])
    return [pid for pid in found if _stat(pid)]


def _stat(pid):
    """The fields of /proc/PID/stat behind the name, which may hold blanks; the parent is [1], the times [11:15]."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
