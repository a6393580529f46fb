//! The built-in services.

pub mod counter;
