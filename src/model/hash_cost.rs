use serde::{Deserialize, Serialize};

/// What hashing a password with argon2id costs: who guesses pays it for every guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashCost {
    memory_mib: u32,
    passes: u32,
}

impl HashCost {
    /// OWASP's choice for a small server.
    pub const STANDARD: Self = Self {
        memory_mib: 19,
        passes: 2,
    };
    /// As hard to guess, for hosts with little memory.
    pub const LOW: Self = Self {
        memory_mib: 12,
        passes: 3,
    };
    /// For few logins and a host that has the memory.
    pub const HIGH: Self = Self {
        memory_mib: 64,
        passes: 3,
    };
    /// Two logins at once must fit into the unit's memory.
    pub const MOST_MIB: u32 = 64;
    /// More makes a login wait for seconds.
    pub const MOST_PASSES: u32 = 10;
    /// Memory times passes, about the same in all of OWASP's choices: (46, 1), (19, 2), (12, 3), (9, 4), (7, 5).
    const LEAST_WORK: u32 = 35;
    const LEAST_MIB: u32 = 7;

    /// `None` if it is weaker than any of OWASP's choices, or more than a login may cost.
    pub fn new(memory_mib: u32, passes: u32) -> Option<Self> {
        let fits = (Self::LEAST_MIB..=Self::MOST_MIB).contains(&memory_mib)
            && (1..=Self::MOST_PASSES).contains(&passes)
            && memory_mib * passes >= Self::LEAST_WORK;
        fits.then_some(Self { memory_mib, passes })
    }

    /// KiB of memory.
    pub fn memory_kib(self) -> u32 {
        self.memory_mib * 1024
    }

    /// Times it goes over the memory.
    pub fn passes(self) -> u32 {
        self.passes
    }
}

impl Default for HashCost {
    fn default() -> Self {
        Self::STANDARD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_and_ruinous_costs_are_none() {
        for (memory, passes) in [(46, 1), (19, 2), (12, 3), (9, 4), (7, 5), (64, 10)] {
            assert!(HashCost::new(memory, passes).is_some(), "{memory} {passes}");
        }
        for (memory, passes) in [
            (19, 1),
            (6, 10),
            (65, 3),
            (64, 11),
            (64, 0),
            (0, 3),
            (u32::MAX, u32::MAX),
        ] {
            assert_eq!(HashCost::new(memory, passes), None, "{memory} {passes}");
        }
        for named in [HashCost::LOW, HashCost::STANDARD, HashCost::HIGH] {
            assert_eq!(HashCost::new(named.memory_mib, named.passes), Some(named));
        }
    }
}
