//! Certificates over time: issued, renewed, taken back, and all that fails on the way.

use std::path::Path;
use std::time::Duration;

use super::rig::{Files, Rig};
use crate::engine::{EngineError, RenewRequest, RenewalOutcome};
use crate::host::memory::{MemoryHost, Node};
use crate::mint::{self, CertificateInfo};

const DAY: u64 = 24 * 3600;

pub(super) fn stack(name: &str, tls: &str) -> (String, String) {
    let text = format!(
        "name = \"{name}\"\nhosts = [\"{name}.example.org\"]\n[tls]\n{tls}\n\
         [[site]]\npath = \"/\"\nstatic = \"main\"\n"
    );
    (name.to_owned(), text)
}

pub(super) fn acme(name: &str) -> (String, String) {
    stack(name, "issuer = \"acme\"")
}

pub(super) fn installed(files: impl IntoIterator<Item = (String, String)>) -> Rig {
    let rig = Rig::new(MemoryHost::prepared());
    rig.declare(&Files::from_iter(files));
    rig.install(None).unwrap();
    rig
}

pub(super) fn renew(rig: &Rig, force: bool) -> Vec<RenewalOutcome> {
    try_renew(rig, force).unwrap()
}

fn try_renew(rig: &Rig, force: bool) -> Result<Vec<RenewalOutcome>, EngineError> {
    let request = RenewRequest {
        stacks: Vec::new(),
        force,
    };
    let renewals = rig.engine().renew(&request)?;
    Ok(renewals
        .into_iter()
        .map(|renewal| renewal.outcome)
        .collect())
}

pub(super) fn pair(rig: &Rig, name: &str) -> CertificateInfo {
    let place = Path::new("/etc/tavern/tls").join(name);
    let machine = rig.memory.machine();
    let read = |file: &str| machine.tree.bytes(&place.join(file)).unwrap().to_vec();
    let chain = read("fullchain.pem");
    assert!(mint::key_fits(&chain, &read("key.pem")).unwrap());
    mint::read_certificate(&chain).unwrap()
}

fn is_served(rig: &Rig, name: &str) -> bool {
    let engine = rig.engine();
    let reports = engine.certificates(&[name.to_owned()]).unwrap();
    reports[0].is_served == Some(true)
}

pub(super) fn wait(rig: &Rig, days: u64) {
    rig.memory.machine().gone_on += Duration::from_secs(days * DAY);
}

#[test]
fn issued_renewed_before_a_third_is_left_and_never_in_between() {
    let rig = installed([acme("shop")]);
    assert!(pair(&rig, "shop").is_own, "something must serve until then");
    assert!(matches!(
        renew(&rig, false)[..],
        [RenewalOutcome::Renewed { .. }]
    ));
    let first = pair(&rig, "shop");
    assert!(!first.is_own && is_served(&rig, "shop"));
    rig.is_right().unwrap();
    assert!(rig.plan().unwrap().is_empty());
    let before = rig.whole_picture();
    assert!(matches!(
        renew(&rig, false)[..],
        [RenewalOutcome::NotDue { at: Some(_) }]
    ));
    wait(&rig, 59);
    renew(&rig, false);
    assert_eq!(pair(&rig, "shop"), first);
    assert!(super::rig::unlike(&before, &rig.whole_picture()).is_empty());
    wait(&rig, 1);
    assert!(matches!(
        renew(&rig, false)[..],
        [RenewalOutcome::Renewed { .. }]
    ));
    assert!(pair(&rig, "shop") != first && is_served(&rig, "shop"));
    let machine = rig.memory.machine();
    assert_eq!(
        (machine.authority.signed, machine.authority.replaced),
        (2, 1)
    );
    assert_eq!(machine.authority.accounts.len(), 1, "one account, for good");
}

#[test]
fn the_authority_may_want_it_sooner() {
    let rig = installed([acme("shop")]);
    renew(&rig, false);
    rig.memory.machine().authority.window = Some(10);
    wait(&rig, 9);
    assert!(matches!(
        renew(&rig, false)[..],
        [RenewalOutcome::NotDue { .. }]
    ));
    wait(&rig, 1);
    assert!(matches!(
        renew(&rig, false)[..],
        [RenewalOutcome::Renewed { .. }]
    ));
}

#[test]
fn one_that_fails_stops_no_other_and_is_left_alone_for_a_while() {
    let rig = installed([acme("blog"), acme("shop")]);
    rig.memory.machine().authority.astray = vec!["blog.example.org".into()];
    let outcomes = renew(&rig, false);
    assert!(matches!(
        outcomes[..],
        [
            RenewalOutcome::Failed { .. },
            RenewalOutcome::Renewed { .. }
        ]
    ));
    assert!(pair(&rig, "blog").is_own && is_served(&rig, "blog"));
    assert!(matches!(
        renew(&rig, false)[0],
        RenewalOutcome::Paused { .. }
    ));
    rig.memory.machine().authority.astray.clear();
    wait(&rig, 1);
    assert!(matches!(
        renew(&rig, false)[0],
        RenewalOutcome::Renewed { .. }
    ));
    assert!(!pair(&rig, "blog").is_own);
}

#[test]
fn while_the_authority_is_down_the_old_one_stays() {
    let rig = installed([acme("shop")]);
    renew(&rig, false);
    let old = pair(&rig, "shop");
    wait(&rig, 70);
    rig.memory.machine().authority.is_down = true;
    assert!(matches!(
        renew(&rig, false)[..],
        [RenewalOutcome::Failed { .. }]
    ));
    assert_eq!(pair(&rig, "shop"), old);
    let report = rig.engine().certificates(&[]).unwrap().remove(0);
    assert_eq!(report.error.as_deref(), Some("nobody answers"));
    assert!(report.next.unwrap().contains("tried again"));
    // A person need not wait.
    rig.memory.machine().authority.is_down = false;
    assert!(matches!(
        renew(&rig, true)[..],
        [RenewalOutcome::Renewed { .. }]
    ));
    assert_eq!(rig.engine().certificates(&[]).unwrap()[0].error, None);
}

#[test]
fn what_was_taken_back_is_ordered_anew_even_if_not_at_once() {
    let rig = installed([acme("shop")]);
    renew(&rig, false);
    let old = pair(&rig, "shop");
    rig.memory.machine().authority.astray = vec!["shop.example.org".into()];
    let renewals = rig.engine().revoke("shop").unwrap();
    assert!(matches!(renewals[0].outcome, RenewalOutcome::Failed { .. }));
    assert_eq!(
        rig.memory.machine().authority.revoked,
        std::slice::from_ref(&old.der)
    );
    assert_eq!(pair(&rig, "shop"), old);
    rig.memory.machine().authority.astray.clear();
    wait(&rig, 1);
    assert!(matches!(
        renew(&rig, false)[..],
        [RenewalOutcome::Renewed { .. }]
    ));
    assert!(pair(&rig, "shop") != old);
    // Only once.
    assert!(matches!(
        renew(&rig, false)[..],
        [RenewalOutcome::NotDue { .. }]
    ));
}

#[test]
fn from_staging_to_production_is_another_certificate() {
    let rig = installed([stack("shop", "issuer = \"acme\"\nstaging = true")]);
    renew(&rig, false);
    let staging = pair(&rig, "shop");
    rig.declare(&Files::from_iter([acme("shop")]));
    // An edited stack file is nothing to renew by.
    assert!(matches!(
        renew(&rig, false)[..],
        [RenewalOutcome::NotDue { .. }]
    ));
    rig.install(None).unwrap();
    assert_eq!(pair(&rig, "shop"), staging, "it serves until then");
    assert!(matches!(
        renew(&rig, false)[..],
        [RenewalOutcome::Renewed { .. }]
    ));
    assert!(pair(&rig, "shop") != staging);
    assert_eq!(rig.memory.machine().authority.accounts.len(), 2);
}

#[test]
fn a_run_that_did_not_end_is_no_time_to_renew() {
    let rig = installed([acme("shop")]);
    rig.declare(&Files::from_iter([acme("shop"), acme("blog")]));
    rig.memory.machine().die_at(40);
    let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| rig.install(None)));
    assert!(killed.is_err());
    rig.memory.machine().revive();
    let refused = try_renew(&rig, true).unwrap_err();
    assert!(refused.help().unwrap().contains("recover"), "{refused}");
    rig.engine().recover(false).unwrap();
    assert!(matches!(
        renew(&rig, true)[..],
        [RenewalOutcome::Renewed { .. }]
    ));
}

/// Killed, or refused, at every change that a renewal makes: what is served is a pair that fits, and the next
/// renewal ends what was begun, with the account that it had.
#[test]
fn a_renewal_ends_wherever_it_is_cut_off() {
    let start = installed([acme("shop")]);
    renew(&start, false);
    wait(&start, 70);
    let old = pair(&start, "shop");
    let whole = start.twin();
    let before = whole.memory.machine().effects();
    renew(&whole, false);
    let points = whole.memory.machine().effects() - before;
    assert!(points > 20, "{points}");
    for point in 1..=points {
        let rig = start.twin();
        rig.memory.machine().die_at(point);
        let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| renew(&rig, false)));
        assert!(killed.is_err(), "{point}");
        rig.memory.machine().revive();
        // Whatever nginx reads now fits together.
        let _ = pair(&rig, "shop");
        // The timer's next run needs nobody's help.
        wait(&rig, 1);
        let outcome = renew(&rig, false);
        assert!(
            matches!(
                outcome[..],
                [RenewalOutcome::Renewed { .. } | RenewalOutcome::NotDue { .. }]
            ),
            "{point}: {outcome:?}"
        );
        assert!(
            pair(&rig, "shop") != old && is_served(&rig, "shop"),
            "{point}"
        );
        assert_eq!(rig.memory.machine().authority.accounts.len(), 1, "{point}");
        rig.is_right().unwrap();
    }
    for point in 1..=points {
        let rig = start.twin();
        rig.memory.machine().fail_at(point);
        let _ = try_renew(&rig, false);
        let _ = pair(&rig, "shop");
        assert!(is_served(&rig, "shop"), "{point}");
        rig.engine().recover(false).unwrap();
        wait(&rig, 1);
        renew(&rig, false);
        assert!(
            pair(&rig, "shop") != old && is_served(&rig, "shop"),
            "{point}"
        );
    }
}

/// bug: a pair that was gone from the disk was replaced by one of our own before the authority was asked, and that
/// was called a renewal.
#[test]
fn a_pair_that_is_gone_is_ordered_before_one_of_our_own_stands_in() {
    let rig = installed([acme("shop")]);
    renew(&rig, false);
    let lose = || {
        let mut machine = rig.memory.machine();
        machine.tree.remove(Path::new("/etc/tavern/tls/shop"));
    };
    lose();
    assert!(matches!(
        renew(&rig, false)[..],
        [RenewalOutcome::Renewed { .. }]
    ));
    assert!(!pair(&rig, "shop").is_own && is_served(&rig, "shop"));
    assert_eq!(rig.memory.machine().authority.signed, 2);
    lose();
    rig.memory.machine().authority.is_down = true;
    assert!(matches!(
        renew(&rig, false)[..],
        [RenewalOutcome::Failed { .. }]
    ));
    assert!(pair(&rig, "shop").is_own, "nginx must be able to start");
    let report = rig.engine().certificates(&[]).unwrap().remove(0);
    assert_eq!(report.error.as_deref(), Some("nobody answers"));
}

/// bug: the timer started an nginx that somebody had stopped.
#[test]
fn a_stopped_nginx_stays_stopped() {
    let rig = installed([stack("shop", "issuer = \"self-signed\"")]);
    wait(&rig, 300);
    let engine = rig.engine();
    let systemd = &engine.host.systemd;
    systemd.act("stop", &["nginx.service"]).unwrap();
    let old = pair(&rig, "shop");
    let outcome = renew(&rig, false);
    assert!(pair(&rig, "shop") != old, "{outcome:?}");
    let reports = systemd.reports(&["nginx.service"]).unwrap();
    assert_eq!(reports[0].active, "inactive");
}

#[test]
fn purged_with_its_stack_and_kept_without() {
    let rig = installed([acme("blog"), acme("shop"), acme("web")]);
    renew(&rig, false);
    let place = |name: &str| Path::new("/var/lib/tavern/acme").join(name);
    let has = |name: &str| rig.memory.machine().tree.get(&place(name)).is_some();
    let without = |name: &str, purge| {
        let request = crate::engine::Request {
            source: crate::engine::Source::Without {
                names: vec![name.to_owned()],
                purge,
            },
            ..crate::engine::Request::default()
        };
        rig.engine().install(None, &request).unwrap();
    };
    without("blog", false);
    assert!(has("blog") && has("shop"), "an account is nothing to lose");
    without("shop", true);
    assert!(!has("shop") && has("web"));
}

#[test]
fn the_binding_of_an_account_is_a_secret_of_roots() {
    let bound = "issuer = \"acme\"\neab-kid = \"kid\"\neab-key-file = \"/root/eab\"";
    let rig = installed([stack("shop", bound)]);
    let fails_with = |words: &str| {
        let outcome = renew(&rig, true).remove(0);
        let RenewalOutcome::Failed { error, .. } = &outcome else {
            panic!("{words}: {outcome:?}");
        };
        assert!(error.contains(words), "{error}");
    };
    fails_with("no such file");
    let plant = |text: &str, mode| {
        let node = Node::File {
            bytes: text.into(),
            mode: crate::model::Mode(mode),
            owner: crate::resource::Owner::root(),
        };
        rig.memory.machine().tree.plant("/root/eab", node);
    };
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W\n";
    plant(key, 0o644);
    fails_with("others than root");
    plant("???", 0o600);
    fails_with("not a key");
    plant(key, 0o600);
    assert!(matches!(
        renew(&rig, true)[..],
        [RenewalOutcome::Renewed { .. }]
    ));
}

#[test]
fn the_ca_of_this_host_signs_for_its_stacks_and_grows_with_them() {
    let local = |name: &str| stack(name, "issuer = \"local-ca\"");
    let rig = installed([local("shop")]);
    let ca = || {
        let machine = rig.memory.machine();
        let chain = Path::new("/etc/tavern/local-ca/fullchain.pem");
        mint::read_certificate(machine.tree.bytes(chain).unwrap()).unwrap()
    };
    let first = ca();
    assert_eq!(first.permitted, ["shop.example.org"]);
    let shop = pair(&rig, "shop");
    assert_eq!(shop.signer, first.key_id);
    rig.is_right().unwrap();
    rig.declare(&Files::from_iter([local("blog"), local("shop")]));
    rig.install(None).unwrap();
    assert_eq!(ca().permitted, ["blog.example.org", "shop.example.org"]);
    assert_eq!(
        ca().key_id,
        first.key_id,
        "who trusts it need not begin anew"
    );
    assert_eq!(pair(&rig, "shop"), shop);
    assert!(is_served(&rig, "blog"));
    wait(&rig, 300);
    assert!(matches!(
        renew(&rig, false)[..],
        [
            RenewalOutcome::Renewed { .. },
            RenewalOutcome::Renewed { .. }
        ]
    ));
    assert!(pair(&rig, "shop") != shop && is_served(&rig, "shop"));
    rig.is_right().unwrap();
}
