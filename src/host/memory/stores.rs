//! Who trusts which CA: the system's store, and browsers' databases, each a line for each certificate in its file.

use std::path::Path;

use super::MemoryHost;
use super::tree::Node;
use crate::host::{HostError, Outcome};

const ADDED: &str = "/usr/local/share/ca-certificates";

/// A database with this in it cannot be written or read.
pub(crate) const DAMAGED: &str = "damaged";

fn said(code: i32, stdout: &str, stderr: &str) -> Outcome {
    Outcome {
        code,
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
    }
}

impl MemoryHost {
    /// Links what is there; a link to what is gone stays, as Debian's program leaves it.
    pub(super) fn update_ca_certificates(&self) -> Result<Outcome, HostError> {
        let mut machine = self.machine();
        machine.effect("update-ca-certificates".to_owned())?;
        for path in machine.tree.list(Path::new(ADDED)) {
            let (Some(stem), Some("crt")) = (
                path.file_stem(),
                path.extension().and_then(|extension| extension.to_str()),
            ) else {
                continue;
            };
            let link = format!("/etc/ssl/certs/{}.pem", stem.to_string_lossy());
            machine.tree.plant(&link, Node::Link(path));
        }
        Ok(said(0, "", ""))
    }

    /// `-u USER -- certutil -d sql:DIRECTORY -L|-A …|-D …`
    pub(super) fn certutil(&self, words: &[String]) -> Result<Outcome, HostError> {
        let [_, _, _, _, _, place, verb, rest @ ..] = words else {
            return Ok(said(255, "", "usage"));
        };
        let path = Path::new(place.trim_start_matches("sql:")).join("cert9.db");
        let mut machine = self.machine();
        let Some(bytes) = machine.tree.bytes(&path) else {
            return Ok(said(255, "", "certutil: there is no such database"));
        };
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        if text.contains(DAMAGED) {
            return Ok(said(255, "", "certutil: the database is damaged"));
        }
        let name = rest.get(1).cloned().unwrap_or_default();
        match verb.as_str() {
            "-L" => return Ok(said(0, &text, "")),
            "-A" => text.push_str(&format!("{name}     C,,\n")),
            _ => {
                let Some(line) = text.lines().find(|line| line.starts_with(&name)) else {
                    return Ok(said(255, "", "certutil: could not find it"));
                };
                text = text.replacen(&format!("{line}\n"), "", 1);
            }
        }
        machine.effect(format!("certutil {verb} in {}", path.display()))?;
        machine.tree.put(&path, Node::file(text));
        Ok(said(0, "", ""))
    }
}
