use std::os::unix::fs::{MetadataExt as _, symlink};

use super::*;
use crate::host::{Accounts as _, Systemd as _};
use crate::model::Mode;
use crate::resource::{Owner, PathState};

/// An image in a directory, beside a directory that stands for the rest of the running host.
struct Bench {
    _directory: tempfile::TempDir,
    image: PathBuf,
    outside: PathBuf,
}

/// Whoever runs the test, by number: an image's accounts are not this machine's.
fn me() -> Owner {
    Owner {
        user: nix::unistd::getuid().to_string(),
        group: nix::unistd::getgid().to_string(),
    }
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (image, outside) = (
            directory.path().join("image"),
            directory.path().join("outside"),
        );
        for part in ["etc", "usr/lib", "var/lib"] {
            std::fs::create_dir_all(image.join(part)).unwrap();
        }
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(image.join("usr/lib/os-release"), "ID=debian\n").unwrap();
        symlink("../usr/lib/os-release", image.join("etc/os-release")).unwrap();
        Self {
            _directory: directory,
            image,
            outside,
        }
    }

    fn root(&self) -> Arc<Root> {
        Arc::new(Root::open(&self.image).unwrap())
    }

    fn files(&self) -> RootedFiles {
        RootedFiles::new(self.root())
    }

    fn has_nothing_outside(&self) -> bool {
        std::fs::read_dir(&self.outside).unwrap().next().is_none()
    }
}

fn write(files: &RootedFiles, path: &str) -> Result<(), HostError> {
    files.write(Path::new(path), b"new", Mode(0o640), &me())
}

#[test]
fn what_is_written_is_in_the_image() {
    let bench = Bench::new();
    let files = bench.files();
    write(&files, "/etc/a.conf").unwrap();
    assert_eq!(
        std::fs::read(bench.image.join("etc/a.conf")).unwrap(),
        b"new"
    );
    assert_eq!(
        files.read(Path::new("/etc/a.conf")).unwrap().unwrap(),
        b"new"
    );
    let made = Path::new("/var/www/counter");
    files.make_directory(made, Mode(0o750), &me()).unwrap();
    files
        .append(&made.join("log"), b"one", Mode(0o600))
        .unwrap();
    files
        .append(&made.join("log"), b"two", Mode(0o600))
        .unwrap();
    files
        .copy(&made.join("log"), &made.join("copy"), Mode(0o600), &me())
        .unwrap();
    assert_eq!(
        files.list(made).unwrap(),
        [made.join("copy"), made.join("log")]
    );
    assert_eq!(files.read(&made.join("copy")).unwrap().unwrap(), b"onetwo");
    // A link's target is the booted host's business: it is kept as it is.
    let (link, target) = (Path::new("/etc/link"), Path::new("/usr/local/bin/x"));
    files.link(link, target).unwrap();
    assert_eq!(
        std::fs::read_link(bench.image.join("etc/link")).unwrap(),
        target
    );
    assert!(!files.remove_directory(made).unwrap());
    files.remove_tree(Path::new("/var/www")).unwrap();
    assert_eq!(files.state(made).unwrap(), PathState::Absent);
    assert!(bench.has_nothing_outside());
}

/// A link in the image to a directory outside it, absolute or by dots, is one within the image once it boots.
#[test]
fn no_link_leads_out() {
    let bench = Bench::new();
    let outside = bench.outside.clone();
    let secret = outside.join("secret");
    let files = bench.files();
    let dots = Path::new("../../../../../../../../..").join(outside.strip_prefix("/").unwrap());
    for (name, target) in [("absolute", &outside), ("dots", &dots)] {
        symlink(target, bench.image.join("etc").join(name)).unwrap();
        let inside = Path::new("/etc").join(name);
        let file = inside.join("file");
        let text = file.to_string_lossy();
        // It leads to nothing: the image has no such directory.
        assert!(write(&files, &text).is_err());
        assert!(files.append(&file, b"x", Mode(0o600)).is_err());
        assert!(files.link(&file, Path::new("/etc")).is_err());
        assert!(files.make_directory(&file, Mode(0o755), &me()).is_err());
        assert!(bench.has_nothing_outside());

        std::fs::write(&secret, "of the running host").unwrap();
        assert_eq!(files.read(&inside.join("secret")).unwrap(), None);
        assert_eq!(files.list(&inside).unwrap(), Vec::<PathBuf>::new());
        files.remove(&inside.join("secret")).unwrap();
        files.remove_tree(&inside.join("secret")).unwrap();
        let from = inside.join("secret");
        assert!(
            files
                .copy(&from, Path::new("/etc/copy"), Mode(0o600), &me())
                .is_err()
        );
        std::fs::remove_file(&secret).unwrap();

        // Where the image has the directory, it is that one.
        let same = bench.image.join(outside.strip_prefix("/").unwrap());
        std::fs::create_dir_all(&same).unwrap();
        write(&files, &text).unwrap();
        assert!(same.join("file").is_file());
        assert!(bench.has_nothing_outside());
        std::fs::remove_dir_all(&same).unwrap();
    }
}

/// A link in the last place is replaced by a write, followed within the image by a read, and refused by an append.
#[test]
fn a_link_in_a_files_place_is_not_followed_out() {
    let bench = Bench::new();
    let victim = bench.outside.join("victim");
    std::fs::write(&victim, "keep").unwrap();
    let files = bench.files();
    let path = Path::new("/etc/x");
    let plant = || {
        let _ = std::fs::remove_file(bench.image.join("etc/x"));
        symlink(&victim, bench.image.join("etc/x")).unwrap();
    };
    plant();
    assert_eq!(files.read(path).unwrap(), None);
    assert!(files.append(path, b"more", Mode(0o600)).is_err());
    assert!(files.make_directory(path, Mode(0o700), &me()).is_err());
    assert!(files.list(path).unwrap().is_empty());
    write(&files, "/etc/x").unwrap();
    plant();
    files.remove_tree(path).unwrap();
    assert_eq!(std::fs::read(&victim).unwrap(), b"keep");
}

#[test]
fn owners_are_the_images() {
    let bench = Bench::new();
    let root = bench.root();
    std::fs::write(
        bench.image.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/bash\nwww-data:x:4242:4343::/:/x\n",
    )
    .unwrap();
    std::fs::write(
        bench.image.join("etc/group"),
        "root:x:0:\nadm:x:4444:syslog\n",
    )
    .unwrap();
    let accounts = RootedAccounts::new(Arc::clone(&root));
    let owner = Owner {
        user: "www-data".into(),
        group: "adm".into(),
    };
    assert_eq!(accounts.ids(&owner).unwrap(), (4242, 4444));
    assert_eq!(accounts.owner(4242, 4444), owner);
    assert_eq!(accounts.group_id("docker"), None);
    assert!(accounts.ids(&Owner::root_and("docker")).is_err());
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let files = RootedFiles::new(root);
    let path = Path::new("/etc/theirs");
    files.write(path, b"", Mode(0o640), &owner).unwrap();
    let data = std::fs::metadata(bench.image.join("etc/theirs")).unwrap();
    assert_eq!((data.uid(), data.gid()), (4242, 4444));
    assert!(
        matches!(files.state(path).unwrap(), PathState::File { owner: found, .. } if found == owner)
    );
}

/// Programs with `--root` follow links by themselves, so there must be none where they write.
#[test]
fn programs_are_not_run_where_a_link_would_lead_them_out() {
    let refused = |link: &str, ask: &dyn Fn(&Bench) -> Result<(), HostError>| {
        let bench = Bench::new();
        let link = bench.image.join(link);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(&bench.outside, link).unwrap();
        let error = ask(&bench).unwrap_err();
        assert!(matches!(error, HostError::NoImage { .. }), "{error}");
        assert!(bench.has_nothing_outside());
    };
    let enable = |bench: &Bench| RootedSystemd::new(bench.files()).act("enable", &["x.socket"]);
    refused("etc/systemd", &enable);
    let again = |bench: &Bench| RootedSystemd::new(bench.files()).act("reenable", &["x.socket"]);
    refused("etc/systemd", &again);
    refused("etc/systemd/system/sockets.target.wants", &enable);
    let make = |bench: &Bench| RootedAccounts::new(bench.root()).make_group("tavern-x");
    refused("etc/group", &make);
    refused("etc/gshadow", &make);
    let query = |bench: &Bench| {
        RootedPackages::new(bench.root())
            .version("nginx")
            .map(|_| ())
    };
    refused("var/lib/dpkg", &query);
}

#[test]
fn what_is_no_image_is_refused_with_what_to_do() {
    let bench = Bench::new();
    let error = |path: &Path| {
        let error = Root::open(path).unwrap_err();
        assert!(error.help().is_some(), "{error}");
        error.to_string()
    };
    let slash = bench.outside.join("slash");
    symlink("/", &slash).unwrap();
    for (path, what) in [
        (Path::new("/"), "running host"),
        (&slash, "running host"),
        (Path::new("/proc/self/root"), "running host"),
        (&bench.image.join("nothing"), "not there"),
        (&bench.image.join("usr/lib/os-release"), "no directory"),
        (&bench.image.join("etc"), "no root file system"),
    ] {
        let said = error(path);
        assert!(said.contains(what), "{said}");
    }
    let held = bench.root();
    assert!(error(&bench.image).contains("in use"));
    drop(held);
}
