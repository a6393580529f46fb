use super::*;

fn managed() -> File {
    File {
        path: "/etc/x".into(),
        mode: Mode(0o644),
        owner: Owner::root(),
        content: Content::Text("new".into()),
        keep: Keep::Managed,
    }
}

fn on_disk(content: &str, mode: u32) -> PathState {
    PathState::File {
        content: content.into(),
        mode: Mode(mode),
        owner: Owner::root(),
    }
}

#[test]
fn a_right_file_needs_nothing_and_a_wrong_mode_is_drift() {
    assert_eq!(
        managed().compare(&on_disk("new", 0o644), Some(b"new"), Claim::Ours),
        None
    );
    let change = managed()
        .compare(&on_disk("new", 0o666), Some(b"new"), Claim::Ours)
        .unwrap();
    assert_eq!(change.reason, "mode is 0666, not 0644");
}

#[test]
fn a_foreign_file_is_a_conflict_until_adopted() {
    let state = on_disk("theirs", 0o644);
    assert!(
        managed()
            .compare(&state, Some(b"new"), Claim::Foreign)
            .unwrap()
            .conflict
    );
    assert!(
        !managed()
            .compare(&state, Some(b"new"), Claim::Adopted)
            .unwrap()
            .conflict
    );
    assert!(
        !managed()
            .compare(&state, Some(b"new"), Claim::Ours)
            .unwrap()
            .conflict
    );
    let marked = on_disk("# Written by Tavern 0.1", 0o644);
    assert!(
        !managed()
            .compare(&marked, Some(b"new"), Claim::Foreign)
            .unwrap()
            .conflict
    );
}

#[test]
fn links_and_directories_in_a_files_place_are_refused_even_when_adopted() {
    for state in [
        PathState::Link {
            target: "/etc/passwd".into(),
        },
        PathState::Other,
    ] {
        assert!(
            managed()
                .compare(&state, Some(b"new"), Claim::Adopted)
                .unwrap()
                .conflict
        );
    }
}

/// bug: a deploy user's directory was taken back to root.
#[test]
fn a_place_for_pages_belongs_to_the_owner() {
    let place = Directory {
        path: "/var/www/x".into(),
        mode: Mode(0o755),
        owner: Owner::root(),
        keep: Keep::Seeded,
    };
    let deployed = PathState::Directory {
        mode: Mode(0o2775),
        owner: Owner::root_and("deploy"),
    };
    let link = PathState::Link {
        target: "/srv/release".into(),
    };
    for state in [&deployed, &link] {
        assert_eq!(place.compare(state, Claim::Ours), None);
        assert_eq!(place.compare(state, Claim::Foreign), None);
    }
    assert!(place.compare(&PathState::Absent, Claim::Foreign).is_some());
    let managed = Directory {
        keep: Keep::Managed,
        ..place
    };
    assert!(managed.compare(&deployed, Claim::Ours).is_some());
}

#[test]
fn seeded_pages_belong_to_the_owner() {
    let page = File {
        keep: Keep::Seeded,
        ..managed()
    };
    assert!(
        page.compare(&PathState::Absent, Some(b"new"), Claim::Foreign)
            .is_some()
    );
    assert_eq!(
        page.compare(&PathState::Absent, Some(b"new"), Claim::Ours),
        None
    );
    assert_eq!(
        page.compare(&on_disk("edited", 0o600), Some(b"new"), Claim::Ours),
        None
    );
    assert_eq!(
        page.compare(&on_disk("theirs", 0o600), Some(b"new"), Claim::Foreign),
        None
    );
}
