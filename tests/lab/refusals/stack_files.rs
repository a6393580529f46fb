//! Stack files that cannot be used: each is owed its file, line and column.

use super::cases::{Case, Words, case};
use super::{BINARY, DEFAULT};

/// On a prepared host.
pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "unknown stack",
            ":",
            ":",
            &["no stack called `nosuch`"],
            &["`counter`"],
        )
        .command(&format!("{BINARY} install --yes nosuch")),
        edited(
            "syntax",
            "[firewall]",
            "[firewall",
            &["counter.toml:49:10"],
            &["correct that place"],
        ),
        edited(
            "unknown key",
            "issuer =",
            "isuer =",
            &["`isuer`", "counter.toml:8:1"],
            &["correct the key"],
        ),
        edited(
            "bad range",
            "\"10.0.0.5\"",
            "\"10.0.0.5/8\"",
            &["`10.0.0.5/8` has host bits", "counter.toml:24:"],
            &["`10.0.0.0/8`"],
        ),
        edited(
            "everybody allowed",
            "\"10.0.0.5\"",
            "\"0.0.0.0/0\"",
            &["allows everybody", "counter.toml:24:"],
            &["leave `allow` out"],
        ),
        edited(
            "bad host",
            "hosts = [\"*\"]",
            "hosts = [\"a;return 200\"]",
            &["is not a host name", "counter.toml:5:"],
            &[],
        ),
        edited(
            "wrong type",
            "hosts = [\"*\"]",
            "hosts = 7",
            &["expected a list", "counter.toml:5:9"],
            &["kind"],
        ),
        edited(
            "missing key",
            "hosts = [\"*\"]",
            "",
            &["missing field `hosts`", "counter.toml:"],
            &["add it"],
        ),
        edited(
            "path traversal",
            "path = \"/open\"",
            "path = \"/../etc\"",
            &["is not a path", "counter.toml:16:"],
            &[],
        ),
        edited(
            "escape sequence",
            "# ",
            "# \u{1b}[31m",
            &["counter.toml:1:3"],
            &[],
        ),
        stack(
            "truncated",
            &DEFAULT[..DEFAULT.len() / 2 + 3],
            &["counter.toml:"],
            &[],
        ),
        stack("empty", "", &["counter.toml", "empty"], &["name ="]),
        stack(
            "another name",
            DEFAULT.replacen("\"counter\"", "\"other\"", 1),
            &["must be called `other.toml`", "counter.toml:4:8"],
            &["rename"],
        ),
        case(
            "binary junk",
            "mkdir -p /etc/tavern/stacks && head -c 4096 /bin/ls >/etc/tavern/stacks/counter.toml",
            "rm -r /etc/tavern",
            &["not UTF-8", "counter.toml:1:"],
            &["right file"],
        ),
        case(
            "a huge file",
            "mkdir -p /etc/tavern/stacks && truncate -s 20M /etc/tavern/stacks/counter.toml",
            "rm -r /etc/tavern",
            &["counter.toml", "too large"],
            &["right file"],
        ),
        case(
            "a planted link",
            "mkdir -p /etc/tavern/stacks && ln -s /etc/passwd /etc/tavern/stacks/counter.toml",
            "rm -r /etc/tavern",
            &["/etc/tavern/stacks/counter.toml is a link to /etc/passwd"],
            &["put the file itself there"],
        ),
        case(
            "a fifo",
            "mkdir -p /etc/tavern/stacks && mkfifo /etc/tavern/stacks/counter.toml",
            "rm -r /etc/tavern",
            &["counter.toml is a socket, fifo or device"],
            &["move that away"],
        ),
        case(
            "a directory",
            "mkdir -p /etc/tavern/stacks/counter.toml",
            "rm -r /etc/tavern",
            &["counter.toml is a directory"],
            &["move that away"],
        ),
    ]
}

/// A stack file with this fault, which is owed with its line and column.
fn stack(name: &'static str, content: impl Into<String>, error: Words, help: Words) -> Case {
    Case {
        stack: Some(content.into()),
        ..case(name, ":", ":", error, help)
    }
}

/// The default stack with one text replaced.
fn edited(name: &'static str, from: &str, to: &str, error: Words, help: Words) -> Case {
    assert!(DEFAULT.contains(from), "{from}");
    stack(name, DEFAULT.replacen(from, to, 1), error, help)
}
