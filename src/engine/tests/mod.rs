//! The engine on a machine in memory.

mod clock;
mod exactness;
mod growth;
mod pairs;
mod rig;
mod sweep;
