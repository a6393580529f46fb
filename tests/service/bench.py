#!/usr/bin/env python3
"""Measures the counter service beside what it replaces, and prints a table. `tests/bench service` calls it.

Three services behind the same nginx, TLS, Redis and load generator (wrk):
  tavern  `tavernctl serve counter` on a socket that is held open across restarts, as its socket unit does
  flask   Flask with gunicorn, 4 workers, on a Unix socket, as the page of the old host describes it
  limit   nginx to nginx on a Unix socket with keep-alive, which returns the same bytes: more is not to be had

Each service is in a session of its own, as systemd starts them: the kernel shares processors out among sessions first
(sched_autogroup), and without that the services would be one crowd with the load generator.

Only answers of 2xx count. Rounds are interleaved; all of them are printed, the verdict is on their medians.
Everything is on loopback, in a directory of its own, and ends with the program. Needs root and a quiet machine.
"""

import argparse
import base64
import hashlib
import hmac
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from argon2 import PasswordHasher
from argon2.low_level import Type

HERE = os.path.dirname(os.path.abspath(__file__))
BASE = 18443
SERVICES = {"tavern": BASE, "flask": BASE + 1, "limit": BASE + 2}
CONNECTIONS = (1, 32, 256)
PASSWORD = "correct-horse-battery"
REDIS_PASSWORD = "0123456789abcdef" * 4
KEY = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
TICKS = os.sysconf("SC_CLK_TCK")


class Group:
    """The processes of a service: a leader and its children."""

    def __init__(self, leader):
        self.leader = leader

    def pids(self):
        found, todo = [], [self.leader]
        while todo:
            pid = todo.pop()
            found.append(pid)
            try:
                with open(f"/proc/{pid}/task/{pid}/children") as children:
                    todo += [int(word) for word in children.read().split()]
            except OSError:
                pass
        return found

    def resident(self):
        """MiB; what processes share is counted for each, as `ps` does."""
        total = 0
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/statm") as statm:
                    total += int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")
            except OSError:
                pass
        return total / 2**20

    def cpu(self):
        total = 0
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/stat") as stat:
                    fields = stat.read().rsplit(")", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
            except OSError:
                pass
        return total / TICKS


class Tavern:
    def __init__(self, work, binary):
        self.binary, self.child = binary, None
        self.path = f"{work}/tavern.sock"
        self.credentials = f"{work}/credentials"
        self.redis = f"{work}/redis.sock"
        self.log = open(f"{work}/tavern.log", "ab")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(4096)

    def start(self):
        pid = os.fork()
        if pid == 0:
            os.setsid()
            os.dup2(self.listener.fileno(), 3)
            os.set_inheritable(3, True)
            os.dup2(self.log.fileno(), 1)
            os.dup2(self.log.fileno(), 2)
            environment = {
                "LISTEN_FDS": "1",
                "LISTEN_PID": str(os.getpid()),
                "CREDENTIALS_DIRECTORY": self.credentials,
                # as the unit sets them
                "MALLOC_MMAP_THRESHOLD_": "1048576",
                "MALLOC_ARENA_MAX": "1",
            }
            many = "1000000"
            arguments = [self.binary, "serve", "counter", "--base", "/flask", "--redis", self.redis]
            os.execve(self.binary, arguments + ["--logins-per-minute", many], environment)
        self.child = pid
        return Group(pid)

    def stop(self):
        if self.child:
            os.kill(self.child, signal.SIGTERM)
            os.waitpid(self.child, 0)
            self.child = None


class Flask:
    def __init__(self, work, venv):
        self.work, self.venv, self.child = work, venv, None
        self.path = f"{work}/flask.sock"

    def start(self):
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "SECRET_KEY": KEY,
            "PASSWORD": PASSWORD,
            "REDIS_URL": f"unix://counter:{REDIS_PASSWORD}@{self.work}/redis.sock",
        }
        log = open(f"{self.work}/flask.log", "ab")
        self.child = subprocess.Popen(
            [f"{self.venv}/bin/gunicorn", "--workers", "4", "--bind", f"unix:{self.path}", "--log-level", "warning", "flask_app:app"],
            cwd=HERE, env=environment, stdout=log, stderr=log, start_new_session=True,
        )
        return Group(self.child.pid)

    def stop(self):
        if self.child:
            self.child.terminate()
            self.child.wait()
            self.child = None


class Nginx:
    """The front door, or the limit behind it."""

    def __init__(self, work, name, text):
        self.prefix = f"{work}/{name}"
        os.makedirs(f"{self.prefix}/logs")
        self.configuration = f"{self.prefix}/nginx.conf"
        with open(self.configuration, "w") as file:
            file.write(text)
        self.child = None

    def start(self):
        command = ["nginx", "-p", self.prefix, "-c", self.configuration, "-e", f"{self.prefix}/logs/error.log"]
        self.child = subprocess.Popen(command + ["-g", "daemon off;"], start_new_session=True)
        return Group(self.child.pid)

    def stop(self):
        if self.child:
            self.child.send_signal(signal.SIGTERM)
            self.child.wait()
            self.child = None


COMMON = """user root root;
worker_processes 2;
worker_rlimit_nofile 8192;
pid nginx.pid;
events {{ worker_connections 2048; }}
http {{
access_log off;
client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
server_tokens off;
keepalive_requests 100000000;
{inner}
}}
"""

# The lines of nginx-sites/stack.conf that bear on a request for an app.
FRONT = """
upstream {name} {{ server unix:{socket}; keepalive 64; keepalive_timeout 1s; keepalive_requests 100000000; }}
server {{
  listen 127.0.0.1:{port} ssl backlog=4096;
  ssl_certificate {work}/tls.crt; ssl_certificate_key {work}/tls.key;
  ssl_protocols TLSv1.2 TLSv1.3; ssl_ecdh_curve X25519:prime256v1:secp384r1; ssl_session_tickets off;
  ssl_session_cache shared:tls:2m;
  client_max_body_size 1m; client_header_timeout 10s; client_body_timeout 10s; send_timeout 10s; keepalive_timeout 30s;
  large_client_header_buffers 4 8k;
  gzip on; gzip_vary on; gzip_proxied any; gzip_min_length 512; gzip_types application/json;
  location /flask/ {{
    access_log logs/{name}.log tavern;
    proxy_pass http://{name};
    proxy_http_version 1.1;
    proxy_set_header Host $host; proxy_set_header Connection "";
    proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Request-Id $request_id;
    proxy_next_upstream off; proxy_connect_timeout 5s; proxy_read_timeout 30s; proxy_send_timeout 10s;
  }}
}}
"""
FORMAT = """log_format tavern '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
  '"$http_referer" "$http_user_agent" $request_time $request_id';
"""
LIMIT = """
server {{
  listen unix:{socket} backlog=4096;
  default_type application/json;
  add_header X-Request-Id $http_x_request_id; add_header X-Content-Type-Options nosniff; add_header Cache-Control no-store;
  location = /flask/api/ping {{ return 200 '{{"status":"ok"}}'; }}
  location = /flask/api/count {{ return 200 '{{"visits":1234567}}'; }}
}}
"""


def prepare(work):
    """Certificate, Redis's accounts, the app's credentials."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", f"{work}/tls.key", "-out", f"{work}/tls.crt"],
        check=True, capture_output=True,
    )
    with open(f"{work}/users.acl", "w") as acl:
        acl.write(f"user default on nopass ~* +@all\nuser counter on >{REDIS_PASSWORD} ~* +@all\n")
    os.makedirs(f"{work}/credentials")
    secrets = {"jwt-key": KEY, "redis-password": REDIS_PASSWORD, "accounts": f"admin:{argon2(2, 19456)}\nquick:{argon2(1, 8)}"}
    for name, text in secrets.items():
        path = f"{work}/credentials/{name}"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o400), "w") as file:
            file.write(text + "\n")


def argon2(passes, kib):
    hasher = PasswordHasher(time_cost=passes, memory_cost=kib, parallelism=1, hash_len=32, type=Type.ID)
    return hasher.hash(PASSWORD)


def redis_server(work):
    return subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", f"{work}/redis.sock", "--aclfile", f"{work}/users.acl", "--dir", work,
         "--appendonly", "yes", "--appendfsync", "everysec", "--save", "3600 1 300 100", "--maxmemory", "256mb"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=5)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(self.path)


def ask(path, method, url, headers=None, body=None):
    connection = Unix(path)
    try:
        connection.request(method, url, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def first_answer(service):
    """Starts it; milliseconds until it answered a request."""
    began = time.perf_counter()
    group = service.start()
    while True:
        try:
            if ask(service.path, "GET", "/flask/api/ping")[0] == 200:
                return group, (time.perf_counter() - began) * 1000
        except OSError:
            pass
        if time.perf_counter() - began > 20:
            sys.exit(f"error: {service.path} does not answer")
        time.sleep(0.001)


def token_of(service):
    body = json.dumps({"username": "admin", "password": PASSWORD})
    for _ in range(50):
        status, text = ask(service.path, "POST", "/flask/auth/login", {"Content-Type": "application/json"}, body)
        if status == 200:
            return json.loads(text)["token"]
        time.sleep(0.1)
    sys.exit(f"error: login at {service.path}: {status} {text!r}")


def wrk(port, what, connections, seconds, token):
    # hashing would take both processors, and then nothing else was seen
    account = "quick" if what == "mix" else "admin"
    environment = {**os.environ, "WHAT": what, "ACCOUNT": account, "TOKEN": token, "PASSWORD": PASSWORD}
    threads = min(2, connections)
    output = subprocess.run(
        ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "--latency",
         "-s", f"{HERE}/load.lua", f"https://127.0.0.1:{port}"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ).stdout
    line = next((line for line in output.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        sys.exit(f"error: wrk said nothing to count:\n{output}")
    result = json.loads(line[7:])
    result["good"] = result["requests"] - result["not_2xx"]
    result["rate"] = result["good"] / result["seconds"]
    return result


class Watch:
    """The most memory a service had while something ran, and the CPU time it took."""

    def __init__(self, group):
        self.group, self.most, self.over = group, 0, threading.Event()

    def __enter__(self):
        self.before = self.group.cpu()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def look(self):
        while not self.over.wait(0.1):
            self.most = max(self.most, self.group.resident())

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.most = max(self.most, self.group.resident())
        self.cpu = self.group.cpu() - self.before


def measure(groups, tokens, rounds, seconds, all_connections):
    """Logins last: what is queued of them goes on hashing after the load has ended, and would slow down all the others."""
    results = {}
    for kinds in (("ping", "count"), ("login",)):
        order = [name for name in SERVICES if kinds != ("login",) or name != "limit"]
        for number in range(rounds):
            for what in kinds:
                for connections in all_connections:
                    for name in order:
                        with Watch(groups[name]) as watch:
                            result = wrk(SERVICES[name], what, connections, seconds, tokens[name])
                        result["memory"], result["cpu"] = watch.most, 1e6 * watch.cpu / max(1, result["good"])
                        results.setdefault((what, connections, name), []).append(result)
                        print(f"round {number + 1}  {row(what, connections, name, result)}", flush=True)
                        if what == "login":
                            rest(groups[name])
            order.append(order.pop(0))
    return results


def rest(group):
    """Waits until a service has nothing to do, at most a minute."""
    for _ in range(60):
        before = group.cpu()
        time.sleep(1)
        if group.cpu() - before < 0.05:
            return


HEAD = f"{'':8}{'conn':>5} {'service':8}{'2xx/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'not 2xx':>8}{'broken':>7}{'MiB':>7}{'us CPU/r':>10}"


def row(what, connections, name, result):
    return (
        f"{what:8}{connections:>5} {name:8}{result['rate']:>9.0f}{result['p50']:>9.2f}{result['p99']:>9.2f}"
        f"{result['not_2xx']:>8}{result['broken']:>7}{result['memory']:>7.1f}{result['cpu']:>10.1f}"
    )


def medians(results):
    keys = ("rate", "p50", "p99", "memory", "cpu", "not_2xx", "broken")
    return {case: {key: statistics.median(one[key] for one in all_) for key in keys} for case, all_ in results.items()}


def restarts(service, port, token, times, seconds):
    """Restarts it under load with GET and POST; what failed, of how many, and the longest wait."""
    result, done = {}, threading.Event()

    def load():
        result.update(wrk(port, "mix", 32, seconds, token))
        done.set()

    thread = threading.Thread(target=load)
    thread.start()
    time.sleep(0.5)
    made = 0
    pause = (seconds - 2) / times
    while made < times and not done.is_set():
        began = time.monotonic()
        service.stop()
        service.start()
        made += 1
        done.wait(max(0.0, pause - (time.monotonic() - began)))
    thread.join()
    result["restarts"] = made
    return result


def forged():
    """Tokens that must be refused, by what is wrong with them."""
    key, now = bytes.fromhex(KEY), int(time.time())
    text = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")
    header = {"alg": "HS256", "typ": "JWT", "kid": hashlib.sha256(key).hexdigest()[:16]}
    name = "tavern-counter"
    claims = {"iss": name, "aud": name, "sub": "admin", "jti": "0" * 32, "iat": now, "nbf": now, "exp": now + 3600}

    def sign(header, claims, key=key):
        signed = text(header) + b"." + text(claims)
        signature = hmac.new(key, signed, hashlib.sha256).digest()
        return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()

    without = lambda claim: {name: value for name, value in claims.items() if name != claim}
    good = sign(header, claims)
    first, second, third = good.split(".")
    tokens = {
        "none": f"{text({**header, 'alg': 'none'}).decode()}.{second}.",
        "none, signed": sign({**header, "alg": "none"}, claims),
        "RS256": sign({**header, "alg": "RS256"}, claims),
        "HS512": sign({**header, "alg": "HS512"}, claims),
        "other key": sign(header, claims, bytes(reversed(key))),
        "kid as key": sign(header, claims, header["kid"].encode()),
        "kid a path": sign({**header, "kid": "../../dev/null"}, claims, b""),
        "jwk": sign({**header, "jwk": {"kty": "oct", "k": "AAAA"}}, claims),
        "jku": sign({**header, "jku": "https://example.org/keys"}, claims),
        "no signature": f"{first}.{second}.",
        "other payload": f"{first}.{text({**claims, 'sub': 'root'}).decode()}.{third}",
        "four parts": good + ".x",
        "many dots": "." * 4000,
        "not base64": "a.b!.c",
        "nbf a string": sign(header, {**claims, "nbf": str(now)}),
        "exp a string": sign(header, {**claims, "exp": str(now + 3600)}),
        "exp past": sign(header, {**claims, "iat": now - 7200, "nbf": now - 7200, "exp": now - 3600}),
        "nbf future": sign(header, {**claims, "nbf": now + 600}),
        "other app": sign(header, {**claims, "iss": "tavern-api", "aud": "tavern-api"}),
        "3.9 kB": sign(header, {**claims, "x": "a" * 2500}, bytes(reversed(key))),
        "oversized": sign(header, {**claims, "x": "a" * 4000}),
    }
    tokens.update({f"no {claim}": sign(header, without(claim)) for claim in ("exp", "nbf", "iss", "aud", "sub")})
    return tokens


def refused(path, times):
    """Milliseconds from request to answer on the service's own socket, for each forged token; all must be 401."""
    took = {}
    connection = Unix(path)
    for what, token in forged().items():
        headers = {"Authorization": f"Bearer {token}"}
        for _ in range(times):
            began = time.perf_counter()
            connection.request("GET", "/flask/api/count", headers=headers)
            answer = connection.getresponse()
            answer.read()
            took.setdefault(what, []).append((time.perf_counter() - began) * 1000)
            if answer.status != 401:
                sys.exit(f"error: a forged token ({what}) was answered {answer.status}")
    connection.close()
    return took


def verdicts(median, started, restarted, refusals):
    tavern, flask, limit = (lambda w, c=32, n=n: median[(w, c, n)] for n in SERVICES)
    most = max(one["memory"] for (what, _, name), one in median.items() if name == "tavern" and what != "login")
    checks = [
        ("ping, times Flask", tavern("ping")["rate"] / flask("ping")["rate"], ">=", 8),
        ("ping, of the limit", tavern("ping")["rate"] / limit("ping")["rate"], ">=", 0.85),
        ("count, times Flask", tavern("count")["rate"] / flask("count")["rate"], ">=", 10),
        ("count, of the limit", tavern("count")["rate"] / limit("count")["rate"], ">=", 0.7),
        ("ping p99, of Flask's", tavern("ping")["p99"] / flask("ping")["p99"], "<", 0.25),
        ("count p99, of Flask's", tavern("count")["p99"] / flask("count")["p99"], "<", 0.25),
        ("MiB under ping and count", most, "<=", 20),
        ("ms from start to first answer", started["tavern"], "<=", 50),
        ("failed over the restarts", restarted["tavern"]["failed"], "<=", 0),
        ("requests over the restarts", restarted["tavern"]["requests"], ">=", 100_000),
        ("restarts under load", restarted["tavern"]["restarts"], ">=", 20),
        ("longest wait over the restarts, ms", restarted["tavern"]["max"], "<=", 250),
        ("ms to refuse a forged token, p99", refusals, "<", 1),
    ]
    compare = {">=": lambda a, b: a >= b, "<=": lambda a, b: a <= b, "<": lambda a, b: a < b}
    return [(name, value, sign, bound, compare[sign](value, bound)) for name, value, sign, bound in checks]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--quick", action="store_true", help="one short round: shows that it works, measures little")
    arguments.add_argument("--rounds", type=int, default=7, help="pairs of which the median is taken (7)")
    arguments.add_argument("--connections", type=int, nargs="+", default=CONNECTIONS, help="(1 32 256); 32 is what is judged")
    arguments.add_argument("--tavernctl", required=True)
    arguments.add_argument("--venv", required=True)
    arguments = arguments.parse_args()
    rounds, seconds, load = (1, 1, 22) if arguments.quick else (arguments.rounds, 5, 60)
    work = tempfile.mkdtemp(prefix="tavern-bench-")
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        prepare(work)
        tavern, flask = Tavern(work, arguments.tavernctl), Flask(work, arguments.venv)
        limit = Nginx(work, "limit", COMMON.format(inner=LIMIT.format(socket=f"{work}/limit.sock")))
        limit.path = f"{work}/limit.sock"
        sockets = {"tavern": tavern.path, "flask": flask.path, "limit": limit.path}
        inner = FORMAT + "".join(FRONT.format(name=n, socket=s, port=SERVICES[n], work=work) for n, s in sockets.items())
        front = Nginx(work, "front", COMMON.format(inner=inner))
        redis = redis_server(work)
        # Redis would save first; there is nothing worth it
        stop = [redis.wait, redis.kill, front.stop, limit.stop, flask.stop, tavern.stop]
        while not os.path.exists(f"{work}/redis.sock"):
            time.sleep(0.01)
        groups, started = {}, {}
        for name, service in (("limit", limit), ("flask", flask), ("tavern", tavern)):
            groups[name], started[name] = first_answer(service)
        front.start()
        time.sleep(0.5)
        times = []
        for _ in range(3 if arguments.quick else 20):
            tavern.stop()
            groups["tavern"], took = first_answer(tavern)
            times.append(took)
        started["tavern"] = statistics.median(times)
        tokens = {"tavern": token_of(tavern), "flask": token_of(flask)}
        tokens["limit"] = tokens["tavern"]

        print(HEAD)
        results = measure(groups, tokens, rounds, seconds, arguments.connections)
        median = medians(results)
        print(f"\nmedians of {rounds}, {seconds} s each, {os.cpu_count()} processors\n{HEAD}")
        for (what, connections, name), result in median.items():
            print(row(what, connections, name, result))

        print(f"\n20 restarts, 32 connections, ping, count and login in turn, {load} s")
        restarted = {}
        for name, service in (("tavern", tavern), ("flask", flask)):
            one = restarts(service, SERVICES[name], tokens[name], 20, load)
            one["failed"] = one["not_2xx"] + one["broken"]
            restarted[name] = one
            print(f"{name:8} {one['restarts']} restarts: {one['failed']} failed of {one['requests']}, longest wait {one['max']:.0f} ms")
        print(f"\nstart to first answer: tavern {started['tavern']:.0f} ms, flask {started['flask']:.0f} ms\n")
        took = refused(tavern.path, 50 if arguments.quick else 300)
        for what, all_ in took.items():
            print(f"refused  {what:16} p50 {statistics.median(all_):6.3f} ms, longest {max(all_):6.3f} ms")
        every = sorted(one for all_ in took.values() for one in all_)
        print()
        judged = verdicts(median, started, restarted, every[len(every) * 99 // 100])
        for name, value, sign, bound, holds in judged:
            print(f"{'holds ' if holds else 'MISSED'}  {name:36} {value:10.2f}  ({sign} {bound})")
        return 0 if all(holds for *_, holds in judged) else 2
    finally:
        for end in reversed(stop):
            end()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
