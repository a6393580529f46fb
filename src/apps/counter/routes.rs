//! Every route, each at its full path: what is documented is what is routed.

use std::sync::Arc;

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::UtoipaMethodRouter;
use utoipa_axum::routes;

use super::{App, api, auth, docs, pages};

pub(super) fn router(base: &str, app: Arc<App>) -> Router {
    let mut openapi = docs::openapi(base);
    let mut router: Router<Arc<App>> = Router::new();
    for documented in [
        routes!(api::ping),
        routes!(auth::login),
        routes!(auth::refresh),
        routes!(auth::logout),
        with_head(routes!(api::count)),
    ] {
        router = mount(router, &mut openapi, base, documented);
    }
    let at = |path: &str| format!("{base}{path}");
    if !base.is_empty() {
        let index = at("/");
        let to_index = get(move || async move { Redirect::permanent(&index) });
        router = router.route(base, to_index);
    }
    let to_swagger = at("/swagger/");
    router
        .route(&at("/"), get(pages::index))
        .route(&at("/style.css"), get(pages::style))
        .route(&at("/page.js"), get(pages::script))
        .route(&at("/health/live"), get(api::live))
        .route(&at("/health/ready"), get(api::ready))
        .route(&at("/openapi.json"), docs::document(&openapi))
        .route(
            &at("/swagger"),
            get(move || async move { Redirect::permanent(&to_swagger) }),
        )
        .route(&at("/swagger/"), get(docs::swagger_index))
        .route(&at("/swagger/{file}"), get(docs::swagger_file))
        .with_state(app)
}

/// axum would answer HEAD by counting.
fn with_head(
    (schemas, paths, methods): UtoipaMethodRouter<Arc<App>>,
) -> UtoipaMethodRouter<Arc<App>> {
    (schemas, paths, methods.head(api::count_head))
}

fn mount(
    mut router: Router<Arc<App>>,
    openapi: &mut OpenApi,
    base: &str,
    (schemas, paths, methods): UtoipaMethodRouter<Arc<App>>,
) -> Router<Arc<App>> {
    for path in paths.paths.keys() {
        router = router.route(&format!("{base}{path}"), methods.clone());
    }
    openapi.paths.paths.extend(paths.paths);
    let components = openapi.components.get_or_insert_default();
    components.schemas.extend(schemas);
    router
}
