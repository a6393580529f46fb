//! One change of one stack file, or one password, as a run of its own.

use std::path::PathBuf;

use super::source::Wanted;
use super::stacks::{NamedStack, clashes};
use super::{Engine, EngineError};
use crate::model::Name;
use crate::resource::{Desired, Resource};
use crate::stack::parse;

/// A stack file with a change in it, to be written and applied in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amended {
    /// The stack.
    pub stack: Name,
    /// The file's bytes that the change was made from: over others it is not written.
    pub before: Vec<u8>,
    /// Its text with the change.
    pub text: String,
    /// The command, for the record.
    pub what: String,
}

/// A password that an account is to have. It is in no plan, journal or record; only its hash is written.
#[derive(Clone, PartialEq, Eq)]
pub struct ChosenPassword {
    /// The file of hashes.
    pub file: PathBuf,
    /// Whose.
    pub account: String,
    /// The password.
    pub password: String,
    /// Whether the owner has yet to learn it: then it is noted for them, as those are that an install makes.
    pub is_generated: bool,
}

impl std::fmt::Debug for ChosenPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChosenPassword")
            .field("file", &self.file)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

impl ChosenPassword {
    /// Whether these are the hashes it belongs to.
    pub(super) fn is_of(&self, resource: &Resource) -> bool {
        matches!(resource, Resource::Htpasswd(_) | Resource::Secret(_))
            && resource.path() == Some(&self.file)
    }
}

impl Engine<'_> {
    pub(super) fn wanted_amended(&self, amended: &Amended) -> Result<Wanted, EngineError> {
        let mut named = self.stacks(&[amended.stack.to_string()], false)?;
        let is_it = |one: &&mut NamedStack| one.stack.name == amended.stack;
        let Some(one) = named.iter_mut().find(is_it) else {
            return Err(changed_meanwhile(amended));
        };
        if !one.on_host || one.source != amended.before {
            return Err(changed_meanwhile(amended));
        }
        let path = self.layout.stack_file(&amended.stack);
        one.stack = parse(&path, amended.text.as_bytes())?;
        one.source = amended.text.clone().into_bytes();
        clashes(&named)?;
        let mut wanted = self.wanted_of(named, self.snapshot()?)?;
        let its_file = |file: &&Desired| file.resource.path() == Some(&path);
        let file = wanted.files.iter().find(its_file);
        wanted.insisted = file.map(|file| file.resource.id()).into_iter().collect();
        Ok(wanted)
    }
}

fn changed_meanwhile(amended: &Amended) -> EngineError {
    EngineError::NotReady {
        what: format!("the file of stack `{}` changed meanwhile", amended.stack),
        help: "run it again".into(),
    }
}
