"""Becomes a server: gives up root, ties its life to the parent's, and executes the program.

Run as a program by path, with no site and no project on its path:

    python -I -S launch.py UID GID PARENT SIGNAL PROGRAM ARGUMENT...

UID is -1 to stay the same user, SIGNAL is 0 to outlive the parent. It replaces `preexec_fn`, which
is not safe in a process that has threads.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    """Execute the program in place of this process."""
    uid, gid, parent, death_signal = (int(word) for word in argv[:4])
    os.umask(0o077)
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if death_signal and sys.platform == "linux":
        # After setuid, which clears the death signal. The parent may have died before this call.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:
            raise SystemExit("the parent died first")
    os.execv(argv[4], argv[4:])


if __name__ == "__main__":
    main(sys.argv[1:])
