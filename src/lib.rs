//! Tavern turns a bare Ubuntu or Debian VM into a production web host described by one small file.

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
