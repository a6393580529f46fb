//! Typed emitters: the only way a value gets into a generated file. Templates are ours, values are not.

use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, UndefinedBehavior};

use crate::resource::MARKER;

/// The language of a generated file, and so how a value is written in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// nginx's configuration: words, quoted where needed; `$` has no escape and is refused.
    Nginx,
    /// systemd's units, tmpfiles.d, sysusers.d: `%` is doubled; nothing that needs quoting.
    Systemd,
    /// redis.conf, logrotate's files: plain words.
    Plain,
}

/// A value that cannot be written in the file's language.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {file}: {source}")]
pub struct EmitError {
    file: &'static str,
    source: Error,
}

const TEMPLATES: &[(&str, Language, &str)] = &[
    (
        "http.conf",
        Language::Nginx,
        include_str!("../../nginx-sites/http.conf"),
    ),
    (
        "tls.conf",
        Language::Nginx,
        include_str!("../../nginx-sites/tls.conf"),
    ),
    (
        "headers.conf",
        Language::Nginx,
        include_str!("../../nginx-sites/headers.conf"),
    ),
    (
        "errors.conf",
        Language::Nginx,
        include_str!("../../nginx-sites/errors.conf"),
    ),
    (
        "access.conf",
        Language::Nginx,
        include_str!("../../nginx-sites/access.conf"),
    ),
    (
        "site.conf",
        Language::Nginx,
        include_str!("../../nginx-sites/site.conf"),
    ),
    (
        "stack.conf",
        Language::Nginx,
        include_str!("../../nginx-sites/stack.conf"),
    ),
    (
        "default.conf",
        Language::Nginx,
        include_str!("../../nginx-sites/default.conf"),
    ),
    (
        "nginx.conf",
        Language::Systemd,
        include_str!("../../units/nginx.conf"),
    ),
    (
        "app.socket",
        Language::Systemd,
        include_str!("../../units/app.socket"),
    ),
    (
        "app-metrics.socket",
        Language::Systemd,
        include_str!("../../units/app-metrics.socket"),
    ),
    (
        "app.service",
        Language::Systemd,
        include_str!("../../units/app.service"),
    ),
    (
        "revert.service",
        Language::Systemd,
        include_str!("../../units/revert.service"),
    ),
    (
        "revert.timer",
        Language::Systemd,
        include_str!("../../units/revert.timer"),
    ),
    (
        "monitor.service",
        Language::Systemd,
        include_str!("../../units/monitor.service"),
    ),
    (
        "status.socket",
        Language::Systemd,
        include_str!("../../units/status.socket"),
    ),
    (
        "status.service",
        Language::Systemd,
        include_str!("../../units/status.service"),
    ),
    (
        "metrics.socket",
        Language::Systemd,
        include_str!("../../units/metrics.socket"),
    ),
    (
        "metrics.service",
        Language::Systemd,
        include_str!("../../units/metrics.service"),
    ),
    (
        "check.service",
        Language::Systemd,
        include_str!("../../units/check.service"),
    ),
    (
        "check.timer",
        Language::Systemd,
        include_str!("../../units/check.timer"),
    ),
    (
        "tavernd.service",
        Language::Systemd,
        include_str!("../../units/tavernd.service"),
    ),
    (
        "renew.service",
        Language::Systemd,
        include_str!("../../units/renew.service"),
    ),
    (
        "renew.timer",
        Language::Systemd,
        include_str!("../../units/renew.timer"),
    ),
    (
        "backup.service",
        Language::Systemd,
        include_str!("../../units/backup.service"),
    ),
    (
        "backup.sandbox",
        Language::Systemd,
        include_str!("../../units/backup.sandbox"),
    ),
    (
        "backup.timer",
        Language::Systemd,
        include_str!("../../units/backup.timer"),
    ),
    (
        "drill.service",
        Language::Systemd,
        include_str!("../../units/drill.service"),
    ),
    (
        "drill.timer",
        Language::Systemd,
        include_str!("../../units/drill.timer"),
    ),
    (
        "recover.service",
        Language::Systemd,
        include_str!("../../units/recover.service"),
    ),
    (
        "recover.timer",
        Language::Systemd,
        include_str!("../../units/recover.timer"),
    ),
    (
        "logrotate.conf",
        Language::Plain,
        include_str!("../../provision/logrotate.conf"),
    ),
    (
        "monitor.toml",
        Language::Plain,
        include_str!("../../provision/monitor.toml"),
    ),
    (
        "postgres.conf",
        Language::Plain,
        include_str!("../../provision/postgres.conf"),
    ),
    (
        "pg_hba.conf",
        Language::Plain,
        include_str!("../../provision/pg_hba.conf"),
    ),
    (
        "redis.conf",
        Language::Plain,
        include_str!("../../provision/redis.conf"),
    ),
    (
        "prometheus.yml",
        Language::Plain,
        include_str!("../../provision/prometheus.yml"),
    ),
    (
        "grafana.ini",
        Language::Plain,
        include_str!("../../provision/grafana/grafana.ini"),
    ),
    (
        "datasource.yml",
        Language::Plain,
        include_str!("../../provision/grafana/datasource.yml"),
    ),
    (
        "dashboards.yml",
        Language::Plain,
        include_str!("../../provision/grafana/dashboards.yml"),
    ),
    (
        "alerts.yml",
        Language::Plain,
        include_str!("../../provision/alerts.yml"),
    ),
    (
        "tmpfiles.conf",
        Language::Systemd,
        include_str!("../../provision/tmpfiles.conf"),
    ),
    (
        "sysusers.conf",
        Language::Systemd,
        include_str!("../../provision/sysusers.conf"),
    ),
];

/// Fills the template `file` with `values`.
pub(super) fn emit(file: &'static str, values: &Value) -> Result<String, EmitError> {
    let fail = |source| EmitError { file, source };
    let language = TEMPLATES
        .iter()
        .find(|(name, ..)| *name == file)
        .map_or(Language::Plain, |(_, l, _)| *l);
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_global("marker", MARKER);
    // Not `None`: only then does a macro's output count as written already.
    environment.set_auto_escape_callback(|_| AutoEscape::Custom("words".into()));
    environment.set_formatter(move |out, _state, value| write(language, out, value));
    for (name, _, text) in TEMPLATES.iter().filter(|(_, l, _)| *l == language) {
        environment.add_template(name, text).map_err(fail)?;
    }
    let text = environment
        .get_template(file)
        .and_then(|template| template.render(values))
        .map_err(fail)?;
    // minijinja drops a template's last newline.
    Ok(text + "\n")
}

fn write(language: Language, out: &mut Output, value: &Value) -> Result<(), Error> {
    // The output of a macro has been through here already.
    if value.is_safe() {
        return out
            .write_str(value.as_str().unwrap_or_default())
            .map_err(Error::from);
    }
    let text = match value.kind() {
        ValueKind::String | ValueKind::Number => value.to_string(),
        kind => {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                format!("{kind} where a word must stand"),
            ));
        }
    };
    // The marker is ours and stands in comments.
    if text == MARKER {
        return out.write_str(&text).map_err(Error::from);
    }
    let written = word(language, &text).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidOperation,
            format!("`{}` cannot stand here", text.escape_debug()),
        )
    })?;
    out.write_str(&written).map_err(Error::from)
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._~/:*@+=,-[]".contains(c)
}

fn word(language: Language, text: &str) -> Option<String> {
    if !text.is_empty() && text.chars().all(is_plain) {
        return Some(text.to_owned());
    }
    if text.chars().any(char::is_control) {
        return None;
    }
    match language {
        Language::Nginx if !text.contains('$') => Some(format!(
            "\"{}\"",
            text.replace('\\', "\\\\").replace('"', "\\\"")
        )),
        Language::Systemd => {
            let allowed = |c: char| is_plain(c) || c == '%' || c == ' ';
            (text.chars().all(allowed) && text.trim() == text && !text.is_empty())
                .then(|| text.replace('%', "%%"))
        }
        Language::Nginx | Language::Plain => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Layout;
    use proptest::prelude::*;

    #[test]
    fn nginx_words() {
        assert_eq!(word(Language::Nginx, "/open").unwrap(), "/open");
        assert_eq!(word(Language::Nginx, "a b\"c\\").unwrap(), r#""a b\"c\\""#);
        assert_eq!(word(Language::Nginx, "$host"), None);
        assert_eq!(word(Language::Nginx, "a\nb"), None);
        assert_eq!(word(Language::Nginx, "").unwrap(), "\"\"");
    }

    #[test]
    fn no_app_may_be_called_like_a_unit_of_ours() {
        let ours = TEMPLATES.iter().filter_map(|(name, ..)| {
            let (stem, kind) = name.rsplit_once('.')?;
            (matches!(kind, "service" | "socket" | "timer") && !stem.starts_with("app"))
                .then_some(stem)
        });
        for stem in ours {
            let unit = format!("tavern-{stem}");
            assert!(
                stem == "tavernd" || Layout::OWN_UNITS.contains(&unit.as_str()),
                "{unit}"
            );
        }
    }

    #[test]
    fn systemd_words() {
        assert_eq!(word(Language::Systemd, "100%").unwrap(), "100%%");
        for bad in ["a\nExecStart=/bin/sh", "$HOME", "a\"b", "", " a", "a\\"] {
            assert_eq!(word(Language::Systemd, bad), None, "{bad:?}");
        }
    }

    proptest! {
        /// A value stays within its line of a unit, and nothing in it is replaced.
        #[test]
        fn systemd_words_do_not_break_out(text in ".*") {
            if let Some(written) = word(Language::Systemd, &text) {
                prop_assert!(!written.is_empty() && !written.contains(['\n', '\r', '"', '\\', '$']));
                prop_assert!(!written.replace("%%", "").contains('%'), "{written}");
                prop_assert_eq!(written.replace("%%", "%"), text);
            }
        }

        /// A value is one word of nginx's grammar whatever it holds, or it is refused.
        #[test]
        fn nginx_words_do_not_break_out(text in ".*") {
            if let Some(written) = word(Language::Nginx, &text) {
                if written.starts_with('"') {
                    let inner = &written[1..written.len() - 1];
                    let mut escaped = false;
                    for c in inner.chars() {
                        prop_assert!(escaped || c != '"');
                        escaped = !escaped && c == '\\';
                    }
                    prop_assert!(!escaped && !written.contains('$'));
                } else {
                    let breaks_out = written.contains([';', '{', '}', ' ', '#', '\'', '"', '$', '\\', '\n']);
                    prop_assert!(!breaks_out);
                }
            }
        }
    }
}
