#![allow(clippy::disallowed_methods, reason = "this is the one runner")]

use std::io::{BufRead as _, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::HostError;

/// A program to run: an argument vector, never a shell line.
#[derive(Debug, Clone)]
pub struct Invocation<'a> {
    program: &'a str,
    args: Vec<String>,
    environment: Vec<(&'a str, &'a str)>,
    input: Option<Vec<u8>>,
    limit: Duration,
}

impl<'a> Invocation<'a> {
    /// A program by name, looked up in the system's directories only.
    pub fn new<S: AsRef<str>>(program: &'a str, args: &[S]) -> Self {
        Self {
            program,
            args: args.iter().map(|arg| arg.as_ref().to_owned()).collect(),
            environment: Vec::new(),
            input: None,
            limit: Duration::from_secs(30),
        }
    }

    /// The program's name.
    #[cfg(test)]
    pub(crate) fn program(&self) -> &str {
        self.program
    }

    /// Its arguments.
    #[cfg(test)]
    pub(crate) fn words(&self) -> &[String] {
        &self.args
    }

    /// One more variable; the rest of the environment is fixed.
    #[must_use]
    pub fn env(mut self, name: &'a str, value: &'a str) -> Self {
        self.environment.push((name, value));
        self
    }

    /// How long it may take; 30 s if not said.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// What it reads on standard input; nothing if not said.
    #[must_use]
    pub fn input(mut self, bytes: Vec<u8>) -> Self {
        self.input = Some(bytes);
        self
    }
}

/// How a program ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Exit code; 128 and the signal's number if a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Outcome {
    /// Whether it exited with 0.
    pub fn success(&self) -> bool {
        self.code == 0
    }
}

/// Runs programs.
/// Lets children open as many files as the host allows: `nginx -t` opens every log.
pub fn raise_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // Refused, it is as it was.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

pub trait Processes: Send + Sync {
    /// Runs to the end, whatever the exit code.
    ///
    /// # Errors
    /// When it cannot start or does not end in time; then its process group is ended.
    fn run(&self, invocation: &Invocation) -> Result<Outcome, HostError>;

    /// As `run`, and gives each line that the program prints to `seen` as it comes. A line of which that says true is
    /// not kept.
    ///
    /// # Errors
    /// As `run`.
    fn watch(
        &self,
        invocation: &Invocation,
        seen: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Outcome, HostError> {
        let mut outcome = self.run(invocation)?;
        let lines = outcome.stdout.split_inclusive('\n');
        outcome.stdout = lines.filter(|line| !seen(line.trim_end())).collect();
        Ok(outcome)
    }

    /// Gives each line that the program prints to `line`, until the program ends or `line` says false.
    /// Has no time limit; the program is ended when this returns.
    ///
    /// # Errors
    /// When it cannot start.
    fn stream(
        &self,
        invocation: &Invocation,
        line: &mut dyn FnMut(&str) -> bool,
    ) -> Result<(), HostError>;

    /// Runs to the end and wants exit code 0.
    ///
    /// # Errors
    /// As `run`, and when the exit code is another.
    fn run_ok(&self, invocation: &Invocation) -> Result<Outcome, HostError> {
        let outcome = self.run(invocation)?;
        if outcome.success() {
            return Ok(outcome);
        }
        let said = if outcome.stderr.trim().is_empty() {
            &outcome.stdout
        } else {
            &outcome.stderr
        };
        Err(HostError::Failed {
            program: invocation.program.to_owned(),
            args: invocation.args.join(" "),
            status: format!("exit code {}", outcome.code),
            tail: tail(said),
        })
    }
}

/// The last lines of a text, enough to act on: 1 KiB.
fn tail(text: &str) -> String {
    let text = text.trim();
    let start = text
        .char_indices()
        .rev()
        .nth(1023)
        .map_or(0, |(index, _)| index);
    text[start..].to_owned()
}

/// Real child processes.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealProcesses;

/// The program with its fixed environment, in a process group of its own.
pub(super) fn command(invocation: &Invocation) -> Command {
    let mut command = Command::new(invocation.program);
    command
        .args(&invocation.args)
        .env_clear()
        // The caller's PATH, LANG and HOME must not decide what runs or how it speaks.
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("LC_ALL", "C")
        .env("HOME", "/root")
        .envs(invocation.environment.iter().copied())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    command
}

impl Processes for RealProcesses {
    fn stream(
        &self,
        invocation: &Invocation,
        line: &mut dyn FnMut(&str) -> bool,
    ) -> Result<(), HostError> {
        let mut child = command(invocation)
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| HostError::Spawn {
                program: invocation.program.to_owned(),
                source,
            })?;
        if let Some(stdout) = child.stdout.take() {
            let mut reader = std::io::BufReader::new(stdout);
            let mut bytes = Vec::new();
            while reader
                .read_until(b'\n', &mut bytes)
                .is_ok_and(|count| count > 0)
            {
                if !line(String::from_utf8_lossy(&bytes).trim_end_matches('\n')) {
                    break;
                }
                bytes.clear();
            }
        }
        let _ = child.kill();
        let _ = child.wait();
        Ok(())
    }

    fn run(&self, invocation: &Invocation) -> Result<Outcome, HostError> {
        self.watch(invocation, &mut |_| false)
    }

    fn watch(
        &self,
        invocation: &Invocation,
        seen: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Outcome, HostError> {
        let mut command = command(invocation);
        if invocation.input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().map_err(|source| HostError::Spawn {
            program: invocation.program.to_owned(),
            source,
        })?;
        let group = i32::try_from(child.id()).map(Pid::from_raw).ok();
        let stdin = child.stdin.take();
        let input = invocation.input.clone();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        // Whoever is slow to look at the lines slows the program, and fills no memory.
        let (sender, said) = mpsc::sync_channel(64);
        std::thread::spawn(move || {
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    if let (Some(mut pipe), Some(bytes)) = (stdin, input) {
                        let _ = pipe.write_all(&bytes);
                    }
                });
                let complaints = scope.spawn(move || read_all(stderr));
                read_lines(stdout, |line| {
                    let _ = sender.send(Said::Line(line));
                });
                let complaints = complaints.join().unwrap_or_default();
                let _ = sender.send(Said::End(child.wait(), complaints));
            });
        });
        let begun = Instant::now();
        let mut printed = Vec::new();
        let (status, stderr) = loop {
            match said.recv_timeout(invocation.limit.saturating_sub(begun.elapsed())) {
                Ok(Said::Line(line)) => {
                    if !seen(String::from_utf8_lossy(&line).trim_end()) {
                        printed.extend(line);
                    }
                }
                Ok(Said::End(status, complaints)) => break (status, complaints),
                Err(_) => {
                    if let Some(group) = group {
                        let _ = killpg(group, Signal::SIGKILL);
                    }
                    return Err(HostError::Timeout {
                        program: invocation.program.to_owned(),
                        args: invocation.args.join(" "),
                        limit: invocation.limit,
                        tail: tail(&last_complaints(&said)),
                    });
                }
            }
        };
        let status = status.map_err(|source| HostError::Spawn {
            program: invocation.program.to_owned(),
            source,
        })?;
        let code = status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Ok(Outcome {
            code,
            stdout: String::from_utf8_lossy(&printed).into_owned(),
            stderr,
        })
    }
}

/// What comes of a running program.
enum Said {
    Line(Vec<u8>),
    /// It has ended, and complained of this.
    End(std::io::Result<ExitStatus>, String),
}

/// What an ended program said by then may be why.
fn last_complaints(said: &mpsc::Receiver<Said>) -> String {
    let limit = Instant::now() + Duration::from_secs(1);
    loop {
        match said.recv_timeout(limit.saturating_duration_since(Instant::now())) {
            Ok(Said::Line(_)) => {}
            Ok(Said::End(_, complaints)) => return complaints,
            Err(_) => return String::new(),
        }
    }
}

/// Each with its end of line.
fn read_lines(pipe: Option<impl Read>, mut take: impl FnMut(Vec<u8>)) {
    let Some(pipe) = pipe else {
        return;
    };
    let mut reader = std::io::BufReader::new(pipe);
    let mut line = Vec::new();
    while reader
        .read_until(b'\n', &mut line)
        .is_ok_and(|count| count > 0)
    {
        take(std::mem::take(&mut line));
    }
}

fn read_all(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_failed_and_why() {
        let error = RealProcesses
            .run_ok(&Invocation::new("ls", &["/nonexistent-x"]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("ls /nonexistent-x") && error.contains("No such file"),
            "{error}"
        );
    }

    /// As it comes: the program goes on only when its first line was seen.
    #[test]
    fn a_line_is_seen_before_the_next_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let go = directory.path().join("go");
        let script = "$| = 1; print \"one\\n\"; select(undef, undef, undef, 0.01) until -e $ARGV[0]; print \"two\\nend\"";
        let words = ["-e", script, &go.to_string_lossy()];
        let invocation = Invocation::new("perl", &words);
        let mut seen = Vec::new();
        let outcome = RealProcesses
            .watch(&invocation, &mut |line| {
                seen.push(line.to_owned());
                std::fs::write(&go, "").unwrap();
                line == "one"
            })
            .unwrap();
        assert_eq!(seen, ["one", "two", "end"]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (0, "two\nend"));
    }

    #[test]
    fn a_hanging_program_is_ended() {
        let invocation = Invocation::new("sleep", &["60"]).limit(Duration::from_millis(50));
        assert!(matches!(
            RealProcesses.run(&invocation),
            Err(HostError::Timeout { .. })
        ));
    }

    /// bug: what a program said again and again until it was ended was lost.
    #[test]
    fn what_a_hanging_program_complained_of_is_told() {
        let words = [
            "-e",
            "$| = 1; print STDERR \"away, and tried again\\n\"; sleep 60",
        ];
        let invocation = Invocation::new("perl", &words).limit(Duration::from_secs(2));
        let error = RealProcesses.run(&invocation).unwrap_err().to_string();
        assert!(
            error.ends_with("was ended: away, and tried again"),
            "{error}"
        );
    }

    #[test]
    fn the_callers_environment_stays_out() {
        let outcome = RealProcesses
            .run_ok(&Invocation::new("env", &[] as &[&str]))
            .unwrap();
        assert!(outcome.stdout.contains("LC_ALL=C") && !outcome.stdout.contains("CARGO"));
    }

    #[test]
    fn input_is_delivered() {
        let outcome = RealProcesses
            .run_ok(&Invocation::new("cat", &[] as &[&str]).input(b"abc".to_vec()))
            .unwrap();
        assert_eq!(outcome.stdout, "abc");
    }
}
