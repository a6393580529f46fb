//! Renewal: what was applied stays as it is, but for certificates. Nothing else is looked at, so that no edit of a
//! stack file or of a generated file takes effect because a timer ran.

use time::OffsetDateTime;

use super::acme_note::{Due, Note};
use super::acme_order::OrderError;
use super::apply::{Gains, Run};
use super::certificates::Found;
use super::generations::Snapshot;
use super::receipt::Receipt;
use super::source::Source;
use super::{Engine, EngineError, Lock, Request, Verb};
use crate::model::Name;
use crate::plan::{Plan, Step};
use crate::resource::{Action, Certificate, Change, Resource, Signer};
use crate::stack::{Issuer, Stack};

/// Which certificates are to be renewed.
#[derive(Debug, Clone, Default)]
pub struct RenewRequest {
    /// Of these stacks; of all if empty.
    pub stacks: Vec<String>,
    /// Also those whose time has not come, and those whose authority is to be left alone for now.
    pub force: bool,
}

/// What became of a stack's certificate.
#[derive(Debug)]
pub struct Renewal {
    /// The stack.
    pub stack: Name,
    /// What became of it.
    pub outcome: RenewalOutcome,
}

/// What became of a certificate.
#[derive(Debug)]
pub enum RenewalOutcome {
    /// There is a new one, and nginx serves it.
    Renewed {
        /// Why it was time.
        reason: String,
    },
    /// It is not time.
    NotDue {
        /// When it will be, where that is known.
        at: Option<OffsetDateTime>,
    },
    /// It is left alone, as somebody asked.
    Held {
        /// Until when.
        how: String,
    },
    /// It failed, and is not tried again before.
    Paused {
        /// When.
        until: OffsetDateTime,
        /// Why it failed last.
        error: String,
    },
    /// It failed: the one in use stays.
    Failed {
        /// Why.
        error: String,
        /// What to do.
        help: Option<String>,
    },
}

impl Engine<'_> {
    /// Renews what is due. One stack's failure stops no other's.
    ///
    /// # Errors
    /// When nothing can be renewed at all: no root, another run, one that did not end, no such stack.
    pub fn renew(&self, request: &RenewRequest) -> Result<Vec<Renewal>, EngineError> {
        let _lock = Lock::take(&self.layout.lock)?;
        self.end_cut_off_renewal()?;
        self.may_renew()?;
        let mut receipt = self.receipt()?;
        let (stacks, snapshot) = self.applied_stacks(&receipt, &request.stacks)?;
        let mut renewals = Vec::new();
        // A new pair is nothing without nginx reading it, which is not to be touched.
        if let Some(how) = self.nginx_held(&receipt)? {
            let held = stacks.into_iter().map(|stack| Renewal {
                stack: stack.name,
                outcome: RenewalOutcome::Held { how: how.clone() },
            });
            return Ok(held.collect());
        }
        // Who signs for the others comes first; its failure is theirs to report.
        if stacks.iter().any(|stack| stack.issuer == Issuer::LocalCa)
            && let Some(authority) = certificate_at(&receipt, &self.layout.local_ca())
        {
            let _ = self.swap(None, &authority, &snapshot, &mut receipt);
        }
        for stack in stacks {
            if (self.is_stop_wanted)() {
                return Err(EngineError::Interrupted);
            }
            let outcome = self.renew_one(&stack, request.force, &snapshot, &mut receipt);
            renewals.push(Renewal {
                stack: stack.name,
                outcome: outcome.unwrap_or_else(|error| RenewalOutcome::Failed {
                    error: error.to_string(),
                    help: error.help(),
                }),
            });
        }
        Ok(renewals)
    }

    /// How nginx is held, if it is.
    pub(super) fn nginx_held(&self, receipt: &Receipt) -> Result<Option<String>, EngineError> {
        let now = self.host.clock.now();
        let holds = self.holds()?;
        let mut entries = receipt.entries.iter();
        let nginx = entries.find(|entry| matches!(entry.resource, Resource::Nginx(_)));
        let hold = nginx.and_then(|nginx| holds.on(&nginx.id, now));
        Ok(hold.map(|hold| hold.describe(now)))
    }

    pub(super) fn may_renew(&self) -> Result<(), EngineError> {
        self.refuse_while_pending()?;
        if self.unfinished()?.is_some() {
            return Err(EngineError::NotReady {
                what: "a run did not end, and what it did is not settled".into(),
                help: "`sudo tavernctl recover`, then run it again".into(),
            });
        }
        Ok(())
    }

    /// The stacks as the newest generation has them; none if nothing is installed.
    ///
    /// # Errors
    /// When the generation cannot be read.
    pub fn stacks_as_applied(&self) -> Result<Vec<Stack>, EngineError> {
        let receipt = self.receipt()?;
        if receipt.generation == 0 {
            return Ok(Vec::new());
        }
        Ok(self.applied_stacks(&receipt, &[])?.0)
    }

    /// The stacks of the newest generation that were asked for: what a stack file says by now is for an install.
    pub(super) fn applied_stacks(
        &self,
        receipt: &Receipt,
        asked: &[String],
    ) -> Result<(Vec<Stack>, Snapshot), EngineError> {
        let request = Request {
            source: Source::Applied,
            ..Request::default()
        };
        let wanted = self.wanted(&request, false, receipt)?;
        let known = || wanted.stacks.iter().map(|stack| stack.name.to_string());
        if let Some(name) = asked.iter().find(|name| !known().any(|one| one == **name)) {
            return Err(EngineError::NoSuchStack {
                name: name.clone(),
                known: known().collect(),
            });
        }
        let is_asked = |stack: &Stack| asked.is_empty() || asked.contains(&stack.name.to_string());
        let stacks = wanted.stacks.into_iter().filter(is_asked).collect();
        Ok((stacks, wanted.snapshot))
    }

    fn renew_one(
        &self,
        stack: &Stack,
        force: bool,
        snapshot: &Snapshot,
        receipt: &mut Receipt,
    ) -> Result<RenewalOutcome, EngineError> {
        let path = self.layout.certificate(&stack.name);
        let Some(wanted) = certificate_at(receipt, &path) else {
            return Ok(RenewalOutcome::NotDue { at: None });
        };
        // A renewal that was cut off has left one that nobody needs to order again.
        // Without one, an authority is asked first: what nginx still serves is better than a stand-in of ours.
        let is_acme = matches!(stack.issuer, Issuer::Acme(_));
        if (!is_acme || self.staged(&wanted)?.is_some())
            && let Some(reason) = self.swap(Some(stack), &wanted, snapshot, receipt)?
        {
            return Ok(RenewalOutcome::Renewed { reason });
        }
        let Issuer::Acme(acme) = &stack.issuer else {
            return self.renew_own(stack, &wanted, force, snapshot, receipt);
        };
        let now = self.host.clock.now();
        let mut note = self.note(&stack.name)?;
        let present = self.pair_at(&wanted.path)?;
        let due = match &present {
            Some(found) => {
                self.ask_for_window(stack, &wanted, found, &mut note)?;
                let signer = self.signer_of(&wanted.path, &found.info)?;
                note.due(&wanted, &signer.unwrap_or_default(), &found.info, now)
            }
            None => Due::Now("there is none".to_owned()),
        };
        let reason = match due {
            Due::Now(reason) => reason,
            Due::At(_) if force => "it was asked for".to_owned(),
            Due::At(at) => return Ok(RenewalOutcome::NotDue { at: Some(at) }),
        };
        if let (Some(until), false) = (note.pause(now), force) {
            return Ok(RenewalOutcome::Paused {
                until,
                error: note.error.unwrap_or_default(),
            });
        }
        self.progress.begin(&format!(
            "~ certificate of {}: {reason}; {} is asked",
            stack.name, acme.directory
        ));
        let old = self.replaced(&wanted, present.as_ref())?;
        match self.order(&stack.name, acme, &wanted, old.map(|found| &found.info)) {
            Ok(()) => {}
            Err(error) => {
                let failed = self.note_failure(stack, note, error)?;
                // nginx must have something to start with.
                self.swap(Some(stack), &wanted, snapshot, receipt)?;
                return Ok(failed);
            }
        }
        let swapped = self.swap(Some(stack), &wanted, snapshot, receipt)?;
        Ok(match swapped {
            Some(_) => RenewalOutcome::Renewed { reason },
            None => RenewalOutcome::Failed {
                error: format!(
                    "what {} signed is no newer than what is there",
                    acme.directory
                ),
                help: Some("is the clock right (`timedatectl`)?".to_owned()),
            },
        })
    }

    /// A forced renewal of what this host signs itself.
    fn renew_own(
        &self,
        stack: &Stack,
        wanted: &Certificate,
        force: bool,
        snapshot: &Snapshot,
        receipt: &mut Receipt,
    ) -> Result<RenewalOutcome, EngineError> {
        let is_own = matches!(wanted.signer, Signer::Itself | Signer::LocalCa { .. });
        if !(force && is_own)
            || self
                .signer_at(wanted)?
                .is_none_or(|signer| signer != wanted.signer)
        {
            return Ok(RenewalOutcome::NotDue { at: None });
        }
        let reason = "it was asked for".to_owned();
        let change = Change::new(Action::Update, reason.clone());
        self.run_swap(Some(stack), wanted, change, snapshot, receipt)?;
        Ok(RenewalOutcome::Renewed { reason })
    }

    /// Who signed what is there; nothing if somebody else put it there.
    fn signer_at(&self, wanted: &Certificate) -> Result<Option<Signer>, EngineError> {
        let Some(found) = self.pair_at(&wanted.path)? else {
            return Ok(None);
        };
        Ok(match self.signer_of(&wanted.path, &found.info)? {
            None if found.info.is_own => Some(Signer::Itself),
            signer => signer,
        })
    }

    /// The certificate that a new one takes the place of, if its authority knows it.
    fn replaced<'f>(
        &self,
        wanted: &Certificate,
        present: Option<&'f Found>,
    ) -> Result<Option<&'f Found>, EngineError> {
        let Some(found) = present else {
            return Ok(None);
        };
        let signer = self.signer_of(&wanted.path, &found.info)?;
        Ok((signer.as_ref() == Some(&wanted.signer)).then_some(found))
    }

    /// Asks the authority when it wants this certificate renewed, if it was not asked lately. It need not answer.
    fn ask_for_window(
        &self,
        stack: &Stack,
        wanted: &Certificate,
        found: &Found,
        note: &mut Note,
    ) -> Result<(), EngineError> {
        let Issuer::Acme(acme) = &stack.issuer else {
            return Ok(());
        };
        let (now, fingerprint) = (self.host.clock.now(), found.info.fingerprint());
        let is_theirs = self.replaced(wanted, Some(found))?.is_some();
        if !is_theirs || !note.asks_for_window(&fingerprint, now) {
            return Ok(());
        }
        let Ok(account) = self.account(&stack.name, acme) else {
            return Ok(());
        };
        if let Ok(Some(window)) = self.host.acme.renewal(&account, &found.info.der) {
            note.remember_window(&fingerprint, &window, now);
            self.save_note(&stack.name, note)?;
        }
        Ok(())
    }

    /// Notes a failure where the next try and `cert show` find it.
    fn note_failure(
        &self,
        stack: &Stack,
        mut note: Note,
        error: OrderError,
    ) -> Result<RenewalOutcome, EngineError> {
        let (error, help, retry_after) = match error {
            OrderError::Ours(error) => (error.to_string(), error.help().unwrap_or_default(), None),
            OrderError::Theirs(error) => (error.what, error.help, error.retry_after),
        };
        note.failed(&error, &help, retry_after, self.host.clock.now());
        self.save_note(&stack.name, &note)?;
        Ok(RenewalOutcome::Failed {
            error,
            help: Some(help),
        })
    }

    /// Takes a certificate up if there is another one than is served; says why.
    fn swap(
        &self,
        stack: Option<&Stack>,
        wanted: &Certificate,
        snapshot: &Snapshot,
        receipt: &mut Receipt,
    ) -> Result<Option<String>, EngineError> {
        let Some(change) = wanted.compare(&self.look_at_certificate(wanted)?) else {
            return Ok(None);
        };
        if change.conflict {
            return Err(EngineError::InTheWay(vec![format!(
                "  {}: {}",
                wanted.path.display(),
                change.reason
            )]));
        }
        let reason = change.reason.clone();
        self.run_swap(stack, wanted, change, snapshot, receipt)?;
        Ok(Some(reason))
    }

    /// A run of two steps: the pair, and nginx that reads it.
    fn run_swap(
        &self,
        stack: Option<&Stack>,
        wanted: &Certificate,
        change: Change,
        snapshot: &Snapshot,
        receipt: &mut Receipt,
    ) -> Result<(), EngineError> {
        let nginx = receipt.entries.iter().find_map(|entry| {
            let is_nginx = matches!(entry.resource, Resource::Nginx(_));
            is_nginx.then(|| entry.resource.clone())
        });
        let step = |resource: Resource, change: Change, restarts| Step {
            id: resource.id(),
            resource,
            change,
            restarts,
            after_commit: false,
        };
        let certificate = Resource::Certificate(wanted.clone());
        let mut steps = Vec::new();
        match (&nginx, stack) {
            // One that somebody stopped stays so, and reads the pair when it is started.
            (Some(nginx), Some(_)) if self.is_nginx_running()? => {
                steps.push(step(certificate, change, vec![nginx.id()]));
                let reload = Change::new(Action::Restart, "a certificate changed");
                steps.push(step(nginx.clone(), reload, Vec::new()));
            }
            _ => steps.push(step(certificate, change, Vec::new())),
        }
        let plan = Plan {
            steps,
            ..Plan::default()
        };
        self.owner_pairs_are_sound(&plan)?;
        let was_ordered =
            matches!(wanted.signer, Signer::Acme { .. }) && self.staged(wanted)?.is_some();
        let run = Run {
            verb: Verb::Renew {
                stack: stack.map_or("local-ca".to_owned(), |stack| stack.name.to_string()),
            },
            snapshot,
            found: Vec::new(),
        };
        self.apply(run, &plan, receipt, &mut Gains::default())?;
        if let Some(stack) = stack
            && was_ordered
        {
            // Taken up: what failed before is over.
            self.save_note(&stack.name, &Note::issued())?;
            self.clear_staged(wanted)?;
        }
        Ok(())
    }
}

/// The certificate at a link, as it was applied.
pub(super) fn certificate_at(receipt: &Receipt, path: &std::path::Path) -> Option<Certificate> {
    receipt
        .entries
        .iter()
        .find_map(|entry| match &entry.resource {
            Resource::Certificate(certificate) if certificate.path == path => {
                Some(certificate.clone())
            }
            _ => None,
        })
}
