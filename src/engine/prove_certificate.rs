//! Whether nginx shows the certificates that it was given.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::apply_nginx::PROOF_LIMIT;
use super::{Engine, EngineError};
use crate::mint::CertificateInfo;
use crate::plan::{Plan, Step};
use crate::resource::{Action, Certificate, NginxTree, Resource, Signer};

impl Engine<'_> {
    /// Whether nginx shows a certificate to who asks for one of its names, or for none. By address only, another
    /// stack may be the one that answers: then nothing is known.
    pub(super) fn is_served(&self, info: &CertificateInfo, tree: &NginxTree) -> Option<bool> {
        let is_dns = |name: &&String| name.parse::<IpAddr>().is_err();
        let names: Vec<String> = info
            .names
            .iter()
            .filter(is_dns)
            .map(|name| name.replacen('*', "tavern-check", 1))
            .collect();
        if names.is_empty() {
            return None;
        }
        let mut ports = tree.ports.iter().filter(|port| **port != tree.http_port);
        Some(ports.any(|port| {
            let mut asked = std::iter::once(None).chain(names.iter().map(Some));
            asked.any(|name| {
                let shown = self.host.nginx.shown(*port, name.map(String::as_str));
                shown.as_deref() == Some(&info.der[..])
            })
        }))
    }

    /// Whether nginx shows what a run put in place: a reload's exit code does not say.
    pub(super) fn prove_certificates(&self, plan: &Plan, step: &Step) -> Result<(), EngineError> {
        let Resource::Nginx(tree) = &step.resource else {
            return Ok(());
        };
        for other in &plan.steps {
            if let Resource::Certificate(certificate) = &other.resource
                && other.change.action != Action::Remove
                && certificate.signer != Signer::Authority
            {
                self.prove_certificate(certificate, tree)?;
            }
        }
        Ok(())
    }

    fn prove_certificate(
        &self,
        certificate: &Certificate,
        tree: &NginxTree,
    ) -> Result<(), EngineError> {
        let Some(found) = self.pair_at(&certificate.path)? else {
            return Ok(());
        };
        let begun = Instant::now();
        loop {
            if self.is_served(&found.info, tree) != Some(false) {
                return Ok(());
            }
            if begun.elapsed() > PROOF_LIMIT {
                return Err(EngineError::NotReady {
                    what: format!(
                        "nginx was told, and does not show the new certificate of {}",
                        certificate.names.first().map_or("this host", String::as_str)
                    ),
                    help: "does another site of this nginx have the same name? `sudo nginx -T | grep server_name` lists them".into(),
                });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
