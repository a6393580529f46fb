use std::collections::{HashMap, HashSet};

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt;

use super::HostError;
use super::docker::ContainerEvent;
use super::docker_error::refuse;

/// What is worth a look: the rest is our own questions and Docker's.
const ACTIONS: [&str; 9] = [
    "die",
    "kill",
    "start",
    "destroy",
    "rename",
    "update",
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
