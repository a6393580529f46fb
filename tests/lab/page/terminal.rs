//! `tavernctl top` on a terminal of its own (a pty by script(1)): keys are pressed, and the terminal is given back.

use std::time::Duration;

use serde_json::Value;

use crate::support::lab::Host;

/// In the terminal. The shell stays, to say how it was before and how it is after.
const INSIDE: &str = "stty rows 24 cols 100\ntty > /root/tty\nstty -g > /root/before\n\
    sh -c 'echo $$ > /root/pid; exec tavernctl top'\necho $? > /root/rc\nstty -g > /root/after\n";

pub fn shows_the_same(host: &Host) {
    let plain = host.ok("tavernctl top");
    assert!(
        plain.contains("probes are healthy") && plain.contains("redis-flask"),
        "{plain}"
    );
    assert!(!plain.contains('\u{1b}'), "{plain}");
    let json: Value = serde_json::from_str(&host.ok("tavernctl top --json")).expect("JSON");
    assert_eq!(json["version"], 1);
    // On a terminal that gives no keys: drawn, and given back.
    let drawn = host.ok("TERM=xterm script -qec 'stty rows 30 cols 100; timeout -s INT 4 tavernctl top < /dev/null' /dev/null || true");
    assert!(
        drawn.contains("\u{1b}[?1049h") && drawn.contains("\u{1b}[?1049l"),
        "{drawn}"
    );
    assert!(
        drawn.contains("Probes") && drawn.contains("--once"),
        "{drawn}"
    );
    keys_move_in_it(host);
    it_is_given_back_however_it_ends(host);
}

fn begin(host: &Host) {
    host.write("/root/inside", INSIDE, 0o644);
    host.ok("cd /root && rm -f keys drawn before after rc pid && mkfifo keys && \
         (setsid sleep 120 > keys 2> /dev/null < /dev/null & setsid env TERM=xterm script -qefc 'sh /root/inside' /root/drawn < keys > /dev/null 2>&1 & echo $! > script)");
    seen(host, "rows 1 to 23 of");
}

/// Waits until the end of what was drawn has it; gives all of the last frame.
fn seen(host: &Host, wanted: &str) -> String {
    host.wait(wanted, Duration::from_secs(20), || {
        let all = host.sh("cat /root/drawn").stdout;
        // A frame begins at the top left.
        let frame = all.rsplit("\u{1b}[1;1H").next().unwrap_or_default();
        frame
            .contains(wanted)
            .then(|| frame.to_owned())
            .ok_or_else(|| frame.to_owned())
    })
}

fn press(host: &Host, keys: &str) {
    host.ok(&format!("printf '{keys}' > /root/keys"));
}

fn ended(host: &Host) {
    host.wait("the end of top", Duration::from_secs(20), || {
        let done = host.sh("cat /root/after /root/rc");
        done.success().then_some(()).ok_or(done.to_string())
    });
    assert_eq!(host.read("/root/after"), host.read("/root/before"));
    assert_eq!(host.read("/root/rc").trim(), "0");
    let drawn = host.read("/root/drawn");
    let last = |code: &str| drawn.rfind(code);
    assert!(last("\u{1b}[?1049l") > last("\u{1b}[?1049h"), "{drawn}");
    assert!(last("\u{1b}[?25h") > last("\u{1b}[?25l"), "{drawn}");
}

fn keys_move_in_it(host: &Host) {
    begin(host);
    let first = seen(host, "rows 1 to 23 of");
    assert!(
        first.contains("Probes") && !first.contains("Generations"),
        "{first}"
    );
    press(host, "\\033[F");
    let end = seen(host, "Generations");
    assert!(
        end.contains("Certificates") && !end.contains("Probes"),
        "{end}"
    );
    press(host, "\\033[H");
    seen(host, "rows 1 to 23 of");
    press(host, "\\033[6~");
    seen(host, "rows 23 to 45 of");
    press(host, "\\033[5~\\033[B\\033[B\\033[A");
    seen(host, "rows 2 to 24 of");
    press(host, "\\033[C");
    let aside = seen(host, "rows 2 to 24 of");
    assert!(!aside.contains("Probes"), "{aside}");
    host.ok("stty -F $(cat /root/tty) rows 12 cols 60");
    let small = seen(host, "rows 2 to 12 of");
    assert_eq!(small.matches("\r\n").count(), 11, "{small}");
    press(host, "q");
    ended(host);
}

fn it_is_given_back_however_it_ends(host: &Host) {
    begin(host);
    press(host, "\\003");
    ended(host);
    for signal in ["TERM", "INT", "HUP"] {
        begin(host);
        host.ok(&format!("kill -s {signal} $(cat /root/pid)"));
        ended(host);
    }
    // A window that is closed leaves nobody behind who reads it.
    begin(host);
    host.ok("kill -s KILL $(cat /root/script)");
    host.wait("top to notice", Duration::from_secs(20), || {
        let alive = host.sh("ps -o pid,stat,args -p $(cat /root/pid)");
        (!alive.success()).then_some(()).ok_or(alive.to_string())
    });
}
