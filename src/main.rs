//! `tavernctl`: see the library's documentation for how it is made.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Once, before any thread: several crates in the tree would each pick a provider of their own.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tavern::cli::run()
}
