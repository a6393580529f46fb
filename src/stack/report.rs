use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::model::HELP_MARK;

/// A stack file that cannot be used: what, where, and what to do.
#[derive(Debug, Clone)]
pub struct StackError {
    path: PathBuf,
    source: String,
    span: Option<Range<usize>>,
    message: String,
    help: Option<String>,
}

impl std::error::Error for StackError {}

impl StackError {
    pub(super) fn new(
        path: &Path,
        source: &str,
        span: Range<usize>,
        message: impl Into<String>,
        help: &str,
    ) -> Self {
        Self {
            path: path.into(),
            source: source.to_owned(),
            span: Some(span),
            message: message.into(),
            help: Some(help.to_owned()),
        }
    }

    /// An error of the file as a whole.
    pub(super) fn whole(path: &Path, message: impl Into<String>, help: &str) -> Self {
        Self {
            path: path.into(),
            source: String::new(),
            span: None,
            message: message.into(),
            help: Some(help.to_owned()),
        }
    }

    pub(super) fn toml(path: &Path, source: &str, error: &toml::de::Error) -> Self {
        let text = error.message();
        let (message, help) = match text.split_once(HELP_MARK) {
            Some((message, help)) => (message, help),
            None => (text, advice(text)),
        };
        Self {
            path: path.into(),
            source: source.to_owned(),
            span: error.span(),
            message: in_toml_words(message),
            help: Some(help.to_owned()),
        }
    }

    /// Line and column of the fault, counted from 1.
    pub fn position(&self) -> Option<(usize, usize)> {
        let before = self.source.get(..self.span.as_ref()?.start)?;
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
        Some((line, column))
    }

    /// What to do about it.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

/// What to do about a fault that the parser found by itself.
fn advice(message: &str) -> &'static str {
    let advices = [
        ("unknown field", "correct the key, or remove it"),
        ("missing field", "add it: every stack file has that key"),
        ("unknown variant", "write one of the words that it expects"),
        ("invalid type", "write a value of the kind that it expects"),
        ("duplicate key", "keep one of the two"),
    ];
    advices
        .iter()
        .find(|(beginning, _)| message.starts_with(beginning))
        .map_or(
            "correct that place: texts stand in quotes, lists in `[ ]`, each key on a line of its own",
            |(_, advice)| advice,
        )
}

/// One line, and TOML's words instead of the parser's.
fn in_toml_words(message: &str) -> String {
    message
        .trim_end()
        .replace('\n', ", ")
        .replace("expected a sequence", "expected a list")
        .replace("expected a map", "expected a table")
}

/// What the file has may not move a cursor, nor turn the order of what is read.
pub fn is_not_for_terminals(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl std::fmt::Display for StackError {
    /// The sentence, then the line with a caret below the fault.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.path.display().to_string();
        let Some(span) = self.span.clone() else {
            return write!(f, "{path}: {}", self.message);
        };
        let end = span.end.max(span.start).min(self.source.len());
        let start = span.start.min(end);
        // A table's span covers its whole body: point at its first line only.
        let first_line = self.source[start..end]
            .find('\n')
            .map_or(end, |i| start + i);
        let report = [Level::ERROR.primary_title(self.message.as_str()).element(
            Snippet::source(self.source.as_str())
                .path(path.as_str())
                .annotation(AnnotationKind::Primary.span(start..first_line)),
        )];
        let text = Renderer::plain().render(&report);
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        f.write_str(&text.replace(is_not_for_terminals, "\u{fffd}"))
    }
}
