//! Programs run inside a container.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;

use super::Outcome;

/// Runs a program to its end.
pub(super) async fn run(
    docker: bollard::Docker,
    name: &str,
    argv: &[&str],
) -> Result<Outcome, Error> {
    let mut stdout = Vec::new();
    let outcome = attach(docker, name, argv, &mut stdout).await?;
    Ok(Outcome {
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        ..outcome
    })
}

/// Runs a program to its end; all that it writes goes to a new file, as it comes.
pub(super) async fn run_to_file(
    docker: bollard::Docker,
    name: &str,
    argv: &[&str],
    file: &Path,
) -> Result<Outcome, Error> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = tokio::fs::File::from_std(options.open(file)?);
    let outcome = attach(docker, name, argv, &mut file).await?;
    file.sync_all().await?;
    Ok(outcome)
}

async fn attach(
    docker: bollard::Docker,
    name: &str,
    argv: &[&str],
    stdout: &mut (impl AsyncWriteExt + Unpin),
) -> Result<Outcome, Error> {
    let config = ExecConfig {
        cmd: Some(argv.iter().map(|arg| (*arg).to_owned()).collect()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..ExecConfig::default()
    };
    let exec = docker.create_exec(name, config).await?;
    let mut stderr = String::new();
    let started = docker
        .start_exec(&exec.id, None::<StartExecOptions>)
        .await?;
    if let StartExecResults::Attached { mut output, .. } = started {
        while let Some(part) = output.next().await {
            match part? {
                LogOutput::StdErr { message } => {
                    stderr.push_str(&String::from_utf8_lossy(&message));
                }
                part => stdout.write_all(&part.into_bytes()).await?,
            }
        }
    }
    stdout.flush().await?;
    let code = docker
        .inspect_exec(&exec.id)
        .await?
        .exit_code
        .and_then(|code| i32::try_from(code).ok());
    Ok(Outcome {
        code: code.unwrap_or(-1),
        stdout: String::new(),
        stderr,
    })
}
