#![allow(clippy::disallowed_methods, reason = "reads the image to be loaded")]

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::EventMessage;
use bollard::query_parameters::{EventsOptionsBuilder, ImportImageOptions};
use futures_util::StreamExt;
use hyper::body::Bytes;
use tokio::io::AsyncReadExt;

use super::HostError;
use super::docker::ContainerEvent;
use super::docker_error::{refuse, said};

/// A load ends when the engine said nothing for this long.
const LOAD_STALL: Duration = Duration::from_secs(300);

const PART: usize = 256 * 1024;

/// What is worth a look: the rest is our own questions and Docker's.
const ACTIONS: [&str; 8] = [
    "die",
    "kill",
    "start",
    "destroy",
    "rename",
    "oom",
    "pause",
    "health_status",
];

/// Gives each event of a container to `each`, until the engine goes or `each` says false.
pub(super) async fn follow(
    docker: &bollard::Docker,
    each: &mut dyn FnMut(ContainerEvent) -> bool,
) -> Result<(), HostError> {
    let filters = HashMap::from([
        ("type".to_owned(), vec!["container".to_owned()]),
        ("event".to_owned(), ACTIONS.map(str::to_owned).to_vec()),
    ]);
    let options = EventsOptionsBuilder::new().filters(&filters).build();
    let mut stream = std::pin::pin!(docker.events(Some(options)));
    let mut killed = HashSet::new();
    while let Some(message) = stream.next().await {
        let message = message.map_err(|error| refuse(&error))?;
        if let Some(event) = event(message, &mut killed)
            && !each(event)
        {
            break;
        }
    }
    Ok(())
}

/// What is worth a look of what Docker says. A death that somebody asked for is none of the container's own.
fn event(message: EventMessage, killed: &mut HashSet<String>) -> Option<ContainerEvent> {
    let mut attributes = message.actor?.attributes?;
    let name = attributes.remove("name")?;
    let is_death = match message.action?.as_str() {
        "kill" => {
            // Others, such as 1, are for the program to understand.
            if matches!(
                attributes.get("signal").map(String::as_str),
                Some("9" | "15")
            ) {
                killed.insert(name);
            }
            return None;
        }
        "die" => !killed.remove(&name),
        _ => false,
    };
    Some(ContainerEvent { name, is_death })
}

/// Loads an image from a file that `docker save` wrote.
pub(super) async fn load(docker: &bollard::Docker, file: &Path) -> Result<(), HostError> {
    let failed = |message: String| HostError::Docker {
        message: format!("cannot load {}: {message}", file.display()),
        help: "`docker load --input` of that file says more; `docker save` makes such a file",
    };
    let opened = tokio::fs::File::open(file)
        .await
        .map_err(|error| failed(error.to_string()))?;
    let parts = futures_util::stream::unfold(opened, |mut file| async move {
        let mut part = vec![0; PART];
        match file.read(&mut part).await {
            Ok(0) => None,
            Ok(length) => {
                part.truncate(length);
                Some((Ok(Bytes::from(part)), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    });
    let answer = docker.import_image(
        ImportImageOptions::default(),
        bollard::body_try_stream(parts),
        None,
    );
    let mut answer = std::pin::pin!(answer);
    loop {
        let next = tokio::time::timeout(LOAD_STALL, answer.next())
            .await
            .map_err(|_| failed(said(&Error::RequestTimeoutError)))?;
        match next {
            Some(part) => part.map_err(|error| failed(said(&error)))?,
            None => return Ok(()),
        };
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::EventActor;

    use super::*;

    fn message(action: &str, signal: Option<&str>) -> EventMessage {
        let mut attributes = HashMap::from([("name".to_owned(), "redis".to_owned())]);
        attributes.extend(signal.map(|signal| ("signal".to_owned(), signal.to_owned())));
        EventMessage {
            action: Some(action.to_owned()),
            actor: Some(EventActor {
                attributes: Some(attributes),
                ..EventActor::default()
            }),
            ..EventMessage::default()
        }
    }

    #[test]
    fn a_death_that_somebody_asked_for_is_no_crash() {
        let mut killed = HashSet::new();
        let mut deaths = |story: &[(&str, Option<&str>)]| -> Vec<bool> {
            let told = story.iter();
            told.filter_map(|(action, signal)| event(message(action, *signal), &mut killed))
                .map(|event| event.is_death)
                .collect()
        };
        assert_eq!(deaths(&[("die", None)]), [true]);
        assert_eq!(deaths(&[("kill", Some("9")), ("die", None)]), [false]);
        // The stop of `docker stop`, and then its kill.
        let stopped = [("kill", Some("15")), ("kill", Some("9")), ("die", None)];
        assert_eq!(deaths(&stopped), [false]);
        assert_eq!(deaths(&[("start", None), ("die", None)]), [false, true]);
        // A program that was told to read its files again, and died of it later.
        assert_eq!(deaths(&[("kill", Some("1")), ("die", None)]), [true]);
    }
}
