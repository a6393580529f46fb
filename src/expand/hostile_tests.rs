//! What somebody may write into a stack file that nginx would take in silence, in every place of the file: each is
//! refused with its line and a caret, or stands in nginx's files as the one word that it is.

use std::path::Path;

use super::*;
use crate::model::{Layout, NginxVersion};
use crate::resource::{Content, Directive, directives};
use crate::stack::{StackError, parse};

/// A stack with everything in it. `zz…` are the places.
const STACK: &str = r#"name = "zz-stack"
hosts = ["zzhost.example", "b.example"]
[tls]
issuer = "self-signed"
[proxy]
trusted = ["192.0.2.77"]
[error-pages]
404 = "zzpage.html"
[[site]]
path = "/zzpath"
name = "zzsite"
static = "/srv/zzdir"
host = "b.example"
headers = { X-Zz = "zzvalue" }
access = { accounts = ["zzaccount"], allow = ["192.0.2.78"] }
[[site]]
path = "/old"
name = "old"
redirect = "/zzto"
[[site]]
path = "/api/"
app = "zzapp"
[app.zzapp]
serve = "counter"
needs = ["zzrole"]
accounts = ["zzcaller"]
count-key = "zzkey"
alias = "zzalias"
[container.zzrole]
kind = "redis"
name = "zzcontainer"
image = "redis:7-zz"
volume = "zzvolume"
[firewall]
allow = ["8081/tcp"]
"#;

/// A place: what stands there, and what is taken there beside plain words.
struct Place {
    word: &'static str,
    /// What is put before the hostile text to come as near to a good value as can be.
    before: &'static str,
    takes: fn(&str) -> bool,
}

fn nothing(_: &str) -> bool {
    false
}

fn key(text: &str) -> bool {
    text.len() <= 128
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_:.-".contains(c))
}

fn header(text: &str) -> bool {
    text.chars().all(|c| (' '..='~').contains(&c) && c != '$')
}

fn address(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || "-._~/?&=%+:@,!*#[]".contains(c))
}

fn places() -> Vec<Place> {
    let place = |word, before, takes| Place {
        word,
        before,
        takes,
    };
    vec![
        place("zz-stack", "", nothing),
        place("zzhost.example", "", nothing),
        place("zzhost.example", "a.example", nothing),
        place("zzhost.example", "*.", nothing),
        place("192.0.2.77", "", nothing),
        place("192.0.2.77", "10.0.0.0/8", nothing),
        place("zzpage.html", "", nothing),
        place("/zzpath", "", nothing),
        place("/zzpath", "/", nothing),
        place("zzsite", "", nothing),
        place("/srv/zzdir", "", nothing),
        place("/srv/zzdir", "/srv/", nothing),
        place("zzvalue", "", header),
        place("zzaccount", "", nothing),
        place("zzaccount", "ann", nothing),
        place("192.0.2.78", "", nothing),
        place("192.0.2.78", "10.0.0.5", nothing),
        place("/zzto", "", address),
        place("/zzto", "/", address),
        place("/zzto", "https://b.example/", address),
        place("zzcaller", "", nothing),
        place("zzkey", "", key),
        place("zzalias", "", nothing),
        place("zzcontainer", "", nothing),
        place("redis:7-zz", "redis:7", nothing),
        place("zzvolume", "", key),
        place("8081/tcp", "", nothing),
        place("8081/tcp", "80/tcp", nothing),
    ]
}

fn hostile() -> Vec<String> {
    let mut all: Vec<String> = [
        ";",
        "a;b",
        "a; return 200 pwned;",
        "a\nb",
        "\n",
        "a\r\nb",
        "a\tb",
        "a\0b",
        "\0",
        "$host",
        "${host}",
        "a$b",
        "a{",
        "a}",
        "{}",
        "a b",
        " a",
        "a ",
        "\"a\"",
        "'a'",
        "a\"",
        "a'",
        "a\\",
        "\\n",
        "~.*",
        "~*^/x",
        "^~ /",
        "= /",
        "@named",
        "a#b",
        "# x",
        "a%00b",
        "%2e%2e%2f",
        "%n%s",
        "a|b",
        "a&&b",
        "`id`",
        "$(id)",
        "<script>",
        "a>b",
        "a*b",
        "**",
        "*.*",
        "a?b",
        "[a]",
        "(a)",
        "a,b",
        "a=b",
        "a!b",
        "a^b",
        "é;",
        "é/",
        "\u{202e}a",
        "\u{200b}a",
        "\u{feff}a",
        "a\u{1b}[31m",
        "a\u{7f}",
        "a\u{85}b",
        "a\u{2028}b",
        "../../etc/passwd",
        "/../x",
        "/a/../b",
        "/./a",
        "//a",
        "/a//b",
        "a..b;",
        "unix:/x;",
        "all;",
        "\" always; } server { listen 81; }",
        "a\\\"; deny all;",
        "0.0.0.0/0; allow all",
        "::1/129%",
        "x-y_z/😀",
    ]
    .map(ToOwned::to_owned)
    .to_vec();
    all.push(format!("{};", "a".repeat(300)));
    all.push("ä".repeat(300));
    all.push("/".repeat(300) + "\\");
    all
}

fn facts() -> Facts {
    Facts {
        ipv4: true,
        ipv6: true,
        nginx: Some(NginxVersion(1, 26, 3)),
        binary: "/usr/local/bin/tavernctl".into(),
        ..Facts::default()
    }
}

fn read(text: &str) -> Result<Stack, StackError> {
    parse(Path::new("zz-stack.toml"), text.as_bytes())
}

/// nginx's files as read back, and how many lines each of the others has.
type Written = (Vec<(String, Vec<Directive>)>, Vec<(String, usize)>);

/// Every generated file.
fn files(stack: Stack) -> Written {
    let desired = expand(&[stack], &facts(), &Layout::system(), &Edge::public()).unwrap();
    let (mut nginx, mut others) = (Vec::new(), Vec::new());
    for one in desired {
        match &one.resource {
            Resource::Nginx(tree) => {
                for (path, text) in &tree.files {
                    let text = text.replace(&tree.generation, "generation");
                    let read = directives(&text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
                    nginx.push((path.display().to_string(), read));
                }
            }
            Resource::File(file) => {
                if let Content::Text(text) = &file.content {
                    let lines = text.lines().count();
                    others.push((one.resource.id().to_string(), lines));
                }
            }
            _ => {}
        }
    }
    (nginx, others)
}

fn replaced(file: &[Directive], from: &str, to: &str) -> Vec<Directive> {
    let one = |directive: &Directive| Directive {
        words: directive
            .words
            .iter()
            .map(|word| word.replace(from, to))
            .collect(),
        block: directive
            .block
            .as_ref()
            .map(|block| replaced(block, from, to)),
        line: directive.line,
    };
    file.iter().map(one).collect()
}

#[test]
fn three_hundred_hostile_values_reach_no_file() {
    let (nginx, others) = files(read(STACK).unwrap());
    let (mut refused, mut taken, mut faults) = (0, 0, Vec::new());
    for place in places() {
        let line = STACK
            .lines()
            .position(|line| line.contains(&format!("\"{}\"", place.word)))
            .unwrap_or_else(|| panic!("no {}", place.word))
            + 1;
        for hostile in hostile() {
            let value = format!("{}{hostile}", place.before);
            let quoted = toml::Value::String(value.clone()).to_string();
            // One line, so that the place is one.
            let quoted = if quoted.contains('\n') || !quoted.starts_with('"') {
                format!("\"{}\"", escaped(&value))
            } else {
                quoted
            };
            let text = STACK.replacen(&format!("\"{}\"", place.word), &quoted, 1);
            match read(&text) {
                Err(error) => {
                    refused += 1;
                    let shown = error.to_string();
                    let at = error.position().map(|(line, _)| line);
                    if at != Some(line) || !shown.contains('^') || error.help().is_none() {
                        faults.push(format!(
                            "{} {value:?}: not at line {line}: {shown}",
                            place.word
                        ));
                    }
                    if shown.chars().any(|c| c.is_control() && c != '\n') {
                        faults.push(format!("{} {value:?}: shown raw", place.word));
                    }
                }
                Ok(_) if !(place.takes)(&value) => {
                    faults.push(format!("{} {value:?}: was taken", place.word));
                }
                Ok(stack) => {
                    taken += 1;
                    let (its_nginx, its_others) = files(stack);
                    for ((path, file), (_, its_file)) in nginx.iter().zip(&its_nginx) {
                        if replaced(file, place.word, &value) != *its_file {
                            faults.push(format!("{} {value:?}: {path} is another", place.word));
                        }
                    }
                    if its_others != others {
                        faults.push(format!("{} {value:?}: files have other lines", place.word));
                    }
                }
            }
        }
    }
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
    assert!(
        refused >= 1000 && taken >= 30,
        "{refused} refused, {taken} taken"
    );
}

/// As a TOML string on one line.
fn escaped(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// What TOML itself does not let into a string.
#[test]
fn raw_control_characters_are_refused_at_their_place() {
    for bad in ["a\nb", "a\0b", "a\u{1b}b", "a\u{7f}b", "a\rb"] {
        let error = read(&STACK.replacen("zzaccount", bad, 1)).unwrap_err();
        let line = error.position().unwrap().0;
        assert!((15..=16).contains(&line), "{bad:?}: {error}");
        assert!(error.to_string().contains('^'), "{error}");
    }
}

/// Names in other scripts reach nginx as DNS has them.
#[test]
fn names_in_other_scripts_are_ascii_in_nginx() {
    let stack = read(&STACK.replacen("zzhost.example", "*.BÜCHER.example", 1)).unwrap();
    let (nginx, _) = files(stack);
    let (_, file) = nginx
        .iter()
        .find(|(path, _)| path.ends_with("tavern-zz-stack.conf"))
        .unwrap();
    let names = file
        .iter()
        .flat_map(Directive::inner)
        .filter(|one| one.name() == "server_name")
        .flat_map(Directive::arguments);
    assert!(names.clone().any(|name| name == "*.xn--bcher-kva.example"));
    assert!(names.clone().all(|name| name.is_ascii()));
}
