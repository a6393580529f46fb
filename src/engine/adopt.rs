use std::path::Path;

use super::EngineError;
use crate::host::{Host, HostError};
use crate::resource::PathState;
use crate::stack::DEFAULT;

/// The container of the host that the counter stack was modelled on.
const CONTAINER: &str = "redis-flask";

/// Directories of that host's pages, and what the default stack calls them.
const PAGES: [(&str, &str); 3] = [
    ("main", "/var/www/main"),
    ("open", "/var/www/site1"),
    ("close", "/var/www/site2"),
];

/// The stack file for a host that was set up by hand after the seed: its pages, its volume and its count stay
/// where they are. Nothing if this is not such a host.
///
/// # Errors
/// When the host cannot be asked, or its Redis holds several counts.
pub fn legacy_stack(host: &Host) -> Result<Option<String>, EngineError> {
    let mut text = DEFAULT.to_owned();
    let mut found = false;
    for (name, path) in PAGES {
        let index = Path::new(path).join("index.html");
        if matches!(host.files.state(&index)?, PathState::File { .. }) {
            text = text.replace(
                &format!("static = \"{name}\""),
                &format!("static = \"{path}\""),
            );
            found = true;
        }
    }
    if host.files.state(Path::new("/var/run/docker.sock"))? != PathState::Absent
        && let Some(container) = host.docker.container(CONTAINER)?
        && container.stack.is_none()
    {
        if let Some(volume) = container.volumes.get("/data") {
            text = text.replace(
                "volume = \"redis-flask-data\"",
                &format!("volume = \"{volume}\""),
            );
        }
        if container.running {
            let key = count_key(host)?;
            text = text.replace("count-key = \"visits\"", &format!("count-key = \"{key}\""));
        }
        found = true;
    }
    Ok(found.then_some(text))
}

/// The one key that holds a number: the count, whatever its app called it.
fn count_key(host: &Host) -> Result<String, EngineError> {
    let cli = |argv: &[&str]| -> Result<String, HostError> {
        Ok(host
            .docker
            .exec(CONTAINER, &[&["redis-cli"], argv].concat())?
            .stdout)
    };
    let mut counts = Vec::new();
    for key in cli(&["--scan"])?.lines().take(100) {
        if cli(&["GET", key])?.trim().parse::<u64>().is_ok() {
            counts.push(key.to_owned());
        }
    }
    match counts.as_slice() {
        [] => Ok("visits".to_owned()),
        [key] => Ok(key.clone()),
        several if several.iter().any(|key| key == "visits") => Ok("visits".to_owned()),
        several => Err(EngineError::NotReady {
            what: format!("the Redis in `{CONTAINER}` holds several counts: {}", several.join(", ")),
            help: "write /etc/tavern/stacks/counter.toml yourself, with `count-key` naming the right one".into(),
        }),
    }
}
