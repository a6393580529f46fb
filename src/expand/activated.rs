use minijinja::Value;

use super::base::managed_for;
use super::emit::{EmitError, emit};
use crate::model::Layout;
use crate::resource::{Desired, Resource, ResourceId, Unit};

/// A service of Tavern's own behind a socket that systemd holds: their files, then they. `files` are the templates of
/// the socket and of the service.
pub(super) fn activated(
    name: &str,
    files: [&'static str; 2],
    values: &Value,
    layout: &Layout,
) -> Result<Vec<Desired>, EmitError> {
    let unit = |suffix: &str, service: Option<String>| Unit {
        name: format!("{name}.{suffix}"),
        alias: None,
        service,
        is_beside: false,
    };
    let service = unit("service", None);
    let socket = unit("socket", Some(service.name.clone()));
    let [socket_file, service_file] = files;
    let file = |unit: &Unit, template| -> Result<Desired, EmitError> {
        let restarts = vec![ResourceId(format!("unit:{}", unit.name))];
        let text = emit(template, values)?;
        Ok(managed_for(layout.units.join(&unit.name), text, restarts))
    };
    Ok(vec![
        file(&socket, socket_file)?,
        file(&service, service_file)?,
        Resource::Unit(socket).into(),
        Resource::Unit(service).into(),
    ])
}
