"""Speed against peers: every figure is a ratio within one run, in turns, at least five rounds.

It drives real programs on loopback, pinned to cores: the subject alone on core 0, whatever loads
or serves it on the last core. CPU time comes from /proc/PID/stat. It must not judge: what it finds
is written to reports/benchmarks.md, whatever it is.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import urllib.request

from servers import (ENVOY, EVERYTHING, LAB, OTHER_CORE, ROOT, SUBJECT_CORE, fake_backends,
                     free_port, lab_proxy, nginx_200, proxies)
from simulator import simulators_compared


def wrk(port, connections, seconds, core, path="/"):
    out = subprocess.run(
        ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s",
         "--latency", f"http://127.0.0.1:{port}{path}"],
        capture_output=True, text=True, check=True).stdout
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    bad = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", out)))
    return requests, rate, bad


def bench_load(port, core, seconds, connections, rate=None):
    command = ["taskset", "-c", str(core), str(LAB), "bench-load", f"http://127.0.0.1:{port}/",
               "--connections", str(connections), "--duration", str(seconds)]
    if rate:
        command += ["--rate", str(rate)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def spread(values, digits=1):
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def measure(start, rounds_of, seconds):
    """One round of one candidate: CPU µs a request, of it user, thousand requests a second."""
    with start() as server:
        wrk(server.port, 50, 1, OTHER_CORE)  # connections and caches are warm
        before = server.cpu()
        requests, rate, bad = wrk(server.port, 50, seconds, OTHER_CORE)
        after = server.cpu()
        user, system = (1e6 * (b - a) / requests for a, b in zip(before, after))
        for key, value in (("cpu", user + system), ("user", user), ("rate", rate / 1000)):
            rounds_of.setdefault(key, []).append(value)
        rounds_of["bad"] = rounds_of.get("bad", 0) + bad


def against(row, base, key="cpu"):
    return spread([mine / theirs for mine, theirs in zip(row[key], base[key])], 2)


def proxies_compared(folder, rounds, seconds):
    ports = [free_port() for _ in range(4)]
    rows = {}
    with nginx_200(folder, ports, OTHER_CORE):
        candidates = list(proxies(folder, ports))
        for _ in range(rounds):
            for name, start in candidates:
                measure(start, rows.setdefault(name, {}), seconds)
        half = int(500 * statistics.median(rows["nginx"]["rate"]))
        for _ in range(rounds):
            for name, start in candidates:
                with start() as server:
                    bench_load(server.port, OTHER_CORE, 1, 50, half)
                    seen = bench_load(server.port, OTHER_CORE, seconds, 50, half)["service_ms"]
                    rows[name].setdefault("p50", []).append(seen["p50"])
                    rows[name].setdefault("p99", []).append(seen["p99"])
    lines = ["| proxy | CPU µs/request | of it user | thousand requests/s | CPU against nginx |"
             f" p50 ms at {half}/s | p99 ms at {half}/s | errors |", "|---|---|---|---|---|---|---|---|"]
    for name, row in rows.items():
        lines.append(f"| {name} | {spread(row['cpu'])} | {spread(row['user'])} |"
                     f" {spread(row['rate'])} | {against(row, rows['nginx'])} |"
                     f" {spread(row['p50'], 2)} | {spread(row['p99'], 2)} | {row['bad']} |")
    return lines


class Scraped:
    """A proxy whose metrics somebody reads ten times a second."""

    def __init__(self, server):
        self.server, self.done = server, threading.Event()

    def __enter__(self):
        self.server.__enter__()
        self.thread = threading.Thread(target=self.scrape)
        self.thread.start()
        return self.server

    def scrape(self):
        while not self.done.wait(0.1):
            urllib.request.urlopen(f"http://127.0.0.1:{self.server.admin}/metrics").read()

    def __exit__(self, *error):
        self.done.set()
        self.thread.join()
        self.server.__exit__(*error)


# One policy at a time beside the bare proxy.
FEATURES = {
    "health checks": "[health]\ninterval = \"500ms\"",
    "ejection": "[ejection]",
    "retries": "[retry]",
    "hedging, none sent": "[hedging]\nmin_delay = \"500ms\"",
    "rate limit, one for all": "[limits]\nrate = 10000000",
    "rate limit by address": "[limits]\nkey = \"address\"\nkey_rate = 10000000",
    "queue, empty": "[limits]\nmax_in_flight = 1000\n[queue]",
    "adaptive limit, never met": "[limits.adaptive]\nmin = 1000\nmax = 1000",
    "everything": EVERYTHING,
    "everything and an access log": EVERYTHING + "[access_log]\npath = \"{folder}/access.log\"",
}


def features_compared(folder, rounds, seconds):
    ports = [free_port() for _ in range(1000)]
    four = ports[:4]
    proxy = lambda *given: (lambda: lab_proxy(folder, *given))
    candidates = {"bare": proxy(four, "", "bare")}
    for name, tables in FEATURES.items():
        candidates[name] = proxy(four, tables.replace("{folder}", str(folder)), name)
    candidates["metrics read 10 times a second"] = (
        lambda: Scraped(lab_proxy(folder, four, "", "scraped")))
    for count in (10, 100, 1000):
        candidates[f"least_request over {count} backends"] = proxy(ports[:count], "", f"n{count}")
        candidates[f"p2c over {count} backends"] = proxy(ports[:count], "", f"p{count}", "p2c")
    rows = {}
    with nginx_200(folder, ports, OTHER_CORE):
        for _ in range(rounds):
            for name, start in candidates.items():
                measure(start, rows.setdefault(name, {}), seconds)
    lines = ["| lab's proxy with | CPU µs/request | of it user | against bare | errors |",
             "|---|---|---|---|---|"]
    for name, row in rows.items():
        lines.append(f"| {name} | {spread(row['cpu'])} | {spread(row['user'])} |"
                     f" {against(row, rows['bare'])} | {row['bad']} |")
    return lines


def picks(folder):
    """What `cargo bench` of the policy crate prints as a table."""
    out = subprocess.run(["cargo", "bench", "--locked", "-q", "-p", "policy", "--bench", "pick"],
                         cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [line for line in out.splitlines() if line.startswith("|")]


def idle_memory(folder, count=1000):
    ports = [free_port() for _ in range(4)]
    lines = ["| proxy | MiB at start | MiB with 1,000 idle connections |", "|---|---|---|"]
    with nginx_200(folder, ports, OTHER_CORE):
        for name, start in proxies(folder, ports):
            with start() as server:
                first = server.rss()
                clients = []
                for _ in range(count):
                    client = socket.create_connection(("127.0.0.1", server.port), timeout=5)
                    client.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
                    clients.append(client)
                for client in clients:
                    client.recv(4096)
                lines.append(f"| {name} | {first / 2**20:.1f} | {server.rss() / 2**20:.1f} |")
                for client in clients:
                    client.close()
    return lines


def generators_compared(folder, rounds, seconds):
    port = free_port()
    ours, theirs = [], []
    with nginx_200(folder, [port], OTHER_CORE) as server:
        for _ in range(rounds):
            theirs.append(wrk(server.port, 50, seconds, SUBJECT_CORE)[1] / 1000)
            ours.append(bench_load(server.port, SUBJECT_CORE, seconds, 50)["rps"] / 1000)
        ratios = [mine / other for mine, other in zip(ours, theirs)]
        lines = ["| generator, closed loop, 50 connections | thousand requests/s | against wrk |",
                 "|---|---|---|", f"| wrk | {spread(theirs)} | 1 |",
                 f"| lab | {spread(ours)} | {spread(ratios, 2)} |", "",
                 "| lab, open loop | achieved/s | dispatch p50 ms | dispatch p99 ms |",
                 "|---|---|---|---|"]
        for rate in (1000, 5000, 20000):
            results = [bench_load(server.port, SUBJECT_CORE, seconds, 50, rate)
                       for _ in range(rounds)]
            lines.append(f"| {rate}/s | {spread([r['rps'] for r in results], 0)} |"
                         f" {spread([r['dispatch_ms']['p50'] for r in results], 3)} |"
                         f" {spread([r['dispatch_ms']['p99'] for r in results], 3)} |")
    return lines


def backends_compared(folder, rounds, seconds):
    ours, theirs = [], []
    for _ in range(rounds):
        with nginx_200(folder, [free_port()], SUBJECT_CORE, "nginx-alone") as server:
            theirs.append(wrk(server.port, 50, seconds, OTHER_CORE)[1] / 1000)
        with fake_backends(folder, 1000, "0ms") as server:
            ours.append(wrk(server.port, 50, seconds, OTHER_CORE)[1] / 1000)
    ratios = [mine / other for mine, other in zip(ours, theirs)]
    lines = ["| server | thousand requests/s | against nginx |", "|---|---|---|",
             f"| nginx `return 200` | {spread(theirs)} | 1 |",
             f"| fake backend, service 0 ms | {spread(ours)} | {spread(ratios, 2)} |", "",
             "| service time asked for | rate | p50 error ms | p99 error ms |", "|---|---|---|---|"]
    for service in (5, 20):
        for rate in (100, 1000):
            errors = []
            for _ in range(rounds):
                with fake_backends(folder, 1000, f"{service}ms") as server:
                    seen = bench_load(server.port, OTHER_CORE, seconds, 50, rate)["service_ms"]
                    errors.append((seen["p50"] - service, seen["p99"] - service))
            lines.append(f"| {service} ms | {rate}/s | {spread([e[0] for e in errors], 3)} |"
                         f" {spread([e[1] for e in errors], 3)} |")
    return lines


def version(command, pattern):
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(pattern, done.stdout + done.stderr)
    return found.group(1) if found else "?"


def machine():
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    revision = version(["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"], r"(\w+)")
    peers = [("nginx", ["nginx", "-v"], r"nginx/([0-9.]+)"),
             ("HAProxy", ["haproxy", "-v"], r"version ([0-9.]+)"),
             ("wrk", ["wrk", "-v"], r"wrk [^0-9]*([0-9]+[.][0-9.]+)")]
    if ENVOY:
        peers.append(("Envoy", [ENVOY, "--version"], r"/([0-9.]+)/"))
    seen = ", ".join(f"{name} {version(command, pattern)}" for name, command, pattern in peers)
    return [f"- {os.cpu_count()} cores, {cpu.group(1) if cpu else '?'}; {platform.release()}",
            f"- lab {revision}, {seen}"]


def sections(folder, rounds, seconds):
    """Title, what to know of it, and what makes its table."""
    return [
        ("Proxies", "wrk, 50 connections, closed loop; one worker each; four nginx backends that"
         " answer 128 bytes; load and backends share the other core, so the rate is theirs as much"
         " as the proxy's. CPU is the figure to compare. lab has every policy on but access logs."
         " The latencies are those of an open loop at half of what nginx managed.",
         lambda: proxies_compared(folder, rounds, seconds)),
        ("What a feature costs", "The same load, lab's proxy with one policy at a time. Metrics"
         " are always counted.", lambda: features_compared(folder, rounds, seconds)),
        ("Picking a backend", "Time of one request, its head and its end through the balancer, in"
         " one thread, without a proxy, in ns; then how much more that is than with `random`, whose"
         " pick is one draw: the pick alone. Prequal's has its three probes a request in it.",
         lambda: picks(folder)),
        ("Memory of idle connections", "Resident memory.", lambda: idle_memory(folder)),
        ("Load generator", "Against one nginx `return 200` on the other core.",
         lambda: generators_compared(folder, rounds, seconds)),
        ("Fake backends", "The server alone on its core, the load on the other. The error is what"
         " a client outside the process sees beyond the service time asked for: it includes the"
         " client's own and the loopback's share.",
         lambda: backends_compared(folder, rounds, seconds)),
        ("Simulator", "Requests that are played a second of one core: Poisson arrivals at four"
         " fifths of what the backends can do, exponential services, one at a time at each backend,"
         " through the whole balancer and into the record. What is left when balancer, events and"
         " record are taken away, the draws of arrivals and services, is the least that any"
         " simulation of them must do.",
         lambda: simulators_compared(rounds)),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "reports" / "benchmarks.md")
    parser.add_argument("--only", help="sections whose title holds this; printed, not written")
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="lab-bench-")
    done = []
    try:
        for title, note, table in sections(folder, args.rounds, args.seconds):
            if not args.only or args.only in title.lower():
                done.append((title, note, table()))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    lines = ["# Benchmarks", "", "Written by `make bench`; do not edit. Median (lowest–highest) of"
             f" {args.rounds} rounds of {args.seconds} s, the candidates in turns. Where the time"
             " goes: [bench/PROFILE.md](../bench/PROFILE.md).", "",
             *machine(), ""]
    for title, note, table in done:
        lines += [f"## {title}", "", note, "", *table, ""]
    if not args.only:
        args.out.write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
