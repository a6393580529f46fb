//! Something is done to a command at one system call after another: `tests/lab/point.sh` carries
//! one such point out on a host, this reads where the points are and what came of each.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use crate::support::lab::Host;

const DEFAULT: &str = include_str!("../../provision/counter.toml");
const CALLS: &str = "write,writev,pwrite64,copy_file_range,sendfile,ftruncate,fsync,fdatasync,rename,renameat,renameat2,\
    link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,chmod,fchmod,fchmodat,chown,fchown,lchown,\
    fchownat,clone,clone3,vfork,sendto,sendmsg,mount,umount2";

/// A command that leads from state A to state B, and what surrounds it. All are lines of bash.
pub struct Verb {
    pub name: &'static str,
    /// Makes state A of a prepared host, once.
    pub first: &'static str,
    /// What the owner changes before the command.
    pub before: &'static str,
    pub command: &'static str,
    /// Takes the owner's change back before the states are compared, whichever it is.
    pub after: &'static str,
    /// Makes state A again of state B.
    pub again: &'static str,
    /// Lines of the state that are made anew in each state B, and so differ: an expression.
    pub fresh: &'static str,
    /// What must hold in each state besides.
    pub holds: [&'static str; 2],
}

const NEW_STACK: &str = "cp -p /root/sweep/b.toml /etc/tavern/stacks/counter.toml";
const OLD_STACK: &str = "cp -p /root/sweep/a.toml /etc/tavern/stacks/counter.toml";
/// Generations are counted on, and blobs have random names.
const RECORDS: &str = "^/var/lib/tavern[/ ]";
const SETTLED: &str = "tavernctl plan";

pub const INSTALL: Verb = Verb {
    name: "install",
    first: ":",
    before: ":",
    command: "/root/tavernctl install --yes",
    after: ":",
    again: "/root/tavernctl uninstall --yes --purge",
    // Keys, passwords and a certificate, whose directory has a name of its own.
    fresh: "^/var/lib/tavern[/ ]|^/etc/tavern/(credentials|htpasswd|containers)/.* sha256 |^/etc/tavern/tls/counter[. ]",
    holds: ["! test -e /var/lib/tavern", SETTLED],
};

pub const UPGRADE: Verb = Verb {
    name: "upgrade",
    first: "docker tag redis:7-alpine redis:7 && /root/tavernctl install --yes",
    before: NEW_STACK,
    command: "/root/tavernctl install --yes",
    after: OLD_STACK,
    again: "/root/tavernctl install --yes",
    // The guest's password is made anew.
    fresh: "^/var/lib/tavern[/ ]|^/etc/tavern/(credentials/counter/passwords|htpasswd/[^ ]*) sha256 ",
    holds: [
        SETTLED,
        "cp -p /root/sweep/b.toml /etc/tavern/stacks/counter.toml; tavernctl plan; code=$?; \
         cp -p /root/sweep/a.toml /etc/tavern/stacks/counter.toml; exit $code",
    ],
};

pub const ROLLBACK: Verb = Verb {
    name: "rollback",
    first: "docker tag redis:7-alpine redis:7 && /root/tavernctl install --yes && cp -p /root/sweep/b.toml /etc/tavern/stacks/counter.toml && \
            /root/tavernctl install --yes",
    before: ":",
    command: "/root/tavernctl rollback --yes",
    after: ":",
    again: "cp -p /root/sweep/b.toml /etc/tavern/stacks/counter.toml; /root/tavernctl install --yes",
    fresh: RECORDS,
    holds: [SETTLED, SETTLED],
};

pub const UNINSTALL: Verb = Verb {
    name: "uninstall",
    first: "/root/tavernctl install --yes",
    before: ":",
    command: "/root/tavernctl uninstall --yes --purge",
    after: ":",
    again: "/root/tavernctl install --yes",
    fresh: "^$",
    holds: [SETTLED, "! test -e /var/lib/tavern"],
};

/// The same stack with about everything changed that a stack file can change.
pub fn changed_stack() -> String {
    let mut text = DEFAULT.to_owned();
    for (from, to) in [
        ("\"10.0.0.5\"", "\"10.0.0.6\""),
        (
            "accounts = [\"admin\"], allow",
            "accounts = [\"admin\", \"guest\"], allow",
        ),
        // The same image by another name: the container is made anew, and nothing is pulled.
        ("image = \"redis:7-alpine\"", "image = \"redis:7\""),
        ("alias = \"flask-app\"", "alias = \"flask-app2\""),
        (
            "path = \"/open\"\nname = \"open\"\nstatic = \"open\"",
            "path = \"/notes\"\nname = \"notes\"\nstatic = \"notes\"",
        ),
    ] {
        assert!(text.contains(from), "{from} is not in the default stack");
        text = text.replace(from, to);
    }
    text
}

/// One system call of a run that changes something.
#[derive(Debug, Clone)]
pub struct Point {
    pub call: String,
    /// The how manieth of its kind.
    pub nth: u32,
    /// As strace shows it.
    pub traced: String,
}

impl Point {
    /// Of a line of strace.
    pub fn of(line: &str) -> Self {
        Self {
            call: line.split('(').next().unwrap_or_default().to_owned(),
            nth: 0,
            traced: line.to_owned(),
        }
    }

    /// The files it is about, as a person knows them: not the temporary's name.
    pub fn files(&self) -> Vec<String> {
        let paths: Vec<&str> = if self.call.starts_with("rename") {
            self.traced.split('"').skip(1).step_by(2).take(2).collect()
        } else {
            // A copy has two: where it reads, and where it writes.
            let count = if self.call == "copy_file_range" { 2 } else { 1 };
            let opened = self.traced.split('<').skip(1);
            let opened = opened.filter_map(|rest| rest.split_once('>'));
            opened.map(|(path, _)| path).take(count).collect()
        };
        let known = |path: &str| match path
            .strip_suffix(".tavern-tmp")
            .and_then(|path| path.rsplit_once('/'))
        {
            Some((directory, name)) => format!("{directory}/{}", name.trim_start_matches('.')),
            None => path.to_owned(),
        };
        paths
            .into_iter()
            .filter(|path| path.starts_with('/'))
            .map(known)
            .collect()
    }
}

/// The points of a traced run. What changes nothing is counted but left out: a kill before it is a
/// kill before the next.
fn points(trace: &str) -> Vec<Point> {
    let mut seen = std::collections::HashMap::<String, u32>::new();
    let mut points = Vec::new();
    for line in trace.lines() {
        let Some((call, rest)) = line.split_once('(') else {
            continue;
        };
        if !CALLS.split(',').any(|known| known.trim() == call) {
            continue;
        }
        let nth = seen.entry(call.to_owned()).or_default();
        *nth += 1;
        let to_nobody = [
            "<pipe:",
            "<anon_inode:",
            "</dev/null",
            "<NETLINK:",
            "<TCP:",
            "<TCPv6:",
            "<UDP:",
        ]
        .iter()
        .any(|kind| rest.split(',').next().unwrap_or_default().contains(kind));
        let asks = call.starts_with("send") && rest.contains("\"GET ");
        let failed = rest.contains(") = -1 ");
        if to_nobody || asks || failed || rest.contains("CLONE_THREAD") {
            continue;
        }
        points.push(Point {
            call: call.to_owned(),
            nth: *nth,
            traced: line.chars().take(300).collect(),
        });
    }
    points
}

/// So many of them, evenly spread; all of them in an order that has been everywhere when it is cut short.
pub fn spread(points: Vec<Point>, count: usize) -> Vec<Point> {
    let all = points.len();
    let count = count.min(all);
    let mut chosen: Vec<usize> = (0..count)
        .map(|index| (2 * index + 1) * all / (2 * count))
        .collect();
    // Multiples of the golden section never crowd.
    let turn = |index: &usize| (*index as f64 * 0.618_033_988_75).fract();
    chosen.sort_by(|a, b| turn(a).total_cmp(&turn(b)));
    chosen
        .into_iter()
        .filter_map(|index| points.get(index).cloned())
        .collect()
}

/// What became of one point.
#[derive(Debug, Default)]
pub struct Outcome {
    pub code: i32,
    /// `none`, `open` or `committed`: how far the run had come by its own record.
    pub journal: String,
    /// The call that it really came upon, as strace shows it.
    pub hit: String,
    /// Exit code of `recover`, where it ran.
    pub recovered: Option<i32>,
    /// Exit code of the command when it ran again, because something was left to remove.
    pub repeated: Option<i32>,
    /// `a`, `b` or `neither`.
    pub is: String,
    pub said: String,
    /// All of what was printed.
    pub text: String,
}

impl Outcome {
    fn read(text: String) -> Self {
        let mut outcome = Self::default();
        for line in text.lines() {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("code", code) => outcome.code = code.parse().unwrap_or(-1),
                ("hit", line) => line.clone_into(&mut outcome.hit),
                ("journal", end) => end.clone_into(&mut outcome.journal),
                ("repeated", code) => outcome.repeated = code.parse().ok(),
                ("recovered", code) => outcome.recovered = code.parse().ok(),
                ("is", state) => state.clone_into(&mut outcome.is),
                ("said", line) => {
                    let _ = writeln!(outcome.said, "{line}");
                }
                _ => {}
            }
        }
        outcome.text = text;
        outcome
    }

    /// Whether nothing of the run is left lying about, and what must hold does.
    pub fn is_clean(&self) -> bool {
        !self
            .text
            .lines()
            .any(|line| line.starts_with("leftover ") || line.starts_with("broken "))
    }
}

/// The scripts of a verb's points, in the host's `/root`.
pub fn give_scripts(host: &Host, verb: &Verb) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab");
    host.put(&here.join("state.sh"), "/root/state");
    host.put(&here.join("point.sh"), "/root/point");
    for (name, text) in [
        ("a.toml", DEFAULT),
        ("b.toml", &changed_stack()),
        ("before", verb.before),
        ("command", verb.command),
        ("after", verb.after),
        ("again", verb.again),
        ("fresh", verb.fresh),
        ("holds-a", verb.holds[0]),
        ("holds-b", verb.holds[1]),
    ] {
        host.write(&format!("/root/sweep/{name}"), text, 0o644);
    }
}

/// A host made ready for the points of a verb.
pub struct Scene {
    pub host: Host,
    pub points: Vec<Point>,
}

impl Scene {
    /// Makes state A, runs the verb once under a trace to state B, and makes A again.
    pub fn new(host: Host, verb: &'static Verb) -> Self {
        give_scripts(&host, verb);
        // What they start in the middle of a comparison is no doing of ours.
        host.ok("systemctl stop '*.timer'");
        host.ok(verb.first);
        // The first time makes more than later ones, such as pages that then stay.
        host.ok(&format!(
            "cd /root/sweep; bash ./before && {} && bash ./after && bash ./again",
            verb.command
        ));
        let trace = host.ok(&format!(
            "cd /root/sweep; bash ./before && strace -qq -yy -s 40 -o trace -e trace={} {} >/dev/null && \
             bash ./after && cat trace && /root/state ours >b",
            CALLS.replace(' ', ""),
            verb.command
        ));
        host.ok("cd /root/sweep; bash ./again && /root/state ours >a");
        let points = points(&trace);
        assert!(points.len() > 50, "{}: {} points", verb.name, points.len());
        Self { host, points }
    }

    /// Carries out one point, and leaves the host in state A, unless what came of it is neither.
    pub fn at(&self, point: &Point, injection: &str) -> Outcome {
        let (call, nth) = (&point.call, point.nth.to_string());
        let output = self.host.run(&["/root/point", call, &nth, injection]);
        assert!(output.success(), "{point:?}\n{output}");
        let mut outcome = Outcome::read(output.stdout);
        if outcome.is == "b" {
            let again = self
                .host
                .sh("cd /root/sweep; bash ./again && /root/state ours >a");
            if !again.success() {
                "neither".clone_into(&mut outcome.is);
                let _ = writeln!(outcome.text, "no way back to a: {again}");
            }
        }
        outcome
    }
}

/// A line for `tests/full-result.txt`, past the test harness, which keeps what passing tests print.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "\nnote: {text}");
}

/// The same for a point that went wrong: a sweep takes long, and this need not wait for its end.
pub fn went_wrong(failures: &mut Vec<String>, fault: &str, point: &Point, outcome: &Outcome) {
    let text = format!("{fault}: {point:?}\n{}", outcome.text);
    let _ = writeln!(std::io::stderr(), "\nwent wrong: {text}");
    failures.push(text);
}

/// Fails with all that went wrong.
pub fn all_well(name: &str, failures: &[String]) {
    assert!(
        failures.is_empty(),
        "{name}: {} points went wrong:\n{}",
        failures.len(),
        failures.join("\n---\n")
    );
}
