//! What is to be shown of a host, read from its files alone: no request, no process, no lock.

use super::stacks::parse_stacks;
use super::{About, Engine, EngineError};
use crate::mint;
use crate::model::{CHAIN, Name};
use crate::stack::Stack;

/// What was applied.
#[derive(Debug, Clone)]
pub struct Outline {
    /// The generation of the host.
    pub generation: u64,
    /// Its stacks.
    pub stacks: Vec<Stack>,
    /// The newest generations, newest first.
    pub newest: Vec<About>,
}

/// How long a stack's certificate is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// The stack.
    pub stack: Name,
    /// Who signs it, by the stack file's word.
    pub issuer: &'static str,
    /// Its end, in seconds since 1970; nothing if it cannot be read.
    pub ends: Option<i64>,
    /// Why the last renewal failed, or why it cannot be read.
    pub error: Option<String>,
}

impl Engine<'_> {
    /// What was applied last, and by which runs.
    ///
    /// # Errors
    /// When the receipt or its generation cannot be read.
    pub fn outline(&self, newest: usize) -> Result<Outline, EngineError> {
        let generation = self.receipt()?.generation;
        let mut stacks = Vec::new();
        if generation > 0 {
            let snapshot = self.snapshot_of(generation)?;
            let applied = parse_stacks(&self.generation_dir(generation), &snapshot)?;
            stacks.extend(applied.into_iter().map(|named| named.stack));
        }
        let numbers = self.generations()?.into_iter().rev().take(newest);
        Ok(Outline {
            generation,
            stacks,
            newest: numbers
                .filter_map(|number| self.about(number).ok())
                .collect(),
        })
    }

    /// How long the certificate of a stack is good.
    pub fn certificate_life(&self, stack: &Stack) -> Life {
        let chain = self.layout.certificate(&stack.name).join(CHAIN);
        let read = match self.host.files.read(&chain) {
            Ok(bytes) => mint::read_certificate(&bytes.unwrap_or_default())
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let note = self.note(&stack.name).ok();
        let (ends, unread) = match read {
            Ok(info) => (Some(info.not_after.unix_timestamp()), None),
            Err(error) => (None, Some(error)),
        };
        Life {
            stack: stack.name.clone(),
            issuer: stack.issuer.as_str(),
            ends,
            error: unread.or_else(|| note.and_then(|note| note.error)),
        }
    }
}
