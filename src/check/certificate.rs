use std::path::Path;
use std::time::Instant;

use time::OffsetDateTime;

use super::finding::{Finding, Judged, healthy, refused, since, unhealthy};
use crate::host::Host;
use crate::mint::{CertificateInfo, key_fits, read_certificate};
use crate::model::{CHAIN, HostPattern, KEY, Layout};
use crate::resource::PathState;
use crate::stack::{Issuer, Stack};

/// Fewer days than this are too few: renewal has failed for a long time.
const LEAST_DAYS: i64 = 14;

const RENEW: &str = "`sudo tavernctl cert renew` makes or orders a new one";

/// Looks at the pair on disk; also gives the leaf, for comparing with what is served.
pub fn probe(host: &Host, layout: &Layout, stack: &Stack) -> (Finding, Option<Vec<u8>>) {
    let begun = Instant::now();
    let directory = layout.certificate(&stack.name);
    let chain = directory.join(CHAIN);
    let (judged, leaf) = match host.files.read(&chain) {
        Err(error) => (refused(&error), None),
        Ok(None) => (unhealthy(format!("no {}: {RENEW}", chain.display())), None),
        Ok(Some(pem)) => match read_certificate(&pem) {
            Err(error) => (
                unhealthy(format!("{}: {error}; {RENEW}", chain.display())),
                None,
            ),
            Ok(info) => {
                let days = judge_life(&info, host.clock.now());
                let days = both(days, judge_promise(stack, &info));
                let judged = both(days, judge_key(host, &directory.join(KEY), &pem));
                (judged, Some(info.der))
            }
        },
    };
    (
        Finding::new(Some(&stack.name), "certificate", judged, since(begun)),
        leaf,
    )
}

/// The key's verdict where it is not healthy, else the life's.
fn both(life: Judged, key: Judged) -> Judged {
    use super::finding::Verdict::Healthy;
    if life.verdict == Healthy && key.verdict != Healthy {
        key
    } else {
        life
    }
}

fn judge_life(info: &CertificateInfo, now: OffsetDateTime) -> Judged {
    let days = (info.not_after - now).whole_days();
    if now < info.not_before {
        unhealthy(format!(
            "it begins on {}: is the clock right (`timedatectl`)?",
            info.not_before.date()
        ))
    } else if now >= info.not_after {
        unhealthy(format!("it ended on {}: {RENEW}", info.not_after.date()))
    } else if days < LEAST_DAYS.min((info.not_after - info.not_before).whole_days() / 6) {
        // Authorities sign for six days, too.
        unhealthy(format!("{days} days left: {RENEW}"))
    } else {
        healthy(format!("{days} days left, key fits"))
    }
}

/// Whether it is signed by whom the stack file names, and for the names it has.
fn judge_promise(stack: &Stack, info: &CertificateInfo) -> Judged {
    if matches!(stack.issuer, Issuer::Acme(_)) && info.is_own {
        return unhealthy(
            "it signs itself: its authority has not signed one yet, and `sudo tavernctl cert show` says why",
        );
    }
    let mut hosts = stack.hosts.iter().filter_map(|host| match host {
        HostPattern::Any => None,
        host => Some(host.to_string()),
    });
    match hosts.find(|name| !info.covers(name)) {
        Some(name) => unhealthy(format!("it does not cover {name}: {RENEW}")),
        None => healthy("as the stack file says"),
    }
}

fn judge_key(host: &Host, path: &Path, chain: &[u8]) -> Judged {
    match host.files.state(path) {
        Err(error) => refused(&error),
        Ok(state) => judge_key_file(path, &state, chain),
    }
}

fn judge_key_file(path: &Path, state: &PathState, chain: &[u8]) -> Judged {
    let shown = path.display();
    match state {
        PathState::Absent => unhealthy(format!("no {shown}: {RENEW}")),
        PathState::File { content, mode, .. } => match key_fits(chain, content) {
            Ok(true) if mode.0 & 0o177 == 0 => healthy("key fits"),
            Ok(true) => unhealthy(format!("{shown} has mode {mode}: `chmod 600` it")),
            Ok(false) => unhealthy(format!("{shown} is another certificate's key: {RENEW}")),
            Err(error) => unhealthy(format!("{shown}: {error}; {RENEW}")),
        },
        _ => unhealthy(format!("{shown} is not a regular file: {RENEW}")),
    }
}

/// Compares what the server showed with the file.
pub fn judge_served(served: Option<&[u8]>, file: Option<&[u8]>) -> Judged {
    match (served, file) {
        (Some(served), Some(file)) if served == file => healthy("the one on disk"),
        (Some(_), Some(_)) => unhealthy(
            "nginx shows another certificate than the one on disk: `systemctl reload nginx`",
        ),
        (None, _) => unhealthy("nginx showed none"),
        (_, None) => super::finding::unknown("there is no file to compare it with"),
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;
    use crate::check::finding::Verdict;
    use crate::mint::self_signed;
    use crate::model::Mode;
    use crate::resource::Owner;

    #[test]
    fn life_and_key_both_ways() {
        let now = OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap();
        let names = vec!["a.example".to_owned()];
        let pair = self_signed(&names, 100, now).unwrap();
        let other = self_signed(&names, 100, now).unwrap();
        let info = read_certificate(pair.certificate.as_bytes()).unwrap();
        let life = |days| judge_life(&info, now + Duration::days(days));
        assert_eq!(life(0).verdict, Verdict::Healthy);
        assert!(life(0).reason.starts_with("99 days"), "{}", life(0).reason);
        for bad in [-1, 90, 101] {
            assert_eq!(life(bad).verdict, Verdict::Unhealthy, "{bad}");
        }
        let key = |content: &str, mode| {
            let state = PathState::File {
                content: content.into(),
                mode: Mode(mode),
                owner: Owner::root(),
            };
            judge_key_file(Path::new("/k"), &state, pair.certificate.as_bytes()).verdict
        };
        assert_eq!(key(&pair.key, 0o600), Verdict::Healthy);
        assert_eq!(key(&pair.key, 0o400), Verdict::Healthy);
        assert_eq!(key(&pair.key, 0o640), Verdict::Unhealthy);
        assert_eq!(key(&other.key, 0o600), Verdict::Unhealthy);
        assert_eq!(key("junk", 0o600), Verdict::Unhealthy);
        let absent = judge_key_file(Path::new("/k"), &PathState::Absent, b"");
        assert_eq!(absent.verdict, Verdict::Unhealthy);
        assert_eq!(both(life(0), unhealthy("k")).reason, "k");
        assert_eq!(both(life(90), unhealthy("k")), life(90));
    }

    /// fault 71's neighbour: a placeholder that nobody notices is a warning in every browser.
    #[test]
    fn one_that_stands_in_or_lacks_a_name_is_unhealthy() {
        let now = OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap();
        let pair = self_signed(&["a.example.org".to_owned()], 90, now).unwrap();
        let info = read_certificate(pair.certificate.as_bytes()).unwrap();
        let verdict = |host: &str, issuer: &str| {
            let text = format!(
                "name = \"a\"\nhosts = [\"{host}\"]\n[tls]\nissuer = \"{issuer}\"\n\
                 [[site]]\npath = \"/\"\nstatic = \"main\"\n"
            );
            let stack = crate::stack::parse(Path::new("a.toml"), text.as_bytes()).unwrap();
            judge_promise(&stack, &info).verdict
        };
        assert_eq!(verdict("a.example.org", "self-signed"), Verdict::Healthy);
        assert_eq!(verdict("*", "self-signed"), Verdict::Healthy);
        assert_eq!(verdict("b.example.org", "self-signed"), Verdict::Unhealthy);
        assert_eq!(verdict("a.example.org", "acme"), Verdict::Unhealthy);
    }

    #[test]
    fn served_and_file() {
        assert_eq!(
            judge_served(Some(b"a"), Some(b"a")).verdict,
            Verdict::Healthy
        );
        assert_eq!(
            judge_served(Some(b"a"), Some(b"b")).verdict,
            Verdict::Unhealthy
        );
        assert_eq!(judge_served(None, Some(b"b")).verdict, Verdict::Unhealthy);
        assert_eq!(judge_served(Some(b"a"), None).verdict, Verdict::Unknown);
    }
}
