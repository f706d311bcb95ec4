"""The filter of system calls that systemd would put on the service, by libseccomp, for the process that calls this.

Like SystemCallFilter=, RestrictAddressFamilies= and MemoryDenyWriteExecute= of the unit: what is not permitted is refused.
"""

import seccomp


def load(limits):
    rules = seccomp.SyscallFilter(seccomp.ERRNO(limits["refusal"]))
    write, execute = limits["write"], limits["execute"]
    for call in limits["calls"]:
        if call == "socket":
            for family in limits["families"]:
                rules.add_rule(seccomp.ALLOW, call, seccomp.Arg(0, seccomp.EQ, family))
        elif call == "mmap":
            for mode in (0, write, execute):
                rules.add_rule(seccomp.ALLOW, call, seccomp.Arg(2, seccomp.MASKED_EQ, write | execute, mode))
        elif call in ("mprotect", "pkey_mprotect"):
            rules.add_rule(seccomp.ALLOW, call, seccomp.Arg(2, seccomp.MASKED_EQ, execute, 0))
        else:
            try:
                rules.add_rule(seccomp.ALLOW, call)
            except (ValueError, RuntimeError):
                # Of another architecture, or younger than the library.
                continue
    rules.load()
