"""Run a program as the unit of systemd does: python confined.py UNIT USER_ID GROUP_ID PROGRAM …

It takes away what the unit takes away, as far as that is possible without systemd: the account, the umask,
all capabilities, memory that is writable and executable, and the system calls that the unit's filter does not
let through. Namespaces, which hide files and devices, are left out.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 24, 38, 65, 1
CAPABILITIES = 64
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM


def calls(names: list[str]) -> set[str]:
    """Return the system calls of the groups and calls of those names."""
    found = set[str]()
    for name in names:
        if not name.startswith("@"):
            found.add(name)
            continue
        listed = subprocess.run(
            ["systemd-analyze", "syscall-filter", "--no-pager", name],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()[1:]
        found |= calls([line.strip() for line in listed if line.strip() and not line.strip().startswith("#")])
    return found


def filter_of(unit: str) -> set[str]:
    """Return the system calls that a unit lets through."""
    allowed = set[str]()
    for value in re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE):
        if value.startswith("~"):
            allowed -= calls(value[1:].split()) - calls(["@default"])
        else:
            allowed |= calls([*value.split(), "@default"])
    return allowed


def confine(unit: str, user: int, group: int) -> None:
    """Take away from this process what the unit takes away."""
    allowed = filter_of(unit)
    system = ctypes.CDLL(None, use_errno=True)
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(REFUSE))
    for name in sorted(allowed):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # the others are of other machines
            assert seccomp.seccomp_rule_add(context, ALLOW, number, 0) == 0, name
    for capability in range(CAPABILITIES):
        system.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # there are fewer than 64
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    os.umask(int(re.findall(r"^UMask=(\d+)$", unit, re.MULTILINE)[0], 8))
    assert system.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    if "MemoryDenyWriteExecute=yes" in unit and system.prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0):
        print("this kernel has no PR_SET_MDWE", file=sys.stderr, flush=True)
    assert seccomp.seccomp_load(context) == 0


if __name__ == "__main__":
    confine(Path(sys.argv[1]).read_text(), int(sys.argv[2]), int(sys.argv[3]))
    os.execv(sys.argv[4], sys.argv[4:])
