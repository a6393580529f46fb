//! `tavernd`: keeps the host as its newest generation made it. It stands in no request's path.
//!
//! What to do about a container is decided by [`step`], a pure function. The rest of this room feeds it: Docker's
//! events, looks at containers, the clock, holds; and carries out what it asks for, through the engine.

mod alert;
mod cause;
mod chronicle;
mod health;
mod history;
mod keeper;
mod metrics;
mod notify;
mod picture;
mod record;
mod say;
mod scribe;
mod send;
mod snapshot;
mod step;
mod store;
mod traffic;
mod watch;
mod work;

pub use alert::{Message, Outbox};
pub use cause::Cause;
pub use chronicle::{Chronicle, Counted, Told};
pub use health::{Health, News, Track};
pub use keeper::Keeper;
pub use picture::{KeptContainer, Picture};
pub use record::{RecordError, Round, record, standing};
pub use send::{Sent, hostname, send};
pub use snapshot::{Backup, Certificate, Generation, Judged, Probe, Site, Snapshot, Survey};
pub use step::{Effect, Event, Mended, Moment, Phase, Saying, State, step};
pub use store::{DAYS, Day, Store, StoreError};
pub use traffic::traffic;
