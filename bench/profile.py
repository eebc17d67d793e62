"""Instructions a request in user space, counted by valgrind's callgrind: the simulator's, and lab's
proxy and nginx under the same load. Counts repeat where times on a busy machine do not. It must not measure time.
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import simulator
from bench import wrk
from servers import (EVERYTHING, OTHER_CORE, TARGET, free_port, lab_proxy, nginx_200, nginx_proxy)

HIDDEN_AUXV = str(pathlib.Path(__file__).with_name("hidden_auxv.py"))


def under_callgrind(server, out):
    """The same server, counted from the moment that callgrind_control asks for it."""
    at = server.command.index(str(server.core)) + 1
    server.command[at:at] = [sys.executable, HIDDEN_AUXV, "valgrind", "--tool=callgrind", "--instr-atstart=no",
                             f"--callgrind-out-file={out}"]
    return server


# What is worth counting besides instructions; a name that is not called is left out.
COUNTED = ("recv", "send", "writev", "epoll_wait", "malloc", "base::clock::Clock::now")


def calls(dump):
    """How often each function of COUNTED was called. Callgrind writes a name once and its number
    from then on."""
    names, counts, called = {}, dict.fromkeys(COUNTED, 0), None
    for line in dump.splitlines():
        if found := re.match(r"(c?)fn=\((\d+)\)(?: (.*))?", line):
            callee, number, name = found.groups()
            if name:
                names[number] = name.split("@@")[0]
            called = names.get(number) if callee else called
        elif line.startswith("calls=") and called in counts:
            counts[called] += int(line[6:].split()[0])
    return {name: count for name, count in counts.items() if count}


def profiled(name, server, out, seconds, connections):
    with under_callgrind(server, out) as running:
        control = lambda *ask: subprocess.run(
            ["callgrind_control", *ask, str(running.process.pid)], check=True,
            capture_output=True)
        wrk(running.port, connections, 2, OTHER_CORE)
        control("--instr=on")
        # The switch is seen at the next system call, hence the second warm-up.
        wrk(running.port, connections, 1, OTHER_CORE)
        control("--zero")
        requests, _, bad = wrk(running.port, connections, seconds, OTHER_CORE)
        control("--dump")
    dump = pathlib.Path(f"{out}.1").read_text()
    total = int(re.search(r"^(?:summary|totals): (\d+)", dump, re.M).group(1))
    each = ", ".join(f"{name} {count / requests:.2f}" for name, count in calls(dump).items())
    print(f"{name}: {total / requests:.0f} instructions a request; calls: {each}"
          f" ({requests} requests, {bad} refused; callgrind_annotate {out}.1)", flush=True)


def simulated(out):
    """Instructions of a simulated request: the difference of two lengths, so that setting up and
    writing down count for nothing."""
    counts = []
    for requests in (100_000, 300_000):
        command = [sys.executable, HIDDEN_AUXV, "valgrind", "--tool=callgrind",
                   f"--callgrind-out-file={out}", *simulator.trial(simulator.BACKENDS, requests)]
        subprocess.run(list(map(str, command)), check=True, capture_output=True)
        dump = pathlib.Path(out).read_text()
        counts.append(int(re.search(r"^(?:summary|totals): (\d+)", dump, re.M).group(1)))
    each = (counts[1] - counts[0]) / 200_000
    print(f"simulator, p2c over {simulator.BACKENDS} backends: {each:.0f} instructions a request"
          f" (callgrind_annotate {out})", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--connections", type=int, default=50)
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="lab-profile-")
    kept = TARGET / "profile"
    kept.mkdir(parents=True, exist_ok=True)
    simulated(kept / "callgrind.simulator")
    ports = [free_port() for _ in range(4)]
    candidates = [("lab bare", lambda: lab_proxy(folder, ports, "", "bare")),
                  ("lab everything", lambda: lab_proxy(folder, ports, EVERYTHING)),
                  ("nginx", lambda: nginx_proxy(folder, ports))]
    try:
        with nginx_200(folder, ports, OTHER_CORE):
            for name, start in candidates:
                out = kept / f"callgrind.{name.replace(' ', '-')}"
                profiled(name, start(), out, args.seconds, args.connections)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
