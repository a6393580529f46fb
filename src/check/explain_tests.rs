use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::expand::{Edge, nginx_tree};
use crate::model::{Facts, NginxVersion, UfwFacts};
use crate::stack::parse;

fn facts() -> Facts {
    Facts {
        hostname: "vm".into(),
        addresses: Vec::new(),
        ipv4: true,
        ipv6: true,
        nginx: Some(NginxVersion(1, 22, 1)),
        lacks_gzip_static: false,
        missing_packages: Vec::new(),
        has_restic: false,
        has_sqlite: false,
        apt_trouble: None,
        ufw: UfwFacts::Inactive,
        ssh_ports: vec![22],
        binary: "/usr/local/bin/tavernctl".into(),
        binary_is_packaged: false,
    }
}

fn stack(access: &str) -> Option<Stack> {
    let text = format!(
        "name = \"a\"\nhosts = [\"*\"]\n[tls]\nissuer = \"self-signed\"\n\
         [[site]]\npath = \"/\"\nstatic = \"main\"\n\
         [[site]]\npath = \"/in\"\nstatic = \"inner\"\n{access}\n"
    );
    parse(Path::new("a.toml"), text.as_bytes()).ok()
}

/// The rules of `/in/` as nginx was given them.
fn rules(stack: &Stack) -> LocationRules {
    let tree = nginx_tree(
        std::slice::from_ref(stack),
        &facts(),
        &Layout::system(),
        &Edge::public(),
    )
    .unwrap();
    let text = &tree.files[Path::new("/etc/nginx/sites-available/tavern-a.conf")];
    let log = "/var/log/nginx/a-inner.access.log";
    LocationRules::find(&directives(text).unwrap(), "/in/", log)
        .unwrap()
        .unwrap()
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0u8..4, 0u8..2, 0u8..4).prop_map(|(a, b, c)| IpAddr::from([10, a, b, c])),
        (0u16..3, 0u16..4).prop_map(|(a, b)| IpAddr::from([0x2001, 0xdb8, a, 0, 0, 0, 0, b])),
        (0u8..4).prop_map(|c| format!("::ffff:10.0.0.{c}").parse().unwrap()),
        Just("127.0.0.2".parse().unwrap()),
    ]
}

fn range() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("10.0.0.0/8".to_owned()),
        Just("10.1.0.0/16".to_owned()),
        Just("10.0.0.0/30".to_owned()),
        Just("2001:db8::/32".to_owned()),
        Just("2001:db8:1::/64".to_owned()),
        Just("::ffff:10.2.0.0/112".to_owned()),
        (0u8..4).prop_map(|c| format!("10.0.0.{c}")),
        Just("2001:db8::1".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// What the stack file means and what nginx's file says are one and the same answer.
    #[test]
    fn the_rule_and_nginxs_file_agree(
        ranges in prop::collection::btree_set(range(), 0..4),
        accounts in prop::collection::btree_set("[a-c]", 0..3),
        any in any::<bool>(),
        from in address(),
        who in prop::option::of("[a-d]"),
    ) {
        let mut parts = Vec::new();
        if !ranges.is_empty() {
            parts.push(format!("allow = {ranges:?}").replace('{', "[").replace('}', "]"));
        }
        if !accounts.is_empty() {
            parts.push(format!("accounts = {accounts:?}").replace('{', "[").replace('}', "]"));
        }
        if any {
            parts.push("require = \"any\"".into());
        }
        let Some(stack) = stack(&format!("access = {{ {} }}", parts.join(", "))) else {
            // Nobody named, or one range in two spellings.
            return Ok(());
        };
        let access = stack.sites[1].access.clone().unwrap();
        let rules = rules(&stack);
        let known = who.as_ref().is_some_and(|who| accounts.contains(who));
        let by_file = rules.answer(from, known);
        let by_rule = access.answer(from, who.as_deref());
        prop_assert_eq!(by_file.status, by_rule.status, "{} / {}", by_file.reason, by_rule.reason);
        prop_assert_eq!(by_rule.allowed, by_rule.status == 200);
    }
}

#[test]
fn a_site_without_a_rule_is_everybodys() {
    let stack = stack("").unwrap();
    let ruling = rules(&stack).answer("203.0.113.7".parse().unwrap(), false);
    assert_eq!(ruling.status, 200);
}
