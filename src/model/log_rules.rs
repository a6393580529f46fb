use serde::Deserialize;

/// What the log monitor calls a finding, for one site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LogRules {
    /// The share of failures (5xx) among the answers, in thousandths.
    pub error_permille: u32,
    /// Over so many minutes.
    pub error_minutes: u32,
    /// With fewer answers a share says nothing.
    pub error_requests: u32,
    /// Refusals (401, 403, 429) of one client within a minute.
    pub brute_force: u32,
    /// Requests of one client for what is not there (400, 404, 405, 414), within a minute.
    pub scanner: u32,
}

impl Default for LogRules {
    /// 5 % over 5 minutes is the rule of the hosts that this was modelled on.
    fn default() -> Self {
        Self {
            error_permille: 50,
            error_minutes: 5,
            error_requests: 20,
            brute_force: 30,
            scanner: 60,
        }
    }
}

/// What the log monitor calls a finding in the journal, for one stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalRules {
    /// Entries of priority `err` or worse of one unit, within a minute.
    pub errors: u32,
    /// Failed logins of one client over SSH, within a minute.
    pub ssh_brute_force: u32,
}

impl Default for JournalRules {
    /// More than whoever mistypes, or has a host with one bad day.
    fn default() -> Self {
        Self {
            errors: 20,
            ssh_brute_force: 10,
        }
    }
}
