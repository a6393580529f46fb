//! The log monitor: follows nginx's JSON logs, counts for each site, and says what stands out. What it reads was
//! written by strangers, so it is a unit of its own without privileges, and its answer is one small file.

mod detect;
mod follow;
mod line;
mod report;
mod rules;
mod run;
mod tally;

pub use detect::{Finding, Kind};
pub use report::{REPORT_FILE, Report, SiteReport};
pub use rules::{RULES_FILE, RuleBook, RulesError};
pub use run::{MonitorError, Places, describe, run};
