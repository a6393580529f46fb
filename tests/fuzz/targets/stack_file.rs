//! Any bytes as a stack file: refused with a sentence, or every file of nginx that comes of it reads back as nginx's
//! language, with no directive that the templates do not have.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tavern::expand::{Edge, nginx_tree};
use tavern::model::{Facts, Layout, NginxVersion};
use tavern::resource::{Directive, directives};
use tavern::stack::parse;

/// What no template writes, and what a value that broke out would need to do harm.
const NEVER: &[&str] = &["load_module", "lua", "perl", "include", "fastcgi_pass", "js_import"];

fn judge(inside: &[Directive]) {
    for one in inside {
        assert!(!NEVER.contains(&one.name()), "{one:?}");
        judge(one.inner());
    }
}

fuzz_target!(|bytes: &[u8]| {
    let stack = match parse(Path::new("a.toml"), bytes) {
        Ok(stack) => stack,
        Err(fault) => {
            assert!(!fault.to_string().is_empty());
            return;
        }
    };
    let facts = Facts {
        nginx: Some(NginxVersion(1, 22, 1)),
        ipv4: true,
        ipv6: true,
        ..Facts::default()
    };
    if let Ok(tree) = nginx_tree(&[stack], &facts, &Layout::system(), &Edge::public()) {
        for (path, text) in &tree.files {
            match directives(text) {
                Ok(read) => judge(&read),
                Err(fault) => panic!("{}: {fault}", path.display()),
            }
        }
    }
});
