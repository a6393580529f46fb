//! Who gets in by an nginx file as it stands: the access directives of a location, and nginx's order of asking them.

use std::net::IpAddr;
use std::path::PathBuf;

use super::nginx_text::Directive;
use crate::model::Cidr;

/// The access directives in force in one location.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocationRules {
    /// `satisfy any`: one open door is enough.
    pub is_any: bool,
    /// `allow` and `deny` in their order.
    pub addresses: Vec<AddressRule>,
    /// The password file, if passwords are asked for.
    pub user_file: Option<PathBuf>,
    /// The line that the location begins on.
    pub line: usize,
}

/// One `allow` or `deny`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressRule {
    /// Whether it lets in.
    pub allows: bool,
    /// Whom; everybody if none.
    pub range: Option<Cidr>,
    /// As it stands in the file.
    pub text: String,
    /// Its line.
    pub line: usize,
}

/// What the directives answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// 200 for whatever the site answers, 401 or 403.
    pub status: u16,
    /// By which directive.
    pub reason: String,
}

impl LocationRules {
    /// The rules of the location of a site: the one at `path` that logs to `log`, else the one at `path`.
    ///
    /// # Errors
    /// When a directive says something that is not understood: a wrong answer would be worse than none.
    pub fn find(file: &[Directive], path: &str, log: &str) -> Result<Option<Self>, String> {
        let servers = file.iter().filter(|directive| directive.name() == "server");
        let mut found: Option<(&Directive, &Directive)> = None;
        for server in servers {
            for location in server.inner() {
                if location.name() != "location" || location.arguments() != [path] {
                    continue;
                }
                let is_its = location.inner().iter().any(|inner| {
                    inner.name() == "access_log"
                        && inner.arguments().first().is_some_and(|file| file == log)
                });
                if is_its || found.is_none() {
                    found = Some((server, location));
                }
                if is_its {
                    return Self::of(server, location).map(Some);
                }
            }
        }
        found
            .map(|(server, location)| Self::of(server, location))
            .transpose()
    }

    /// What a location says, and for what it does not say, its server.
    fn of(server: &Directive, location: &Directive) -> Result<Self, String> {
        let in_force = |names: &[&str]| -> Vec<&Directive> {
            for block in [location, server] {
                let inner = block.inner().iter();
                let own: Vec<_> = inner.filter(|one| names.contains(&one.name())).collect();
                if !own.is_empty() {
                    return own;
                }
            }
            Vec::new()
        };
        let last = |name: &str| in_force(&[name]).last().copied().cloned();
        let mut rules = Self {
            is_any: last("satisfy").is_some_and(|one| one.arguments() == ["any"]),
            line: location.line,
            ..Self::default()
        };
        for one in in_force(&["allow", "deny"]) {
            rules.addresses.push(address_rule(one)?);
        }
        let asks = last("auth_basic").is_some_and(|one| one.arguments() != ["off"]);
        if asks {
            let file = last("auth_basic_user_file");
            let file = file.and_then(|one| one.arguments().first().cloned());
            let file = file.ok_or("`auth_basic` without `auth_basic_user_file`")?;
            rules.user_file = Some(file.into());
        }
        Ok(rules)
    }

    /// What nginx answers to a request from `address`, which logs in rightly or not at all.
    pub fn answer(&self, address: IpAddr, is_logged_in: bool) -> Ruling {
        let address = address.to_canonical();
        let ruling = |status, reason: String| Ruling { status, reason };
        let met = self.addresses.iter().find(|rule| {
            rule.range
                .as_ref()
                .is_none_or(|range| range.contains(address))
        });
        // Where no rule is met the module has nothing to say: no reason to let in, nor to refuse.
        let refused = met.filter(|rule| !rule.allows);
        let by =
            |rule: &AddressRule| format!("`{};` in line {} meets {address}", rule.text, rule.line);
        match (&self.user_file, self.is_any) {
            (None, _) => match (refused, met) {
                (Some(rule), _) => ruling(403, by(rule)),
                (None, Some(rule)) => ruling(200, by(rule)),
                (None, None) => ruling(200, "no directive keeps anybody out".into()),
            },
            (Some(_), true) => match (met, is_logged_in) {
                (Some(rule), _) if rule.allows => ruling(200, by(rule)),
                (_, true) => ruling(200, "a password is enough (`satisfy any;`)".into()),
                (Some(rule), false) => ruling(401, format!("{}, and no password came", by(rule))),
                (None, false) => ruling(401, "a password is asked for".into()),
            },
            (Some(_), false) => match (refused, met, is_logged_in) {
                (Some(rule), ..) => ruling(403, by(rule)),
                (None, _, false) => ruling(401, "a password is asked for".into()),
                (None, Some(rule), true) => {
                    ruling(200, format!("{}, and the password is right", by(rule)))
                }
                (None, None, true) => ruling(200, "the password is right".into()),
            },
        }
    }
}

fn address_rule(one: &Directive) -> Result<AddressRule, String> {
    let text = one.words.join(" ");
    let not_understood = || format!("`{text};` in line {} is not understood", one.line);
    let [whom] = one.arguments() else {
        return Err(not_understood());
    };
    let range = match whom.as_str() {
        "all" => None,
        range => Some(range.parse::<Cidr>().map_err(|_| not_understood())?),
    };
    Ok(AddressRule {
        allows: one.name() == "allow",
        range,
        line: one.line,
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::directives;

    fn rules(inside: &str) -> LocationRules {
        let text = format!(
            "server {{\n auth_basic x;\n auth_basic_user_file /u;\n deny 1.2.3.4;\n location /a/ {{\n{inside}\n}} }}"
        );
        LocationRules::find(&directives(&text).unwrap(), "/a/", "")
            .unwrap()
            .unwrap()
    }

    fn answer(rules: &LocationRules, address: &str, is_logged_in: bool) -> u16 {
        rules.answer(address.parse().unwrap(), is_logged_in).status
    }

    #[test]
    fn the_first_that_meets_counts_and_what_is_not_said_is_inherited() {
        let inherited = rules("");
        assert_eq!(inherited.user_file, Some("/u".into()));
        assert_eq!(answer(&inherited, "1.2.3.4", true), 403);
        assert_eq!(answer(&inherited, "1.2.3.5", true), 200);
        assert_eq!(answer(&inherited, "1.2.3.5", false), 401);
        let own = rules("allow 10.0.0.0/8; deny 10.1.0.0/16; deny all; auth_basic off;");
        assert_eq!(own.user_file, None);
        assert_eq!(answer(&own, "10.1.2.3", false), 200);
        assert_eq!(answer(&own, "::ffff:10.1.2.3", false), 200);
        assert_eq!(answer(&own, "1.2.3.5", true), 403);
        let any = rules("satisfy any; allow ::1; deny all;");
        assert_eq!(answer(&any, "::1", false), 200);
        assert_eq!(answer(&any, "::2", false), 401);
        assert_eq!(answer(&any, "::2", true), 200);
        let reason = any.answer("::2".parse().unwrap(), false).reason;
        assert!(reason.contains("`deny all;` in line 6"), "{reason}");
    }

    #[test]
    fn what_is_not_understood_gets_no_answer() {
        for inside in ["allow unix:;", "allow 10.0.0.1 10.0.0.2;", "deny $x;"] {
            let text = format!("server {{ location / {{ {inside} }} }}");
            let file = directives(&text).unwrap();
            assert!(LocationRules::find(&file, "/", "").is_err(), "{inside}");
        }
        let none = directives("server { location = / { allow ::1; } }").unwrap();
        assert_eq!(LocationRules::find(&none, "/", "").unwrap(), None);
    }

    #[test]
    fn the_location_that_logs_for_the_site_is_preferred() {
        let text = "server { location / { deny all; } } server { location / { access_log /l x; } }";
        let file = directives(text).unwrap();
        let status = |log| {
            let rules = LocationRules::find(&file, "/", log).unwrap().unwrap();
            answer(&rules, "::1", false)
        };
        assert_eq!((status("/l"), status("/other")), (200, 403));
    }
}
