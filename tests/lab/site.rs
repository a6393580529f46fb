//! What every lab test needs of an installed counter site.

use crate::support::lab::{Host, Image, Output, redis_image_tar, tavernctl};

/// The stack file of an installed counter site.
pub const STACK: &str = "/etc/tavern/stacks/counter.toml";

/// Changes the stack file; what is to change must be in it.
pub fn edit(host: &Host, from: &str, to: &str) {
    let text = host.read(STACK);
    assert!(text.contains(from), "{from} is not in {text}");
    host.write(STACK, &text.replace(from, to), 0o644);
}

/// A host with the binary in root's home, not yet installed.
pub fn host_with_binary(image: Image, name: &str) -> Host {
    let host = Host::boot(image, name);
    host.put(&tavernctl(), "/root/tavernctl");
    host
}

/// A prepared host on which `install --yes` has succeeded, Redis's image loaded from a file.
pub fn installed(image: Image, name: &str) -> Host {
    let host = host_with_binary(image, name);
    host.load_image(&redis_image_tar());
    host.ok("/root/tavernctl install --yes");
    host
}

/// The generated password of `what`, such as `app counter admin`.
pub fn password(host: &Host, what: &str) -> String {
    let passwords = host.read("/etc/tavern/credentials/counter/passwords");
    let line = passwords.lines().find_map(|line| line.strip_prefix(what));
    line.unwrap_or_else(|| panic!("no `{what}` in the passwords file"))
        .trim()
        .to_owned()
}

/// A token of the app's admin, through the front door.
pub fn token(host: &Host) -> String {
    let password = password(host, "app counter admin");
    let body = format!(r#"{{"username":"admin","password":"{password}"}}"#);
    let answer = host.ok(&format!(
        "curl -sSk https://localhost/flask/auth/login -H 'Content-Type: application/json' -d '{body}'"
    ));
    field(&answer, "token")
}

/// One count.
pub fn count(host: &Host, token: &str) -> u64 {
    let answer = host.ok(&format!(
        "curl -sSk https://localhost/flask/api/count -H 'Authorization: Bearer {token}'"
    ));
    field(&answer, "visits")
        .parse()
        .unwrap_or_else(|_| panic!("no count in {answer}"))
}

/// The status of a GET, with more arguments for curl.
pub fn status(host: &Host, arguments: &str) -> u16 {
    let code = host.ok(&format!(
        "curl -sSk -o /dev/null -w '%{{http_code}}' {arguments}"
    ));
    code.trim()
        .parse()
        .unwrap_or_else(|_| panic!("no status for {arguments}: {code}"))
}

fn field(json: &str, name: &str) -> String {
    let value: serde_json::Value =
        serde_json::from_str(json).unwrap_or_else(|error| panic!("not JSON ({error}): {json}"));
    match value.get(name) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => panic!("no `{name}` in {json}"),
    }
}

/// Every file Tavern could touch, with type, mode, owner, size and time of change.
pub fn manifest(host: &Host) -> String {
    host.ok(
        "find /etc /var/www /usr/local /var/lib/tavern /run/tavern -xdev \
         \\( -path /etc/mtab -o -path /etc/hosts -o -path /etc/resolv.conf -o -path /var/lib/tavern/health -o -path /run/tavern/.status \\) -prune -o \
         -printf '%p %y %m %U:%G %s %T@ %l\\n' 2>/dev/null | sort",
    )
}

/// Asserts an exit code, showing all that was said.
pub fn exits(output: &Output, code: i32) {
    assert_eq!(output.code, code, "{output}");
}

/// Waits until `check` finds everything healthy.
pub fn wait_until_healthy(host: &Host, what: &str) {
    host.wait(what, std::time::Duration::from_secs(60), || {
        let output = host.sh("tavernctl check");
        if output.success() {
            Ok(())
        } else {
            Err(output.to_string())
        }
    });
}

/// Has nginx read its files again, and waits until only workers that did so take connections.
pub fn reload_nginx(host: &Host) {
    host.ok(
        "workers() { pgrep -f '^nginx: worker process$'; }; old=$(workers); systemctl reload nginx && \
         for try in $(seq 200); do \
             ! workers | grep -qFx \"$old\" && workers >/dev/null && exit 0; sleep 0.1; \
         done; exit 1",
    );
}

/// One round of the health check, at once: another may be under way.
pub fn round(host: &Host) {
    host.wait("a round", std::time::Duration::from_secs(30), || {
        let round = host.sh("systemctl start tavern-check.service");
        let journal = || host.ok("journalctl -u tavern-check -n 5 -o cat --no-pager");
        round.success().then_some(()).ok_or_else(journal)
    });
}

/// Asserts that two listings are equal, showing only the lines that differ.
pub fn same(before: &str, after: &str) {
    let only = |a: &str, b: &str, sign: &str| {
        let there: std::collections::BTreeSet<&str> = b.lines().collect();
        a.lines()
            .filter(|line| !there.contains(line))
            .map(|line| format!("{sign} {line}\n"))
            .collect::<String>()
    };
    let difference = only(before, after, "-") + &only(after, before, "+");
    assert!(difference.is_empty(), "the host changed:\n{difference}");
}
