//! Makes a plan true on the host, or gives back what was there.
//!
//! Every step is journaled, with the state it found, before it acts; a run that fails undoes its steps,
//! a run that was killed is folded into the receipt by the next one, which then plans from what it sees.

mod acme_note;
mod acme_order;
mod adopt;
mod alias;
mod amend;
mod apply;
mod apply_container;
mod apply_nginx;
mod apply_secret;
mod cert_report;
mod certificates;
mod compare;
mod confirm;
mod cut_off;
mod drift;
mod edits;
mod error;
mod exchange;
mod format;
#[cfg(test)]
mod formats;
mod generations;
mod handover;
mod holds;
mod image;
mod image_store;
mod install;
mod journal;
mod lock;
mod mend;
mod observe;
mod outline;
mod overlays;
mod owner_pair;
mod pending;
mod pins;
mod postgres_data;
mod preflight;
mod preflight_nginx;
mod prior;
mod prove_certificate;
mod prove_firewall;
mod rebuild;
mod receipt;
mod recover;
mod renew;
mod rotate;
mod sole_writer;
mod source;
mod stacks;
#[cfg(test)]
mod tests;
mod trust;
mod undo;
mod uninstall;

pub use adopt::legacy_stack;
pub use amend::{Amended, ChosenPassword};
pub use apply_secret::NewAccount;
pub use cert_report::CertificateReport;
pub use confirm::Reverted;
pub use drift::{Adopted, Declared, Drift};
pub use error::EngineError;
pub use exchange::{Exchange, Place};
pub use generations::{About, Snapshot};
pub use holds::{Held, Hold, Holds};
pub use image::ImageProposal;
pub use install::{Installed, Proposal, Request};
pub use journal::{Begin, Unfinished, Verb};
pub use lock::Lock;
pub use mend::Unmended;
pub use outline::{Life, Outline};
pub use pending::Pending;
pub use receipt::Receipt;
pub use recover::Recovered;
pub use renew::{RenewRequest, Renewal, RenewalOutcome};
pub use source::Source;
pub use stacks::{NamedStack, load_stacks};
pub use trust::TrustReport;
pub use uninstall::{Kept, Leftovers, Purge};

use crate::expand::Edge;
use crate::host::Host;
use crate::model::Layout;

/// What happens, told to whoever watches.
pub trait Progress: Sync {
    /// A step begins.
    fn begin(&self, text: &str);
    /// Something within the step, such as a layer of an image; may be dropped.
    fn detail(&self, text: &str);
}

/// Tells nobody.
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _text: &str) {}
    fn detail(&self, _text: &str) {}
}

/// The machine, where things go on it, and who watches.
pub struct Engine<'a> {
    /// The machine.
    pub host: &'a Host,
    /// Where things go.
    pub layout: Layout,
    /// Where nginx listens.
    pub edge: Edge,
    /// Who watches.
    pub progress: &'a dyn Progress,
    /// Asked between steps: whether the run shall be undone instead of going on.
    pub is_stop_wanted: &'a dyn Fn() -> bool,
}

impl<'a> Engine<'a> {
    /// For this host, at the usual places.
    pub fn new(host: &'a Host, progress: &'a dyn Progress) -> Self {
        Self {
            host,
            layout: Layout::system(),
            edge: Edge::public(),
            progress,
            is_stop_wanted: &|| false,
        }
    }
}
