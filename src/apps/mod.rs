//! The built-in services.
