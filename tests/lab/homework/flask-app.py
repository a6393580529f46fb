"""The app of a host that was set up by hand: what the seed's Flask app answers, with Python's own library."""
import json
import os
import socket
import socketserver
from http.server import BaseHTTPRequestHandler

SOCKET = "/run/gunicorn/flask.sock"
TOKEN = "made-by-hand"


def redis(*words):
    with socket.create_connection(("localhost", 6379), timeout=5) as link:
        request = f"*{len(words)}\r\n" + "".join(f"${len(w)}\r\n{w}\r\n" for w in words)
        link.sendall(request.encode())
        reply = link.makefile().readline().strip()
    if not reply.startswith((":", "+")):
        raise OSError(reply)
    return reply[1:]


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        if self.path == "/api/ping":
            return self.answer(200, {"status": "ok"})
        if self.path != "/api/count":
            return self.answer(404, {"error": "not found"})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, {"error": "token"})
        return self.answer(200, {"visits": int(redis("INCR", "visits"))})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        good = self.path == "/auth/login" and body == {"username": "admin", "password": "password"}
        return self.answer(*((200, {"token": TOKEN}) if good else (401, {"error": "login"})))

    def address_string(self):
        return "nginx"


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


# Like an app that connects as it starts: without its Redis it does not come up.
redis("PING")
os.umask(0o007)
if os.path.exists(SOCKET):
    os.unlink(SOCKET)
Server(SOCKET, Handler).serve_forever()
