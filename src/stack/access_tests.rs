use std::path::Path;

use super::*;
use crate::stack::{Stack, parse};

fn stack(access: &str) -> Result<Stack, StackError> {
    let text = format!(
        "name = \"a\"\nhosts = [\"*\"]\n[tls]\nissuer = \"self-signed\"\n[[site]]\npath = \"/\"\nstatic = \"main\"\n\
         access = {access}\n"
    );
    parse(Path::new("a.toml"), text.as_bytes())
}

fn rule(access: &str) -> Access {
    let stack = stack(access).unwrap();
    stack.sites[0].access.clone().unwrap()
}

fn answer(rule: &Access, address: &str, account: Option<&str>) -> u16 {
    let answer = rule.answer(address.parse().unwrap(), account);
    assert_eq!(answer.allowed, answer.status == 200, "{answer:?}");
    answer.status
}

#[test]
fn both_doors() {
    let rule = rule(r#"{ accounts = ["ann"], allow = ["10.0.0.0/8", "::1"] }"#);
    assert_eq!(rule.require, Require::All);
    for (address, account, status) in [
        ("10.9.9.9", Some("ann"), 200),
        ("::ffff:10.9.9.9", Some("ann"), 200),
        ("::1", Some("ann"), 200),
        ("10.9.9.9", Some("eve"), 401),
        ("10.9.9.9", None, 401),
        ("11.0.0.1", Some("ann"), 403),
        ("11.0.0.1", None, 403),
    ] {
        assert_eq!(
            answer(&rule, address, account),
            status,
            "{address} {account:?}"
        );
    }
}

#[test]
fn either_door() {
    let rule = rule(r#"{ accounts = ["ann"], allow = ["10.0.0.5"], require = "any" }"#);
    for (address, account, status) in [
        ("10.0.0.5", None, 200),
        ("10.0.0.5", Some("eve"), 200),
        ("10.0.0.6", Some("ann"), 200),
        ("10.0.0.6", Some("eve"), 401),
        ("10.0.0.6", None, 401),
    ] {
        assert_eq!(
            answer(&rule, address, account),
            status,
            "{address} {account:?}"
        );
    }
}

#[test]
fn one_door() {
    let accounts = rule(r#"{ accounts = ["ann", "bob"] }"#);
    assert_eq!(answer(&accounts, "203.0.113.7", Some("bob")), 200);
    assert_eq!(answer(&accounts, "203.0.113.7", None), 401);
    let allow = rule(r#"{ allow = ["203.0.113.0/24"], require = "any" }"#);
    assert_eq!(answer(&allow, "203.0.113.7", None), 200);
    assert_eq!(answer(&allow, "203.0.114.7", Some("ann")), 403);
}

/// Rows 43 and 44: what nginx would take in silence.
#[test]
fn lists_that_would_let_everybody_in_are_refused() {
    for (access, words) in [
        (r#"{ accounts = [] }"#, "account list is empty"),
        (r#"{ allow = [] }"#, "allowlist is empty"),
        (
            r#"{ accounts = ["ann"], allow = [] }"#,
            "allowlist is empty",
        ),
        (
            r#"{ accounts = [], allow = ["::1"], require = "any" }"#,
            "account list is empty",
        ),
        (r#"{}"#, "names nobody"),
        (r#"{ require = "any" }"#, "names nobody"),
        (r#"{ force = true }"#, "names nobody"),
        (r#"{ allow = ["10.0.0.1/8"] }"#, "host bits"),
        (r#"{ allow = ["0.0.0.0/0"] }"#, "allows everybody"),
        (r#"{ allow = ["::1", "::/0"] }"#, "allows everybody"),
        (r#"{ allow = ["::ffff:0.0.0.0/96"] }"#, "allows everybody"),
        (
            r#"{ allow = ["0.0.0.0/1", "128.0.0.0/1"] }"#,
            "all together `0.0.0.0/0` allows everybody",
        ),
        (
            r#"{ allow = ["10.0.0.5", "::ffff:10.0.0.5"] }"#,
            "`10.0.0.5` is in the list twice",
        ),
        (
            r#"{ accounts = ["ann", "ann"] }"#,
            "`ann` is in the list twice",
        ),
        (r#"{ allow = ["all"] }"#, "not an address"),
        (r#"{ accounts = ["a:b"] }"#, "is not a name"),
        (
            r#"{ allow = ["::1"], require = "most" }"#,
            "unknown variant",
        ),
        (r#"{ allow = ["::1"], deny = ["::2"] }"#, "unknown field"),
    ] {
        let error = stack(access).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(words), "{access}: {text}");
        assert_eq!(error.position().map(|p| p.0), Some(8), "{text}");
        assert!(error.help().is_some(), "{text}");
    }
    let error = stack(r#"{ allow = ["10.0.0.1/8"] }"#).unwrap_err();
    assert!(error.help().unwrap().contains("`10.0.0.0/8`"));
    let error = stack(r#"{ allow = ["10.0.0.1", "0.0.0.0/0"] }"#).unwrap_err();
    let column = error.position().unwrap().1;
    assert_eq!(column, "access = { allow = [\"10.0.0.1\", ".len() + 1);
    let forced = rule(r#"{ allow = ["0.0.0.0/0", "::/0"], force = true }"#);
    assert_eq!(answer(&forced, "203.0.113.7", None), 200);
}

#[test]
fn proxies_are_named_and_are_not_everybody() {
    let with = |proxy: &str| {
        let text = format!(
            "name = \"a\"\nhosts = [\"*\"]\n[tls]\nissuer = \"self-signed\"\n[[site]]\npath = \"/\"\nstatic = \"main\"\n\
             [proxy]\n{proxy}\n"
        );
        parse(Path::new("a.toml"), text.as_bytes())
    };
    let stack = with(r#"trusted = ["10.0.0.0/8", "::1"]"#).unwrap();
    assert_eq!(stack.proxy.trusted.len(), 2);
    for bad in [
        "trusted = []",
        r#"trusted = ["0.0.0.0/0"]"#,
        r#"trusted = ["::/1", "8000::/1"]"#,
        r#"trusted = ["10.0.0.1/8"]"#,
        r#"trusted = ["10.0.0.1", "10.0.0.1"]"#,
        "",
        "hops = 1",
    ] {
        let error = with(bad).unwrap_err();
        assert!(
            error.position().is_some() && error.help().is_some(),
            "{error}"
        );
    }
}
