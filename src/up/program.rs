use crate::expand::{app_credentials, base_path};
use crate::model::Layout;
use crate::stack::{App, Stack};

/// What an app is started with: what its unit would say, with a file for the store.
pub(super) fn arguments(stack: &Stack, app: &App, layout: &Layout) -> Vec<String> {
    let file = layout.state.join(format!("{}.redb", app.name));
    let credentials = app_credentials(stack, app, layout);
    let mut arguments = vec!["serve".to_owned(), app.program.as_str().to_owned()];
    for (flag, value) in [
        ("--base", base_path(stack, app)),
        ("--file", file.to_string_lossy().into_owned()),
        ("--credentials", credentials.to_string_lossy().into_owned()),
        ("--name", Layout::unit_stem(&stack.name, &app.name)),
    ] {
        arguments.extend([flag.to_owned(), value]);
    }
    arguments
}
