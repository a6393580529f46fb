//! What there is to know of each stack's certificate, and taking one back.

use serde::Serialize;

use super::acme_note::Due;
use super::acme_order::OrderError;
use super::renew::certificate_at;
use super::{Engine, EngineError, Lock, RenewRequest, Renewal};
use crate::model::Name;
use crate::resource::Resource;
use crate::stack::Issuer;

/// What there is to know of a stack's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateReport {
    /// The stack.
    pub stack: Name,
    /// What its stack file asks for.
    pub issuer: String,
    /// Who signed the one there is.
    pub signed_by: Option<String>,
    /// What it covers.
    pub names: Vec<String>,
    /// Begin of its life.
    pub not_before: Option<String>,
    /// End of its life.
    pub not_after: Option<String>,
    /// Days until then.
    pub days_left: Option<i64>,
    /// Its serial number.
    pub serial: Option<String>,
    /// Whether nginx shows it.
    pub is_served: Option<bool>,
    /// What comes next, and when.
    pub next: Option<String>,
    /// Why the last renewal failed.
    pub error: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Engine<'_> {
    /// The certificates of the stacks that were applied.
    ///
    /// # Errors
    /// When there is no such stack, or the host cannot be looked at.
    pub fn certificates(&self, asked: &[String]) -> Result<Vec<CertificateReport>, EngineError> {
        let receipt = self.receipt_as_if_recovered()?;
        let (stacks, _) = self.applied_stacks(&receipt, asked)?;
        let now = self.host.clock.now();
        let nginx = receipt
            .entries
            .iter()
            .find_map(|entry| match &entry.resource {
                Resource::Nginx(tree) => Some(tree),
                _ => None,
            });
        let mut reports = Vec::new();
        for stack in stacks {
            let note = self.note(&stack.name)?;
            let mut report = CertificateReport {
                issuer: match &stack.issuer {
                    Issuer::Acme(acme) => format!("acme, {}", acme.directory),
                    issuer => issuer.as_str().to_owned(),
                },
                stack: stack.name.clone(),
                signed_by: None,
                names: Vec::new(),
                not_before: None,
                not_after: None,
                days_left: None,
                serial: None,
                is_served: None,
                next: None,
                error: note.error.clone(),
                help: note.help.clone(),
            };
            let path = self.layout.certificate(&stack.name);
            if let Some(found) = self.pair_at(&path)? {
                let info = &found.info;
                report.signed_by = Some(info.issuer.clone());
                report.names.clone_from(&info.names);
                report.not_before = Some(info.not_before.date().to_string());
                report.not_after = Some(info.not_after.date().to_string());
                report.days_left = Some((info.not_after - now).whole_days());
                report.serial = Some(info.serial.clone());
                report.is_served = nginx.and_then(|tree| self.is_served(info, tree));
                if let (Issuer::Acme(_), Some(wanted)) =
                    (&stack.issuer, certificate_at(&receipt, &path))
                {
                    let signer = self.signer_of(&path, info)?.unwrap_or_default();
                    let next = match (note.due(&wanted, &signer, info, now), note.pause(now)) {
                        (Due::At(at), _) => format!("renewed after {}", at.date()),
                        (Due::Now(why), None) => format!("due now: {why}"),
                        (Due::Now(why), Some(until)) => {
                            format!("due: {why}; tried again after {until}")
                        }
                    };
                    report.next = Some(next);
                }
            }
            reports.push(report);
        }
        Ok(reports)
    }

    /// Has the authority of a stack take its certificate back, and orders another.
    ///
    /// # Errors
    /// When the certificate is not of an ACME authority, or that refuses.
    pub fn revoke(&self, stack: &str) -> Result<Vec<Renewal>, EngineError> {
        let asked = [stack.to_owned()];
        {
            let _lock = Lock::take(&self.layout.lock)?;
            self.may_renew()?;
            let receipt = self.receipt()?;
            // Taken back and served on would be the worst of both.
            if let Some(how) = self.nginx_held(&receipt)? {
                return Err(EngineError::NotReady {
                    what: format!(
                        "everything is {how}, nginx too: no other certificate would be served"
                    ),
                    help: "`sudo tavernctl hold --end`, then run it again".into(),
                });
            }
            let (stacks, _) = self.applied_stacks(&receipt, &asked)?;
            for stack in stacks {
                self.revoke_locked(&stack.name, &stack.issuer, &receipt)?;
            }
        }
        self.renew(&RenewRequest {
            stacks: asked.to_vec(),
            force: true,
        })
    }

    fn revoke_locked(
        &self,
        stack: &Name,
        issuer: &Issuer,
        receipt: &super::Receipt,
    ) -> Result<(), EngineError> {
        let path = self.layout.certificate(stack);
        let wanted = certificate_at(receipt, &path);
        let (Issuer::Acme(acme), Some(found), Some(wanted)) =
            (issuer, self.pair_at(&path)?, wanted)
        else {
            return Err(not_theirs(stack));
        };
        if self.signer_of(&path, &found.info)?.as_ref() != Some(&wanted.signer) {
            return Err(not_theirs(stack));
        }
        let refused = |error: OrderError| match error {
            OrderError::Ours(error) => error,
            OrderError::Theirs(error) => EngineError::NotReady {
                what: error.what,
                help: error.help,
            },
        };
        let account = self.account(stack, acme).map_err(refused)?;
        // Noted first: killed in between, it is ordered anew, which does no harm.
        let before = self.note(stack)?;
        let mut note = before.clone();
        note.revoked = Some(found.info.fingerprint());
        self.save_note(stack, &note)?;
        let answer = self.host.acme.revoke(&account, &found.info.der);
        if let Err(error) = answer {
            self.save_note(stack, &before)?;
            return Err(refused(OrderError::Theirs(error)));
        }
        Ok(())
    }
}

fn not_theirs(stack: &Name) -> EngineError {
    EngineError::NotReady {
        what: format!("the certificate of {stack} was not signed by its ACME authority"),
        help:
            "there is nobody to take it back: `sudo tavernctl cert renew` makes or orders a new one"
                .into(),
    }
}
