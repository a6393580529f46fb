//! The engine on a machine in memory.

mod exactness;
mod growth;
mod pairs;
mod rig;
mod sweep;
