use minijinja::context;

use super::activated::activated;
use super::emit::EmitError;
use crate::model::{Facts, Layout};
use crate::resource::{Desired, ResourceId};
use crate::stack::{App, Stack};

const NAME: &str = "tavern-metrics";

fn is_wanted(stacks: &[Stack]) -> bool {
    stacks.iter().any(Stack::has_prometheus)
}

/// What restarts with another binary.
pub(super) fn service_id(stacks: &[Stack]) -> Option<ResourceId> {
    is_wanted(stacks).then(|| ResourceId(format!("unit:{NAME}.service")))
}

/// Who may read the sockets of numbers beside root, if a stack has a Prometheus.
pub(super) fn group(stacks: &[Stack]) -> Option<String> {
    is_wanted(stacks).then(|| Layout::METRICS_GROUP.to_owned())
}

/// The same for the apps of one stack.
pub(super) fn group_of(stack: &Stack) -> Option<String> {
    stack
        .has_prometheus()
        .then(|| Layout::METRICS_GROUP.to_owned())
}

/// The path by which a Prometheus asks for `tavernd`'s numbers.
pub(super) const OWN_PATH: &str = "/metrics/tavern";

/// The path by which it asks for an app's.
pub(super) fn path_of(stack: &Stack, app: &App) -> String {
    format!("/metrics/{}/{}", stack.name, app.name)
}

/// The socket and the service that pass numbers on, for whichever stacks have a Prometheus.
pub(super) fn resources(
    stacks: &[Stack],
    facts: &Facts,
    layout: &Layout,
) -> Result<Vec<Desired>, EmitError> {
    if !is_wanted(stacks) {
        return Ok(Vec::new());
    }
    let own = format!("{OWN_PATH}={}", layout.own_metrics_socket().display());
    let apps = stacks
        .iter()
        .filter(|stack| stack.has_prometheus())
        .flat_map(|stack| stack.apps.iter().map(move |app| (stack, app)));
    let apps = apps.map(|(stack, app)| {
        let socket = layout.metrics_socket(&stack.name, &app.name);
        format!("{}={}", path_of(stack, app), socket.display())
    });
    let values = context! {
        binary => facts.binary.to_string_lossy(),
        port => Layout::RELAY_PORT,
        group => Layout::METRICS_GROUP,
        sources => std::iter::once(own).chain(apps).collect::<Vec<_>>(),
    };
    activated(NAME, ["metrics.socket", "metrics.service"], &values, layout)
}
