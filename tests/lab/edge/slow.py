#!/usr/bin/env python3
"""slow.py ADDRESS headers|body: holds 40 connections of an unfinished request, until the server ends them all.

Prints how many were held, how the site answered others meanwhile, and for how many seconds the last one lived."""
import socket, ssl, sys, time

address, what = sys.argv[1:]
context = ssl._create_unverified_context()


def connect():
    return context.wrap_socket(socket.create_connection((address, 443), 10))


def ask():
    with connect() as one:
        one.sendall(b"GET /open/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return int(one.recv(64).split()[1])


held = [connect() for _ in range(40)]
for one in held:
    one.sendall(b"GET /open/ HTTP/1.1\r\nHost: localhost\r\nX-Slow: a" if what == "headers" else
                b"POST /flask/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: 1000\r\n\r\n{")
began, others = time.time(), set()
left = list(held)
while left and time.time() - began < 40:
    others.add(ask())
    for one in list(left):
        one.settimeout(0.02)
        try:
            if not one.recv(4096):
                left.remove(one)
        except TimeoutError:
            pass
        except OSError:
            left.remove(one)
print(len(held), sorted(others), len(left), int(time.time() - began))
