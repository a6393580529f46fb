//! `hash-cost` of an app: a name, or memory and passes.

use serde::Deserialize;
use toml::Spanned;

use super::StackError;
use super::validate::Validation;
use crate::model::HashCost;

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "`low`, `standard`, `high`, or { memory-mib = 19, passes = 2 }"
)]
pub(super) enum RawHashCost {
    Named(Named),
    Given(Given),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Named {
    Low,
    Standard,
    High,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Given {
    memory_mib: u32,
    passes: u32,
}

impl Validation<'_> {
    pub(super) fn hash_cost(
        &self,
        raw: Option<Spanned<RawHashCost>>,
    ) -> Result<HashCost, StackError> {
        let Some(raw) = raw else {
            return Ok(HashCost::default());
        };
        let given = match raw.get_ref() {
            RawHashCost::Named(Named::Low) => return Ok(HashCost::LOW),
            RawHashCost::Named(Named::Standard) => return Ok(HashCost::STANDARD),
            RawHashCost::Named(Named::High) => return Ok(HashCost::HIGH),
            RawHashCost::Given(given) => *given,
        };
        match HashCost::new(given.memory_mib, given.passes) {
            Some(cost) => Ok(cost),
            None => self.fault(
                raw.span(),
                "a password hash must cost something, and not too much",
                "`memory-mib` is 7 to 64, `passes` 1 to 10, and their product at least 35; or write \"low\", \"standard\" or \"high\"",
            ),
        }
    }
}
