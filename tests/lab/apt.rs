//! apt on a host whose first boot is not over yet, and one that has no mirror.

use std::time::{Duration, Instant};

use crate::site::{exits, host_with_binary};
use crate::support::lab::{Host, Image, registry};

/// How long the two locks are held. apt waits for dpkg's lock itself, and for that of the lists not.
const LISTS: Duration = Duration::from_secs(8);
const DPKG: Duration = Duration::from_secs(25);

/// What `apt-daily` does, as far as another apt can see: `fcntl` locks. (A bare host has no Python.)
const HOLD: &str = r#"
use Fcntl;
my ($seconds, $path) = @ARGV;
open(my $file, ">>", $path) or die "$path: $!";
my $lock = pack("s s x4 q q i x4", F_WRLCK, 0, 0, 0, 0);
fcntl($file, F_SETLK, $lock) or die "$path: $!";
open(my $mark, ">", "$path.held") or die $!;
close($mark);
sleep $seconds;
unlink "$path.held";
"#;

fn hold(host: &Host, path: &str, time: Duration) {
    let seconds = time.as_secs();
    host.ok(&format!(
        "setsid perl /root/hold {seconds} {path} </dev/null >/root/hold.log 2>&1 &
         for i in $(seq 50); do [ ! -e {path}.held ] || exit 0; sleep 0.1; done; cat /root/hold.log >&2; exit 1"
    ));
}

#[test]
fn another_apt_is_waited_for_and_asks_nothing() {
    let registry = registry();
    let host = host_with_binary(Image::BookwormBare, "apt");
    registry.serve(&host);
    says_why_there_is_no_package(&host);

    host.write("/root/hold", HOLD, 0o644);
    host.ok("mkdir -p /var/lib/apt/lists");
    // What dpkg is started with is what needrestart and debconf would see.
    host.write(
        "/etc/apt/apt.conf.d/99lab",
        "DPkg::Pre-Invoke {\"env >/root/apt.env; readlink /proc/self/fd/0 >>/root/apt.env\";};\n",
        0o644,
    );
    let others = "systemctl show -p Id,MainPID,NRestarts,ActiveEnterTimestampMonotonic \
                  dbus.service systemd-journald.service";
    let before = host.ok(others);
    hold(&host, "/var/lib/apt/lists/lock", LISTS);
    hold(&host, "/var/lib/dpkg/lock-frontend", DPKG);
    let refused = host.sh("apt-get update");
    assert!(
        refused
            .stderr
            .contains("Could not get lock /var/lib/apt/lists/lock"),
        "{refused}"
    );

    let began = Instant::now();
    let output = host.sh("/root/tavernctl install --yes </dev/null");
    let took = began.elapsed();
    exits(&output, 0);
    assert!(output.stdout.contains("All checks passed."), "{output}");
    // Some seconds went by before the install began.
    assert!(
        took > DPKG.saturating_sub(Duration::from_secs(5)),
        "took {took:?}"
    );

    assert_eq!(before, host.ok(others), "services that are none of ours");
    let environment = host.read("/root/apt.env");
    for line in [
        "DEBIAN_FRONTEND=noninteractive",
        "NEEDRESTART_MODE=l",
        "NEEDRESTART_SUSPEND=1",
        "/dev/null",
    ] {
        assert!(
            environment.lines().any(|one| one == line),
            "no {line} in {environment}"
        );
    }
}

/// The mirror's own fault is in the refusal, which `apt-get update` alone would only warn of.
fn says_why_there_is_no_package(host: &Host) {
    host.ok(
        "mkdir /root/sources; mv /etc/apt/sources.list /etc/apt/sources.list.d /root/sources; \
         echo 'deb [trusted=yes] http://127.0.0.1:9/debian bookworm main' >/etc/apt/sources.list",
    );
    let output = host.sh("/root/tavernctl install --yes </dev/null");
    exits(&output, 1);
    let wanted = "`nginx` is not installed and apt knows no such package: Failed to fetch http://127.0.0.1:9/";
    assert!(output.stderr.contains(wanted), "{output}");
    host.ok("rm /etc/apt/sources.list; mv /root/sources/* /etc/apt/");
}
