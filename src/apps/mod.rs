//! The built-in services.

pub mod counter;
pub mod status;
