//! Logging in, and recognising who did.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Json;
use axum::extract::{Extension, FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use utoipa::ToSchema;

use crate::web::allowance;
use crate::web::json::JsonBody;
use crate::web::limit::Allowance;
use crate::web::problem::{Problem, ProblemBody};
use crate::web::request_id::RequestId;
use crate::web::revocation::Refused;
use crate::web::token::{self, Identity};

use super::App;
use super::api::{self, COME_BACK_SECONDS};
use super::store::ATTEMPT_WINDOW;

/// A request that comes right after a start waits so long for the list of ended tokens.
const LIST_PATIENCE: Duration = Duration::from_millis(1500);

#[derive(Deserialize, ToSchema)]
pub(super) struct Login {
    #[schema(example = "admin")]
    username: String,
    #[schema(format = Password)]
    password: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Token {
    /// Good for one hour, as `Authorization: Bearer …`.
    token: String,
}

/// Exchanges a name and a password for a token.
#[utoipa::path(
    post,
    path = "/auth/login",
    tag = "login",
    request_body = Login,
    responses(
        (status = 200, description = "Logged in", body = Token),
        (status = 400, description = "Not JSON, or a field is missing",
         body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "Wrong name or password",
         body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too long",
         body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The body is not sent as JSON",
         body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many attempts",
         body = ProblemBody, content_type = "application/problem+json",
         headers(("Retry-After" = i32, description = "Seconds"))),
        (status = 503, description = "Too many logins at once",
         body = ProblemBody, content_type = "application/problem+json",
         headers(("Retry-After" = i32, description = "Seconds"))),
    ),
)]
pub(super) async fn login(
    State(app): State<Arc<App>>,
    Extension(id): Extension<RequestId>,
    headers: HeaderMap,
    JsonBody(login): JsonBody<Login>,
) -> Result<impl IntoResponse, Problem> {
    let address = client(&headers);
    let allowed = app
        .limiter
        .admit(address, &login.username)
        .map_err(|used_up| {
            app.logins.throttled.increment(1);
            Problem::too_many(used_up)
        })?;
    count_attempt(&app, &login.username).await?;
    // an unknown name is not logged: people type their password there
    let known = app.accounts.contains(&login.username);
    let user = known.then_some(login.username.as_str());
    let from = address.map(|address| address.to_string());
    let request_id = id.as_str();
    let verified = app.accounts.verify(&login.username, login.password).await;
    let told = AppendHeaders(allowance::fields(&allowed));
    match verified {
        Ok(true) => {
            let token = app.tokens.issue(&login.username);
            let token = token.ok_or_else(|| Problem::internal("a token cannot be signed"))?;
            app.logins.accepted.increment(1);
            info!(
                user,
                address = from,
                request_id,
                outcome = "accepted",
                "login"
            );
            Ok((told, Json(Token { token })))
        }
        Ok(false) => {
            app.logins.refused.increment(1);
            warn!(
                user,
                address = from,
                request_id,
                outcome = "refused",
                "login"
            );
            Err(told.0.into_iter().fold(wrong(), |problem, (name, value)| {
                problem.header(name, value)
            }))
        }
        Err(busy) => {
            app.logins.busy.increment(1);
            Err(Problem::unavailable(busy.to_string(), 2))
        }
    }
}

/// Counts in the store too, where a restart does not forget it. Without the store nobody could
/// tell how often was guessed: then nobody is let in.
async fn count_attempt(app: &App, account: &str) -> Result<(), Problem> {
    let refused = || {
        app.logins.unlimited.increment(1);
        Problem::unavailable("Logging in is not possible now", COME_BACK_SECONDS)
            .detail("The store that counts attempts is being reconnected; try again soon.")
    };
    if app.health.is_down() {
        return Err(refused());
    }
    let now = token::now();
    let window = now / ATTEMPT_WINDOW;
    // names are whatever somebody typed: their digest has one length and tells nothing
    let digest = digest(&SHA256, account.as_bytes());
    let key: String = digest
        .as_ref()
        .iter()
        .take(16)
        .map(|b| format!("{b:02x}"))
        .collect();
    let count = app.store.attempt(&key, window).await.map_err(|_| {
        app.health.doubt();
        refused()
    })?;
    if count > app.attempts_per_window {
        app.logins.throttled.increment(1);
        return Err(Problem::too_many(Allowance {
            policy: "account-minute",
            quota: u32::try_from(app.attempts_per_window).unwrap_or(u32::MAX),
            window: ATTEMPT_WINDOW,
            remaining: 0,
            reset: (window + 1) * ATTEMPT_WINDOW - now,
        }));
    }
    Ok(())
}

/// Exchanges a token that still holds for one that holds for another hour. The old one ends; twelve
/// hours after the password was given, it has to be given again.
#[utoipa::path(
    post,
    path = "/auth/refresh",
    tag = "login",
    security(("token" = [])),
    responses(
        (status = 200, description = "A new token", body = Token),
        (status = 401, description = "No token, or one that does not hold",
         body = ProblemBody, content_type = "application/problem+json",
         headers(("WWW-Authenticate" = String, description = "Bearer"))),
        (status = 429, description = "Too many renewals",
         body = ProblemBody, content_type = "application/problem+json",
         headers(("Retry-After" = i32, description = "Seconds"))),
        (status = 503, description = "The store is away; the token still holds",
         body = ProblemBody, content_type = "application/problem+json",
         headers(("Retry-After" = i32, description = "Seconds"))),
    ),
)]
pub(super) async fn refresh(
    State(app): State<Arc<App>>,
    Extension(id): Extension<RequestId>,
    Caller(identity): Caller,
) -> Result<impl IntoResponse, Problem> {
    let allowed = app
        .renewals
        .admit(&identity.user)
        .map_err(Problem::too_many)?;
    let token = app.tokens.renew(&identity);
    let token = token.map_err(|_| Problem::token_refused("Log in again: the login is too old"))?;
    let token = token.ok_or_else(|| Problem::internal("a token cannot be signed"))?;
    if end(&app, &identity).await? == Before::Ended {
        return Err(ended());
    }
    app.logins.renewed.increment(1);
    info!(
        user = identity.user,
        request_id = id.as_str(),
        outcome = "renewed",
        "token"
    );
    Ok((
        AppendHeaders(allowance::fields(&[allowed])),
        Json(Token { token }),
    ))
}

/// Ends the token that the request carries. One that has ended already has: that is no error.
#[utoipa::path(
    post,
    path = "/auth/logout",
    tag = "login",
    security(("token" = [])),
    responses(
        (status = 204, description = "The token has ended"),
        (status = 401, description = "No token, or one that does not hold",
         body = ProblemBody, content_type = "application/problem+json",
         headers(("WWW-Authenticate" = String, description = "Bearer"))),
        (status = 503, description = "The store is away; the token still holds",
         body = ProblemBody, content_type = "application/problem+json",
         headers(("Retry-After" = i32, description = "Seconds"))),
    ),
)]
pub(super) async fn logout(
    State(app): State<Arc<App>>,
    Extension(id): Extension<RequestId>,
    Bearer(identity): Bearer,
) -> Result<StatusCode, Problem> {
    if end(&app, &identity).await? == Before::Ended {
        // An answer that was lost is asked for again.
        return Ok(StatusCode::NO_CONTENT);
    }
    app.logins.ended.increment(1);
    info!(
        user = identity.user,
        request_id = id.as_str(),
        outcome = "ended",
        "token"
    );
    Ok(StatusCode::NO_CONTENT)
}

/// Ends a token in the store and here, or not at all. Says whether it had ended before. Goes on if the client
/// leaves meanwhile: half of it would be undone by the next restart.
async fn end(app: &Arc<App>, identity: &Identity) -> Result<Before, Problem> {
    let (app, id, until) = (
        Arc::clone(app),
        identity.token_id.clone(),
        identity.forgotten_after(),
    );
    let ending = tokio::spawn(async move {
        let keep = app.store.revoke(&id, until);
        match app.revocations.end(&id, until, keep).await {
            Ok(()) => Ok(Before::Holding),
            Err(Refused::Already) => Ok(Before::Ended),
            Err(Refused::Full) => Err(Problem::unavailable(
                "Too many tokens ended within the hour",
                60,
            )),
            Err(Refused::NotKept(_)) => {
                app.health.doubt();
                Err(api::store_away())
            }
        }
    });
    ending
        .await
        .unwrap_or_else(|_| Err(Problem::internal("a token could not be ended")))
}

/// What a token was before it was ended.
#[derive(PartialEq, Eq)]
enum Before {
    Holding,
    Ended,
}

fn ended() -> Problem {
    Problem::token_refused("Token has ended")
}

/// The same for an unknown name and a wrong password.
fn wrong() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "Wrong username or password").header(
        header::WWW_AUTHENTICATE,
        axum::http::HeaderValue::from_static("Bearer"),
    )
}

/// Only nginx reaches our socket, and it overwrites this header.
fn client(headers: &HeaderMap) -> Option<IpAddr> {
    headers.get("x-real-ip")?.to_str().ok()?.parse().ok()
}

/// Who calls, by the token of the request.
pub(super) struct Caller(pub Identity);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Bearer(identity) = Bearer::from_request_parts(parts, app).await?;
        if app.revocations.contains(&identity.token_id) {
            return Err(ended());
        }
        Ok(Self(identity))
    }
}

/// Whose token the request carries, though it may have been ended since.
pub(super) struct Bearer(pub Identity);

impl FromRequestParts<Arc<App>> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Problem::token_missing());
        };
        let token = value.to_str().ok().and_then(bearer);
        let token = token.ok_or_else(Problem::token_missing)?;
        let identity = app.tokens.check(token);
        let identity = identity.map_err(|refusal| Problem::token_refused(refusal.text()))?;
        if !app.accounts.contains(&identity.user) {
            return Err(Problem::token_refused("The account is no longer there"));
        }
        // without the list of ended tokens none is taken for good
        if app.health.is_down() && !app.revocations.is_known()
            || !app.revocations.become_known(LIST_PATIENCE).await
        {
            return Err(api::store_away());
        }
        Ok(Self(identity))
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
