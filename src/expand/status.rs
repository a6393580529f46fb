use std::collections::BTreeSet;

use minijinja::{Value, context};

use super::activated::activated;
use super::emit::EmitError;
use crate::model::{Facts, Layout, Mode};
use crate::resource::{Desired, Directory, Keep, Owner, Resource, ResourceId};
use crate::stack::{SiteContent, Stack};

const NAME: &str = "tavern-status";
/// What is written in it belongs to its group: the supervisor may give nothing away.
const MODE: Mode = Mode(0o2750);

fn is_wanted(stacks: &[Stack]) -> bool {
    stacks.iter().any(Stack::has_status_page)
}

/// Where the sites have it.
fn paths(stacks: &[Stack]) -> Vec<String> {
    let sites = stacks.iter().flat_map(|stack| &stack.sites);
    let shown = sites.filter(|site| site.content == SiteContent::Status);
    let paths: BTreeSet<&str> = shown.map(|site| site.path.as_str()).collect();
    paths.into_iter().map(str::to_owned).collect()
}

/// What restarts with another binary.
pub(super) fn service_id(stacks: &[Stack]) -> Option<ResourceId> {
    is_wanted(stacks).then(|| ResourceId(format!("unit:{NAME}.service")))
}

/// The group of the page's unit, if a stack has the page.
pub(super) fn group(stacks: &[Stack]) -> Option<String> {
    is_wanted(stacks).then(|| Layout::STATUS_GROUP.to_owned())
}

/// The directory of the snapshot, as it is made at boot.
pub(super) fn at_boot(stacks: &[Stack], layout: &Layout) -> Option<Value> {
    is_wanted(stacks).then(|| {
        context! {
            path => layout.status().to_string_lossy(),
            mode => format!("{:04o}", MODE.0),
            group => Layout::STATUS_GROUP,
        }
    })
}

/// The directory of the snapshot.
pub(super) fn directory(stacks: &[Stack], layout: &Layout) -> Option<Resource> {
    is_wanted(stacks).then(|| {
        Resource::Directory(Directory {
            path: layout.status(),
            mode: MODE,
            owner: Owner::root_and(Layout::STATUS_GROUP),
            keep: Keep::Managed,
        })
    })
}

/// The socket and the service of the status page, for whichever stacks show it.
pub(super) fn resources(
    stacks: &[Stack],
    facts: &Facts,
    layout: &Layout,
) -> Result<Vec<Desired>, EmitError> {
    if !is_wanted(stacks) {
        return Ok(Vec::new());
    }
    let values = context! {
        binary => facts.binary.to_string_lossy(),
        socket => layout.status_socket().to_string_lossy(),
        snapshot => layout.status_snapshot().to_string_lossy(),
        group => Layout::STATUS_GROUP,
        at => paths(stacks),
    };
    activated(NAME, ["status.socket", "status.service"], &values, layout)
}
