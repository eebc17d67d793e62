"""Starts a program that the kernel tells nothing of PR_GET_AUXV. Valgrind before 3.22 passes that
question through, and the true answer points to a vDSO that it has unmapped. It must not outlive
the exec.
"""

import ctypes
import os
import struct
import sys

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, PR_GET_AUXV = 22, 38, 0x41555856
FILTER_MODE, EINVAL, PRCTL_X86_64 = 2, 22, 157
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
REFUSE, ALLOW = 0x00050000 | EINVAL, 0x7FFF0000
# Offsets in struct seccomp_data.
NUMBER, FIRST_ARGUMENT = 0, 16


def hide_auxv():
    steps = [(LOAD, 0, 0, NUMBER), (JUMP_IF_EQUAL, 0, 3, PRCTL_X86_64),
             (LOAD, 0, 0, FIRST_ARGUMENT), (JUMP_IF_EQUAL, 0, 1, PR_GET_AUXV),
             (RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
    text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(
        struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(text)))
    libc = ctypes.CDLL(None, use_errno=True)
    if (libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            or libc.prctl(PR_SET_SECCOMP, FILTER_MODE, program, 0, 0) != 0):
        raise SystemExit(f"seccomp: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    hide_auxv()
    os.execvp(sys.argv[1], sys.argv[1:])
