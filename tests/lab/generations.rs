//! Generations, drift, and an uninstall of one stack or without a receipt.

use crate::site::{
    STACK, count, edit, exits, host_with_binary, installed, manifest, same, status, token,
};
use crate::support::lab::{Host, Image, redis_image_tar};

const SITE: &str = "/etc/nginx/sites-available/tavern-counter.conf";
const REDIS: &str = "/etc/tavern/containers/redis-flask/redis.conf";
const SECOND: &str = "/etc/tavern/stacks/second.toml";
const INSTALL: &str = "tavernctl install --yes";

#[test]
fn debian_13_generations() {
    let host = installed(Image::TrixiePrepared, "generations13");
    the_whole_host_goes_back(&host);
    a_rollback_revives_no_account(&host);
    what_was_never_applied_is_kept(&host);
    what_changed_while_somebody_was_asked_is_not_applied(&host);
    an_edit_is_put_back_or_kept(&host);
    an_edit_that_no_longer_fits_is_named(&host);
    the_applied_is_not_the_declared(&host);
    one_stack_is_uninstalled(&host);
    a_damaged_receipt_comes_back(&host);
}

#[test]
fn debian_12_uninstall_without_a_receipt() {
    for (name, loss) in [
        ("lost12-all", "rm -r /var/lib/tavern"),
        (
            "lost12-half",
            "rm -r /var/lib/tavern/generations; printf '{\"version\":2,\"gen' > /var/lib/tavern/receipt.json",
        ),
        (
            "lost12-hands",
            "rm -r /var/lib/tavern; docker rm -f redis-flask; groupdel -f tavern-redis-flask; \
             rm /etc/systemd/system/tavern-counter.service /etc/nginx/conf.d/tavern.conf",
        ),
    ] {
        let host = host_with_binary(Image::BookwormPrepared, name);
        host.load_image(&redis_image_tar());
        let before = everything(&host);
        host.ok("/root/tavernctl install --yes");
        host.ok(loss);
        let output = host.sh("/root/tavernctl uninstall --yes --purge");
        exits(&output, 0);
        assert!(output.stdout.contains("marks"), "{output}");
        // What was set aside is known to nobody any more.
        let known = |listing: &str| -> String {
            let lines = listing.lines();
            // Nor who made a directory that others use too.
            let unknown = ["/etc/nginx/sites-enabled/default", "/etc/sysusers.d "];
            let lines = lines.filter(|line| !unknown.iter().any(|path| line.starts_with(path)));
            lines.map(|line| format!("{line}\n")).collect()
        };
        same(&known(&before), &known(&everything(&host)));
    }
}

/// Names, kinds, modes and owners of all files; containers, volumes, groups, units.
fn everything(host: &Host) -> String {
    host.ok(
        "find /etc /var/www /usr/local /var/lib/tavern /run/tavern -xdev \
         \\( -path /etc/mtab -o -path /etc/hosts -o -path /etc/resolv.conf -o -path '/var/lib/tavern/health/*' -o -path '/run/tavern/.status/*' \\) -prune -o \
         -printf '%p %y %m %U:%G %l\\n' 2>/dev/null | sort; \
         docker ps -a --format '{{.Names}}'; docker volume ls -q; getent group; \
         systemctl list-unit-files --no-legend 'tavern*' 'nginx*' 'flask*'; systemctl --failed --no-legend",
    )
}

/// The generation that the host is at.
fn generation(host: &Host) -> u64 {
    let list = host.ok("tavernctl generations --json");
    let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    let newest = list.as_array().and_then(|all| all.last()).expect("one");
    newest["generation"].as_u64().expect("a number")
}

fn the_whole_host_goes_back(host: &Host) {
    let visits = count(host, &token(host));
    let first = generation(host);
    let before = host.read(STACK);
    edit(host, r#"hosts = ["*"]"#, r#"hosts = ["tavern.example"]"#);
    edit(host, "flask-app", "flask-two");
    host.ok(INSTALL);
    exits(&host.sh(&format!("tavernctl diff {first} {first}")), 0);
    let diff = host.sh(&format!("tavernctl diff {first} {}", first + 1));
    exits(&diff, 2);
    for line in [
        "~ stacks/counter.toml",
        "server_name tavern.example;",
        "~ unit:tavern-counter.service",
    ] {
        assert!(diff.stdout.contains(line), "no `{line}` in {diff}");
    }
    let plan = host.sh("tavernctl rollback --dry-run");
    exits(&plan, 2);
    assert!(plan.stdout.contains(STACK), "{plan}");
    host.ok("tavernctl rollback --yes");
    assert_eq!(host.read(STACK), before);
    assert_eq!(generation(host), first + 2);
    exits(&host.sh("tavernctl plan"), 0);
    exits(&host.sh("tavernctl check"), 0);
    assert_eq!(count(host, &token(host)), visits + 1, "data stays");
    assert!(host.sh("systemctl cat flask-app.service").success());
    assert!(!host.sh("systemctl cat flask-two.service").success());
    let none = host.sh("tavernctl rollback 99 --yes");
    exits(&none, 1);
    assert!(none.stderr.contains("there is no generation 99"), "{none}");
}

fn a_rollback_revives_no_account(host: &Host) {
    let accounts = r#"accounts = ["admin"], "#;
    edit(host, accounts, r#"accounts = ["admin", "guest"], "#);
    host.ok(INSTALL);
    let guest = crate::site::password(host, "site close guest");
    edit(host, r#"accounts = ["admin", "guest"], "#, accounts);
    host.ok(INSTALL);
    host.ok("tavernctl rollback --yes");
    // The name is declared again, and has a new password.
    assert_ne!(crate::site::password(host, "site close guest"), guest);
    let door = |password: &str| {
        status(
            host,
            &format!("https://localhost/close/ -u guest:{password}"),
        )
    };
    assert_eq!(door(&guest), 401);
    host.ok("tavernctl rollback --yes");
}

/// A rollback removes a stack file that no generation has: a copy stays. Nor does it touch what only looks like ours.
fn what_was_never_applied_is_kept(host: &Host) {
    let drafted = "name = \"second\"\nhosts = [\"second.example\"]\n# a draft\n";
    let rest = "\n[tls]\nissuer = \"self-signed\"\n\n[[site]]\npath = \"/\"\nstatic = \"notes\"\n";
    host.write(SECOND, &format!("{drafted}{rest}"), 0o644);
    host.ok("mkdir /etc/tavern/tls/counter.backup && echo mine >/etc/tavern/tls/counter.backup/key.pem; echo mine >/etc/tavern/tls/counter.csr");
    host.ok("tavernctl rollback --yes");
    let kept = format!("/var/lib/tavern/edited/{}{SECOND}", generation(host));
    assert!(host.read(&kept).starts_with(drafted));
    assert_eq!(
        host.read("/etc/tavern/tls/counter.backup/key.pem"),
        "mine\n"
    );
    host.ok("rm -r /etc/tavern/tls/counter.backup /etc/tavern/tls/counter.csr");
    host.ok("tavernctl rollback --yes");
}

fn what_changed_while_somebody_was_asked_is_not_applied(host: &Host) {
    edit(host, "alias = \"flask-app\"", "alias = \"flask-one\"");
    let before = generation(host);
    // Nothing is typed before it was asked for.
    let asked = "for try in $(seq 300); do grep -qsF '[y/N]' /root/asked && break; sleep 0.1; done";
    let said = host.sh(&format!(
 "rm -f /root/asked; ({asked}; sed -i 's/flask-one/flask-two/' {STACK}; echo y; sleep 3) | script -qfec 'tavernctl install' /root/asked"
    ));
    exits(&said, 1);
    assert!(
        said.stdout.contains("changed while the plan was looked at"),
        "{said}"
    );
    assert_eq!(generation(host), before);
    let said = host.sh(&format!(
 "rm -f /root/asked; ({asked}; echo n; sleep 1) | script -qfec 'tavernctl install' /root/asked"
    ));
    exits(&said, 1);
    assert!(said.stdout.contains("nothing was changed"), "{said}");
    edit(host, "alias = \"flask-two\"", "alias = \"flask-app\"");
    exits(&host.sh("tavernctl plan"), 0);
}

fn an_edit_is_put_back_or_kept(host: &Host) {
    let before = manifest(host);
    exits(&host.sh("tavernctl drift"), 0);
    same(&before, &manifest(host));

    let widen = format!("sed -i 's/client_max_body_size 1m/client_max_body_size 5m/' {SITE}");
    host.ok(&widen);
    host.ok("systemctl disable -q tavern-counter.socket");
    let drift = host.sh("tavernctl drift");
    exits(&drift, 2);
    for part in [
        "+    client_max_body_size 5m",
        "-    client_max_body_size 1m",
        "unit:tavern-counter.socket  (not enabled; declared as applied)",
    ] {
        assert!(drift.stdout.contains(part), "no `{part}` in {drift}");
    }
    host.ok("tavernctl drift --revert --yes");
    exits(&host.sh("tavernctl drift"), 0);
    assert!(!host.read(SITE).contains("5m;"));
    // Nothing is lost: what was overwritten lies beside the generation that overwrote it.
    let kept = format!("/var/lib/tavern/edited/{}{SITE}", generation(host));
    assert!(host.read(&kept).contains("client_max_body_size 5m"));

    host.ok(&widen);
    host.ok(&format!("sed -i 's/^maxmemory /maxmemory  /' {REDIS}"));
    host.ok(&format!("tavernctl drift --adopt --yes {SITE}"));
    let rest = host.sh("tavernctl drift");
    exits(&rest, 2);
    for part in [
        format!("{REDIS}  (content differs; declared as applied)"),
        "nginx:sites  (configuration differs; declared otherwise".to_owned(),
    ] {
        assert!(rest.stdout.contains(&part), "no `{part}` in {rest}");
    }
    host.ok("tavernctl drift --adopt --yes");
    let overlays = host.ok("stat -c %a /etc/tavern/overlays/*");
    assert_eq!(overlays, "600\n600\n");
    exits(&host.sh("tavernctl drift"), 0);
    exits(&host.sh("tavernctl plan"), 0);
    exits(&host.sh("tavernctl check"), 0);

    // It survives a change of the stack, which changes the rest of the file.
    edit(host, r#"hosts = ["*"]"#, r#"hosts = ["tavern.example"]"#);
    host.ok(INSTALL);
    let site = host.read(SITE);
    assert!(
        site.contains("client_max_body_size 5m") && site.contains("server_name tavern.example")
    );
    edit(host, r#"hosts = ["tavern.example"]"#, r#"hosts = ["*"]"#);
    host.ok(INSTALL);
}

fn an_edit_that_no_longer_fits_is_named(host: &Host) {
    let overlay = "/etc/tavern/overlays/etc-nginx-sites-available-tavern-counter.conf.toml";
    let text = host.read(overlay);
    // As if a newer Tavern wrote another limit where the owner did.
    let (own, base) = text.split_once("\nbase = ").expect("a base");
    let moved = base.replace("client_max_body_size 1m", "client_max_body_size 2m");
    host.write(overlay, &format!("{own}\nbase = {moved}"), 0o644);
    let refused = host.sh("tavernctl plan");
    exits(&refused, 1);
    assert!(
        refused.stderr.contains(overlay) && refused.stderr.contains("help:"),
        "{refused}"
    );
    host.ok("rm /etc/tavern/overlays/*.toml");
    host.ok(INSTALL);
    exits(&host.sh("tavernctl drift"), 0);
    assert!(!host.read(SITE).contains("5m;"));
}

fn the_applied_is_not_the_declared(host: &Host) {
    edit(host, "flask-app", "flask-two");
    // The stack file is ahead; the host is as it was applied.
    exits(&host.sh("tavernctl drift"), 0);
    exits(&host.sh("tavernctl plan"), 2);
    host.ok("echo '# by hand' >> /etc/systemd/system/tavern-counter.service");
    let drift = host.sh("tavernctl drift");
    assert!(drift.stdout.contains("declared otherwise"), "{drift}");
    host.ok("tavernctl drift --revert --yes");
    exits(&host.sh("tavernctl drift"), 0);
    assert!(host.read(STACK).contains("flask-two"), "not touched");
    edit(host, "flask-two", "flask-app");
    host.ok(INSTALL);
}

fn one_stack_is_uninstalled(host: &Host) {
    host.write(
        SECOND,
        "name = \"second\"\nhosts = [\"second.example\"]\n\n[tls]\nissuer = \"self-signed\"\n\n\
         [[site]]\npath = \"/\"\nname = \"notes\"\nstatic = \"notes\"\n",
        0o644,
    );
    host.ok(INSTALL);
    host.ok("echo mine > /var/www/second/notes/index.html");
    let visits = count(host, &token(host));
    for names in ["nosuch", "counter second nosuch"] {
        exits(&host.sh(&format!("tavernctl uninstall --yes {names}")), 1);
    }
    // What the other one's file says by now is not for this to apply.
    edit(host, "alias = \"flask-app\"", "alias = \"flask-two\"");
    host.ok("tavernctl uninstall --yes second");
    assert!(host.sh("systemctl cat flask-app.service").success());
    edit(host, "alias = \"flask-two\"", "alias = \"flask-app\"");
    assert!(!host.sh(&format!("test -e {SECOND}")).success());
    assert_eq!(host.ok("grep -rlw second /etc/nginx || true"), "");
    assert_eq!(host.read("/var/www/second/notes/index.html"), "mine\n");
    exits(&host.sh("tavernctl check"), 0);
    assert_eq!(count(host, &token(host)), visits + 1);

    // Its file is in the generation before.
    host.ok("tavernctl rollback --yes");
    assert!(host.sh(&format!("test -e {SECOND}")).success());
    host.ok("tavernctl uninstall --yes --purge second");
    let left = host.ok("find / -xdev -path /proc -prune -o -path '*second*' -print | grep -v -e /var/lib/tavern/ -e /usr/ -e /sys/ || true");
    assert_eq!(left, "");
    exits(&host.sh("tavernctl check"), 0);
    assert_eq!(count(host, &token(host)), visits + 2);
    exits(&host.sh("tavernctl plan"), 0);
}

fn a_damaged_receipt_comes_back(host: &Host) {
    let receipt = "/var/lib/tavern/receipt.json";
    let text = host.read(receipt);
    host.write(receipt, &text[..text.len() / 2], 0o600);
    for verb in ["install --yes", "plan", "rollback --yes"] {
        let refused = host.sh(&format!("tavernctl {verb}"));
        exits(&refused, 1);
        assert!(
            refused.stderr.contains(receipt) && refused.stderr.contains("tavernctl recover"),
            "{refused}"
        );
    }
    host.ok("tavernctl recover");
    assert_eq!(host.read(receipt), text);
    exits(&host.sh("tavernctl plan"), 0);
    host.ok(&format!("rm {receipt}* && {INSTALL}"));
    exits(&host.sh("tavernctl plan"), 0);
    // Of a newer Tavern: not to be guessed at, by nobody.
    host.write(
        receipt,
        &text.replacen("\"version\": 2", "\"version\": 99", 1),
        0o600,
    );
    for verb in [
        "install --yes",
        "plan",
        "uninstall --yes --purge",
        "recover",
    ] {
        let refused = host.sh(&format!("tavernctl {verb}"));
        exits(&refused, 1);
        assert!(refused.stderr.contains("version 99"), "{refused}");
    }
    host.write(receipt, &text, 0o600);
    exits(&host.sh("tavernctl uninstall --yes --purge"), 0);
    assert!(!host.sh("test -e /var/lib/tavern").success());
    assert!(
        host.sh("test -e /etc/nginx/sites-enabled/default")
            .success(),
        "Debian's own site came back"
    );
}
