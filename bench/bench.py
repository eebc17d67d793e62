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
import signal
import socket
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
LAB = TARGET / "release" / "lab"
SUBJECT_CORE = 0
OTHER_CORE = (os.cpu_count() or 1) - 1
TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    """A port that was free a moment ago, below the ephemeral range so that no client takes it."""
    for port in range(21000, 30000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in free_port.given:
            free_port.given.add(port)
            return port
    raise SystemExit("no free port between 21000 and 30000")


free_port.given = set()


def wait_for(port, what, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise SystemExit(f"{what} does not listen on port {port} after {seconds} s")


class Server:
    """A program under test or beside it; ended by its id when the block ends."""

    def __init__(self, name, command, port, core, ready=None):
        self.name, self.port, self.core = name, port, core
        self.command = ["taskset", "-c", str(core), *map(str, command)]
        self.ready = ready

    def __enter__(self):
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True)
        if self.ready:
            self.port = self.ready(self.process.stdout.readline())
        wait_for(self.port, self.name)
        return self

    def __exit__(self, *_):
        for ask in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, ask)
                self.process.wait(timeout=8)
                return
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                self.process.wait()
                return

    def pids(self):
        found = [self.process.pid]
        for pid in found:
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
            if children.exists():
                found += [int(child) for child in children.read_text().split()]
        return found

    def cpu(self):
        """User and system seconds of the program and its children."""
        user = system = 0
        for pid in self.pids():
            words = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            user, system = user + int(words[11]), system + int(words[12])
        return user / TICKS, system / TICKS

    def rss(self):
        text = "".join(pathlib.Path(f"/proc/{pid}/status").read_text() for pid in self.pids())
        return sum(int(kib) for kib in re.findall(r"VmRSS:\s+(\d+)", text)) * 1024


def write(folder, name, text):
    path = pathlib.Path(folder) / name
    path.write_text(text)
    return path


def nginx(folder, name, http, port, core):
    config = write(folder, f"{name}.conf", f"""
        daemon off; master_process off; worker_processes 1; pid {folder}/{name}.pid;
        error_log {folder}/{name}.log; worker_rlimit_nofile 8192;
        events {{ worker_connections 4096; }}
        http {{ access_log off; keepalive_requests 1000000000; {http} }}
        """)
    return Server(name, ["nginx", "-p", folder, "-c", config], port, core)


def nginx_200(folder, ports, core, name="nginx-backends"):
    servers = "".join(
        f'server {{ listen 127.0.0.1:{port} backlog=4096;'
        f' location / {{ return 200 "{"x" * 128}"; }} }}'
        for port in ports)
    return nginx(folder, name, servers, ports[0], core)


def lab_ready(key):
    return lambda line: int(json.loads(line)[key].rsplit(":", 1)[1])


def proxies(folder, backends):
    """The same four backends behind each, one worker, keep-alive on both sides."""
    lab = write(folder, "proxy.toml", """
        listen = "127.0.0.1:0"
        workers = 1
        strategy = "least_request"
        [health]
        [retry]
        [timeout]
        """ + "".join(f'[[backends]]\naddress = "127.0.0.1:{port}"\n' for port in backends))
    yield "lab", lambda: Server("lab", [LAB, "proxy", "--config", lab], None, SUBJECT_CORE,
                                lab_ready("listen"))
    port = free_port()
    servers = "".join(f"server 127.0.0.1:{backend}; " for backend in backends)
    http = (f"upstream pool {{ least_conn; {servers} keepalive 256;"
            f" keepalive_requests 1000000000; }}"
            f" server {{ listen 127.0.0.1:{port} backlog=4096; location / {{"
            f' proxy_pass http://pool; proxy_http_version 1.1; proxy_set_header Connection "";'
            f" proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }}")
    yield "nginx", lambda: nginx(folder, "nginx-proxy", http, port, SUBJECT_CORE)
    haproxy_port = free_port()
    servers = "".join(f" server s{n} 127.0.0.1:{backend} check inter 2s\n"
                      for n, backend in enumerate(backends))
    haproxy = write(folder, "haproxy.cfg", f"""
global
 nbthread 1
 maxconn 4096
defaults
 mode http
 timeout connect 1s
 timeout client 60s
 timeout server 10s
 http-reuse always
frontend in
 bind 127.0.0.1:{haproxy_port}
 option forwardfor
 default_backend pool
backend pool
 balance leastconn
{servers}
""")
    yield "haproxy", lambda: Server("haproxy", ["haproxy", "-db", "-f", haproxy], haproxy_port,
                                    SUBJECT_CORE)


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


def proxies_compared(folder, rounds, seconds):
    ports = [free_port() for _ in range(4)]
    rows = {}
    with nginx_200(folder, ports, OTHER_CORE):
        candidates = list(proxies(folder, ports))
        for _ in range(rounds):
            for name, start in candidates:
                with start() as server:
                    wrk(server.port, 50, 1, OTHER_CORE)  # connections and caches are warm
                    before = server.cpu()
                    requests, rate, bad = wrk(server.port, 50, seconds, OTHER_CORE)
                    after = server.cpu()
                    user, system = (1e6 * (b - a) / requests for a, b in zip(before, after))
                    row = rows.setdefault(name, {"cpu": [], "user": [], "rate": [], "bad": 0})
                    row["cpu"].append(user + system)
                    row["user"].append(user)
                    row["rate"].append(rate / 1000)
                    row["bad"] += bad
    lines = ["| proxy | CPU µs/request | of it user | thousand requests/s | CPU against nginx | errors |",
             "|---|---|---|---|---|---|"]
    for name, row in rows.items():
        ratios = [mine / theirs for mine, theirs in zip(row["cpu"], rows["nginx"]["cpu"])]
        lines.append(f"| {name} | {spread(row['cpu'])} | {spread(row['user'])} |"
                     f" {spread(row['rate'])} | {spread(ratios, 2)} | {row['bad']} |")
    return lines


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


def fake_backends(folder, concurrency, service):
    config = write(folder, "backends.toml", f"""
        [[backends]]
        name = "a"
        listen = "127.0.0.1:0"
        concurrency = {concurrency}
        queue = "unlimited"
        service = {{ distribution = "constant", value = "{service}" }}
        """)
    first = lambda line: int(json.loads(line)["backends"][0]["address"].rsplit(":", 1)[1])
    return Server("lab backends", [LAB, "backends", "--config", config], None, SUBJECT_CORE, first)


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
    seen = ", ".join(f"{name} {version(command, pattern)}" for name, command, pattern in peers)
    return [f"- {os.cpu_count()} cores, {cpu.group(1) if cpu else '?'}; {platform.release()}",
            f"- lab {revision}, {seen}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "reports" / "benchmarks.md")
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="lab-bench-")
    try:
        sections = [
            ("Proxies", "wrk, 50 connections, closed loop; one worker each; four nginx backends"
             " that answer 128 bytes; load and backends share the other core, so the rate is"
             " theirs as much as the proxy's. CPU is the figure to compare.",
             proxies_compared(folder, args.rounds, args.seconds)),
            ("Memory of idle connections", "Resident memory.", idle_memory(folder)),
            ("Load generator", "Against one nginx `return 200` on the other core.",
             generators_compared(folder, args.rounds, args.seconds)),
            ("Fake backends", "The server alone on its core, the load on the other. The error is"
             " what a client outside the process sees beyond the service time asked for: it"
             " includes the client's own and the loopback's share.",
             backends_compared(folder, args.rounds, args.seconds)),
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    lines = ["# Benchmarks", "", "Written by `make bench`; do not edit. Median (lowest–highest) of"
             f" {args.rounds} rounds of {args.seconds} s, the candidates in turns.", "",
             *machine(), ""]
    for title, note, table in sections:
        lines += [f"## {title}", "", note, "", *table, ""]
    args.out.write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
