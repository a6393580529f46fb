//! Many runs at once: the kernel's lock lets one through, and the others say which.

use crate::site::{exits, host_with_binary};
use crate::support::lab::{Host, Image, redis_image_tar};

const CROWD: usize = 20;

#[test]
fn of_twenty_installs_at_once_one_works() {
    let host = host_with_binary(Image::TrixiePrepared, "crowd13");
    host.load_image(&redis_image_tar());
    one_of_a_crowd_works(&host, "/root/tavernctl install --yes");
    exits(&host.sh("tavernctl plan"), 0);
    exits(&host.sh("tavernctl check"), 0);
    one_of_a_crowd_works(&host, "/root/tavernctl uninstall --yes --purge");
    assert!(!host.sh("test -e /var/lib/tavern").success());
}

/// All wait for one file to appear, so that they begin within the same moment. Whoever comes after
/// the one that works has ended would find nothing to do: that one is held until all others ended.
fn one_of_a_crowd_works(host: &Host, command: &str) {
    host.ok(&format!(
        "rm -rf /root/crowd; mkdir /root/crowd; cd /root/crowd
         for i in $(seq {CROWD}); do
             {{ until [ -e go ]; do :; done; setsid {command} </dev/null >$i.out 2>$i.err & echo $! >$i.pid; wait $!; echo $? >$i.code; }} &
         done
         sleep 0.5; : >go
         # The kernel's word on who holds it, and the only one that is not done at once.
         until holder=$(awk -v inode=\"$(stat -c %i /run/tavern.lock)\" '$2 == \"FLOCK\" && $4 == \"WRITE\" && $6 ~ \":\" inode \"$\" {{ print $5 }}' /proc/locks); [ \"$holder\" ]; do :; done 2>/dev/null
         kill -STOP $holder; echo $holder >holder
         for ((i = 0; i < 600; i++)); do [ \"$(cat ./*.code 2>/dev/null | wc -l)\" -lt {} ] || break; sleep 0.1; done
         kill -CONT $holder; wait",
        CROWD - 1
    ));
    let codes = host.ok("cat /root/crowd/*.code | sort | uniq -c");
    let codes: Vec<&str> = codes.split_whitespace().collect();
    let others = (CROWD - 1).to_string();
    let complaints = host.ok("cat /root/crowd/*.err");
    assert_eq!(codes, ["1", "0", &others, "1"], "{complaints}");
    let holder = host.read("/root/crowd/holder");
    let names_it = format!("another tavernctl is at work: process {}", holder.trim());
    assert_eq!(
        complaints.matches(&names_it).count(),
        CROWD - 1,
        "`{names_it}` in\n{complaints}"
    );
}
