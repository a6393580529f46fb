#!/usr/bin/env python3
"""ari.py: the directory of the authority on port 14000, with renewal information (RFC 9773) beside it, on port 14001.

The window is the next hour if /root/ari-now is there, else it begins in five days. What was asked for is printed."""
import datetime, http.server, json, os, ssl, urllib.request

trusted = ssl.create_default_context(cafile="/root/ca/ca.pem")
# The lab's root is a plain one.
trusted.verify_flags &= ~ssl.VERIFY_X509_STRICT


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/dir":
            with urllib.request.urlopen("https://localhost:14000/dir", context=trusted) as asked:
                said = json.load(asked)
            said["renewalInfo"] = "https://localhost:14001/renewal-info"
        else:
            print(self.path, flush=True)
            begin = datetime.datetime.now(datetime.timezone.utc)
            begin += datetime.timedelta(minutes=-60) if os.path.exists("/root/ari-now") else datetime.timedelta(days=5)
            end = begin + datetime.timedelta(minutes=59)
            said = {"suggestedWindow": {"start": begin.strftime("%Y-%m-%dT%H:%M:%SZ"), "end": end.strftime("%Y-%m-%dT%H:%M:%SZ")}}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "21600")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 14001), Answers)
ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
ours.load_cert_chain("/root/ca/tls.pem", "/root/ca/tls.key")
server.socket = ours.wrap_socket(server.socket, server_side=True)
server.serve_forever()
