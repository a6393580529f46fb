//! nginx's language, read back: what the words of a configuration are once nginx has taken them apart.

/// A directive, with the block it has if it has one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directive {
    /// Its name and its arguments, without quotes.
    pub words: Vec<String>,
    /// What stands in its braces; nothing for one that ends with `;`.
    pub block: Option<Vec<Directive>>,
    /// The line it begins on.
    pub line: usize,
}

impl Directive {
    /// Its first word.
    pub fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The words after the first.
    pub fn arguments(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }

    /// What stands in its braces.
    pub fn inner(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }
}

/// A text that nginx would not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct NotNginx {
    /// The line.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Takes a configuration apart as nginx does (`ngx_conf_read_token`).
///
/// # Errors
/// At the first place that nginx would refuse as a text.
pub fn directives(text: &str) -> Result<Vec<Directive>, NotNginx> {
    let mut open: Vec<Directive> = vec![Directive {
        block: Some(Vec::new()),
        ..Directive::default()
    }];
    let mut current = Directive::default();
    for (token, line) in tokens(text)? {
        let wrong = |what| NotNginx { line, what };
        let is_empty = current.words.is_empty();
        match token {
            Token::Word(word) => {
                if is_empty {
                    current.line = line;
                }
                current.words.push(word);
            }
            Token::End if is_empty => return Err(wrong("unexpected `;`")),
            Token::End => close(&mut open, std::mem::take(&mut current)),
            Token::Open if is_empty => return Err(wrong("unexpected `{`")),
            Token::Open => {
                let mut opened = std::mem::take(&mut current);
                opened.block = Some(Vec::new());
                open.push(opened);
            }
            Token::Close if !is_empty => return Err(wrong("unexpected `}`")),
            Token::Close => match open.pop() {
                Some(closed) if !open.is_empty() => close(&mut open, closed),
                _ => return Err(wrong("unexpected `}`")),
            },
        }
    }
    let line = text.lines().count();
    match (open.pop(), open.is_empty(), current.words.is_empty()) {
        (Some(root), true, true) => Ok(root.block.unwrap_or_default()),
        _ => Err(NotNginx {
            line,
            what: "the text ends too early",
        }),
    }
}

fn close(open: &mut [Directive], done: Directive) {
    if let Some(parent) = open.last_mut() {
        parent.block.get_or_insert_default().push(done);
    }
}

enum Token {
    Word(String),
    End,
    Open,
    Close,
}

fn tokens(text: &str) -> Result<Vec<(Token, usize)>, NotNginx> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    let mut line = 1;
    while let Some(c) = chars.next() {
        let begun = line;
        match c {
            '\n' => line += 1,
            ' ' | '\t' | '\r' => {}
            '#' => while chars.next_if(|c| *c != '\n').is_some() {},
            ';' => tokens.push((Token::End, line)),
            '{' => tokens.push((Token::Open, line)),
            '}' => tokens.push((Token::Close, line)),
            quote @ ('"' | '\'') => {
                let mut raw = String::new();
                loop {
                    let Some(inner) = chars.next() else {
                        return Err(NotNginx {
                            line: begun,
                            what: "a quote is not closed",
                        });
                    };
                    line += usize::from(inner == '\n');
                    match inner {
                        '\\' => {
                            raw.push(inner);
                            raw.extend(chars.next());
                        }
                        end if end == quote => break,
                        other => raw.push(other),
                    }
                }
                let is_apart = chars.peek().is_none_or(|next| " \t\r\n;{)".contains(*next));
                if !is_apart {
                    return Err(NotNginx {
                        line,
                        what: "something follows a quote",
                    });
                }
                tokens.push((Token::Word(unescaped(&raw)), begun));
            }
            first => {
                let mut raw = String::from(first);
                if first == '\\' {
                    raw.extend(chars.next());
                }
                while let Some(next) = chars.peek().copied() {
                    if " \t\r\n;".contains(next) || (next == '{' && !raw.ends_with('$')) {
                        break;
                    }
                    raw.push(next);
                    chars.next();
                    if next == '\\' {
                        let escaped = chars.next();
                        line += usize::from(escaped == Some('\n'));
                        raw.extend(escaped);
                    }
                }
                tokens.push((Token::Word(unescaped(&raw)), begun));
            }
        }
    }
    Ok(tokens)
}

/// What nginx makes of backslashes.
fn unescaped(raw: &str) -> String {
    let mut text = String::new();
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match (c, next) {
            ('\\', Some(plain @ ('"' | '\'' | '\\'))) => {
                text.push(plain);
                chars.next();
            }
            ('\\', Some('t')) => {
                text.push('\t');
                chars.next();
            }
            ('\\', Some('r')) => {
                text.push('\r');
                chars.next();
            }
            ('\\', Some('n')) => {
                text.push('\n');
                chars.next();
            }
            (other, _) => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<String>> {
        let read = directives(text).unwrap();
        read.into_iter().map(|directive| directive.words).collect()
    }

    #[test]
    fn words_are_what_nginx_makes_of_them() {
        assert_eq!(words("a b;"), [["a", "b"]]);
        assert_eq!(words("a \"b ; { } #\" 'c\"';"), [["a", "b ; { } #", "c\""]]);
        assert_eq!(words(r#"a "b\"c\\d\.e";"#), [["a", r#"b"c\d\.e"#]]);
        assert_eq!(words("a b#c; # d\n e f;"), [["a", "b#c"], ["e", "f"]]);
        assert_eq!(words("a ${b}c;"), [["a", "${b}c"]]);
        assert_eq!(words("a \"\";"), [["a", ""]]);
    }

    #[test]
    fn blocks_and_lines() {
        let read = directives("http {\n  server { listen 80; }\n  x y;\n}\n").unwrap();
        assert_eq!(read.len(), 1);
        let inner = read[0].inner();
        assert_eq!(inner[0].inner()[0].words, ["listen", "80"]);
        assert_eq!(
            (inner[1].line, inner[1].arguments()),
            (3, &["y".to_owned()][..])
        );
    }

    #[test]
    fn what_nginx_refuses_is_refused() {
        for text in [
            "a", "a {", "}", "a; }", "{ }", ";", "a \"b", "a 'b'c;", "a }", "a b }",
        ] {
            assert!(directives(text).is_err(), "{text}");
        }
    }
}
