//! Programs run inside a container.

use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;

use super::Outcome;

/// How often it is asked whether to stop.
const A_LOOK: Duration = Duration::from_millis(200);

/// How long a program may say nothing: loading a large database is silent work.
const SILENCE: Duration = Duration::from_secs(12 * 3600);

/// Runs a program to its end.
pub(super) async fn run(
    docker: bollard::Docker,
    name: &str,
    argv: &[&str],
) -> Result<Outcome, Error> {
    let mut stdout = Vec::new();
    let outcome = attach(docker, name, argv, &mut stdout, &|| false).await?;
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
    is_stop_wanted: &dyn Fn() -> bool,
) -> Result<Outcome, Error> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = tokio::fs::File::from_std(options.open(file)?);
    let outcome = attach(docker, name, argv, &mut file, is_stop_wanted).await?;
    file.sync_all().await?;
    Ok(outcome)
}

async fn attach(
    docker: bollard::Docker,
    name: &str,
    argv: &[&str],
    stdout: &mut (impl AsyncWriteExt + Unpin),
    is_stop_wanted: &dyn Fn() -> bool,
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
        let mut heard = Instant::now();
        loop {
            if is_stop_wanted() {
                return Err(io::Error::new(ErrorKind::Interrupted, "stopped").into());
            }
            match tokio::time::timeout(A_LOOK, output.next()).await {
                Ok(None) => break,
                Ok(Some(part)) => {
                    heard = Instant::now();
                    match part? {
                        LogOutput::StdErr { message } => {
                            stderr.push_str(&String::from_utf8_lossy(&message));
                        }
                        part => stdout.write_all(&part.into_bytes()).await?,
                    }
                }
                Err(_) if heard.elapsed() > SILENCE => return Err(Error::RequestTimeoutError),
                Err(_) => {}
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
