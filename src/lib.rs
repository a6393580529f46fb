//! Tavern turns a bare Ubuntu or Debian VM into a production web host described by one small file,
//! and keeps it that way. This page is the map of its code.
//!
//! # One idea
//! The host is a function of its stack files. The data goes one way:
//!
//! ```text
//! stack file ──parse──▶ Stack ──expand──▶ desired ─┐
//!                                                  ├─ plan ─▶ engine ─▶ host
//! host ──────────────observe────────────▶ observed ┘            │
//!                                                               └─ journal, receipt
//! ```
//!
//! A plan is plain data: it can be printed, compared and tested without a host. Only the engine changes the host,
//! through [`host`], and before each step it writes down what is there.
//!
//! # Rooms
//! | room | what it is for | may use |
//! | --- | --- | --- |
//! | [`model`] | validated values, and [`model::Facts`]: what the plan must know of the host | – |
//! | [`mint`] | makes keys, hashes and certificates, and reads them back | `model` |
//! | [`stack`] | the stack file: strict parse, faults with line and caret | `model` |
//! | [`resource`] | one file a kind: desired data and how it differs from observed; pure | `model` |
//! | [`expand`] | stacks and facts become resources, through typed emitters | `stack`, `resource`, `model` |
//! | [`plan`] | desired and observed become ordered steps | `resource`, `model` |
//! | [`host`] | the only door to the machine: a narrow trait per concern | `model`, `resource` |
//! | [`engine`] | lock, journal, apply, undo, receipt; install and uninstall | the rooms above |
//! | [`check`] | probes, and verdicts that are pure functions of their answers | `host`, `stack`, `resource`, `mint`, `model` |
//! | [`logs`] | the logs of a stack's parts, merged by time | `host`, `stack`, `model` |
//! | [`up`] | the same stack in the foreground, without root | `expand`, `check`, `host`, … |
//! | [`web`] | what every built-in service shares | – |
//! | [`apps`] | the built-in services; they know nothing of the host | `web` |
//! | [`cli`] | one file a verb: arguments, one call, the printed result | all |
//!
//! `tests/structure.rs` reads the source and holds this table true.
//!
//! # On disk
//! `/var/lib/tavern/receipt.json` says what Tavern made and what was there before; `journal.jsonl` exists only while
//! a run is unfinished; `blobs/` holds the bytes of replaced files, root-only, under random names. Credentials live
//! in `/etc/tavern/credentials` alone and are never copied into any of these.
//!
//! # A run
//! Lock; fold the journal of a run that was killed into the receipt; observe; plan; preflight; then for each step:
//! capture what is there, write the journal and wait for the disk, act. A step that fails has the run undone,
//! newest step first. nginx changes as one: tested in a mount of its own, put in place, told to reload, and asked over
//! HTTP which generation it serves, because a reload's exit code does not say.

pub mod apps;
pub mod check;
pub mod cli;
pub mod engine;
pub mod expand;
pub mod host;
pub mod logs;
pub mod mint;
pub mod model;
pub mod plan;
pub mod resource;
pub mod stack;
pub mod up;
pub mod web;
