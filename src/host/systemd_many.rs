//! The state of many units in two questions: `systemctl show` asks three of the manager for each.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{HostError, Invocation, Processes as _, RealProcesses, UnitReport};

const MANAGER: [&str; 5] = [
    "--json=short",
    "call",
    "org.freedesktop.systemd1",
    "/org/freedesktop/systemd1",
    "org.freedesktop.systemd1.Manager",
];

/// What busctl prints of a call's answer.
#[derive(Deserialize)]
struct Answer<T> {
    data: (Vec<T>,),
}

/// Name, description, load, active, sub, followed, object, job, its kind, its object.
type Listed = (
    String,
    String,
    String,
    String,
    String,
    String,
    String,
    u32,
    String,
    String,
);

/// Reports without what only a service says of itself; nothing for a unit that must be asked by itself, such as an
/// alias.
pub(super) fn states(units: &[&str]) -> Result<Vec<Option<UnitReport>>, HostError> {
    let count = units.len().to_string();
    let mut names = vec!["as", count.as_str()];
    names.extend(units);
    let listed: Vec<Listed> = call("ListUnitsByNames", &names)?;
    let mut patterns = vec!["asas", "0", count.as_str()];
    patterns.extend(units);
    let files: Vec<(String, String)> = call("ListUnitFilesByPatterns", &patterns)?;
    let files: BTreeMap<String, (String, String)> = files
        .into_iter()
        .filter_map(|(path, state)| {
            let name = Path::new(&path).file_name()?.to_str()?.to_owned();
            Some((name, (path, state)))
        })
        .collect();
    let listed: BTreeMap<String, (String, String, String)> = listed
        .into_iter()
        .map(|(name, _, load, active, sub, ..)| (name, (load, active, sub)))
        .collect();
    Ok(units
        .iter()
        .map(|unit| {
            let (load, active, sub) = listed.get(*unit)?.clone();
            let (path, file) = match files.get(*unit) {
                Some((path, file)) => (path.clone(), file.clone()),
                None if load == "not-found" => (String::new(), String::new()),
                None => return None,
            };
            Some(UnitReport {
                load,
                active,
                sub,
                file,
                path,
                ..UnitReport::default()
            })
        })
        .collect())
}

fn call<T: DeserializeOwned>(method: &str, arguments: &[&str]) -> Result<Vec<T>, HostError> {
    let mut args = MANAGER.to_vec();
    args.push(method);
    args.extend(arguments);
    let outcome = RealProcesses.run_ok(&Invocation::new("busctl", &args))?;
    let answer: Answer<T> = serde_json::from_str(&outcome.stdout)
        .map_err(|error| HostError::Unexpected(format!("busctl {method}: {error}")))?;
    Ok(answer.data.0)
}
