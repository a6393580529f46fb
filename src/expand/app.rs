use std::path::PathBuf;

use minijinja::context;

use super::base::managed_for;
use super::container;
use super::emit::{EmitError, emit};
use super::metrics;
use crate::model::{Facts, Layout};
use crate::resource::{Desired, Resource, ResourceId, Secret, SecretKind, Unit};
use crate::stack::{App, Stack};

/// The service units of a stack's apps, for whatever makes them restart.
pub(super) fn services(stack: &Stack) -> Vec<ResourceId> {
    stack
        .apps
        .iter()
        .map(|app| service_id(stack, app))
        .collect()
}

fn service_id(stack: &Stack, app: &App) -> ResourceId {
    ResourceId(format!(
        "unit:{}.service",
        Layout::unit_stem(&stack.name, &app.name)
    ))
}

pub(super) fn resources(
    stack: &Stack,
    facts: &Facts,
    layout: &Layout,
) -> Result<Vec<Desired>, EmitError> {
    let mut desired = Vec::new();
    for app in &stack.apps {
        desired.extend(credentials(stack, app, layout));
        desired.extend(units(stack, app, facts, layout)?);
    }
    Ok(desired)
}

fn credentials(stack: &Stack, app: &App, layout: &Layout) -> Vec<Desired> {
    let own = app_credentials(stack, app, layout);
    let shared = layout.credentials().join(stack.name.as_str());
    // Where the only app of a stack had them, before each had its own.
    let was_alone = own != shared && stack.apps.len() == 1;
    let secret = |name: &str, kind| Desired {
        resource: Resource::Secret(Secret {
            path: own.join(name),
            kind,
            passwords: layout.passwords(&stack.name),
            moved_from: was_alone.then(|| shared.join(name)),
        }),
        restarts: vec![service_id(stack, app)],
    };
    let names = app.accounts.iter().map(ToString::to_string).collect();
    let accounts = SecretKind::Accounts {
        app: app.name.to_string(),
        names,
        cost: app.hash_cost,
    };
    vec![
        secret("jwt-key", SecretKind::KeyRing),
        secret("accounts", accounts),
    ]
}

/// The folder of an app's own key and accounts: what one app of a stack takes for good, no other does. The app that
/// is called like its program has the stack's own.
pub fn app_credentials(stack: &Stack, app: &App, layout: &Layout) -> PathBuf {
    let shared = layout.credentials().join(stack.name.as_str());
    if app.name.as_str() == app.program.as_str() {
        shared
    } else {
        shared.join(format!("app-{}", app.name))
    }
}

/// The credentials that an app reads, by name, and where they are.
fn credential_paths(stack: &Stack, app: &App, layout: &Layout) -> Vec<(&'static str, PathBuf)> {
    let own = app_credentials(stack, app, layout);
    let mut paths = vec![
        ("jwt-key", own.join("jwt-key")),
        ("accounts", own.join("accounts")),
    ];
    if !app.needs.is_empty() {
        let password = layout.credential(&stack.name, "redis-password");
        paths.push(("redis-password", password));
    }
    paths
}

fn units(
    stack: &Stack,
    app: &App,
    facts: &Facts,
    layout: &Layout,
) -> Result<Vec<Desired>, EmitError> {
    let unit = Layout::unit_stem(&stack.name, &app.name);
    let file = layout.stack_file(&stack.name);
    let credentials: Vec<_> = credential_paths(stack, app, layout)
        .into_iter()
        .map(|(name, path)| context! { name, path => path.to_string_lossy() })
        .collect();
    let needed: Vec<_> = app
        .needs
        .iter()
        .filter_map(|need| stack.container(need))
        .collect();
    let groups: Vec<_> = needed.iter().map(|c| container::group(c)).collect();
    let values = context! {
        unit => unit.clone(),
        file => file.to_string_lossy(),
        description => format!("app {} of stack {}, run by Tavern", app.name, stack.name),
        socket => layout.app_socket(&stack.name, &app.name).to_string_lossy(),
        metrics_group => metrics::group_of(stack),
        metrics => layout.metrics_socket(&stack.name, &app.name).to_string_lossy(),
        command => command(stack, app, facts, layout),
        groups,
        credentials,
        alias => app.alias.as_ref().map(ToString::to_string),
    };
    let socket = Unit {
        name: format!("{unit}.socket"),
        alias: None,
        service: Some(format!("{unit}.service")),
        is_beside: false,
    };
    let metrics = Unit {
        name: Layout::metrics_unit(&unit),
        is_beside: true,
        ..socket.clone()
    };
    let service = Unit {
        name: format!("{unit}.service"),
        alias: app.alias.as_ref().map(|alias| format!("{alias}.service")),
        service: None,
        is_beside: false,
    };
    let id = |unit: &Unit| ResourceId(format!("unit:{}", unit.name));
    Ok(vec![
        managed_for(
            layout.units.join(&socket.name),
            emit("app.socket", &values)?,
            vec![id(&socket)],
        ),
        managed_for(
            layout.units.join(&metrics.name),
            emit("app-metrics.socket", &values)?,
            vec![id(&metrics)],
        ),
        managed_for(
            layout.units.join(&service.name),
            emit("app.service", &values)?,
            vec![service_id(stack, app)],
        ),
        Resource::Unit(socket).into(),
        // Before the service, which wants it: else it would be there before its own step.
        Resource::Unit(metrics).into(),
        Resource::Unit(service).into(),
    ])
}

/// What the unit runs: no secret in it, `ps` and `systemctl show` print it to anybody.
fn command(stack: &Stack, app: &App, facts: &Facts, layout: &Layout) -> Vec<String> {
    let mut command = vec![
        facts.binary.to_string_lossy().into_owned(),
        "serve".into(),
        app.program.as_str().into(),
    ];
    command.extend(["--base".into(), base_path(stack, app)]);
    if let Some(container) = app.needs.iter().find_map(|need| stack.container(need)) {
        let socket = layout
            .container_run(container.name.as_str())
            .join("redis.sock");
        command.extend(["--redis".into(), socket.to_string_lossy().into_owned()]);
        command.extend(["--redis-user".into(), app.name.to_string()]);
    }
    command.extend(["--count-key".into(), app.count_key.clone()]);
    command.extend(["--name".into(), Layout::unit_stem(&stack.name, &app.name)]);
    command
}

/// The path prefix under which nginx passes requests to the app.
pub fn base_path(stack: &Stack, app: &App) -> String {
    let site = stack
        .sites
        .iter()
        .find(|site| site.content == crate::stack::SiteContent::App(app.name.clone()));
    let prefix = site.map(|site| site.path.prefix()).unwrap_or_default();
    if prefix.is_empty() {
        "/".to_owned()
    } else {
        prefix.to_owned()
    }
}
