use std::path::Path;

use crate::stack::{DEFAULT, ErrorPage, SiteContent, Stack, StackError, parse};

fn parsed(from: &str, to: &str) -> Result<Stack, StackError> {
    assert!(DEFAULT.contains(from), "{from}");
    let text = DEFAULT.replacen(from, to, 1);
    parse(
        Path::new("/etc/tavern/stacks/counter.toml"),
        text.as_bytes(),
    )
}

const HOSTS: &str = "hosts = [\"*\"]";
const OPEN: &str = "static = \"open\"";
const NAMED: &str = "hosts = [\"a.example\", \"b.example\"]";

/// Nobody from elsewhere sees it unless the stack file says so.
#[test]
fn the_status_page_is_closed_unless_it_is_opened() {
    let page = |rest: &str| {
        let stack = parsed("page = \"status\"", &format!("page = \"status\"\n{rest} #")).unwrap();
        assert!(stack.has_status_page());
        let site = stack.sites[4].clone();
        site.access.unwrap()
    };
    let closed = page("");
    for (address, status) in [
        ("127.0.0.1", 200),
        ("::1", 200),
        ("192.0.2.1", 403),
        ("2001:db8::1", 403),
    ] {
        let answer = closed.answer(address.parse().unwrap(), None);
        assert_eq!(answer.status, status, "{address}");
    }
    let opened = page("access = { accounts = [\"ann\"] }");
    assert_eq!((opened.accounts.len(), opened.allow.len()), (1, 0));
    assert!(parsed(OPEN, OPEN).unwrap().has_status_page());
    assert!(
        !parsed("page = \"status\"", "static = \"status\"")
            .unwrap()
            .has_status_page()
    );
}

#[test]
fn what_a_site_may_be() {
    let to = parsed(OPEN, "redirect = \"https://b.example\"\nstatus = 301").unwrap();
    let SiteContent::Redirect(redirect) = &to.sites[1].content else {
        panic!("{:?}", to.sites[1])
    };
    assert_eq!(
        (redirect.to.as_str(), redirect.status),
        ("https://b.example", 301)
    );
    let pages = format!(
        "{HOSTS}\nports = [443, 5085]\nerror-pages = {{ 404 = \"404.html\", 500 = \"/srv/x.html\" }}"
    );
    let stack = parsed(HOSTS, &pages).unwrap();
    assert_eq!(stack.ports, [443, 5085]);
    assert_eq!(
        stack.error_pages[&404],
        ErrorPage::Seeded("404.html".into())
    );
    assert_eq!(
        stack.error_pages[&500],
        ErrorPage::File("/srv/x.html".into())
    );
    let limits = parsed(
        OPEN,
        "static = \"open\"\nlimits = { rate = 5, body = \"2G\" }",
    )
    .unwrap();
    assert_eq!(limits.sites[1].limits.rate, 5);
    assert_eq!(
        (limits.sites[1].limits.burst, limits.sites[0].limits.rate),
        (400, 200)
    );
}

/// Each fault: what is replaced in the default stack, by what, and the words owed.
#[test]
fn faults_of_sites_are_named_with_their_place() {
    let named = |rest: &str| format!("{NAMED}\n{rest}");
    let cases: &[(&str, String, &str)] = &[
        (
            OPEN,
            "redirect = \"//evil.example\"".into(),
            "is not where a redirect can lead",
        ),
        (
            OPEN,
            "redirect = \"/a b\"".into(),
            "is not where a redirect can lead",
        ),
        (
            OPEN,
            "redirect = \"https://$host/\"".into(),
            "is not where a redirect can lead",
        ),
        (OPEN, "redirect = \"/open/x\"".into(), "leads to itself"),
        (
            OPEN,
            "app = \"counter\"\npage = \"status\"".into(),
            "both `app` and `page`",
        ),
        (OPEN, "page = \"home\"".into(), "unknown variant `home`"),
        (
            OPEN,
            "redirect = \"/x\"\nstatus = 200".into(),
            "200 is not a redirect",
        ),
        (
            OPEN,
            "redirect = \"/x\"\naccess = { allow = [\"::1\"] }".into(),
            "`access` of a redirect",
        ),
        (
            OPEN,
            format!("{OPEN}\nstatus = 301"),
            "`status` without `redirect`",
        ),
        (
            OPEN,
            format!("{OPEN}\nwebsocket = true"),
            "`websocket` without `app`",
        ),
        (
            OPEN,
            format!("{OPEN}\nredirect = \"/x\""),
            "both `static` and `redirect`",
        ),
        (
            OPEN,
            format!("{OPEN}\nhost = \"c.example\""),
            "is not one of the stack's names",
        ),
        (
            OPEN,
            format!("{OPEN}\nhost = \"*\""),
            "is not one of the stack's names",
        ),
        (
            OPEN,
            format!("{OPEN}\nlimits = {{ rate = 0 }}"),
            "out of bounds",
        ),
        (
            OPEN,
            format!("{OPEN}\nlimits = {{ body = \"0\" }}"),
            "is not a size",
        ),
        (
            OPEN,
            format!("{OPEN}\nlimits = {{ speed = 1 }}"),
            "unknown field `speed`",
        ),
        (
            OPEN,
            format!("{OPEN}\nheaders = {{ X-A = \"$host\" }}"),
            "a header value with `$`",
        ),
        (
            OPEN,
            format!("{OPEN}\nheaders = {{ X-A = \"a\\r\\nSet-Cookie: b\" }}"),
            "is not a header value",
        ),
        (
            OPEN,
            format!("{OPEN}\nheaders = {{ \"a b\" = \"c\" }}"),
            "is not a header name",
        ),
        (
            OPEN,
            format!("{OPEN}\nheaders = {{ Content-Length = \"0\" }}"),
            "is not for `headers` to set",
        ),
        (HOSTS, format!("{HOSTS}\nports = []"), "no ports"),
        (
            HOSTS,
            format!("{HOSTS}\nports = [80]"),
            "port 80 cannot be one of HTTPS",
        ),
        (
            HOSTS,
            format!("{HOSTS}\nports = [443, 443]"),
            "port 443 twice",
        ),
        (HOSTS, format!("{HOSTS}\nports = [70000]"), "u16"),
        (
            HOSTS,
            format!("{HOSTS}\nerror-pages = {{ 200 = \"a.html\" }}"),
            "no page can be set for `200`",
        ),
        (
            HOSTS,
            format!("{HOSTS}\nerror-pages = {{ 404 = \"../a.html\" }}"),
            "is not a page",
        ),
        (
            HOSTS,
            format!("{HOSTS}\nerror-pages = {{ 404 = \"/a/../b.html\" }}"),
            "is not a page",
        ),
        (
            HOSTS,
            named("error-pages = { 404 = \"a/b.html\" }"),
            "is not a page",
        ),
    ];
    for (from, to, words) in cases {
        let fault = parsed(from, to).expect_err(to);
        let error = fault.to_string();
        assert!(error.contains(words), "{to}: {error}");
        assert!(
            error.contains('^') && fault.help().is_some(),
            "{to}: {error}"
        );
    }
}

#[test]
fn every_name_has_a_site_and_every_site_a_name() {
    let stack = |sites: &str| {
        let text = format!("name = \"a\"\n{NAMED}\n[tls]\nissuer = \"self-signed\"\n{sites}");
        parse(Path::new("a.toml"), text.as_bytes())
    };
    let site = |name: &str, host: &str| {
        let host = if host.is_empty() {
            String::new()
        } else {
            format!("host = \"{host}\"\n")
        };
        format!("[[site]]\npath = \"/\"\nstatic = \"{name}\"\n{host}")
    };
    let both = stack(&[site("x", "a.example"), site("y", "b.example")].concat()).unwrap();
    assert_eq!(both.shared_hosts().count(), 0);
    let shared = stack(&[site("x", ""), site("y", "b.example")].concat()).unwrap();
    assert_eq!(shared.shared_hosts().count(), 1);
    assert_eq!(
        shared.host_of(&shared.sites[0]).unwrap().to_string(),
        "a.example"
    );
    assert_eq!(
        shared.host_of(&shared.sites[1]).unwrap().to_string(),
        "b.example"
    );
    let nothing = stack(&site("x", "a.example")).unwrap_err().to_string();
    assert!(
        nothing.contains("nothing is served at `b.example`"),
        "{nothing}"
    );
    let no_name = [
        site("x", "a.example"),
        site("y", "b.example"),
        site("z", ""),
    ]
    .concat();
    let no_name = stack(&no_name).unwrap_err().to_string();
    assert!(
        no_name.contains("no name is left for site `z`"),
        "{no_name}"
    );
    let twice = [
        site("x", "a.example"),
        site("y", "a.example"),
        site("z", "b.example"),
    ]
    .concat();
    assert!(
        stack(&twice)
            .unwrap_err()
            .to_string()
            .contains("two sites at `/`")
    );
}
