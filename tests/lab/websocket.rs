//! A WebSocket through the real nginx: with `websocket = true`, and not without.

use std::time::Duration;

use crate::site::{edit, reload_nginx, wait_until_healthy};
use crate::support::lab::Host;

const SITE: &str = "/etc/nginx/sites-available/tavern-counter.conf";
const APP: &str = "app = \"counter\"";

/// Answers the handshake where one arrives, and sends back what it is sent.
const ECHO: &str = r#"
import base64, hashlib, os, socket, struct
path = '/run/tavern/lab-websocket.sock'
s = socket.socket(socket.AF_UNIX); s.bind(path); os.chmod(path, 0o666); s.listen(8)
def exactly(c, n):
    data = b''
    while len(data) < n:
        part = c.recv(n - len(data))
        if not part: raise EOFError
        data += part
    return data
while True:
    c, _ = s.accept()
    try:
        head = b''
        while b'\r\n\r\n' not in head: head += c.recv(1)
        fields = dict(l.lower().split(': ', 1) for l in head.decode().split('\r\n') if ': ' in l)
        if (fields.get('upgrade'), fields.get('connection')) != ('websocket', 'upgrade'):
            c.sendall(b'HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n'); continue
        key = [l for l in head.decode().split('\r\n') if l.lower().startswith('sec-websocket-key: ')][0].split(': ')[1]
        accept = base64.b64encode(hashlib.sha1((key + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').encode()).digest())
        c.sendall(b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
                  b'Sec-WebSocket-Accept: ' + accept + b'\r\n\r\n')
        while True:
            first, length = exactly(c, 2)
            mask, data = exactly(c, 4), exactly(c, length & 127)
            c.sendall(struct.pack('BB', first, len(data)) + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))
    except EOFError: pass
    finally: c.close()
"#;

/// Prints the status, then each echo. The key and its answer are RFC 6455's own example.
const CLIENT: &str = r#"
import socket, ssl, time
context = ssl._create_unverified_context()
c = context.wrap_socket(socket.create_connection(('127.0.0.1', 443)), server_hostname='localhost')
c.settimeout(10)
c.sendall(b'GET /flask/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
          b'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
head = b''
while b'\r\n\r\n' not in head: head += c.recv(1)
lines = head.decode().split('\r\n')
print(lines[0].split(' ')[1])
if lines[0].split(' ')[1] == '101':
    print([l for l in lines if l.lower().startswith('sec-websocket-accept: ')][0].split(': ')[1])
    for text in (b'first', b'after a pause'):
        c.sendall(bytes([0x81, 0x80 | len(text)]) + b'\1\2\3\4' + bytes(b ^ (i % 4 + 1) for i, b in enumerate(text)))
        head = c.recv(2)
        data = b''
        while len(data) < head[1]: data += c.recv(head[1] - len(data))
        print(data.decode())
        time.sleep(1)
"#;

pub fn goes_through(host: &Host) {
    host.write("/root/ws-echo.py", ECHO, 0o644);
    host.write("/root/ws-client.py", CLIENT, 0o644);
    host.ok("systemd-run --quiet --unit=lab-websocket python3 /root/ws-echo.py");
    host.wait("the echo", Duration::from_secs(10), || {
        let there = host.sh("test -S /run/tavern/lab-websocket.sock");
        there.success().then_some(()).ok_or(there.to_string())
    });
    // Our configuration with another app behind it.
    let asked = || {
        host.ok(&format!(
            "sed -i 's,unix:/run/tavern/counter.sock,unix:/run/tavern/lab-websocket.sock,' {SITE}"
        ));
        reload_nginx(host);
        host.ok("python3 /root/ws-client.py")
    };
    assert_eq!(asked(), "426\n", "nobody asked for WebSockets");
    edit(host, APP, &format!("{APP}\nwebsocket = true"));
    host.ok("tavernctl install --yes");
    assert_eq!(
        asked(),
        "101\ns3pPLMBiTxaQ9kYGzzhZRbK+xOo=\nfirst\nafter a pause\n"
    );
    host.ok("systemctl stop lab-websocket && rm /run/tavern/lab-websocket.sock /root/ws-echo.py /root/ws-client.py");
    edit(host, "\nwebsocket = true", "");
    host.ok("tavernctl install --yes");
    wait_until_healthy(host, "the app behind its site again");
}
