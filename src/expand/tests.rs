use std::path::Path;

use super::*;
use crate::model::{NginxVersion, UfwFacts};
use crate::resource::{Content, ResourceId};
use crate::stack::{DEFAULT, parse};

mod observers;
mod status;

fn facts() -> Facts {
    Facts {
        hostname: "Vm1".into(),
        addresses: vec![
            "192.0.2.10".parse().unwrap(),
            "2001:db8::10".parse().unwrap(),
        ],
        ipv4: true,
        ipv6: true,
        nginx: Some(NginxVersion(1, 22, 1)),
        lacks_gzip_static: false,
        missing_packages: ["nginx", "logrotate", "docker.io"]
            .map(str::to_owned)
            .to_vec(),
        has_restic: false,
        has_sqlite: false,
        apt_trouble: None,
        ufw: UfwFacts::Active,
        ssh_ports: vec![2222],
        binary: "/usr/local/bin/tavernctl".into(),
        binary_is_packaged: false,
    }
}

fn stack(from: &str, to: &str) -> Stack {
    parse(
        Path::new("counter.toml"),
        DEFAULT.replace(from, to).as_bytes(),
    )
    .unwrap()
}

fn default_stack() -> Stack {
    stack("\u{0}", "")
}

fn all(facts: &Facts) -> Vec<Desired> {
    expand(
        &[default_stack()],
        facts,
        &Layout::system(),
        &Edge::public(),
    )
    .unwrap()
}

fn text_of(desired: &[Desired], path: &str) -> String {
    for item in desired {
        match &item.resource {
            Resource::File(file) if file.path == Path::new(path) => {
                if let Content::Text(text) = &file.content {
                    return text.clone();
                }
            }
            Resource::Nginx(tree) => {
                if let Some(text) = tree.files.get(Path::new(path)) {
                    return text.clone();
                }
            }
            _ => {}
        }
    }
    panic!("no {path}");
}

#[test]
fn every_generated_file_is_as_reviewed() {
    let desired = all(&facts());
    let mut text = String::new();
    for item in &desired {
        text.push_str(&format!("== {}\n", item.resource.id()));
        if let Resource::File(file) = &item.resource
            && let Content::Text(content) = &file.content
        {
            text.push_str(content);
        }
        if let Resource::Nginx(tree) = &item.resource {
            for (path, content) in &tree.files {
                text.push_str(&format!("-- {}\n{content}", path.display()));
            }
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn ids_are_unique_and_expansion_is_deterministic() {
    let ids: Vec<ResourceId> = all(&facts()).iter().map(|d| d.resource.id()).collect();
    let unique: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len());
    assert_eq!(all(&facts()), all(&facts()));
}

#[test]
fn restarts_name_resources_that_come_later() {
    let desired = all(&facts());
    for (position, item) in desired.iter().enumerate() {
        for target in &item.restarts {
            let at = desired
                .iter()
                .position(|other| other.resource.id() == *target);
            assert!(
                at > Some(position),
                "{} restarts {target}",
                item.resource.id()
            );
        }
    }
}

#[test]
fn the_firewall_opens_sshs_real_port_and_nothing_while_inactive() {
    let ports = |facts: &Facts| -> Vec<(u16, bool, bool)> {
        let openings = all(facts).into_iter().filter_map(|d| match d.resource {
            Resource::Opening(opening) => Some((opening.port, opening.public, opening.ssh)),
            _ => None,
        });
        openings.collect()
    };
    let public = [(80, true, false), (443, true, false)];
    assert_eq!(
        ports(&facts()),
        [&public[..], &[(2222, false, true)]].concat()
    );
    assert!(
        ports(&Facts {
            ufw: UfwFacts::Inactive,
            ..facts()
        })
        .is_empty()
    );
}

#[test]
fn http2_is_written_the_way_the_installed_nginx_reads_it() {
    let path = "/etc/nginx/sites-available/tavern-counter.conf";
    let old = text_of(&all(&facts()), path);
    let new = text_of(
        &all(&Facts {
            nginx: Some(NginxVersion(1, 26, 3)),
            ..facts()
        }),
        path,
    );
    assert!(old.contains("listen 443 ssl http2 default_server;") && !old.contains("http2 on;"));
    assert!(new.contains("listen 443 ssl default_server;") && new.contains("http2 on;"));
}

#[test]
fn without_ipv6_nothing_listens_on_it() {
    let text = text_of(
        &all(&Facts {
            ipv6: false,
            ..facts()
        }),
        "/etc/nginx/sites-available/tavern-counter.conf",
    );
    assert!(!text.contains("[::]"));
}

/// bug N3: `return` runs before access rules, so no guarded location may have one.
#[test]
fn no_location_has_both_access_rules_and_return() {
    let text = text_of(
        &all(&facts()),
        "/etc/nginx/sites-available/tavern-counter.conf",
    );
    for block in text.split("location ").skip(1) {
        assert!(
            !(block.contains("auth_basic") && block.contains("return ")),
            "{block}"
        );
    }
    assert_eq!(text.matches("auth_basic_user_file").count(), 2);
    assert_eq!(text.matches("deny all;").count(), 3);
}

#[test]
fn named_stacks_leave_unknown_names_to_a_server_that_rejects_them() {
    let named = stack(
        "hosts = [\"*\"]",
        "hosts = [\"example.org\", \"www.example.org\"]",
    );
    let tree = nginx_tree(&[named], &facts(), &Layout::system(), &Edge::public()).unwrap();
    let default = &tree.files[Path::new("/etc/nginx/sites-available/tavern-0-default.conf")];
    assert!(default.contains("ssl_reject_handshake on;") && default.contains("return 444;"));
    let site = &tree.files[Path::new("/etc/nginx/sites-available/tavern-counter.conf")];
    assert!(
        site.contains("server_name example.org www.example.org;")
            && !site.contains("default_server")
    );
}

#[test]
fn the_generation_changes_with_any_byte() {
    let tree =
        |stack: Stack| nginx_tree(&[stack], &facts(), &Layout::system(), &Edge::public()).unwrap();
    let (a, b) = (tree(default_stack()), tree(stack("10.0.0.5", "10.0.0.6")));
    assert_ne!(a.generation, b.generation);
    assert!(
        a.files
            .values()
            .any(|text| text.contains(&format!("return 200 {};", a.generation)))
    );
}

#[test]
fn no_secret_is_in_what_expansion_gives() {
    let text = format!("{:?}", all(&facts()));
    assert!(!text.contains("$6$") && !text.contains("argon2"));
}

#[test]
fn a_packaged_binary_is_run_where_it_is_and_not_written() {
    let facts = Facts {
        binary: "/usr/bin/tavernctl".into(),
        binary_is_packaged: true,
        ..facts()
    };
    let desired = all(&facts);
    assert!(
        !desired
            .iter()
            .any(|d| matches!(d.resource, Resource::Binary(_)))
    );
    let unit = text_of(&desired, "/etc/systemd/system/tavern-counter.service");
    assert!(
        unit.contains("ExecStart=/usr/bin/tavernctl serve counter"),
        "{unit}"
    );
}

/// Rows 45 and 61: only listed hops may say for whom they ask, and nothing of it reaches an app.
#[test]
fn a_visitors_word_on_who_they_are_is_taken_from_listed_hops_only() {
    let path = Path::new("/etc/nginx/sites-available/tavern-counter.conf");
    let text = |stack: Stack| {
        let tree = nginx_tree(&[stack], &facts(), &Layout::system(), &Edge::public()).unwrap();
        tree.files[path].clone()
    };
    let plain = text(default_stack());
    assert!(!plain.contains("real_ip"));
    let behind = text(stack(
        "[firewall]",
        "[proxy]\ntrusted = [\"10.0.0.0/8\", \"::ffff:192.0.2.1\"]\n\n[firewall]",
    ));
    let read = crate::resource::directives(&behind).unwrap();
    let servers = read.iter().filter(|one| one.name() == "server");
    for server in servers {
        let said: Vec<_> = server
            .inner()
            .iter()
            .filter(|one| one.name().contains("real_ip"))
            .map(|one| one.words.join(" "))
            .collect();
        assert_eq!(
            said,
            [
                "set_real_ip_from 10.0.0.0/8",
                "set_real_ip_from 192.0.2.1",
                "real_ip_header X-Forwarded-For",
                "real_ip_recursive on"
            ]
        );
        for location in server.inner().iter().filter(|one| one.name() == "location") {
            let has = |words: &[&str]| location.inner().iter().any(|one| one.words == words);
            if !location
                .inner()
                .iter()
                .any(|one| one.name() == "proxy_pass")
            {
                continue;
            }
            for (header, value) in [
                ("X-Forwarded-For", "$remote_addr"),
                ("X-Forwarded-Proto", "$scheme"),
                ("X-Forwarded-Host", "$host"),
                ("X-Real-IP", "$remote_addr"),
                ("Forwarded", ""),
                ("X-Forwarded-User", ""),
            ] {
                assert!(has(&["proxy_set_header", header, value]), "{header}");
            }
        }
    }
}

/// The units and the key of a stack with backups, and none of it for one without.
#[test]
fn backups_take_units_a_key_and_restic() {
    let text = format!("{DEFAULT}\n[backup]\nto = \"/srv/backup\"\nat = \"Sun 04:00\"\n");
    let stack = parse(Path::new("counter.toml"), text.as_bytes()).unwrap();
    let facts = facts();
    let layout = Layout::system();
    let of = |stack: Stack| expand(&[stack], &facts, &layout, &Edge::public()).unwrap();
    let with = of(stack);
    let ids = |desired: &[Desired]| -> Vec<String> {
        desired.iter().map(|d| d.resource.id().0).collect()
    };
    let without = ids(&of(default_stack()));
    let more: Vec<String> = ids(&with)
        .into_iter()
        .filter(|id| !without.contains(id))
        .collect();
    assert_eq!(
        more,
        [
            "package:restic",
            "credential:/etc/tavern/credentials/counter/backup-key",
            "file:/etc/systemd/system/tavern-backup.service",
            "file:/etc/systemd/system/tavern-backup.timer",
            "unit:tavern-backup.timer",
            "file:/etc/systemd/system/tavern-drill.service",
            "file:/etc/systemd/system/tavern-drill.timer",
            "unit:tavern-drill.timer",
            "file:/etc/systemd/system/tavern-recover.service",
            "file:/etc/systemd/system/tavern-recover.timer",
            "unit:tavern-recover.timer",
        ]
    );
    let timer = text_of(&with, "/etc/systemd/system/tavern-backup.timer");
    assert!(
        timer.contains("\nOnCalendar=Sun *-*-* 04:00:00\n"),
        "{timer}"
    );
    let service = text_of(&with, "/etc/systemd/system/tavern-backup.service");
    assert!(
        service.contains("\nExecStart=/usr/local/bin/tavernctl backup now\n"),
        "{service}"
    );
    assert!(service.contains("\nProtectSystem=full\n"), "{service}");
}

/// bug: two apps of one stack had one key, one file of accounts and one user of Redis, so that the tokens of one were
/// good at the other, and its accounts were those of the first.
#[test]
fn what_one_app_of_a_stack_takes_for_good_no_other_does() {
    let two = stack(
        "[container.redis]",
        "[app.api]\nserve = \"counter\"\nneeds = [\"redis\"]\naccounts = [\"bob\"]\ncount-key = \"hits\"\n\n[container.redis]",
    );
    let desired = expand(&[two], &facts(), &Layout::system(), &Edge::public()).unwrap();
    let unit = |name: &str| text_of(&desired, &format!("/etc/systemd/system/{name}.service"));
    let (first, second) = (unit("tavern-counter"), unit("tavern-counter-api"));
    for name in ["jwt-key", "accounts"] {
        let at = |unit: &str| {
            let line = format!("LoadCredential={name}:");
            unit.lines()
                .find_map(|text| text.strip_prefix(&line))
                .unwrap()
                .to_owned()
        };
        assert_eq!(
            at(&first),
            format!("/etc/tavern/credentials/counter/{name}")
        );
        assert_eq!(
            at(&second),
            format!("/etc/tavern/credentials/counter/app-api/{name}")
        );
    }
    assert!(first.contains(" --redis-user counter ") && first.contains(" --name tavern-counter\n"));
    assert!(
        second.contains(" --redis-user api ") && second.contains(" --name tavern-counter-api\n")
    );
    let lists: Vec<_> = desired
        .iter()
        .filter_map(|item| match &item.resource {
            Resource::File(file) => match &file.content {
                Content::RedisAcl(acl) => Some(acl.text(&["aa".to_owned()])),
                _ => None,
            },
            _ => None,
        })
        .collect();
    assert_eq!(lists.len(), 1);
    assert!(
        lists[0].contains("user counter on #aa ~visits ~visits:* "),
        "{}",
        lists[0]
    );
    assert!(
        lists[0].contains("user api on #aa ~hits ~hits:* "),
        "{}",
        lists[0]
    );
    let accounts = desired.iter().filter_map(|item| match &item.resource {
        Resource::Secret(secret) => match &secret.kind {
            crate::resource::SecretKind::Accounts { names, .. } => Some((secret, names)),
            _ => None,
        },
        _ => None,
    });
    for (secret, names) in accounts {
        let is_api = secret
            .path
            .starts_with("/etc/tavern/credentials/counter/app-api");
        assert_eq!(names.contains(&"bob".to_owned()), is_api);
        assert_eq!(
            secret.moved_from, None,
            "nobody inherits what another app has"
        );
    }
}

/// An app that was alone with what its stack has keeps it.
#[test]
fn the_only_app_of_a_stack_begins_with_what_the_stack_had() {
    let text = DEFAULT
        .replace("[app.counter]", "[app.api]")
        .replace("app = \"counter\"", "app = \"api\"");
    let one = parse(Path::new("counter.toml"), text.as_bytes()).unwrap();
    let desired = expand(&[one], &facts(), &Layout::system(), &Edge::public()).unwrap();
    let moved: Vec<_> = desired
        .iter()
        .filter_map(|item| match &item.resource {
            Resource::Secret(secret) => secret.moved_from.clone(),
            _ => None,
        })
        .collect();
    assert_eq!(
        moved,
        ["jwt-key", "accounts"].map(|name| Path::new("/etc/tavern/credentials/counter").join(name))
    );
}
