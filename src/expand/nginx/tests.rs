mod hostile;
mod shared;

use std::path::Path;

use crate::expand::{Edge, nginx_tree};
use crate::model::{Facts, Layout, NginxVersion};
use crate::resource::{Directive, NginxTree, directives};
use crate::stack::{Stack, parse};

fn facts() -> Facts {
    Facts {
        ipv4: true,
        ipv6: true,
        nginx: Some(NginxVersion(1, 26, 3)),
        ..Facts::default()
    }
}

/// A stack of these lines, with a certificate that browsers do not trust.
fn stack(name: &str, lines: &str) -> Stack {
    let text = if lines.contains("[tls]") {
        format!("name = \"{name}\"\n{lines}")
    } else {
        let (top, sites) = lines.split_once("[[site]]").unwrap();
        format!("name = \"{name}\"\n{top}\n[tls]\nissuer = \"self-signed\"\n[[site]]{sites}")
    };
    parse(Path::new(&format!("{name}.toml")), text.as_bytes()).unwrap()
}

fn tree_with(stacks: &[Stack], facts: &Facts) -> NginxTree {
    nginx_tree(stacks, facts, &Layout::system(), &Edge::public()).unwrap()
}

fn tree(stacks: &[Stack]) -> NginxTree {
    tree_with(stacks, &facts())
}

/// A file of the tree, read back.
fn file(tree: &NginxTree, name: &str) -> Vec<Directive> {
    let of_stack = Path::new("/etc/nginx/sites-available").join(format!("tavern-{name}.conf"));
    directives(&tree.files[&of_stack]).unwrap()
}

/// The servers of a file, by their first name and first port.
fn server<'a>(file: &'a [Directive], name: &str, port: &str) -> &'a Directive {
    let has = |server: &&Directive, what: &str, word: &str| {
        let mut inner = server.inner().iter();
        inner.any(|one| one.name() == what && one.arguments().iter().any(|a| a == word))
    };
    let mut servers = file.iter().filter(|one| one.name() == "server");
    servers
        .find(|one| has(one, "server_name", name) && has(one, "listen", port))
        .unwrap_or_else(|| panic!("no server {name} on {port} in {file:#?}"))
}

fn says<'a>(block: &'a Directive, name: &str) -> Vec<Vec<&'a str>> {
    let named = block.inner().iter().filter(|one| one.name() == name);
    named
        .map(|one| one.arguments().iter().map(String::as_str).collect())
        .collect()
}

fn location<'a>(server: &'a Directive, arguments: &[&str]) -> &'a Directive {
    let mut locations = server.inner().iter().filter(|one| one.name() == "location");
    locations
        .find(|one| one.arguments() == arguments)
        .unwrap_or_else(|| panic!("no location {arguments:?}"))
}

const NAMED: &str =
    "hosts = [\"a.example\", \"www.a.example\"]\n[[site]]\npath = \"/\"\nstatic = \"home\"\n";

#[test]
fn a_redirect_leads_where_it_says_and_asks_nobody() {
    let lines = "hosts = [\"*\"]\n[[site]]\npath = \"/old\"\nname = \"old\"\nredirect = \"/new/?a=b\"\n\
                 [[site]]\npath = \"/gone/\"\nname = \"gone\"\nredirect = \"https://b.example\"\nstatus = 308\n";
    let file = file(&tree(&[stack("a", lines)]), "a");
    let server = server(&file, "_", "443");
    for place in [&["=", "/old"][..], &["/old/"]] {
        let location = location(server, place);
        assert_eq!(says(location, "return"), [["302", "/new/?a=b"]]);
        assert!(says(location, "auth_basic").is_empty() && says(location, "allow").is_empty());
    }
    let gone = location(server, &["/gone/"]);
    assert_eq!(
        says(gone, "return"),
        [["308", "https://b.example$request_uri"]]
    );
}

#[test]
fn a_name_of_a_sites_own_has_a_server_of_its_own() {
    let lines = format!(
        "{NAMED}[[site]]\npath = \"/\"\nname = \"www\"\nhost = \"www.a.example\"\nredirect = \"https://a.example\"\n"
    );
    let tree = tree(&[stack("a", &lines)]);
    let file = file(&tree, "a");
    let shared = server(&file, "a.example", "443");
    assert_eq!(says(shared, "server_name"), [["a.example"]]);
    assert!(says(location(shared, &["/"]), "return").is_empty());
    let own = server(&file, "www.a.example", "443");
    assert_eq!(says(own, "server_name"), [["www.a.example"]]);
    assert_eq!(
        says(location(own, &["/"]), "return"),
        [["302", "https://a.example$request_uri"]]
    );
    // In the clear both lead to TLS first.
    assert_eq!(
        says(server(&file, "a.example", "80"), "server_name"),
        [["a.example", "www.a.example"]]
    );
}

/// faults 38, 39: who shakes hands for one stack does not get another's pages, and unknown names get nothing.
#[test]
fn only_the_stack_whose_name_was_in_the_handshake_answers() {
    let other = NAMED.replace("a.example", "b.example");
    let any = stack(
        "any",
        "hosts = [\"*\"]\n[[site]]\npath = \"/\"\nstatic = \"home\"\n",
    );
    let alone = tree(std::slice::from_ref(&any));
    assert!(!alone.files.values().any(|text| text.contains("421")));

    let both = tree(&[any, stack("b-c", &other)]);
    let named = file(&both, "b-c");
    let map = named.iter().find(|one| one.name() == "map").unwrap();
    assert_eq!(map.arguments(), ["$ssl_server_name", "$tavern_shown_b_c"]);
    let pairs: Vec<_> = map.inner().iter().map(|one| one.words.join(" ")).collect();
    assert_eq!(
        pairs,
        [
            "hostnames",
            "default 0",
            " 0",
            "b.example 1",
            "www.b.example 1"
        ]
    );
    let check = says(server(&named, "b.example", "443"), "if");
    assert_eq!(check, [["($tavern_shown_b_c", "=", "0)"]]);
    let for_any = file(&both, "any");
    let map = for_any.iter().find(|one| one.name() == "map").unwrap();
    let pairs: Vec<_> = map.inner().iter().map(|one| one.words.join(" ")).collect();
    assert_eq!(
        pairs,
        [
            "hostnames",
            "default 1",
            " 1",
            "b.example 0",
            "www.b.example 0"
        ]
    );
}

#[test]
fn where_no_stack_answers_to_any_name_the_default_server_rejects() {
    let named = tree(&[stack("a", NAMED)]);
    let default = file(&named, "0-default");
    let tls = server(&default, "_", "443");
    assert_eq!(says(tls, "ssl_reject_handshake"), [["on"]]);
    assert_eq!(says(tls, "return"), [["444"]]);
    assert_eq!(says(tls, "ssl_protocols"), [["TLSv1.2", "TLSv1.3"]]);
    assert_eq!(says(tls, "client_header_timeout"), [["10s"]]);
    assert_eq!(says(tls, "listen")[0], ["443", "ssl", "default_server"]);

    // An address is not said in a handshake: somebody's certificate must be shown.
    let lines = NAMED.replace("\"www.a.example\"", "\"192.0.2.7\"");
    let addressed = tree(&[stack("a", &lines)]);
    let default = file(&addressed, "0-default");
    let tls = server(&default, "_", "443");
    assert!(says(tls, "ssl_reject_handshake").is_empty());
    assert_eq!(
        says(tls, "ssl_certificate"),
        [["/etc/tavern/tls/a/fullchain.pem"]]
    );
    assert_eq!(says(tls, "return"), [["444"]]);

    // bug: on a port of its own, another stack's certificate was shown for its address.
    let other = lines
        .replace("a.example", "b.example")
        .replace("2.7", "2.8");
    let other = stack("b", &other.replace("[[site]]", "ports = [5085]\n[[site]]"));
    let both = tree(&[stack("a", &lines), other]);
    let default = file(&both, "0-default");
    for (port, name) in [("443", "a"), ("5085", "b")] {
        assert_eq!(
            says(server(&default, "_", port), "ssl_certificate"),
            [[format!("/etc/tavern/tls/{name}/fullchain.pem")]]
        );
    }
}

#[test]
fn ports_of_their_own_have_a_default_server_too() {
    let any = |name: &str, port: u16| {
        let lines = "hosts = [\"*\"]\nports = [P]\n[[site]]\npath = \"/\"\nstatic = \"home\"\n";
        stack(name, &lines.replace('P', &port.to_string()))
    };
    let two = tree(&[any("a", 443), any("b", 5085)]);
    assert_eq!(two.ports, [80, 443, 5085]);
    assert!(
        !two.files
            .keys()
            .any(|path| path.ends_with("tavern-0-default.conf"))
    );
    let b = file(&two, "b");
    let tls = server(&b, "_", "5085");
    assert_eq!(says(tls, "listen")[0], ["5085", "ssl", "default_server"]);
    assert_eq!(
        says(tls, "error_page")[0],
        ["497", "=301", "https://$host:$server_port$request_uri"]
    );
    assert_eq!(
        b.iter().filter(|one| one.name() == "server").count(),
        1,
        "not on port 80"
    );

    let lines = NAMED.replace("[[site]]", "ports = [5085]\n[[site]]");
    let alone = tree(&[stack("a", &lines)]);
    let a = file(&alone, "a");
    let plain = location(server(&a, "a.example", "80"), &["/"]);
    assert_eq!(
        says(plain, "return"),
        [["301", "https://$host:5085$request_uri"]]
    );
    let default = file(&alone, "0-default");
    let listens = says(server(&default, "_", "5085"), "listen");
    assert_eq!(
        listens.len(),
        4,
        "443 and 5085, over IPv4 and IPv6: {listens:?}"
    );
}

/// fault 48: a family that the kernel does not have is not listened on.
#[test]
fn only_families_that_the_kernel_has_are_listened_on() {
    for (ipv4, ipv6, expected) in [
        (true, true, &["443", "[::]:443"][..]),
        (true, false, &["443"]),
        (false, true, &["[::]:443"]),
    ] {
        let facts = Facts {
            ipv4,
            ipv6,
            ..facts()
        };
        for name in ["a", "0-default"] {
            let file = file(&tree_with(&[stack("a", NAMED)], &facts), name);
            let name = if name == "a" { "a.example" } else { "_" };
            let listens = says(server(&file, name, expected[0]), "listen");
            let listens: Vec<_> = listens.iter().map(|words| words[0]).collect();
            assert_eq!(listens, expected);
        }
    }
}

#[test]
fn limits_come_from_the_site_then_the_stack_then_the_defaults() {
    let lines = "hosts = [\"*\"]\nlimits = { rate = 50, body = \"8M\" }\n[[site]]\npath = \"/\"\nstatic = \"home\"\n\
                 limits = { burst = 3, connections = 4 }\n";
    let file_of = |lines: &str| file(&tree(&[stack("a", lines)]), "a");
    let own = file_of(lines);
    let zone = own
        .iter()
        .find(|one| one.name() == "limit_req_zone")
        .unwrap();
    assert_eq!(
        zone.arguments(),
        ["$tavern_client", "zone=tavern_a_home:1m", "rate=50r/s"]
    );
    let place = location(server(&own, "_", "443"), &["/"]);
    assert_eq!(
        says(place, "limit_req"),
        [["zone=tavern_a_home", "burst=3", "nodelay"]]
    );
    assert_eq!(says(place, "limit_conn"), [["tavern_connections", "4"]]);
    assert_eq!(says(place, "client_max_body_size"), [["8m"]]);
    let usual = file_of("hosts = [\"*\"]\n[[site]]\npath = \"/\"\nstatic = \"home\"\n");
    let place = location(server(&usual, "_", "443"), &["/"]);
    assert_eq!(
        says(place, "limit_req"),
        [["zone=tavern_requests", "burst=400", "nodelay"]]
    );
    assert_eq!(
        says(server(&usual, "_", "443"), "limit_req_status"),
        [["429"]]
    );
}

#[test]
fn headers_are_the_owners_where_the_owner_says_so() {
    let lines = "hosts = [\"*\"]\n[[site]]\npath = \"/\"\nstatic = \"home\"\nheaders = { referrer-policy = \"\", \
                 X-Robots-Tag = \"a; \\\"b\\\" {c} #\", Cache-Control = \"no-store\" }\n\
                 [[site]]\npath = \"/open\"\nstatic = \"open\"\n";
    let file = file(&tree(&[stack("a", lines)]), "a");
    let server = server(&file, "_", "443");
    let of = |path: &str, name: &str| {
        let all = says(location(server, &[path]), "add_header");
        let value = all.iter().find(|words| words[0].eq_ignore_ascii_case(name));
        value.map(|words| words[1].to_owned())
    };
    assert_eq!(of("/", "Referrer-Policy"), None);
    assert_eq!(of("/", "X-Robots-Tag").unwrap(), "a; \"b\" {c} #");
    assert_eq!(of("/", "Cache-Control").unwrap(), "no-store");
    assert_eq!(of("/open/", "Referrer-Policy").unwrap(), "no-referrer");
    assert_eq!(of("/open/", "Cache-Control").unwrap(), "$tavern_cache");
    // The main page may frame the others, and is framed by nobody.
    assert_eq!(of("/", "X-Frame-Options").unwrap(), "DENY");
    assert!(
        of("/", "Content-Security-Policy")
            .unwrap()
            .contains("frame-src 'self'")
    );
    assert!(
        of("/", "Content-Security-Policy")
            .unwrap()
            .ends_with("frame-ancestors 'none'")
    );
    assert!(
        of("/open/", "Content-Security-Policy")
            .unwrap()
            .ends_with("frame-ancestors 'self'")
    );
    // Only where browsers may trust the certificate.
    assert_eq!(of("/", "Strict-Transport-Security").unwrap(), "");
    let trusted = "hosts = [\"a.example\"]\n[tls]\nissuer = \"local-ca\"\n[[site]]\npath = \"/\"\nstatic = \"home\"\n";
    for (lines, expected) in [
        (trusted.to_owned(), "max-age=63072000"),
        (
            trusted.replace("-ca\"", "-ca\"\ninclude-subdomains = true"),
            "max-age=63072000; includeSubDomains",
        ),
    ] {
        let file = self::file(&tree(&[stack("a", &lines)]), "a");
        let place = location(self::server(&file, "a.example", "443"), &["/"]);
        assert_eq!(
            says(place, "add_header")[0],
            ["Strict-Transport-Security", expected, "always"]
        );
    }
}

/// bug: the exact location of the login had the rules of the app's first site, whatever site the path was in.
#[test]
fn the_login_has_the_rules_of_its_path() {
    let app = "[app.api]\nserve = \"counter\"\nneeds = [\"redis\"]\naccounts = [\"admin\"]\n\
               [container.redis]\nkind = \"redis\"\nimage = \"redis:7-alpine\"\n";
    let logins = |sites: &str| {
        let file = file(
            &tree(&[stack("a", &format!("hosts = [\"*\"]\n{sites}{app}"))]),
            "a",
        );
        let server = server(&file, "_", "443").clone();
        let all = server.inner().iter().filter(|one| one.name() == "location");
        let login = |one: &&Directive| {
            one.arguments()
                .last()
                .is_some_and(|path| path.ends_with("login"))
        };
        all.filter(login)
            .map(|one| says(one, "allow").concat().join(" "))
            .collect::<Vec<_>>()
    };
    let first = "[[site]]\npath = \"/x/\"\nname = \"x\"\napp = \"api\"\n";
    assert_eq!(logins(first), [""]);
    let within = "[[site]]\npath = \"/x/auth/\"\nname = \"auth\"\napp = \"api\"\naccess = { allow = [\"10.0.0.0/8\"] }\n";
    assert_eq!(logins(&format!("{first}{within}")), ["10.0.0.0/8"]);
    let other = "[[site]]\npath = \"/x/auth/\"\nname = \"auth\"\nstatic = \"auth\"\n";
    assert!(logins(&format!("{first}{other}")).is_empty());
}

#[test]
fn errors_have_pages() {
    let lines = "hosts = [\"*\"]\nerror-pages = { 404 = \"404.html\", 502 = \"/srv/pages/down.html\" }\n\
                 [[site]]\npath = \"/\"\nstatic = \"home\"\n";
    let file = file(&tree(&[stack("a", lines)]), "a");
    let server = server(&file, "_", "443");
    assert_eq!(
        says(server, "error_page"),
        [
            &["404", "/.tavern-error/404"][..],
            &["502", "/.tavern-error/502"],
            &["503", "504", "@tavern_starting"]
        ]
    );
    let page = |status: &str| {
        let path = format!("/.tavern-error/{status}");
        let place = location(server, &["=", &path]);
        assert_eq!(says(place, "internal").len(), 1);
        says(place, "alias")[0][0].to_owned()
    };
    assert_eq!(page("404"), "/var/www/a/error-pages/404.html");
    assert_eq!(page("502"), "/srv/pages/down.html");
}

#[test]
fn a_websocket_may_be_silent_and_other_connections_are_kept() {
    let lines = "hosts = [\"*\"]\n[[site]]\npath = \"/\"\napp = \"x\"\nwebsocket = W\n[app.x]\nserve = \"counter\"\n\
                 needs = [\"r\"]\naccounts = [\"ann\"]\n[container.r]\nkind = \"redis\"\nimage = \"redis:7\"\n";
    let upgrade = |on: &str| {
        let file = file(&tree(&[stack("a", &lines.replace('W', on))]), "a");
        let place = location(server(&file, "_", "443"), &["/"]).clone();
        let set = says(&place, "proxy_set_header");
        let of = |name: &str| {
            set.iter()
                .find(|words| words[0] == name)
                .map(|words| words[1].to_owned())
        };
        (of("Upgrade"), of("Connection").unwrap())
    };
    assert_eq!(
        upgrade("true"),
        (Some("$http_upgrade".into()), "$tavern_connection".into())
    );
    assert_eq!(upgrade("false"), (None, String::new()));
}

#[test]
fn long_names_get_tables_that_take_them() {
    let conf = |lines: &str| {
        tree(&[stack("a", lines)]).files[Path::new("/etc/nginx/conf.d/tavern.conf")].clone()
    };
    assert!(!conf(NAMED).contains("hash_bucket_size"));
    let long = NAMED.replace("www.a", &format!("{}.a", "w".repeat(60)));
    assert!(conf(&long).contains("server_names_hash_bucket_size 512;"));
}
