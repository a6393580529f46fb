//! The engine on a machine in memory.

mod confirmation;
mod exactness;
mod pairs;
mod rig;
mod sweep;
