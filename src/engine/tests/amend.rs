//! One change of one stack file, or one password: exact, and it ends or never was.

use std::path::{Path, PathBuf};

use super::rig::{Rig, printed};
use super::sweep::{Sweep, first, host, install};
use crate::engine::{Amended, ChosenPassword, EngineError, Request, Source};
use crate::host::memory::differences;
use crate::resource::PathState;
use crate::stack::{Amendment, Door, amend};

const STACK: &str = "/etc/tavern/stacks/web.toml";
const HASHES: &str = "/etc/tavern/htpasswd/web-closed";
const PASSWORDS: &str = "/etc/tavern/credentials/web/passwords";

fn read(rig: &Rig, path: &str) -> String {
    match rig.engine().host.files.state(Path::new(path)).unwrap() {
        PathState::File { content, .. } => String::from_utf8(content).unwrap(),
        other => panic!("{path}: {other:?}"),
    }
}

/// The request of a command; one that is made already is the same command again.
fn request(rig: &Rig, amendment: Option<Amendment>, chosen: Option<ChosenPassword>) -> Request {
    let before = read(rig, STACK);
    let text = amendment
        .and_then(|amendment| amend(Path::new(STACK), before.as_bytes(), &amendment).ok())
        .unwrap_or_else(|| before.clone());
    Request {
        source: Source::Amended(Amended {
            stack: "web".parse().unwrap(),
            before: before.into_bytes(),
            text,
            what: "user add site closed bob".into(),
        }),
        chosen,
        ..Request::default()
    }
}

fn password(account: &str, password: &str, is_generated: bool) -> ChosenPassword {
    ChosenPassword {
        file: PathBuf::from(HASHES),
        account: account.into(),
        password: password.into(),
        is_generated,
    }
}

fn bob() -> Amendment {
    Amendment::Enrol(
        Door::Site("closed".parse().unwrap()),
        "bob".parse().unwrap(),
    )
}

fn enrol(rig: &Rig) -> Result<(), EngineError> {
    let chosen = password("bob", "correct horse", false);
    let request = request(rig, Some(bob()), Some(chosen));
    rig.engine().install(None, &request).map(|_| ())
}

fn change_password(rig: &Rig) -> Result<(), EngineError> {
    let request = request(rig, None, Some(password("ann", "battery staple", false)));
    rig.engine().install(None, &request).map(|_| ())
}

fn installed() -> Rig {
    let rig = host(&first());
    install(&rig).unwrap();
    rig
}

/// The line of an account.
fn line(rig: &Rig, account: &str) -> String {
    let text = read(rig, HASHES);
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{account}:")));
    line.unwrap_or_else(|| panic!("no {account}: {text}"))
        .to_owned()
}

#[test]
fn a_new_account_is_one_line_of_the_stack_file_and_one_hash() {
    let rig = installed();
    let (before, ann) = (rig.picture(), line(&rig, "ann"));
    let from = rig.journal_length();
    let plan = {
        let chosen = password("bob", "correct horse", false);
        let request = request(&rig, Some(bob()), Some(chosen));
        rig.engine().propose(&request).unwrap().plan
    };
    assert_eq!(
        printed(&plan),
        [format!("~ file:{STACK}"), format!("~ htpasswd:{HASHES}")]
    );
    enrol(&rig).unwrap();
    assert_eq!(printed(&plan), rig.journaled(from));
    assert!(read(&rig, STACK).contains("accounts = [\"ann\", \"bob\"]"));
    assert_eq!(line(&rig, "ann"), ann, "another's hash changed");
    assert!(line(&rig, "bob").starts_with("bob:$6$"));
    // A password that its owner knows is written nowhere but as a hash.
    assert!(!read(&rig, PASSWORDS).contains("bob"));
    for (name, how) in rig.whole_picture() {
        assert!(!how.contains("correct horse"), "{name}");
    }
    let changed = differences(&before, &rig.picture());
    assert_eq!(changed.len(), 2, "{changed:?}");
    rig.is_right().unwrap();
}

#[test]
fn a_new_password_changes_one_hash_and_nothing_else() {
    let rig = installed();
    enrol(&rig).unwrap();
    let (before, ann, bob) = (rig.picture(), line(&rig, "ann"), line(&rig, "bob"));
    let noted = |rig: &Rig| read(rig, PASSWORDS).contains("site closed ann ");
    assert!(noted(&rig), "an install notes what it made");
    change_password(&rig).unwrap();
    assert_ne!(line(&rig, "ann"), ann);
    assert_eq!(line(&rig, "bob"), bob, "another's hash changed");
    assert!(!noted(&rig), "the old password is noted still");
    let changed = differences(&before, &rig.picture());
    assert!(
        changed
            .iter()
            .all(|line| line.starts_with(HASHES) || line.starts_with(PASSWORDS)),
        "{changed:?}"
    );
    rig.is_right().unwrap();
    // One that is made for them is noted for them.
    let made = password("ann", "abcdefghijklmnopqrst", true);
    let run = request(&rig, None, Some(made));
    let installed = rig.engine().install(None, &run).unwrap();
    assert_eq!(installed.accounts.len(), 1);
    assert!(read(&rig, PASSWORDS).contains("site closed ann abcdefghijklmnopqrst"));
}

#[test]
fn an_account_that_is_removed_is_gone_from_the_hashes() {
    let rig = installed();
    enrol(&rig).unwrap();
    let gone = Amendment::Dismiss(
        Door::Site("closed".parse().unwrap()),
        "ann".parse().unwrap(),
    );
    let run = request(&rig, Some(gone), None);
    rig.engine().install(None, &run).unwrap();
    assert!(!read(&rig, HASHES).contains("ann"));
    assert!(!read(&rig, PASSWORDS).contains("site closed ann"));
    rig.is_right().unwrap();
}

/// What was read before the lock is not written over what somebody wrote since.
#[test]
fn a_file_that_changed_meanwhile_is_not_written_over() {
    let rig = installed();
    let late = request(&rig, Some(bob()), None);
    let mut files = first();
    let web = files.get_mut("web").unwrap();
    web.push_str("# a note of the owner's\n");
    rig.declare(&files);
    let before = rig.whole_picture();
    let error = rig
        .engine()
        .install(None, &late)
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(error.contains("changed meanwhile"), "{error}");
    assert!(differences(&before, &rig.whole_picture()).is_empty());
}

#[test]
fn a_new_account_ends_or_never_was() {
    Sweep {
        name: "user add",
        start: installed(),
        run: enrol,
    }
    .sweep();
}

#[test]
fn a_new_password_ends_or_never_was() {
    Sweep {
        name: "user passwd",
        start: installed(),
        run: change_password,
    }
    .sweep();
}
