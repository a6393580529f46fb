use minijinja::{Value, context};

use crate::stack::{Headers, Site, Stack};

/// Two years, as browsers' own lists ask for.
const HSTS: &str = "max-age=63072000";

/// What files of a site may load: their own host's.
const LOADS: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                     font-src 'self'; media-src 'self'; connect-src 'self'; manifest-src 'self'; \
                     worker-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'self'; ";

/// An answer that is no page needs nothing. An app's pages come with what they need.
const API_POLICY: &str =
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// A page for an error may have a style and a picture.
const ERROR_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; \
                            frame-ancestors 'self'; base-uri 'none'; form-action 'none'";

/// Who may put a page in a frame.
#[derive(Clone, Copy)]
enum Framing {
    Nobody,
    OwnHost,
}

struct Header {
    name: String,
    value: String,
    /// The part of a variable's name that says what the app did not.
    of_app: Option<String>,
}

impl Header {
    fn new(name: &str, value: &str) -> Self {
        Self {
            name: name.to_owned(),
            value: value.to_owned(),
            of_app: None,
        }
    }

    fn field(&self) -> String {
        self.name.to_ascii_lowercase().replace('-', "_")
    }

    fn value(&self) -> Value {
        context! { name => self.name.clone(), value => self.value.clone(), of_app => self.of_app.clone() }
    }
}

/// What every answer says, with the policy of its content.
fn usual(policy: &str, framing: Framing) -> Vec<Header> {
    let frames = match framing {
        Framing::Nobody => "DENY",
        Framing::OwnHost => "SAMEORIGIN",
    };
    [
        ("Content-Security-Policy", policy),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", frames),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        (
            "Permissions-Policy",
            "camera=(), geolocation=(), microphone=()",
        ),
    ]
    .map(|(name, value)| Header::new(name, value))
    .into()
}

/// What an app's answers say where the app says nothing: for `http.conf`.
pub(super) fn app_headers() -> Vec<Value> {
    usual(API_POLICY, Framing::OwnHost)
        .iter()
        .map(|header| context! { field => header.field(), value => header.value.clone() })
        .collect()
}

/// The value of Strict-Transport-Security; empty for none.
pub(super) fn hsts(stack: &Stack) -> String {
    match (stack.issuer.browsers_may_trust(), stack.include_subdomains) {
        (false, _) => String::new(),
        (true, false) => HSTS.to_owned(),
        (true, true) => format!("{HSTS}; includeSubDomains"),
    }
}

/// The headers of a site's answers.
pub(super) fn of_site(stack: &Stack, site: &Site) -> Vec<Value> {
    // Its own pages may frame the others; the main page is nobody's.
    let (framing, ancestors) = if site.path.is_root() {
        (Framing::Nobody, "frame-ancestors 'none'")
    } else {
        (Framing::OwnHost, "frame-ancestors 'self'")
    };
    let mut headers = match &site.content {
        content if content.is_passed_on() => {
            let mut headers = usual(API_POLICY, framing);
            for header in &mut headers {
                header.of_app = Some(header.field());
            }
            headers
        }
        _ => usual(&format!("{LOADS}{ancestors}"), framing),
    };
    headers.retain(|header| !says(&site.headers, &header.name));
    headers.insert(0, Header::new("Strict-Transport-Security", &hsts(stack)));
    let own = site
        .headers
        .iter()
        .filter(|(_, value)| !value.as_str().is_empty());
    headers.extend(own.map(|(name, value)| Header::new(name.as_str(), value.as_str())));
    headers.iter().map(Header::value).collect()
}

/// The headers of pages for errors.
pub(super) fn of_error_pages(stack: &Stack) -> Vec<Value> {
    let mut headers = usual(ERROR_POLICY, Framing::OwnHost);
    headers.insert(0, Header::new("Strict-Transport-Security", &hsts(stack)));
    headers.iter().map(Header::value).collect()
}

/// Whether the owner says what `name` is to be, be it nothing.
pub(super) fn says(headers: &Headers, name: &str) -> bool {
    headers.keys().any(|own| own.is(name))
}
