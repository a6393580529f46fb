//! What every built-in service shares.
