//! What every built-in service shares. It knows nothing of the host: a service gets its listener
//! from systemd, its secrets from a directory of files, and tells its manager how it fares.

pub mod account;
pub mod activation;
pub mod allowance;
pub mod credential;
pub mod doorway;
pub mod envelope;
pub mod framing;
pub mod health;
pub mod json;
pub mod key_ring;
pub mod lifecycle;
pub mod limit;
pub mod memory;
pub mod metrics;
pub mod problem;
pub mod request_id;
pub mod revocation;
mod server;
pub mod telemetry;
pub mod token;
pub mod traffic;
mod verified;
