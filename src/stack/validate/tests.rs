use super::*;
use crate::stack::DEFAULT;

fn parse_text(text: &str) -> Result<Stack, StackError> {
    parse(
        Path::new("/etc/tavern/stacks/counter.toml"),
        text.as_bytes(),
    )
}

#[test]
fn the_default_stack_parses() {
    let stack = parse_text(DEFAULT).unwrap();
    assert!(stack.is_default_server());
    assert_eq!(stack.sites.len(), 5);
    assert_eq!(stack.sites[2].access.as_ref().unwrap().allow.len(), 4);
    assert_eq!(
        stack.firewall,
        [Opening::Ssh, Opening::Tcp(80), Opening::Tcp(443)]
    );
}

/// Each fault: what is replaced in the default stack, by what, and the words and line owed.
#[test]
fn faults_name_line_and_remedy() {
    let cases: &[(&str, &str, &str, usize)] = &[
        ("issuer =", "isuer =", "unknown field `isuer`", 8),
        (
            "name = \"counter\"",
            "name = \"Counter\"",
            "is not a name",
            4,
        ),
        (
            "name = \"counter\"",
            "name = \"other\"",
            "must be called `other.toml`",
            4,
        ),
        (
            "hosts = [\"*\"]",
            "hosts = [\"a;b\"]",
            "is not a host name",
            5,
        ),
        (
            "hosts = [\"*\"]",
            "hosts = [\"*\", \"a.org\"]",
            "`*` beside other names",
            5,
        ),
        ("hosts = [\"*\"]", "hosts = []", "no host names", 5),
        ("path = \"/open\"", "path = \"/\"", "two sites at `/`", 16),
        ("path = \"/open\"", "path = \"/../x\"", "is not a path", 16),
        (
            "app = \"counter\"",
            "app = \"cuonter\"",
            "no app called `cuonter`",
            29,
        ),
        (
            "needs = [\"redis\"]",
            "needs = [\"radis\"]",
            "no container called `radis`",
            38,
        ),
        ("\"10.0.0.5\"", "\"10.0.0.5/8\"", "host bits", 24),
        ("\"10.0.0.5\"", "\"0.0.0.0/0\"", "allows everybody", 24),
        (
            "image = \"redis:7-alpine\"",
            "image = \"redis\"",
            "not an image with a tag",
            46,
        ),
        (
            "name = \"redis-flask\"",
            "name = \"redis-of-the-flask-counter\"",
            "longer than 24 characters",
            45,
        ),
        ("\"443/tcp\"", "\"https\"", "is not a port", 50),
        (
            "serve = \"counter\"",
            "serve = \"cuonter\"",
            "unknown variant",
            37,
        ),
        (
            "accounts = [\"admin\"]                # who",
            "# who",
            "has no accounts",
            36,
        ),
        ("needs = [\"redis\"]", "", "nowhere to keep its count", 36),
        ("[firewall]", "[firewall", "unclosed table", 49),
    ];
    for (from, to, words, line) in cases {
        assert!(DEFAULT.contains(from), "{from}");
        let error = parse_text(&DEFAULT.replacen(from, to, 1)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(words), "{to}: {text}");
        assert_eq!(error.position().map(|p| p.0), Some(*line), "{to}: {text}");
        assert!(text.contains("counter.toml:"), "{to}: {text}");
    }
}

#[test]
fn an_app_is_not_called_like_a_unit_of_ours() {
    for stem in Layout::OWN_UNITS {
        let Some(name) = stem.strip_prefix("tavern-") else {
            continue;
        };
        let text = DEFAULT
            .replace("name = \"counter\"", &format!("name = \"{name}\""))
            .replace("[app.counter]", &format!("[app.{name}]"))
            .replace("app = \"counter\"", &format!("app = \"{name}\""));
        let path = format!("/etc/tavern/stacks/{name}.toml");
        let error = parse(Path::new(&path), text.as_bytes()).unwrap_err();
        assert_eq!(error.position().map(|place| place.0), Some(36), "{error}");
        assert!(error.to_string().contains(stem), "{error}");
        // Beside an app's name it is a name like others.
        let beside = text
            .replace(&format!("[app.{name}]"), "[app.counter]")
            .replace(&format!("app = \"{name}\""), "app = \"counter\"");
        parse(Path::new(&path), beside.as_bytes()).unwrap();
    }
}

#[test]
fn hostile_files_are_refused_without_panic() {
    let deep = format!("x = {}{}", "[".repeat(5000), "]".repeat(5000));
    let large = "#".repeat(SIZE_LIMIT + 1);
    let nul = "name = \"a\0b\"".to_owned();
    for text in ["", "\u{feff}", "name", &deep, &large, &nul, &DEFAULT[..200]] {
        assert!(parse_text(text).is_err());
    }
    assert!(parse(Path::new("counter.toml"), &[0xff, 0xfe, 0x00]).is_err());
}
#[test]
fn every_fault_of_the_parser_comes_with_a_place_and_help() {
    for (text, place) in [
        ("hosts = [\n", (1, 10)),
        ("hosts = 7", (1, 9)),
        ("colour = 1", (1, 1)),
        ("name = \"a\"\nname = \"b\"", (2, 1)),
        ("name = \"counter\"", (1, 1)),
        ("name = \"\x1b[31m\"", (1, 9)),
    ] {
        let error = parse_text(text).unwrap_err();
        assert_eq!(error.position(), Some(place), "{error}");
        assert!(error.help().is_some(), "{error}");
        let shown = error.to_string();
        assert!(
            !shown.chars().any(|c| c.is_control() && c != '\n'),
            "{shown:?}"
        );
    }
    let error = parse(Path::new("counter.toml"), b"name = \"c\"\n# \xff").unwrap_err();
    assert_eq!(error.position(), Some((2, 3)), "{error}");
}
