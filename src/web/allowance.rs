//! The `RateLimit` and `RateLimit-Policy` header fields (draft-ietf-httpapi-ratelimit-headers).

use axum::http::{HeaderName, HeaderValue};

use super::limit::Allowance;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Both fields, each a list with a member per policy.
pub fn fields(allowances: &[Allowance]) -> Vec<(HeaderName, HeaderValue)> {
    let list = |member: fn(&Allowance) -> String| {
        let members: Vec<String> = allowances.iter().map(member).collect();
        HeaderValue::try_from(members.join(", ")).ok()
    };
    let limit = list(|one| format!("\"{}\";r={};t={}", one.policy, one.remaining, one.reset));
    let policy = list(|one| format!("\"{}\";q={};w={}", one.policy, one.quota, one.window));
    [(LIMIT, limit), (POLICY, policy)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_policies_are_two_members() {
        let one = |policy| Allowance {
            policy,
            quota: 10,
            window: 60,
            remaining: 9,
            reset: 6,
        };
        let fields = fields(&[one("address"), one("account")]);
        assert_eq!(fields[0].1, r#""address";r=9;t=6, "account";r=9;t=6"#);
        assert_eq!(fields[1].1, r#""address";q=10;w=60, "account";q=10;w=60"#);
    }
}
