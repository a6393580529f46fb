//! Holds the house rules that the compiler does not: the module table of the design, where each
//! crate may be named, and what the tree looks like.
//!
//! Source is read as tokens ([`source::tokens`]), not by a search for text: comments and strings
//! never count, `use` groups are taken apart, `super` is resolved. The rules are about the code
//! that ships. A `#[cfg(test)]` module may prepare and compare with any module and any crate, but
//! not with `cli`, which nothing uses except `main`.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic)]

#[path = "structure/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use source::{File, Token};

/// Who may use whom. `main` is the file.
const TABLE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("mint", &["model"]),
    ("web", &[]),
    ("stack", &["model"]),
    ("resource", &["model"]),
    ("expand", &["stack", "resource", "model"]),
    ("plan", &["resource", "model"]),
    ("host", &["model", "resource"]),
    (
        "engine",
        &[
            "plan", "expand", "host", "resource", "stack", "model", "mint",
        ],
    ),
    (
        "backup",
        &[
            "engine", "expand", "host", "stack", "resource", "model", "mint",
        ],
    ),
    ("check", &["host", "stack", "model", "mint", "resource"]),
    ("logs", &["host", "stack", "model"]),
    ("monitor", &["model"]),
    (
        "supervise",
        &[
            "check", "engine", "host", "stack", "model", "resource", "monitor",
        ],
    ),
    ("relay", &[]),
    ("apps", &["web"]),
    (
        "up",
        &[
            "expand", "host", "stack", "model", "mint", "check", "resource",
        ],
    ),
    (
        "cli",
        &[
            "model",
            "mint",
            "web",
            "stack",
            "resource",
            "expand",
            "plan",
            "host",
            "engine",
            "check",
            "logs",
            "apps",
            "up",
            "supervise",
            "backup",
            "monitor",
            "relay",
        ],
    ),
    ("main", &["cli"]),
];

/// Crates with one place of their own: the files, by the beginning of their path in `src/`.
const CRATES: &[(&str, &[&str])] = &[
    ("axum", &["web/", "apps/"]),
    ("bollard", &["host/docker"]),
    ("clap", &["cli/"]),
    ("crossterm", &["cli/top/"]),
    ("hyperlocal", &["host/"]),
    ("libc", &["web/memory", "monitor/follow"]),
    ("metrics", &["web/", "supervise/metrics"]),
    (
        "metrics_exporter_prometheus",
        &["web/", "supervise/metrics"],
    ),
    ("instant_acme", &["host/acme"]),
    ("minijinja", &["expand/"]),
    ("rcgen", &["mint/"]),
    ("redb", &["apps/", "supervise/store"]),
    ("redis", &["apps/"]),
    ("tokio_postgres", &["check/postgres"]),
    ("tower_http", &["web/", "apps/"]),
    ("utoipa", &["web/", "apps/"]),
    ("utoipa_axum", &["web/", "apps/"]),
    ("utoipa_swagger_ui", &["web/", "apps/"]),
];

const LONGEST: usize = 450;
const NO_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "misc"];
const SHELLS: &[&str] = &["sh", "bash", "dash", "ash", "zsh"];

/// What a file of the tree breaks, a line each.
fn broken_uses(file: &File) -> Vec<String> {
    let mut broken = Vec::new();
    let mut say = |line: usize, what: String| {
        broken.push(format!("src/{}:{line}: {what}", file.path));
    };
    for used in &file.uses {
        let (line, own, other) = (used.line, file.room(), used.module());
        if let Some(other) = other.filter(|other| *other != own) {
            let ours = TABLE.iter().find(|(name, _)| *name == own);
            let allowed = match ours {
                // lib.rs declares the modules and needs none of them.
                None => false,
                Some(_) if used.in_tests => other != "cli",
                Some((_, may)) => may.contains(&other),
            };
            if !allowed {
                say(
                    line,
                    format!("`{own}` may not use `{other}` ({})", used.text()),
                );
            }
        }
        if let Some(name) = used.extern_crate().filter(|_| !used.in_tests) {
            let places = CRATES.iter().find(|(known, _)| *known == name);
            if let Some((_, places)) = places
                && !places.iter().any(|place| file.path.starts_with(place))
            {
                say(
                    line,
                    format!("`{name}` belongs to {} only", places.join(" and ")),
                );
            }
        }
    }
    broken
}

/// Shells, and options that hand text to one, among the strings of shipped code. `nginx -c` names
/// a file and is fine.
fn shells(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    let mut program = "";
    for token in file.shipped() {
        match &token.token {
            Token::Text(text) => {
                let name = text.rsplit('/').next().unwrap_or_default();
                if SHELLS.contains(&name) && !text.contains(' ') {
                    found.push(format!(
                        "src/{}:{}: {text:?} is a shell",
                        file.path, token.line
                    ));
                }
                if text == "-c" && program != "nginx" {
                    found.push(format!(
                        "src/{}:{}: {text:?} hands text to a shell",
                        file.path, token.line
                    ));
                }
                if text == "nginx" {
                    program = "nginx";
                }
            }
            Token::Mark(';') => program = "",
            _ => {}
        }
    }
    found
}

/// `unsafe` without a comment `SAFETY:` on its line or right above.
fn unexplained_unsafe(file: &File) -> Vec<String> {
    let lines: Vec<&str> = file.text.lines().collect();
    let explained = |at: usize| {
        let above = lines[..at]
            .iter()
            .rev()
            .map(|line| line.trim_start())
            .take_while(|line| line.starts_with("//") || line.starts_with("#["));
        std::iter::once(lines[at])
            .chain(above)
            .any(|line| line.contains("SAFETY:"))
    };
    file.tokens
        .iter()
        .filter(|token| token.token == Token::Word("unsafe".into()))
        .filter(|token| !explained(token.line - 1))
        .map(|token| format!("src/{}:{}: unsafe without SAFETY:", file.path, token.line))
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn nothing_broken(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n{}", broken.join("\n"));
}

fn over_all(rule: &str, check: impl Fn(&File) -> Vec<String>) {
    let files = source::crate_files(&root().join("src"));
    assert!(files.len() > 50, "only {} files were found", files.len());
    let broken: Vec<String> = files.iter().flat_map(check).collect();
    nothing_broken(rule, &broken);
}

#[test]
fn modules_use_only_what_the_table_allows() {
    over_all("the module table", broken_uses);
}

#[test]
fn every_module_is_in_the_table() {
    let declared: BTreeSet<String> = source::crate_files(&root().join("src"))
        .iter()
        .map(|file| file.room().to_owned())
        .filter(|room| room != "lib")
        .collect();
    let missing: Vec<String> = declared
        .into_iter()
        .filter(|room| !TABLE.iter().any(|(name, _)| name == room))
        .collect();
    nothing_broken("modules that the table does not know", &missing);
}

#[test]
fn every_source_file_belongs_to_a_module() {
    let reached: BTreeSet<String> = source::crate_files(&root().join("src"))
        .into_iter()
        .map(|file| file.path)
        .collect();
    let orphans: Vec<String> = source::rust_files(&root().join("src"))
        .into_iter()
        .filter(|path| !reached.contains(path))
        .collect();
    nothing_broken("files that no `mod` declares", &orphans);
}

#[test]
fn no_shell_is_ever_run() {
    over_all("argument vectors only", shells);
}

#[test]
fn unsafe_code_says_why_it_is_sound() {
    over_all("unsafe", unexplained_unsafe);
}

#[test]
fn files_can_be_read_in_one_sitting() {
    over_all("files too long", |file| {
        let lines = file.text.lines().count();
        let long = lines > LONGEST;
        long.then(|| format!("src/{}: {lines} lines, {LONGEST} are the limit", file.path))
            .into_iter()
            .collect()
    });
}

#[test]
fn modules_say_what_they_are_for() {
    over_all("names that say nothing", |file| {
        let named = file
            .module
            .iter()
            .any(|part| NO_NAMES.contains(&part.as_str()));
        named
            .then(|| format!("src/{}", file.path))
            .into_iter()
            .collect()
    });
}

#[test]
fn the_top_level_is_as_agreed() {
    // Dotfiles and what .gitignore names at the top are free.
    let ignored = fs::read_to_string(root().join(".gitignore")).expect("a .gitignore");
    let ignored: Vec<&str> = ignored
        .lines()
        .filter_map(|line| line.strip_prefix('/'))
        .collect();
    let found: BTreeSet<String> = fs::read_dir(root())
        .expect("the repository can be listed")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| !name.starts_with('.') && !ignored.contains(&name.as_str()))
        .collect();
    let agreed: BTreeSet<String> = [
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "src",
        "units",
        "nginx-sites",
        "www",
        "provision",
        "tests",
    ]
    .map(str::to_owned)
    .into();
    let differ: Vec<String> = found.symmetric_difference(&agreed).cloned().collect();
    nothing_broken("too much or too little at the top", &differ);
}

// --- these rules can fail -------------------------------------------------------------------

/// What the rules say of `text` as the file at `path`.
fn judged(path: &str, text: &str) -> Vec<String> {
    let file = File::new(path, text.to_owned());
    [broken_uses(&file), shells(&file), unexplained_unsafe(&file)].concat()
}

#[test]
fn a_violation_is_found_in_every_form() {
    for (path, text) in [
        ("plan/mod.rs", "use crate::host::Host;"),
        ("plan/mod.rs", "use crate::{model::Mode, host};"),
        (
            "plan/mod.rs",
            "use crate::{model::{Mode, Name}, resource::{self, Path}, host::{Files as F}};",
        ),
        ("plan/mod.rs", "fn f() -> crate::host::Host { todo!() }"),
        (
            "plan/mod.rs",
            "pub(in crate::plan) fn f() { ::tavern::host::x() }",
        ),
        ("plan/text.rs", "use super::super::host::Host;"),
        ("plan/mod.rs", "mod inner { use super::super::host::Host; }"),
        (
            "plan/mod.rs",
            "macro_rules! m { () => { $crate::host::gather() } }",
        ),
        ("plan/mod.rs", "use crate as all;"),
        ("plan/mod.rs", "use crate::*;"),
        (
            "plan/mod.rs",
            "#[cfg(test)] mod tests { use crate::cli::run; }",
        ),
        (
            "plan/mod.rs",
            "#[cfg(not(test))] mod real { use crate::host::Host; }",
        ),
        (
            "plan/mod.rs",
            "#[cfg(test)] mod tests {} use crate::host::Host;",
        ),
        (
            "plan/mod.rs",
            "#[cfg(test)] use std::fmt; use crate::host::Host;",
        ),
        (
            "plan/mod.rs",
            "const QUOTE: char = '\"'; use crate::host::Host; const OTHER: char = '\"';",
        ),
        (
            "plan/mod.rs",
            "const R: &str = r#\"\"\"#; use crate::host::Host;",
        ),
        ("plan/mod.rs", "/* a /* b */ c */ use crate::host::Host;"),
        ("engine/mod.rs", "use crate::cli;"),
        ("apps/shop/mod.rs", "use crate::model::Name;"),
        ("main.rs", "fn main() { tavern::host::Host::real(); }"),
        ("lib.rs", "use crate::host::Host;"),
        ("check/web.rs", "use bollard::Docker;"),
        ("host/http.rs", "fn f(d: bollard::Docker) {}"),
        ("host/http.rs", "use {bollard as b, std::fmt};"),
        ("host/http.rs", "extern crate bollard;"),
        ("engine/mod.rs", "fn f() { ::clap::Command::new(\"x\"); }"),
        ("engine/mod.rs", "#[derive(clap::Args)] struct A;"),
        ("check/redis.rs", "fn f() { redis::Client::open(\"x\"); }"),
        (
            "host/process.rs",
            "fn f() { Invocation::new(\"sh\", &[\"x\"]); }",
        ),
        (
            "host/process.rs",
            "fn f() { Invocation::new(\"/bin/bash\", &[\"x\"]); }",
        ),
        (
            "host/process.rs",
            "fn f() { Invocation::new(\"python3\", &[\"-c\", \"x\"]); }",
        ),
        (
            "host/process.rs",
            "fn f() { nginx(\"nginx\"); Invocation::new(\"env\", &[\"-c\"]); }",
        ),
        ("host/process.rs", "fn f() { unsafe { g() } }"),
    ] {
        assert_eq!(
            judged(path, text).len(),
            1,
            "{path}: {text}: {:?}",
            judged(path, text)
        );
    }
}

#[test]
fn what_is_allowed_is_not_a_violation() {
    for (path, text) in [
        (
            "plan/mod.rs",
            "use crate::{model::Mode, resource::{self, Change}};",
        ),
        (
            "plan/mod.rs",
            "// use crate::host::Host;\nconst A: &str = \"crate::host::Host\";",
        ),
        (
            "plan/mod.rs",
            "#[cfg(test)] mod tests { use crate::host::Host; use bollard::Docker; }",
        ),
        (
            "plan/mod.rs",
            "#[cfg(test)] fn sample() -> crate::host::Host { todo!() }",
        ),
        (
            "plan/text.rs",
            "use super::host; fn f() { self::host::x(); super::host::y(); }",
        ),
        (
            "plan/mod.rs",
            "mod tests { use super::host; } fn f<'a>(x: &'a str) {}",
        ),
        (
            "check/container.rs",
            "use super::{Setting, redis}; fn f() { redis::ping(); }",
        ),
        ("check/mod.rs", "mod redis; fn f() { redis::ping(); }"),
        ("check/mod.rs", "fn f() { crate::check::redis::ping(); }"),
        ("host/docker_engine.rs", "use bollard::Docker;"),
        ("web/mod.rs", "use axum::{Router, routing::get};"),
        ("main.rs", "fn main() { tavern::cli::run(); }"),
        ("lib.rs", "pub mod host;"),
        (
            "up/nginx.rs",
            "fn f() { Invocation::new(\"nginx\", &[\"-c\", path]); }",
        ),
        (
            "up/nginx.rs",
            "const PAGE: &str = \"no sh here, bash neither\";",
        ),
        (
            "host/process.rs",
            "fn f() {\n    // SAFETY: g has no conditions.\n    unsafe { g() }\n}",
        ),
    ] {
        assert_eq!(judged(path, text), [""; 0], "{path}: {text}");
    }
}

// --- advice ---------------------------------------------------------------------------------

/// The verbs that a text tells a person to use, with `tavernctl` before them. What is said of the
/// program ("this tavernctl was built …") has an article or the like in front.
fn advised_verbs(text: &str) -> Vec<String> {
    const PROSE: &[&str] = &["a", "the", "this", "another", "newer", "of", "with"];
    // Escapes are as written: line ends, and lines that go on.
    let text = text.replace("\\n", " ").replace("\\\n", " ");
    let mut words = text.split_whitespace().peekable();
    let mut before = "";
    let mut verbs = Vec::new();
    while let Some(word) = words.next() {
        let name = word.trim_start_matches(['`', '(']);
        if (name == "tavernctl" || name.ends_with("/tavernctl"))
            && !PROSE.contains(&before)
            && let Some(next) = words.peek()
        {
            let end = next.find(|c: char| !c.is_ascii_lowercase());
            let verb = &next[..end.unwrap_or(next.len())];
            verbs.extend((!verb.is_empty()).then(|| verb.to_owned()));
        }
        before = word;
    }
    verbs
}

#[test]
fn only_verbs_that_exist_are_advised() {
    let knows = |verb: &str| {
        std::process::Command::new(env!("CARGO_BIN_EXE_tavernctl"))
            .args([verb, "--help"])
            .output()
            .expect("tavernctl runs")
            .status
            .success()
    };
    assert!(knows("install") && !knows("conjure"));
    over_all("verbs that tavernctl does not have", |file| {
        let texts = file.tokens.iter().filter_map(|token| match &token.token {
            Token::Text(text) => Some((token.line, text)),
            _ => None,
        });
        texts
            .flat_map(|(line, text)| {
                let verbs = advised_verbs(text).into_iter();
                verbs.map(move |verb| (line, verb))
            })
            .filter(|(_, verb)| !knows(verb))
            .map(|(line, verb)| format!("src/{}:{line}: tavernctl {verb}", file.path))
            .collect()
    });
}

#[test]
fn advice_is_told_from_prose() {
    for (text, verbs) in [
        (
            "run `sudo tavernctl plan`; `tavernctl up` too",
            &["plan", "up"][..],
        ),
        ("see `tavernctl access explain`", &["access"]),
        (
            r"Examples:\n  tavernctl check     asks\ntavernctl up",
            &["check", "up"],
        ),
        ("ExecStart=/usr/bin/tavernctl serve counter", &["serve"]),
        ("/usr/bin/tavernctl serve counter", &["serve"]),
        ("before this tavernctl was built", &[]),
        ("another tavernctl is at work", &[]),
        ("run `sudo tavernctl {verb}`", &[]),
        ("tavernctl", &[]),
    ] {
        assert_eq!(advised_verbs(text), verbs, "{text}");
    }
}
