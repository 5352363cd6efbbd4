"""The last step before an engine: give up root, tie its life to the parent's, become the engine.

Run as a program by path, with no site and no project on its path:

    python -I -S launch.py UID GID PARENT SIGNAL PROGRAM ARGUMENT...

UID is -1 to stay who we are, SIGNAL is 0 to outlive the parent. It stands in place of
`preexec_fn`, which is not safe in a process that has threads.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    """Never returns: the process becomes the program."""
    uid, gid, parent, death_signal = (int(word) for word in argv[:4])
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if death_signal and sys.platform == "linux":
        # After setuid, as a change of user wipes the wish. The parent may have died before it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:
            raise SystemExit("the parent died first")
    os.execv(argv[4], argv[4:])


if __name__ == "__main__":
    main(sys.argv[1:])
