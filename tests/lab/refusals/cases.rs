//! The table of bad inputs.

use super::{BINARY, stack_files};

/// What may differ after a command was refused.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trace {
    /// Nothing, not even a time.
    Untouched,
    /// A run had begun and was taken back.
    Undone,
}

pub(super) struct Case {
    pub(super) name: &'static str,
    /// A stack file to begin with.
    pub(super) stack: Option<String>,
    /// Makes the cause.
    pub(super) cause: &'static str,
    pub(super) command: String,
    pub(super) trace: Trace,
    /// Words owed in the error and in the help.
    pub(super) error: &'static [&'static str],
    pub(super) help: &'static [&'static str],
    /// Takes the cause away.
    pub(super) cure: &'static str,
}

pub(super) type Words = &'static [&'static str];

pub(super) fn case(
    name: &'static str,
    cause: &'static str,
    cure: &'static str,
    error: Words,
    help: Words,
) -> Case {
    Case {
        name,
        stack: None,
        cause,
        command: format!("{BINARY} install --yes"),
        trace: Trace::Untouched,
        error,
        help,
        cure,
    }
}

impl Case {
    fn undone(mut self) -> Self {
        self.trace = Trace::Undone;
        self
    }

    pub(super) fn command(mut self, command: &str) -> Self {
        self.command = command.to_owned();
        self
    }
}

/// On a prepared host whose Docker has no image.
pub(super) fn without_image() -> Vec<Case> {
    let mut cases = stack_files::cases();
    cases.extend(hosts());
    cases.extend(full_disks());
    cases.extend(pulls());
    cases
}

fn hosts() -> Vec<Case> {
    vec![
        case(
            "not root",
            "install -m 755 /root/tavernctl /tmp/tavernctl",
            "rm /tmp/tavernctl",
            &["needs root"],
            &["sudo tavernctl install", "tavernctl up"],
        )
        .command("setpriv --reuid=65534 --regid=65534 --clear-groups /tmp/tavernctl install --yes"),
        case(
            "nobody to ask",
            ":",
            ":",
            &["standard input is no terminal"],
            &["--yes"],
        )
        .command(&format!("{BINARY} install")),
        case(
            "port 443 taken",
            "setsid python3 -c 'import socket, time; s = socket.create_server((\"\", 443)); time.sleep(600)' >/dev/null 2>&1 & \
             echo $! >/root/pid; until ss -ltn | grep -q ':443 '; do sleep 0.1; done",
            "kill $(cat /root/pid)",
            &["port 443 is taken by python3 (process "],
            &["stop and disable"],
        ),
        case(
            "port 443 taken on one address",
            "setsid python3 -c 'import socket, time; s = socket.create_server((\"127.0.0.2\", 443)); time.sleep(600)' >/dev/null 2>&1 & \
             echo $! >/root/pid; until ss -ltn | grep -q ':443 '; do sleep 0.1; done",
            "kill $(cat /root/pid)",
            &["port 443 is taken by python3 (process "],
            &["stop and disable"],
        ),
        case(
            "port 443 taken by another nginx",
            "printf 'pid /root/own.pid; error_log /dev/null; events {} http { access_log off; server { listen 443; } }' \
             >/root/own.conf; nginx -c /root/own.conf",
            "pid=$(cat /root/own.pid); kill $pid; while kill -0 $pid; do sleep 0.1; done 2>/dev/null; rm -f /root/own.*",
            &["port 443 is taken by nginx (process "],
            &["not nginx.service's", "docker ps"],
        ),
        case(
            "an nginx that reads no sites",
            "cp -a /etc/nginx/nginx.conf /root/nginx.conf; sed -i 's/^\\(\\s*include .*sites-enabled\\)/#\\1/' /etc/nginx/nginx.conf",
            "mv /root/nginx.conf /etc/nginx/nginx.conf",
            &["/etc/nginx/nginx.conf does not include /etc/nginx/sites-enabled/*"],
            &["add `include /etc/nginx/sites-enabled/*;` inside `http { }`"],
        ),
        case(
            "nginx.org's nginx.conf, and a user of its own",
            "cp -a /etc/nginx/nginx.conf /root/nginx.conf; \
             printf 'user daemon;\\npid /run/nginx.pid;\\nevents {}\\nhttp {\\n    server { listen 8099; }\\n}\\n' >/etc/nginx/nginx.conf",
            "mv /root/nginx.conf /etc/nginx/nginx.conf",
            &[
                "/etc/nginx/nginx.conf does not include /etc/nginx/conf.d/*.conf",
                "/etc/nginx/nginx.conf has nginx work as `daemon`",
            ],
            &["include /etc/nginx/conf.d/*.conf;", "`user www-data;`"],
        ),
        case(
            "nginx broken already",
            "printf 'server {\\n    listen 8081;\\n    proxxy_pass x;\\n}\\n' >/etc/nginx/conf.d/mine.conf",
            "rm /etc/nginx/conf.d/mine.conf",
            &["unknown directive \"proxxy_pass\" in /etc/nginx/conf.d/mine.conf:3"],
            &["nginx -t"],
        ),
        case(
            "nginx masked",
            "systemctl mask nginx.service",
            "systemctl unmask nginx.service",
            &["nginx.service is masked"],
            &["systemctl unmask nginx"],
        ),
        case(
            "Docker masked",
            "systemctl mask --now docker.socket docker.service",
            "systemctl unmask docker.socket docker.service; systemctl start docker.service",
            &["/var/run/docker.sock: Connection refused"],
            &["systemctl status docker", "systemctl unmask"],
        ),
        case(
            "Docker's socket gone",
            "systemctl stop docker.socket docker.service; rm -f /run/docker.sock",
            "systemctl start docker.socket docker.service",
            &["/var/run/docker.sock: No such file"],
            &["systemctl start docker"],
        ),
        case(
            "Docker hangs",
            "systemctl stop docker.socket docker.service; rm -f /run/docker.sock; \
             setsid python3 -c 'import socket, time; s = socket.socket(socket.AF_UNIX); s.bind(\"/run/docker.sock\"); s.listen(); time.sleep(600)' \
             >/dev/null 2>&1 & echo $! >/root/pid; until [ -S /run/docker.sock ]; do sleep 0.1; done",
            "kill $(cat /root/pid); rm -f /run/docker.sock; systemctl start docker.socket docker.service",
            &["does not answer"],
            &["systemctl restart docker"],
        ),
        case(
            "a foreign file in our place",
            "echo mine >/etc/tmpfiles.d/tavern.conf",
            "rm /etc/tmpfiles.d/tavern.conf",
            &[
                "somebody else's",
                "/etc/tmpfiles.d/tavern.conf",
                "Tavern did not write",
            ],
            &["--adopt"],
        ),
        case(
            "a link in our place",
            "ln -s /etc/shadow /etc/systemd/system/tavern-counter.socket",
            "rm /etc/systemd/system/tavern-counter.socket",
            &[
                "in the way",
                "/etc/systemd/system/tavern-counter.socket: a link",
            ],
            &["by hand"],
        ),
        case(
            "a link for our directory",
            "ln -s /root /etc/tavern",
            "rm /etc/tavern",
            &["in the way", "directory:/etc/tavern: a link"],
            &["by hand"],
        ),
        case(
            "a masked unit",
            "systemctl mask tavern-counter.service",
            "systemctl unmask tavern-counter.service",
            &["unit:tavern-counter.service: masked"],
            &["by hand"],
        ),
        case(
            "a default server of somebody else's",
            "printf 'server { listen 80 default_server; return 204; }\\n' >/etc/nginx/conf.d/mine.conf; \
             mv /etc/nginx/sites-enabled/default /root/default",
            "rm /etc/nginx/conf.d/mine.conf; mv /root/default /etc/nginx/sites-enabled/default",
            &["/etc/nginx/conf.d/mine.conf", "default server on port 80"],
            &["--adopt"],
        ),
        case(
            "dpkg in the middle of something",
            "cp -a /var/lib/dpkg/status /root/status; \
             sed -i '/^Package: logrotate$/,/^$/s/^Status: .*/Status: deinstall ok config-files/; \
                     /^Package: ufw$/,/^$/s/^Status: .*/Status: install ok half-configured/' /var/lib/dpkg/status",
            "mv /root/status /var/lib/dpkg/status",
            &[
                "`logrotate` must be installed",
                "dpkg has not finished with ufw",
            ],
            &["dpkg --configure -a"],
        ),
        case(
            "another distribution",
            "cp -a --remove-destination /etc/os-release /root/os-release; rm /etc/os-release; \
             printf 'ID=fedora\\nPRETTY_NAME=\"Fedora Linux 43\"\\n' >/etc/os-release",
            "rm /etc/os-release; cp -a --remove-destination /root/os-release /etc/os-release",
            &["this host is Fedora Linux 43"],
            &["Debian 12, Ubuntu 22.04"],
        ),
        case(
            "a package on hold",
            "cp -a /var/lib/dpkg/status /root/status; \
             sed -i '/^Package: logrotate$/,/^$/s/^Status: .*/Status: hold ok config-files/' /var/lib/dpkg/status",
            "mv /root/status /var/lib/dpkg/status",
            &["`logrotate` is not installed", "hold"],
            &["apt-mark unhold logrotate"],
        ),
        case(
            "a link for a credential",
            "mkdir -p -m 700 /etc/tavern/credentials/counter; ln -s /root/leak /etc/tavern/credentials/counter/jwt-key",
            "rm /etc/tavern/credentials/counter/jwt-key; rmdir /etc/tavern/credentials/counter /etc/tavern/credentials /etc/tavern",
            &[
                "credential:/etc/tavern/credentials/counter/jwt-key",
                "no file is in its place",
            ],
            &["by hand"],
        ),
        case(
            "a damaged receipt",
            "mkdir -m 700 /var/lib/tavern; echo '{' >/var/lib/tavern/receipt.json",
            "rm -r /var/lib/tavern",
            &["/var/lib/tavern/receipt.json"],
            &["sudo tavernctl recover"],
        ),
        case(
            "a receipt of a later tavernctl",
            "mkdir -m 700 /var/lib/tavern; echo '{\"version\": 999}' >/var/lib/tavern/receipt.json",
            "rm -r /var/lib/tavern",
            &["/var/lib/tavern/receipt.json is of version 999"],
            &["a newer tavernctl"],
        ),
    ]
}

fn full_disks() -> Vec<Case> {
    vec![
        case(
            "the file system of /etc is read-only",
            "mount --bind /etc /etc && mount -o remount,ro,bind /etc",
            "umount /etc",
            &["/etc is on a file system that is mounted read-only"],
            &["remount,rw"],
        ),
        case(
            "no room for our state",
            "mkdir -m 700 /var/lib/tavern && mount -t tmpfs -o size=1m,mode=700 none /var/lib/tavern",
            "umount /var/lib/tavern; rmdir /var/lib/tavern",
            &["/var/lib/tavern has 1 MB left and needs 20 MB"],
            &["df -h"],
        ),
        case(
            "no room for pages",
            "mkdir /root/www && mv /var/www/* /root/www && mount -t tmpfs -o size=1m,mode=755 none /var/www && cp -a /root/www/* /var/www",
            "umount /var/www; mv /root/www/* /var/www; rmdir /root/www",
            &["/var/www has 1 MB left and needs 5 MB"],
            &["df -h"],
        ),
        // Preflight cannot see these two coming: the step meets ENOSPC.
        case(
            "the disk fills up while pages are written",
            "mkdir /var/www/counter && mount -t tmpfs -o size=16k,mode=755 none /var/www/counter",
            "umount /var/www/counter; rmdir /var/www/counter",
            &["/var/www/counter/main/", "No space left on device"],
            &["df -h", "undone"],
        )
        .undone(),
        case(
            "the disk fills up under our own records",
            ":",
            ":",
            &["/var/lib/tavern/journal.jsonl", "No space left on device"],
            &["df -h", "undone"],
        )
        .command(&format!(
            "strace -f -qq -o /dev/null -P /var/lib/tavern/journal.jsonl -e inject=fdatasync:error=ENOSPC:when=9+ \
             {BINARY} install --yes"
        ))
        .undone(),
    ]
}

fn pulls() -> Vec<Case> {
    vec![
        case(
            "no image, no name server",
            "cp /etc/resolv.conf /root/resolv.conf; echo nameserver 127.0.0.1 >/etc/resolv.conf; systemctl restart docker",
            "cat /root/resolv.conf >/etc/resolv.conf; systemctl restart docker",
            &["cannot pull redis:7-alpine", "lookup "],
            &["docker load", "undone"],
        )
        .undone(),
        // A proxy in the network for documentation (RFC 5737), and no packet leaves the host.
        case(
            "no image, a network that swallows every packet",
            "iptables -I OUTPUT -d 198.51.100.0/24 -j DROP; mkdir -p /etc/systemd/system/docker.service.d; \
             printf '[Service]\\nEnvironment=HTTPS_PROXY=http://198.51.100.1:3128\\n' \
                 >/etc/systemd/system/docker.service.d/proxy.conf; \
             systemctl daemon-reload; systemctl restart docker",
            "iptables -D OUTPUT -d 198.51.100.0/24 -j DROP; rm /etc/systemd/system/docker.service.d/proxy.conf; \
             rmdir --ignore-fail-on-non-empty /etc/systemd/system/docker.service.d; \
             systemctl daemon-reload; systemctl restart docker",
            &["cannot pull redis:7-alpine", "imeout"],
            &["docker load", "undone"],
        )
        .undone(),
    ]
}

/// On a host that has the image: these fail late, or look at what Docker has.
pub(super) fn with_image() -> Vec<Case> {
    vec![
        case(
            "a name of ours in somebody else's configuration",
            "printf 'log_format tavern \"$remote_addr\";\\n' >/etc/nginx/conf.d/aaa.conf",
            "rm /etc/nginx/conf.d/aaa.conf",
            &["nginx:sites", "duplicate"],
            &["undone"],
        )
        .undone(),
        case(
            "a foreign container of our name",
            "docker create --name redis-flask redis:7-alpine",
            "docker rm -v redis-flask",
            &["container:redis-flask"],
            &["--adopt"],
        ),
        case(
            "a foreign volume of our name",
            "docker volume create redis-flask-data",
            "docker volume rm redis-flask-data",
            &["volume:redis-flask-data"],
            &["--adopt"],
        ),
        case(
            "a drop-in that keeps the app from starting",
            "mkdir -p /etc/systemd/system/tavern-counter.service.d; \
             printf '[Service]\\nExecStartPre=/bin/false\\n' >/etc/systemd/system/tavern-counter.service.d/mine.conf",
            "rm -r /etc/systemd/system/tavern-counter.service.d; systemctl daemon-reload",
            &["unit:tavern-counter.service: `systemctl restart tavern-counter.service` failed"],
            &["journalctl -u tavern-counter.service", "undone"],
        )
        .undone(),
        case(
            "the disk is full when nginx's turn comes",
            "mount -t tmpfs -o size=4k,mode=755 none /etc/nginx/conf.d; head -c 4k /dev/zero >/etc/nginx/conf.d/fill",
            "umount /etc/nginx/conf.d",
            &["nginx:sites", "/etc/nginx/conf.d/", "No space left on device"],
            &["df -h", "undone"],
        )
        .undone(),
    ]
}

type Edit = (&'static str, fn(&str) -> String, Trace, Words, Words);

/// Changes to the stack file of an installed host.
pub(super) fn edits() -> Vec<Edit> {
    vec![
        (
            "installed: a broken edit",
            |text| text.replacen("[firewall]", "[firewall", 1),
            Trace::Untouched,
            &["counter.toml:49:10"],
            &["correct that place"],
        ),
        (
            "installed: an emptied file",
            |_| String::new(),
            Trace::Untouched,
            &["counter.toml", "empty"],
            &[],
        ),
        (
            "installed: an image that no registry has",
            |text| text.replacen("redis:7-alpine", "127.0.0.1:5/redis:8", 1),
            Trace::Undone,
            &["cannot pull 127.0.0.1:5/redis:8", "connection refused"],
            &["undone"],
        ),
    ]
}
