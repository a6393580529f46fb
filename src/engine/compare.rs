//! Two generations side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::receipt::Receipt;
use super::{Engine, EngineError};
use crate::plan;
use crate::resource::{Content, Resource, ResourceId};

impl Engine<'_> {
    /// How two generations differ: stack files first, then what they made; empty if they do not.
    ///
    /// # Errors
    /// When one of them is not there or cannot be read.
    pub fn compare_generations(&self, a: u64, b: u64) -> Result<String, EngineError> {
        let (old, new) = (self.snapshot_of(a)?.files, self.snapshot_of(b)?.files);
        let text = |bytes: Option<&Vec<u8>>| {
            String::from_utf8_lossy(bytes.map_or(&[], Vec::as_slice)).into_owned()
        };
        let mut said = String::new();
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            let (before, after) = (text(old.get(name)), text(new.get(name)));
            if before != after {
                let _ = writeln!(said, "~ {name}");
                said.push_str(&plan::unified(&before, &after));
            }
        }
        let (old, new) = (self.generation_receipt(a)?, self.generation_receipt(b)?);
        said.push_str(&changed(&old, &new));
        Ok(said)
    }
}

fn changed(old: &Receipt, new: &Receipt) -> String {
    let (old, new) = (made(old), made(new));
    let mut said = String::new();
    let ids: BTreeSet<&&ResourceId> = old.keys().chain(new.keys()).collect();
    for id in ids {
        let (before, after) = (texts(old.get(id)), texts(new.get(id)));
        let sign = match (old.get(id), new.get(id)) {
            (None, _) => '+',
            (_, None) => '-',
            (before, after) if before == after => continue,
            _ => '~',
        };
        let _ = writeln!(said, "{sign} {id}");
        if sign != '~' {
            continue;
        }
        let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for path in paths {
            let text = |texts: &BTreeMap<String, String>| texts.get(path).cloned();
            let (before, after) = (
                text(&before).unwrap_or_default(),
                text(&after).unwrap_or_default(),
            );
            if before != after {
                if before.is_empty() || after.is_empty() || path != &id.0 {
                    let _ = writeln!(said, "  {path}");
                }
                said.push_str(&plan::unified(&before, &after));
            }
        }
    }
    said
}

/// What a receipt knows, but for the files that say what the host is: those come first.
fn made(receipt: &Receipt) -> BTreeMap<&ResourceId, &Resource> {
    let entries = receipt.entries.iter();
    let is_declared = |resource: &Resource| {
        resource.path().is_some_and(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
                && resource.is_data()
        })
    };
    entries
        .filter(|entry| !is_declared(&entry.resource))
        .map(|entry| (&entry.id, &entry.resource))
        .collect()
}

/// The texts of a resource, by name.
fn texts(resource: Option<&&Resource>) -> BTreeMap<String, String> {
    match resource {
        Some(Resource::File(file)) => match &file.content {
            Content::Text(text) => {
                BTreeMap::from([(Resource::File(file.clone()).id().0, text.clone())])
            }
            _ => BTreeMap::new(),
        },
        Some(Resource::Nginx(tree)) => tree
            .files
            .iter()
            .map(|(path, text)| (path.display().to_string(), text.clone()))
            .collect(),
        _ => BTreeMap::new(),
    }
}
