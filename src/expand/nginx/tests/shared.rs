//! What all stacks share, and what the installed nginx can do.

use std::path::Path;

use super::{NAMED, facts, stack, tree, tree_with};
use crate::model::Facts;
use crate::resource::directives;

/// bug: whoever has a /64 of IPv6 had as many tries at a password as it has addresses.
#[test]
fn a_client_of_ipv6_is_its_network() {
    let tree = tree(&[stack("a", NAMED)]);
    let shared = directives(&tree.files[Path::new("/etc/nginx/conf.d/tavern.conf")]).unwrap();
    let network = ["$binary_remote_addr", "$tavern_network"];
    let map = shared
        .iter()
        .find(|one| one.arguments() == network)
        .unwrap();
    let pairs: Vec<_> = map.inner().iter().map(|one| one.words.join(" ")).collect();
    assert_eq!(
        pairs,
        [
            "default $binary_remote_addr",
            "~(?s)^(?<tavern_prefix>.{8}).{8}$ $tavern_prefix"
        ]
    );
    let mut zones = shared.iter().filter(|one| one.name().starts_with("limit_"));
    assert!(zones.all(|one| ["$tavern_network", "$tavern_client"].contains(&&*one.words[1])));
}

/// bug: an nginx that was built without a module refused all of it for one directive.
#[test]
fn what_nginx_was_not_built_with_is_not_asked_of_it() {
    let says = |facts: &Facts| {
        let tree = tree_with(&[stack("a", NAMED)], facts);
        tree.files.values().any(|text| text.contains("gzip_static"))
    };
    let lacking = Facts {
        lacks_gzip_static: true,
        ..facts()
    };
    assert!(says(&facts()) && !says(&lacking));
}
