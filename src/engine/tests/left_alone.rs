//! What a renewal leaves alone: what is held, and an owner's pair that cannot be taken.

use super::certificates::{acme, installed, pair, renew, stack, wait};
use super::rig::{Files, Rig};
use crate::engine::{Held, RenewalOutcome};
use crate::host::memory::{MemoryHost, Node, differences};
use crate::mint;
use crate::model::Mode;
use crate::resource::Owner;

/// bug: the timer reloaded an nginx that was to be left alone.
#[test]
fn what_is_held_is_not_renewed() {
    let rig = installed([acme("shop"), stack("blog", "issuer = \"self-signed\"")]);
    renew(&rig, false);
    let (shop, blog) = (pair(&rig, "shop"), pair(&rig, "blog"));
    wait(&rig, 380);
    rig.engine().hold(&[Held::Everything], None).unwrap();
    let before = rig.whole_picture();
    for force in [false, true] {
        let outcomes = renew(&rig, force);
        assert!(
            matches!(&outcomes[..], [RenewalOutcome::Held { how }, RenewalOutcome::Held { .. }] if how.contains("held until")),
            "{outcomes:?}"
        );
    }
    let refused = rig.engine().revoke("shop").unwrap_err();
    assert!(refused.help().unwrap().contains("hold --end"), "{refused}");
    assert!(rig.memory.machine().authority.revoked.is_empty());
    assert_eq!(
        (pair(&rig, "shop"), pair(&rig, "blog")),
        (shop.clone(), blog.clone())
    );
    assert!(differences(&before, &rig.whole_picture()).is_empty());
    // An app that is held has no certificate: nginx is not.
    rig.engine().end_holds(None).unwrap();
    rig.engine()
        .hold(&[Held::App("tavern-shop".into())], None)
        .unwrap();
    renew(&rig, false);
    assert!(pair(&rig, "shop") != shop && pair(&rig, "blog") != blog);
}

/// bug: a fifo in the place of the owner's certificate had `plan`, `check` and the timer wait for ever.
#[test]
fn an_owners_pair_that_is_no_file_any_more_is_refused() {
    let rig = Rig::new(MemoryHost::prepared());
    let names = ["shop.example.org".to_owned()];
    let now = rig.engine().host.clock.now();
    let root = mint::authority(&names, 900, None, now).unwrap();
    let ours = mint::signed_by(&root.key, &names, 90, now).unwrap();
    let roots = Node::file(root.certificate);
    let mut machine = rig.memory.machine();
    machine
        .tree
        .plant("/etc/ssl/certs/ca-certificates.crt", roots);
    drop(machine);
    for (path, text) in [
        ("/srv/chain.pem", &ours.certificate),
        ("/srv/key.pem", &ours.key),
    ] {
        let node = Node::File {
            bytes: text.as_bytes().to_vec(),
            mode: Mode(0o600),
            owner: Owner::root(),
        };
        rig.memory.machine().tree.plant(path, node);
    }
    let files = "issuer = \"files\"\ncertificate = \"/srv/chain.pem\"\nkey = \"/srv/key.pem\"";
    rig.declare(&Files::from_iter([stack("shop", files)]));
    rig.install(None).unwrap();
    assert!(rig.plan().unwrap().is_empty());
    let served = pair(&rig, "shop");
    rig.memory
        .machine()
        .tree
        .plant("/srv/chain.pem", Node::Socket);
    let outcomes = renew(&rig, false);
    assert!(
        matches!(&outcomes[..], [RenewalOutcome::Failed { error, .. }] if error.contains("not a regular file")),
        "{outcomes:?}"
    );
    assert_eq!(pair(&rig, "shop"), served);
}
