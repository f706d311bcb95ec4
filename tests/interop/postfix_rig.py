"""A real Postfix of its own: queue, ports and settings in one folder; runs beside any other. Needs root."""

import os
import pathlib
import re
import shutil
import signal
import subprocess

from rig import scratch, wait_for

MAIN = """compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
meta_directory = /etc/postfix
shlib_directory = /usr/lib/postfix
mail_owner = postfix
setgid_group = postdrop
myhostname = postfix.test
mydestination =
alias_maps =
alias_database =
biff = no
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks reject
smtpd_peername_lookup = no
default_transport = discard
local_transport = discard
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}, /var
smtpd_tls_security_level = may
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
"""


def is_there():
    return os.geteuid() == 0 and pathlib.Path("/usr/sbin/postfix").exists()


class Postfix:
    """`services` maps a port to the `-o` settings of its smtpd; `settings` are lines of main.cf."""

    def __init__(self, services, settings=""):
        self.folder, self.pid = scratch("postfix"), None
        folder, self.etc, self.ports = self.folder, self.folder / "etc", list(services)
        for part in [self.etc, folder / "spool", folder / "data"]:
            part.mkdir(parents=True)
        folder.chmod(0o755)
        subprocess.run(["chown", "postfix", folder / "data"], check=True)
        (self.etc / "main.cf").write_text(MAIN.format(folder=folder) + settings)
        lines = []
        for line in pathlib.Path("/etc/postfix/master.cf").read_text().splitlines():
            fields = line.split()
            if re.match(r"smtp\s+inet", line):
                continue
            if len(fields) >= 8 and not line.startswith(("#", " ", "\t")) and fields[4] == "y":
                line = " ".join([*fields[:4], "n", *fields[5:]])
            lines.append(line)
        for port, options in services.items():
            words = "".join(f" -o {{ {key} = {value} }}" for key, value in options.items())
            lines.append(f"127.0.0.1:{port} inet n - n - - smtpd{words}")
        (self.etc / "master.cf").write_text("\n".join(lines) + "\n")
        subprocess.run(["postfix", "-c", self.etc, "set-permissions"], capture_output=True, check=False)

    def start(self, listening):
        """`listening` tells whether somebody greets at a port."""
        subprocess.run(["postfix", "-c", self.etc, "start"], capture_output=True, check=True)
        wait_for(lambda: all(listening(port) for port in self.ports), 20)
        self.pid = self.master()
        return self

    def restart(self, listening):
        subprocess.run(["postfix", "-c", self.etc, "stop"], capture_output=True, check=False)
        return self.start(listening)

    def master(self):
        return int((self.folder / "spool/pid/master.pid").read_text())

    def processes(self):
        """The master and all that it has started."""
        master = self.master()
        found = [master]
        for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = status.read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[1]) == master:
                found.append(int(status.parent.name))
        return found

    def log(self):
        return (self.folder / "mail.log").read_text(errors="replace") if (self.folder / "mail.log").exists() else ""

    def close(self):
        subprocess.run(["postfix", "-c", self.etc, "abort"], capture_output=True, check=False)
        if self.pid and pathlib.Path(f"/proc/{self.pid}").exists():
            os.kill(self.pid, signal.SIGTERM)
        shutil.rmtree(self.folder, ignore_errors=True)
