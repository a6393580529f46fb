use super::*;

fn me() -> Owner {
    RealAccounts.owner(
        nix::unistd::getuid().as_raw(),
        nix::unistd::getgid().as_raw(),
    )
}

#[test]
fn a_write_is_whole_and_leaves_no_temporary() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.conf");
    RealFiles.write(&path, b"one", Mode(0o640), &me()).unwrap();
    RealFiles.write(&path, b"two", Mode(0o600), &me()).unwrap();
    assert_eq!(
        RealFiles.state(&path).unwrap(),
        PathState::File {
            content: b"two".to_vec(),
            mode: Mode(0o600),
            owner: me()
        }
    );
    assert_eq!(RealFiles.list(dir.path()).unwrap(), [path]);
}

#[test]
fn a_planted_link_is_replaced_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (path, victim) = (dir.path().join("a"), dir.path().join("victim"));
    RealFiles
        .write(&victim, b"keep", Mode(0o600), &me())
        .unwrap();
    RealFiles.link(&temporary_name(&path), &victim).unwrap();
    RealFiles.write(&path, b"new", Mode(0o600), &me()).unwrap();
    assert_eq!(RealFiles.read(&victim).unwrap().unwrap(), b"keep");
}

#[test]
fn a_failed_write_keeps_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    RealFiles.write(&path, b"old", Mode(0o600), &me()).unwrap();
    let nobody = Owner {
        user: "no-such-user".into(),
        group: "root".into(),
    };
    assert!(
        RealFiles
            .write(&path, b"new", Mode(0o600), &nobody)
            .is_err()
    );
    assert_eq!(RealFiles.read(&path).unwrap().unwrap(), b"old");
    assert_eq!(RealFiles.list(dir.path()).unwrap(), [path]);
}

/// bug: a fifo in the place of an owner's certificate had every command wait for ever.
#[test]
fn nothing_is_read_that_has_no_end() {
    let dir = tempfile::tempdir().unwrap();
    let (fifo, link) = (dir.path().join("fifo"), dir.path().join("link"));
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
    RealFiles.link(&link, &fifo).unwrap();
    for path in [&fifo, &link, Path::new("/dev/zero")] {
        let refused = RealFiles.read(path).unwrap_err().to_string();
        assert!(refused.contains("not a file"), "{refused}");
    }
    // How a unit is masked.
    RealFiles.link(&link, Path::new("/dev/null")).unwrap();
    assert_eq!(RealFiles.read(&link).unwrap(), Some(Vec::new()));
    // What the kernel makes up as it is read.
    assert!(
        RealFiles
            .read(Path::new("/proc/self/status"))
            .unwrap()
            .is_some()
    );
}

#[test]
fn directories_get_their_mode_and_stay_when_not_empty() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d");
    RealFiles
        .make_directory(&path, Mode(0o2770), &me())
        .unwrap();
    assert_eq!(
        RealFiles.state(&path).unwrap(),
        PathState::Directory {
            mode: Mode(0o2770),
            owner: me()
        }
    );
    RealFiles
        .write(&path.join("f"), b"", Mode(0o600), &me())
        .unwrap();
    assert!(!RealFiles.remove_directory(&path).unwrap());
    RealFiles.remove_tree(&path).unwrap();
    assert_eq!(RealFiles.state(&path).unwrap(), PathState::Absent);
}
