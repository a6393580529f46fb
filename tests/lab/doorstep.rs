//! A changed firewall is tried with new connections from outside, over IPv4 and IPv6; what is established survives any
//! rule and proves nothing.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::site::{exits, host_with_binary};
use crate::support::lab::{Host, Image, redis_image_tar};

const INSTALL: &str = "/root/tavernctl install --yes";
const SETTLED: &str = "Nothing to change.";
const SSH: u16 = 2222;

/// What looks like sshd and keeps its connections: a listener of that name, which says back each line.
fn start_sshd(host: &Host) {
    let script = format!(
        "$SIG{{CHLD}} = 'IGNORE';\n\
         $s = IO::Socket::INET->new(Listen => 5, LocalAddr => '0.0.0.0:{SSH}', ReuseAddr => 1) or die $!;\n\
         while (1) {{ $c = $s->accept or next; if (!fork) {{ $c->autoflush(1); print $c $_ while <$c>; exit }} close $c }}\n"
    );
    host.write("/root/echo.pl", &script, 0o644);
    host.ok("cp /usr/bin/perl /root/sshd && \
             systemd-run --quiet --collect --unit=lab-sshd /root/sshd -MIO::Socket::INET /root/echo.pl");
    host.wait("sshd", Duration::from_secs(20), || {
        let listeners = host.ok("ss -Hltnp");
        let is_there = listeners.contains("\"sshd\"");
        is_there.then_some(()).ok_or(listeners)
    });
}

/// Somebody who is logged in.
struct Session(BufReader<TcpStream>);

impl Session {
    fn new(host: &Host) -> Self {
        let stream = TcpStream::connect((host.ip(), SSH)).expect("a way in");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a limit");
        Self(BufReader::new(stream))
    }

    #[track_caller]
    fn answers(&mut self) {
        let mut line = String::new();
        self.0
            .get_mut()
            .write_all(b"still there\n")
            .expect("it is sent");
        self.0.read_line(&mut line).expect("an answer");
        assert_eq!(line, "still there\n");
    }
}

fn rules(host: &Host) -> String {
    host.ok("ufw show added | grep '^ufw' | sort")
}

fn no_link_is_left(host: &Host) {
    let links = host.ok("ip -o link; ip netns list");
    assert!(!links.contains("tavern-"), "{links}");
}

/// An install that has to open port 443 fails with `said`, and is undone.
#[track_caller]
fn refused(host: &Host, said: &str) {
    let before = rules(host);
    let files = files_of(host);
    let output = host.sh(INSTALL);
    exits(&output, 1);
    assert!(
        output
            .stderr
            .contains("error: firewall: a new connection does not get in")
            && output.stderr.contains(said)
            && output.stderr.contains("everything this run did was undone"),
        "{output}"
    );
    assert_eq!(rules(host), before);
    no_link_is_left(host);
    crate::site::same(&files, &files_of(host));
}

/// All files but ufw's, which it writes again, and the state's folder, where the journal came and went.
fn files_of(host: &Host) -> String {
    let all = crate::site::manifest(host);
    let others = all.lines().filter(|line| {
        let ufws = line.starts_with("/etc/ufw") || line.starts_with("/etc d");
        !ufws && !line.starts_with("/var/lib/tavern")
    });
    let receipt = host.read("/var/lib/tavern/receipt.json");
    others.collect::<Vec<_>>().join("\n") + "\n" + &receipt
}

fn settles(host: &Host) {
    let output = host.sh(INSTALL);
    exits(&output, 0);
    assert!(!output.stderr.contains("note:"), "{output}");
    assert_eq!(host.ok(INSTALL).trim(), SETTLED);
    no_link_is_left(host);
}

#[test]
#[ignore = "the same on the other Debian: tests/full"]
fn debian_12_proves_its_firewall() {
    proves_its_firewall(Image::BookwormPrepared, "doorstep12");
}

#[test]
fn debian_13_proves_its_firewall() {
    proves_its_firewall(Image::TrixiePrepared, "doorstep13");
}

fn proves_its_firewall(image: Image, name: &str) {
    let host = host_with_binary(image, name);
    host.load_image(&redis_image_tar());
    host.ok("ufw --force enable");
    start_sshd(&host);
    settles(&host);
    let mut session = Session::new(&host);
    session.answers();
    let close = "ufw --force delete allow 443/tcp";

    // Ahead of ufw's own rules, as an operator would in a hurry.
    for (rule, said) in [
        (
            "iptables -X INPUT -p tcp --dport 443 -j DROP",
            "443/tcp over IPv4 is dropped",
        ),
        (
            "iptables -X INPUT -p tcp --dport 443 -j REJECT --reject-with tcp-reset",
            "443/tcp over IPv4 is rejected",
        ),
        (
            "iptables -X INPUT -p tcp --dport 443 -j REJECT",
            "443/tcp over IPv4 is rejected",
        ),
        (
            "ip6tables -X INPUT -p tcp --dport 443 -j DROP",
            "443/tcp over IPv6 is dropped",
        ),
        (
            "ip6tables -X INPUT -p tcp --dport 443 -j REJECT",
            "443/tcp over IPv6 is rejected",
        ),
        // The way in counts too, and whoever is in notices nothing.
        (
            "iptables -X INPUT -p tcp --dport 2222 -m conntrack --ctstate NEW -j DROP",
            "2222/tcp over IPv4 is dropped",
        ),
    ] {
        host.ok(close);
        host.ok(&rule.replace("-X", "-I"));
        refused(&host, said);
        session.answers();
        host.ok(&rule.replace("-X", "-D"));
        settles(&host);
    }

    // In a file of ufw's, which its next start reads.
    host.ok("cp -p /etc/ufw/before.rules /root/before.rules && \
             sed -i '/^COMMIT/i -A ufw-before-input -p tcp --dport 443 -j DROP' /etc/ufw/before.rules && ufw reload");
    host.ok(close);
    refused(&host, "443/tcp over IPv4 is dropped");
    session.answers();
    host.ok("cp -p /root/before.rules /etc/ufw/before.rules && ufw reload");
    settles(&host);

    // Nobody listens there: a rule is proven all the same.
    host.ok(&format!("{close} && systemctl stop nginx"));
    settles(&host);

    // Killed while it waits for an answer that does not come: the kernel takes all of it back.
    host.ok(&format!(
        "{close} && iptables -I INPUT -p tcp --dport 443 -j DROP"
    ));
    host.ok("timeout -s KILL 60 bash -c '/root/tavernctl install --yes & \
             while ! ip link show tavern-door; do sleep 0.02; done; kill -KILL $!; wait $!; true' >/dev/null 2>&1");
    host.wait("the link to be gone", Duration::from_secs(20), || {
        let links = host.ok("ip -o link");
        (!links.contains("tavern-")).then_some(()).ok_or(links)
    });
    host.ok("iptables -D INPUT -p tcp --dport 443 -j DROP");
    host.ok(INSTALL);

    // A link that bears our name is in nobody's way.
    host.ok(&format!(
        "{close} && ip link add tavern-door type veth peer name tavern-caller"
    ));
    settles(&host);

    // Where no namespace can be had, that is said, and no more.
    host.ok(&format!(
        "{close} && mv $(readlink -f /usr/sbin/ip) /root/ip"
    ));
    let output = host.sh(INSTALL);
    host.ok("install -m 755 /root/ip $(readlink -m /usr/sbin/ip)");
    exits(&output, 0);
    assert!(
        output.stderr.contains(
            "note: not tried whether the firewall lets new connections in: cannot run ip"
        ),
        "{output}"
    );
    session.answers();
}
