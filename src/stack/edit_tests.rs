use proptest::prelude::*;

use super::*;
use crate::stack::DEFAULT;

const PATH: &str = "/etc/tavern/stacks/counter.toml";

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn range(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn close() -> Door {
    Door::Site(name("close"))
}

fn amended(text: &str, amendment: &Amendment) -> Result<String, NotAmended> {
    amend(Path::new(PATH), text.as_bytes(), amendment)
}

/// The lines that differ, each with its sign.
fn changed(before: &str, after: &str) -> Vec<String> {
    let diff = similar::TextDiff::from_lines(before, after);
    let changes = diff.iter_all_changes();
    let differ = changes.filter(|change| change.tag() != similar::ChangeTag::Equal);
    differ
        .map(|change| format!("{}{}", change.tag(), change.value().trim_end()))
        .collect()
}

#[test]
fn one_line_changes_and_keeps_its_form() {
    let before = r#"access = { accounts = ["admin"], allow = ["127.0.0.1", "::1", "192.168.1.0/24", "10.0.0.5"], require = "all" }"#;
    for (amendment, after) in [
        (
            Amendment::Allow(name("close"), range("203.0.113.0/24")),
            before.replace("\"10.0.0.5\"", "\"10.0.0.5\", \"203.0.113.0/24\""),
        ),
        (
            Amendment::Disallow(name("close"), range("10.0.0.5")),
            before.replace(", \"10.0.0.5\"", ""),
        ),
        (
            Amendment::Disallow(name("close"), range("127.0.0.1")),
            before.replace("\"127.0.0.1\", ", ""),
        ),
        (
            Amendment::Disallow(name("close"), range("::1")),
            before.replace("\"::1\", ", ""),
        ),
        (
            Amendment::Enrol(close(), name("ann")),
            before.replace("\"admin\"", "\"admin\", \"ann\""),
        ),
    ] {
        let text = amended(DEFAULT, &amendment).unwrap();
        assert_eq!(
            changed(DEFAULT, &text),
            [format!("-{before}"), format!("+{after}")]
        );
    }
    let app = Amendment::Enrol(Door::App(name("counter")), name("ann"));
    let text = amended(DEFAULT, &app).unwrap();
    assert_eq!(
        changed(DEFAULT, &text),
        [
            "-accounts = [\"admin\"]                # who may log in to the API",
            "+accounts = [\"admin\", \"ann\"]                # who may log in to the API",
        ]
    );
    let back = amended(
        &text,
        &Amendment::Dismiss(Door::App(name("counter")), name("ann")),
    );
    assert_eq!(back.unwrap(), DEFAULT);
}

fn with_list(list: &str) -> String {
    let line = DEFAULT
        .lines()
        .find(|line| line.starts_with("access = "))
        .unwrap();
    DEFAULT.replace(
        line,
        &format!("[site.access]\naccounts = [\"admin\"]\nallow = {list} # who\n"),
    )
}

#[test]
fn a_list_over_many_lines_keeps_its_comments() {
    let list = "[\n    # the office\n    \"10.0.0.1\", # door one\n    \"10.0.0.2\",\n    # home\n    \"10.0.0.3\", # ann's\n]";
    let text = with_list(list);
    let add = Amendment::Allow(name("close"), range("10.0.0.4"));
    let more = amended(&text, &add).unwrap();
    assert_eq!(changed(&text, &more), ["+    \"10.0.0.4\","]);
    for (gone, lines) in [
        ("10.0.0.1", &["-    \"10.0.0.1\", # door one"][..]),
        ("10.0.0.2", &["-    \"10.0.0.2\","]),
        ("10.0.0.3", &["-    \"10.0.0.3\", # ann's"]),
    ] {
        let less = amended(&text, &Amendment::Disallow(name("close"), range(gone))).unwrap();
        assert_eq!(changed(&text, &less), lines, "{less}");
    }
    // No comma behind the last one.
    let bare = with_list("[\n  \"10.0.0.1\",\n  \"10.0.0.3\" # ann's\n]");
    let more = amended(&bare, &add).unwrap();
    assert_eq!(
        changed(&bare, &more),
        [
            "-  \"10.0.0.3\" # ann's",
            "+  \"10.0.0.3\", # ann's",
            "+  \"10.0.0.4\","
        ]
    );
    let less = amended(
        &bare,
        &Amendment::Disallow(name("close"), range("10.0.0.3")),
    )
    .unwrap();
    assert!(
        !less.contains("10.0.0.3") && less.contains("\"10.0.0.1\""),
        "{less}"
    );
}

#[test]
fn an_address_is_found_however_it_is_written() {
    let text = with_list("[\"::ffff:10.0.0.1\", '10.0.0.2']");
    let less = amended(
        &text,
        &Amendment::Disallow(name("close"), range("10.0.0.1")),
    )
    .unwrap();
    assert!(less.contains("allow = ['10.0.0.2'] # who"), "{less}");
}

#[test]
fn what_makes_no_sense_is_refused_with_help() {
    let one = with_list("[\"10.0.0.1\"]");
    for (text, amendment, words) in [
        (DEFAULT, Amendment::Enrol(close(), name("admin")), "already"),
        (
            DEFAULT,
            Amendment::Allow(name("close"), range("::1")),
            "already",
        ),
        (DEFAULT, Amendment::Dismiss(close(), name("ann")), "not in"),
        (DEFAULT, Amendment::Dismiss(close(), name("admin")), "last"),
        (
            &one,
            Amendment::Disallow(name("close"), range("10.0.0.1")),
            "last",
        ),
        (
            DEFAULT,
            Amendment::Allow(name("open"), range("10.0.0.1")),
            "everybody may see it",
        ),
        (
            DEFAULT,
            Amendment::Allow(name("nosuch"), range("10.0.0.1")),
            "no site called",
        ),
        (
            DEFAULT,
            Amendment::Enrol(Door::App(name("nosuch")), name("ann")),
            "no app called",
        ),
        (
            DEFAULT,
            Amendment::Allow(name("close"), range("0.0.0.0/0")),
            "allows everybody",
        ),
        ("name = 1", Amendment::Enrol(close(), name("ann")), "name"),
    ] {
        let refused = amended(text, &amendment).unwrap_err();
        assert!(refused.message.contains(words), "{}", refused.message);
        assert!(!refused.help.is_empty(), "{}", refused.message);
    }
}

/// What TOML may write in another way than a list in a table is refused, not rewritten.
#[test]
fn a_form_that_is_not_understood_is_left_alone() {
    let dotted = "name = \"counter\"\nhosts = [\"*\"]\ntls.issuer = \"self-signed\"\n\
                  site = [{ path = \"/\", static = \"main\", access = { accounts = [\"admin\"] } }]\n";
    let amendment = Amendment::Enrol(Door::Site(name("main")), name("ann"));
    let refused = amended(dotted, &amendment).unwrap_err();
    assert!(refused.message.contains("without rewriting"), "{refused}");
}

#[test]
fn a_name_or_a_path_means_a_door() {
    let stack = parse(Path::new(PATH), DEFAULT.as_bytes()).unwrap();
    let app = Door::App(name("counter"));
    for (asked, found) in [
        ("close", vec![close()]),
        ("/close", vec![close()]),
        ("/close/", vec![close()]),
        ("counter", vec![app.clone()]),
        ("/flask/", vec![app.clone()]),
        ("/flask", vec![app.clone()]),
        ("app:counter", vec![app.clone()]),
        ("site:close", vec![close()]),
        ("site:counter", vec![]),
        ("nosuch", vec![]),
        ("/", vec![Door::Site(name("main"))]),
    ] {
        assert_eq!(doors(&stack, asked), found, "{asked}");
    }
    // A site that has the app's name and a door of its own.
    let both = DEFAULT.replace(
        "name = \"flask\"\napp",
        "name = \"counter\"\naccess = { accounts = [\"admin\"] }\napp",
    );
    let stack = parse(Path::new(PATH), both.as_bytes()).unwrap();
    assert_eq!(
        doors(&stack, "counter"),
        [Door::Site(name("counter")), app.clone()]
    );
    assert_eq!(doors(&stack, "app:counter"), [app]);
}

proptest! {
    /// Adding and taking away again gives the file back, whatever its layout.
    #[test]
    fn there_and_back(
        spaces in " {0,3}",
        comments in prop::collection::vec("( # [a-z \"\\[\\],]{0,8})?", 3),
        lines in any::<bool>(),
        comma in any::<bool>(),
        crlf in any::<bool>(),
    ) {
        let mut list = String::from("[");
        for (at, comment) in comments.iter().enumerate() {
            let last = at == 2;
            let separator = if !last || comma { "," } else { "" };
            if lines {
                list.push_str(&format!("\n{spaces}\"10.0.0.{at}\"{separator}{comment}"));
            } else {
                list.push_str(&format!("{spaces}\"10.0.0.{at}\"{separator}"));
            }
        }
        list.push_str(if lines { "\n]" } else { &spaces });
        if !lines {
            list.push(']');
        }
        let mut text = with_list(&list);
        if crlf {
            text = text.replace('\n', "\r\n");
        }
        let new = range("10.0.0.9");
        let refused = |error: &NotAmended| error.message.contains("without rewriting");
        match amended(&text, &Amendment::Allow(name("close"), new)) {
            Err(error) => prop_assert!(crlf && refused(&error), "{}", error),
            Ok(more) => {
                let stack = parse(Path::new(PATH), more.as_bytes()).unwrap();
                prop_assert_eq!(stack.sites[2].access.as_ref().unwrap().allow.len(), 4);
                for comment in &comments {
                    prop_assert!(!lines || more.contains(comment.as_str()));
                }
                let less = amended(&more, &Amendment::Disallow(name("close"), new)).unwrap();
                // A comma behind the last one is all that may differ.
                let plain = |text: &str| text.replace([',', ' '], "");
                prop_assert_eq!(plain(&less), plain(&text));
            }
        }
        for at in 0..3 {
            let gone = Amendment::Disallow(name("close"), range(&format!("10.0.0.{at}")));
            match amended(&text, &gone) {
                Err(error) => prop_assert!(crlf && refused(&error), "{}", error),
                Ok(less) => {
                    let stack = parse(Path::new(PATH), less.as_bytes()).unwrap();
                    prop_assert_eq!(stack.sites[2].access.as_ref().unwrap().allow.len(), 2);
                }
            }
        }
    }
}
