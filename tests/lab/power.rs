//! Power cuts: a host whose `/etc`, `/var` and `/usr/local` are an ext4 file system in a file. At
//! moments all through a run, all of the host is held still and the file is copied: what the disk
//! would have had if the power had gone. Each copy is checked, mounted, and a host booted on it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::points::{self, INSTALL, UPGRADE, Verb};
use crate::site::{exits, wait_until_healthy};
use crate::support::lab::{Host, Image, redis_image_tar, tavernctl};

const MOMENTS: usize = 24;
/// How long a disk takes to sync, in microseconds: a run on it is long enough to be cut so often.
const SLOW: [(&str, u32); 2] = [("install", 20_000), ("upgrade", 100_000)];

#[test]
#[ignore = "longer: tests/full"]
fn power_cuts_of_install() {
    cuts(Image::BookwormPrepared, &INSTALL);
}

#[test]
#[ignore = "longer: tests/full"]
fn power_cuts_of_upgrade() {
    cuts(Image::BookwormPrepared, &UPGRADE);
}

/// A file system in a file, mounted on this machine until it is dropped.
struct Disk {
    file: PathBuf,
    mount: PathBuf,
}

impl Disk {
    fn mounted(file: PathBuf) -> Self {
        let mount = file.with_extension("mount");
        std::fs::create_dir_all(&mount).expect("a place to mount on");
        let disk = Self { file, mount };
        tool("mount", &["-o", "loop", disk.path(), disk.place()]);
        disk
    }

    fn path(&self) -> &str {
        self.file.to_str().expect("a path in UTF-8")
    }

    fn place(&self) -> &str {
        self.mount.to_str().expect("a path in UTF-8")
    }

    /// A host that keeps what matters on it.
    fn boot(&self, image: Image, name: &str) -> Host {
        let on = ["/etc", "/var", "/var/lib/docker", "/usr/local"];
        let directories = on.map(|path| format!("{}{path}:{path}", self.place()));
        let host = Host::boot_on(image, name, &directories);
        host.put(&tavernctl(), "/root/tavernctl");
        host
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.mount).status();
        if unmounted.is_ok_and(|status| status.success()) {
            let _ = std::fs::remove_dir(&self.mount);
            let _ = std::fs::remove_file(&self.file);
        }
    }
}

fn tool(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A disk with what the image has on it, in a directory without what a test that was killed left.
fn disk(image: Image, name: &str) -> Disk {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("power-{name}"));
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("the mounts");
    let stale = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    for mount in stale.filter(|mount| Path::new(mount).starts_with(&directory)) {
        tool("umount", &[mount]);
    }
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("a place for disks");
    let file = directory.join("disk");
    let path = file.to_str().expect("a path in UTF-8").to_owned();
    tool("truncate", &["--size=400M", &path]);
    tool("mkfs.ext4", &["-q", "-F", &path]);
    let disk = Disk::mounted(file);
    let bare = tool("docker", &["create", image.ready()]);
    for part in ["/etc", "/var", "/usr/local"] {
        let into = format!("{}{part}", disk.place());
        let into = Path::new(&into).parent().expect("below the mount");
        std::fs::create_dir_all(into).expect("a directory on the disk");
        let into = into.to_str().expect("a path in UTF-8");
        tool(
            "docker",
            &["cp", "--archive", &format!("{}:{part}", bare.trim()), into],
        );
    }
    tool("docker", &["rm", "--volumes", bare.trim()]);
    disk
}

/// What a boot changes says nothing; nor do the temporaries of a systemd-sysusers that was cut off.
fn state(host: &Host) -> String {
    let state = host.ok("/root/state ours");
    let kept = state
        .lines()
        .filter(|line| !line.starts_with("nginx ") && !line.starts_with("/etc/hosts "));
    kept.map(|line| format!("{line}\n")).collect()
}

fn cuts(image: Image, verb: &'static Verb) {
    let name = verb.name;
    let disk = disk(image, name);
    let host = disk.boot(image, &format!("power-{name}"));
    host.load_image(&redis_image_tar());
    points::give_scripts(&host, verb);
    host.ok(verb.first);
    let old = state(&host);
    host.ok("cd /root/sweep; bash ./before; sync");
    let copies = copies(&host, &disk, verb);
    let new = state(&host);
    drop(host);

    let directory = disk.file.parent().expect("of the disk").to_owned();
    let (mut undone, mut done) = (0, 0);
    for copy in &copies {
        match after_the_cut(image, verb, copy, [&old, &new]) {
            End::Old => undone += 1,
            End::New => done += 1,
        }
    }
    drop(disk);
    let _ = std::fs::remove_dir_all(directory);
    points::note(&format!(
        "power cuts of {name} on {}: {} moments: {undone} the old state, {done} the new one",
        image.name(),
        copies.len()
    ));
    assert!(
        copies.len() >= 20 && undone >= 5,
        "{undone} of {}",
        copies.len()
    );
}

/// Runs the verb, and copies the disk again and again until it has ended.
fn copies(host: &Host, disk: &Disk, verb: &Verb) -> Vec<PathBuf> {
    let slow = SLOW
        .iter()
        .find(|(name, _)| *name == verb.name)
        .map_or(0, |slow| slow.1);
    host.ok(&format!(
        "setsid bash -c 'strace -qq -o /dev/null -e trace=fsync,fdatasync -e inject=fsync,fdatasync:delay_exit={slow} \
         {} >/root/run.log 2>&1; echo $? >/root/run.code' </dev/null >/dev/null 2>&1 &",
        verb.command
    ));
    let mut copies = Vec::new();
    while !host.sh("test -e /root/run.code").success() {
        assert!(
            copies.len() < 10 * MOMENTS,
            "{}",
            host.read("/root/run.log")
        );
        let copy = disk.file.with_file_name(format!("cut-{}", copies.len()));
        let to = copy.to_str().expect("a path in UTF-8");
        hold_still(host);
        // A kernel thread may still write: a moment is one if nothing changed while it was copied.
        let is_whole = (0..5).any(|_| {
            tool("cp", &["--sparse=always", disk.path(), to]);
            Command::new("cmp")
                .args(["--quiet", disk.path(), to])
                .status()
                .is_ok_and(|same| same.success())
        });
        tool("docker", &["unpause", host.container()]);
        assert!(is_whole, "the disk does not come to rest");
        copies.push(copy);
        std::thread::sleep(Duration::from_millis(40));
    }
    assert_eq!(
        host.read("/root/run.code"),
        "0\n",
        "{}",
        host.read("/root/run.log")
    );
    // As many as needed, evenly spread.
    let all = copies.len();
    let mut index = 0;
    copies.retain(|copy| {
        index += 1;
        let stays = all <= MOMENTS || index * MOMENTS / all > (index - 1) * MOMENTS / all;
        if !stays {
            std::fs::remove_file(copy).expect("a copy less");
        }
        stays
    });
    copies
}

/// A process that is just being started cannot be frozen, and there is always one.
fn hold_still(host: &Host) {
    host.wait("all of it to hold still", Duration::from_secs(60), || {
        let paused = Command::new("docker")
            .args(["pause", host.container()])
            .output();
        match paused {
            Ok(output) if output.status.success() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

enum End {
    Old,
    New,
}

/// Power is back: the next run sets it right, and the one after it installs.
fn after_the_cut(image: Image, verb: &Verb, copy: &Path, states: [&str; 2]) -> End {
    let cut = copy
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    let checked = Command::new("e2fsck").args(["-f", "-y"]).arg(copy).output();
    // 1: what a journal is for was done.
    let code = checked.ok().and_then(|output| output.status.code());
    assert!(matches!(code, Some(0 | 1)), "{cut}: e2fsck says {code:?}");
    let disk = Disk::mounted(copy.to_owned());
    let host = disk.boot(image, &format!("power-{}", verb.name));
    points::give_scripts(&host, verb);
    let recovered = host.sh("/root/tavernctl recover </dev/null");
    exits(&recovered, 0);
    let empty = host.ok(
        "find /etc/tavern /etc/nginx/conf.d /etc/nginx/sites-* /etc/systemd/system /var/lib/tavern -type f -empty 2>/dev/null; true",
    );
    assert_eq!(empty, "", "{cut}: empty files");
    // The owner's own change is no part of either state. A host that boots elsewhere has another
    // address, and so another certificate as soon as an install looks.
    let fresh = host.read("/root/sweep/fresh");
    let plain = |text: &str| -> BTreeSet<String> {
        let pattern = format!(
            "{}|/stacks/counter.toml sha256 |^/etc/tavern/tls/counter[. ]",
            fresh.trim()
        );
        host.write("/root/plain", text, 0o644);
        let lines = host.run(&["grep", "-vE", &pattern, "/root/plain"]).stdout;
        lines.lines().map(str::to_owned).collect()
    };
    let exact = |text: &str| -> BTreeSet<String> {
        let lines = text
            .lines()
            .filter(|line| !line.contains("/stacks/counter.toml sha256 "));
        lines.map(str::to_owned).collect()
    };
    let end = host.wait("one of the two states", Duration::from_secs(30), || {
        let now = state(&host);
        let (old, is) = (exact(states[0]), exact(&now));
        if old == is {
            return Ok(End::Old);
        }
        if plain(states[1]) == plain(&now) {
            return Ok(End::New);
        }
        let lines: Vec<&String> = old.symmetric_difference(&is).take(40).collect();
        Err(format!(
            "{cut}: beside the old state: {lines:#?}\n{recovered}"
        ))
    });
    exits(&host.sh("/root/tavernctl install --yes </dev/null"), 0);
    exits(&host.sh("tavernctl plan"), 0);
    wait_until_healthy(&host, "the site after a power cut");
    let left = host.ok("find /etc /usr/local /var -xdev -name '*.tavern-tmp' -o -path /var/lib/tavern/journal.jsonl");
    assert_eq!(left, "", "{cut}");
    end
}
