"""The simulator's speed against the least that a simulation can do, and against SimPy, in turns.
It must not measure the proxy.
"""

import functools
import json
import math
import os
import re
import statistics
import subprocess
import sys

from servers import ROOT, SUBJECT_CORE, TARGET

MODEL = str(ROOT / "bench" / "simpy_model.py")
SIMPY = TARGET / "tools" / "simpy"

BACKENDS = 1_000
# So many requests of one trial last for a second or so each.
REQUESTS, BARE_REQUESTS, SIMPY_REQUESTS = 3_000_000, 20_000_000, 100_000
# What one request takes is told by the difference between two trials of so many: the rest is setting
# up, and connections that are opened once.
FEW, MANY = 1_000_000, 8_000_000
BY_BACKENDS = (10, 100, 1_000, 10_000, 100_000)


@functools.cache
def built():
    """The program that `cargo bench -p sim` runs."""
    out = subprocess.run(["cargo", "bench", "--locked", "-q", "-p", "sim", "--bench", "speed", "--no-run",
                          "--message-format=json"],
                         cwd=ROOT, capture_output=True, text=True, check=True).stdout
    messages = map(json.loads, out.splitlines())
    return next(message["executable"] for message in messages
                if message.get("executable") and message["target"]["name"] == "speed")


def trial(backends, requests):
    """The command that plays one."""
    return [built(), "play", "p2c", backends, requests]


def played(command):
    """Million requests a second, on the subject's core."""
    out = subprocess.run(["taskset", "-c", str(SUBJECT_CORE), *map(str, command)],
                         env={**os.environ, "PYTHONPATH": str(SIMPY)}, capture_output=True, text=True, check=True)
    return float(re.match(r"(\d+) requests/s", out.stdout).group(1)) / 1e6


def spread(values, digits=2):
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def ratios(values, base):
    return spread([mine / theirs for mine, theirs in zip(values, base)])


def in_turns(candidates, rounds):
    rates = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, command in candidates.items():
            rates[name].append(played(command))
    return rates


def by_backends(rounds):
    """What a request takes among so many backends, and the beginning."""
    lengths = {(count, length): trial(count, length) for count in BY_BACKENDS for length in (FEW, MANY)}
    rates = in_turns(lengths, rounds)
    seconds = {(count, length): [length / 1e6 / rate for rate in rates[count, length]]
               for count, length in lengths}
    each_ns = {count: [(many - few) * 1e9 / (MANY - FEW)
                       for few, many in zip(seconds[count, FEW], seconds[count, MANY])]
               for count in BY_BACKENDS}
    lines = [f"| lab, p2c over so many backends | ns a request, after {FEW:,} | against {BACKENDS:,} |"
             f" against {BACKENDS:,}, if it grew as the logarithm | s, setting up and {FEW:,} requests |",
             "|---|---|---|---|---|"]
    for count, values in each_ns.items():
        lines.append(f"| {count:,} | {spread(values, 0)} | {ratios(values, each_ns[BACKENDS])} |"
                     f" {math.log(count) / math.log(BACKENDS):.2f} | {spread(seconds[count, FEW])} |")
    return lines


def simulators_compared(rounds):
    load = os.getloadavg()[0]
    lab = f"lab, p2c over {BACKENDS:,} backends"
    candidates = {lab: trial(BACKENDS, REQUESTS),
                  "the same arrivals and services, without balancer, events and record":
                      [built(), "bare", BACKENDS, BARE_REQUESTS]}
    if SIMPY.exists():
        candidates["the same model in SimPy 4.1.1"] = [sys.executable, MODEL, BACKENDS, SIMPY_REQUESTS]
    rates = in_turns(candidates, rounds)
    lines = ["| simulation, one core | million requests/s | against lab's |", "|---|---|---|"]
    for name, values in rates.items():
        digits = 2 if statistics.median(values) >= 0.1 else 3
        lines.append(f"| {name} | {spread(values, digits)} | {ratios(values, rates[lab])} |")
    lines += ["", *by_backends(rounds)]
    lines += ["", f"The machine's load was {load:.1f} before these and {os.getloadavg()[0]:.1f} after; they"
              " are 1 of it themselves."]
    return lines
