use bollard::errors::Error;

use super::HostError;
use super::cause::root_cause;

/// An error of the engine or of the way to it, in words that lead somewhere.
pub(super) fn refuse(error: &Error) -> HostError {
    let (message, help) = match error {
        Error::DockerResponseServerError {
            status_code,
            message,
        } => (message.clone(), help_on(*status_code)),
        Error::DockerStreamError { error } => (error.clone(), help_on(500)),
        Error::RequestTimeoutError => (
            "the engine takes requests but does not answer them".to_owned(),
            "`journalctl -u docker` may say why; `systemctl restart docker`, then run it again",
        ),
        other => (
            format!(
                "no engine answers on /var/run/docker.sock: {}",
                reason(other)
            ),
            "`systemctl status docker` says why; start it (`systemctl unmask docker.service docker.socket` \
             if it is masked, `systemctl start docker`), then run it again",
        ),
    };
    HostError::Docker { message, help }
}

/// What went wrong, without the wrapping: a person is not helped by the status code of an API.
pub(super) fn said(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => message.clone(),
        Error::DockerStreamError { error } => error.clone(),
        other => reason(other),
    }
}

/// Nothing, where the engine says that there is no such thing.
pub(super) fn absent_is_none<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::DockerResponseServerError {
            status_code: 404, ..
        }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn help_on(status: u16) -> &'static str {
    match status {
        409 => "`docker ps -a` and `docker volume ls` show who uses it",
        400 => "the engine's API is too old or too new: Tavern needs 1.41 (Docker 20.10) or later",
        _ => "`journalctl -u docker` has the engine's side",
    }
}

/// The root of it: `Connection refused`, where the first says `client error`.
fn reason(error: &Error) -> String {
    match error {
        Error::SocketNotFoundError(_) => "No such file or directory".to_owned(),
        other => root_cause(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_words_come_without_its_status_code() {
        let error = Error::DockerResponseServerError {
            status_code: 409,
            message: "name is taken".into(),
        };
        let refused = refuse(&error);
        assert_eq!(refused.to_string(), "docker: name is taken");
        assert!(refused.help().unwrap().contains("docker ps -a"));
    }

    #[test]
    fn a_dead_socket_is_told_by_the_kernels_word() {
        let error = Error::IOError {
            err: std::io::Error::from_raw_os_error(111),
        };
        let text = refuse(&error).to_string();
        assert!(
            text.contains("/var/run/docker.sock: Connection refused"),
            "{text}"
        );
    }
}
