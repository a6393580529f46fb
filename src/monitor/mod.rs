//! The log monitor: follows nginx's JSON logs and the journal, counts, and says what stands out. What it reads was
//! written by strangers, so it is a unit of its own without privileges, and its answer is one small file.

mod crowd;
mod detect;
mod entry;
mod follow;
mod journal;
mod line;
mod lines;
mod reader;
mod report;
mod rules;
mod run;
mod tally;

pub use detect::{Finding, Kind};
pub use report::{JournalReport, REPORT_FILE, Report, SiteReport, UnitReport};
pub use rules::{RULES_FILE, RuleBook, RulesError};
pub use run::{MonitorError, Places, SSH, describe, run};
