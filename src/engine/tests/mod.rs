//! The engine on a machine in memory.

mod exactness;
mod pairs;
mod rig;
mod sweep;
