//! What the journal is told of a container.

use tracing::{error, info, warn};

use super::step::Saying;

/// Says it; `why` the last mend failed, and what its process ended of, in words.
pub(super) fn say(name: &str, saying: Saying, why: &str, cause: &str) {
    let container = name;
    match saying {
        Saying::Down(mend) => warn!(
            container,
            state = "down",
            "container {name} is not as it was applied: {}",
            doing(mend.as_str())
        ),
        Saying::Failed(mend) => error!(
            container,
            state = "failed",
            error = why,
            "container {name}: the step `{}` failed; it is tried again",
            mend.as_str()
        ),
        Saying::Recovered => info!(container, state = "up", "container {name} is well again"),
        Saying::CrashLoop => error!(
            container,
            state = "crash-loop",
            error = cause,
            "container {name} crashes again and again: `docker logs {name}` says why"
        ),
        Saying::CrashLoopOver => {
            info!(container, state = "up", "container {name} crashes no more");
        }
        Saying::Foreign => error!(
            container,
            state = "foreign",
            "a container that Tavern did not make has the name {name}: it is left alone"
        ),
    }
}

fn doing(mend: &str) -> &'static str {
    match mend {
        "image" => "it and its image are gone; both are brought back",
        "renew" => "somebody changed its settings; it is made anew, on its own volume",
        "create" => "it is gone; it is made again, on its own volume",
        "start" => "it is stopped; it is started",
        _ => "it does not answer; it is restarted",
    }
}
