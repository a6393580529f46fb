//! The engine on a machine in memory.

mod amend;
mod bugs;
mod certificates;
mod clock;
mod confirmation;
mod exactness;
mod exchange;
mod growth;
mod left_alone;
mod mend;
mod observers;
mod pairs;
mod pins;
mod postgres;
mod rebuild;
mod rig;
mod rotation;
mod sole_writer;
mod sweep;
mod trust;
