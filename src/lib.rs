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
//! | [`engine`] | lock, journal, apply, undo, receipt, generations, drift; every verb that changes the host | the rooms above |
//! | [`backup`] | backups, drills and restores, through restic | `engine`, `host`, `stack`, `mint`, `resource`, `model` |
//! | [`check`] | probes, and verdicts that are pure functions of their answers | `host`, `stack`, `resource`, `mint`, `model` |
//! | [`logs`] | the logs of a stack's parts, merged by time | `host`, `stack`, `model` |
//! | [`monitor`] | follows nginx's logs as a unit without privileges; knows nothing of the host | – |
//! | [`supervise`] | tavernd: what to do next is a pure function; the loops that feed it | `check`, `engine`, `host`, … |
//! | [`up`] | the same stack in the foreground, without root | `expand`, `check`, `host`, … |
//! | [`web`] | what every built-in service shares | – |
//! | [`relay`] | numbers on loopback for a Prometheus, as a unit without privileges; knows nothing of the host | – |
//! | [`apps`] | the built-in services; they know nothing of the host | `web` |
//! | [`cli`] | one file a verb: arguments, one call, the printed result | all |
//!
//! `tests/structure.rs` reads the source and holds this table true.
//!
//! # On disk
//! Below `/var/lib/tavern`, root's alone: `receipt.json` says what Tavern made and what was there before;
//! `journal.jsonl` exists only while a run is unfinished; `generations/N` has the stack files of a run, its receipt and
//! its journal; `blobs/` the bytes of replaced files, under random names; `edited/N` copies of hand edits that run N
//! overwrote; `health/` what the probes said over 90 days; `images/` is the owner's, for images that come from a file;
//! `holds.json` and `pending.json` what is held and what waits for a confirmation; `backup/STACK.json` what is known of
//! a stack's backups; `exchange.json` exists only while a restore is under way. `/etc/tavern/stacks` and
//! `/etc/tavern/overlays` are the owner's. Credentials live in `/etc/tavern/credentials`; the old bytes of one that a
//! run replaces are a blob until that run is over, and in no generation.
//!
//! # A run
//! Lock; undo a run that was killed before its commit, finish one that was killed after it; observe; plan; preflight;
//! then for each step: capture what is there, write the journal and wait for the disk, act. A step that fails has the
//! run undone, newest step first. nginx changes as one: tested in a mount of its own, put in place, told to reload, and
//! asked over HTTP which generation it serves, because a reload's exit code does not say. Then the generation is
//! written, then the commit; what no stack asks for any more is removed after it.

pub mod apps;
pub mod backup;
pub mod check;
pub mod cli;
pub mod engine;
pub mod expand;
pub mod host;
pub mod logs;
pub mod mint;
pub mod model;
pub mod monitor;
pub mod plan;
pub mod relay;
pub mod resource;
pub mod stack;
pub mod supervise;
pub mod up;
pub mod web;
