use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;

use super::{file, location, says, server, stack, tree};
use crate::resource::{Directive, directives};
use crate::stack::parse;

/// Every directive's name in a configuration, at any depth.
fn names(file: &[Directive], into: &mut BTreeSet<String>) {
    for one in file {
        into.insert(one.name().to_owned());
        // What is in a map are pairs.
        if one.name() != "map" && one.name() != "geo" {
            names(one.inner(), into);
        }
    }
}

fn hostile() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        "[a-z]{1,6}",
        "[ -~]{0,8}",
        ".{0,3}",
        Just("a.example".to_owned()),
        Just("/x".to_owned()),
        Just("; return 200 pwned; ".to_owned()),
        Just("\" always; } server { ".to_owned()),
        Just("\\\"".to_owned()),
        Just("\n".to_owned()),
        Just("${host}".to_owned()),
        Just("https://a.example/".to_owned()),
    ];
    prop::collection::vec(fragment, 1..4).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever stands in a stack file, nginx reads the directives that the templates have, and the value as it was.
    #[test]
    fn no_value_becomes_a_directive(
        header in hostile(), to in hostile(), page in hostile(), host in hostile(), path in hostile(), directory in hostile()
    ) {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let mut known = BTreeSet::new();
        let benign = "hosts = [\"a.example\"]\nerror-pages = { 404 = \"404.html\" }\n[[site]]\npath = \"/\"\n\
                      static = \"home\"\nheaders = { X-A = \"b\" }\n[[site]]\npath = \"/old\"\nname = \"old\"\nredirect = \"/new\"\n";
        for text in tree(&[stack("a", benign)]).files.values() {
            names(&directives(text).unwrap(), &mut known);
        }
        for (from, value) in [
            ("\"b\"", &header), ("\"/new\"", &to), ("\"404.html\"", &page), ("\"a.example\"", &host),
            ("\"/old\"", &path), ("\"home\"\n", &directory),
        ] {
            let end = if from.ends_with('\n') { "\nname = \"home\"\n" } else { "" };
            let lines = benign.replace(from, &format!("{}{end}", quoted(value)));
            let (top, sites) = lines.split_once("[[site]]").unwrap();
            let text = format!("name = \"a\"\n{top}\n[tls]\nissuer = \"self-signed\"\n[[site]]{sites}");
            let Ok(stack) = parse(Path::new("a.toml"), text.as_bytes()) else { continue };
            let tree = tree(&[stack]);
            let mut found = BTreeSet::new();
            for text in tree.files.values() {
                names(&directives(text).unwrap(), &mut found);
            }
            prop_assert!(found.is_subset(&known), "{value:?}: {:?}", found.difference(&known));
            if from == "\"b\"" && !value.is_empty() {
                let file = file(&tree, "a");
                let place = location(server(&file, "a.example", "443"), &["/"]);
                let said = says(place, "add_header");
                prop_assert!(said.iter().any(|words| words[0] == "X-A" && words[1] == value));
            }
        }
    }
}
