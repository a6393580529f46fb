//! Rust source as tokens: enough of its grammar to know code from comments and strings.

/// One token. Numbers are words; a lifetime is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A name or keyword, raw or not.
    Word(String),
    /// What a string of any kind holds, escapes as written.
    Text(String),
    /// `::`
    Sep,
    /// Any other sign.
    Mark(char),
}

/// The tokens of `text`, each with its line, from 1.
pub fn tokens(text: &str) -> Vec<(Token, usize)> {
    let chars: Vec<char> = text.chars().collect();
    let mut reader = Reader {
        chars: &chars,
        at: 0,
        line: 1,
    };
    let mut found = Vec::new();
    while reader.at < chars.len() {
        let line = reader.line;
        if let Some(token) = reader.next() {
            found.push((token, line));
        }
    }
    found
}

struct Reader<'a> {
    chars: &'a [char],
    at: usize,
    line: usize,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn step(&mut self) -> char {
        let c = self.peek(0);
        self.line += usize::from(c == '\n');
        self.at += 1;
        c
    }

    fn while_in(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut text = String::new();
        while self.at < self.chars.len() && wanted(self.peek(0)) {
            text.push(self.step());
        }
        text
    }

    fn next(&mut self) -> Option<Token> {
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => {
                self.while_in(|c| c != '\n');
                None
            }
            ('/', '*') => {
                self.block_comment();
                None
            }
            (':', ':') => {
                self.at += 2;
                Some(Token::Sep)
            }
            ('"', _) => Some(self.string()),
            ('\'', _) => self.quote(),
            (c, _) if is_name(c) => self.word(),
            (c, _) => {
                self.step();
                (!c.is_whitespace()).then_some(Token::Mark(c))
            }
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.chars.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                _ => {
                    self.step();
                    continue;
                }
            }
            self.at += 2;
            if depth == 0 {
                return;
            }
        }
    }

    /// A word, or the string that it is the prefix of: `r#".."#`, `b".."`, `c".."`, `b'.'`.
    fn word(&mut self) -> Option<Token> {
        let word = self.while_in(is_name);
        let prefix = matches!(word.as_str(), "r" | "b" | "br" | "c" | "cr");
        match self.peek(0) {
            '"' if prefix && word.ends_with('r') => Some(self.raw_string(0)),
            '"' if prefix => Some(self.string()),
            '\'' if word == "b" => self.quote(),
            '#' if prefix && word.ends_with('r') => {
                let hashes = self.while_in(|c| c == '#').len();
                if self.peek(0) == '"' {
                    Some(self.raw_string(hashes))
                } else {
                    // r#type
                    Some(Token::Word(self.while_in(is_name)))
                }
            }
            _ => Some(Token::Word(word)),
        }
    }

    fn string(&mut self) -> Token {
        self.step();
        let mut text = String::new();
        while self.at < self.chars.len() {
            match self.step() {
                '"' => break,
                '\\' => {
                    text.push('\\');
                    text.push(self.step());
                }
                c => text.push(c),
            }
        }
        Token::Text(text)
    }

    fn raw_string(&mut self, hashes: usize) -> Token {
        self.step();
        let mut text = String::new();
        while self.at < self.chars.len() {
            let ends = self.peek(0) == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == '#');
            let c = self.step();
            if ends {
                self.at += hashes;
                break;
            }
            text.push(c);
        }
        Token::Text(text)
    }

    /// A character, which is dropped, or a lifetime, which is too.
    fn quote(&mut self) -> Option<Token> {
        self.step();
        if self.peek(0) == '\\' {
            self.at += 2;
            self.while_in(|c| c != '\'');
            self.step();
        } else if self.peek(1) == '\'' {
            self.step();
            self.step();
        } else {
            self.while_in(is_name);
        }
        None
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn comments_strings_characters_and_lifetimes_are_told_from_code() {
    let words = |text: &str| -> Vec<String> {
        tokens(text)
            .into_iter()
            .filter_map(|(token, _)| match token {
                Token::Word(word) => Some(word),
                _ => None,
            })
            .collect()
    };
    for text in [
        "a // x\nb",
        "a /* x /* x */ x */ b",
        "a \"x\\\" x\" b",
        "a r\"x\\\" b",
        "a br##\"x\"# x\"## b",
        "a c\"x\" b\"x\" b",
        "a 'x' b",
        "a '\\'' b",
        "a b'\\\\' b",
        "a '\"' b '\"'",
        "a 'static b",
        "a r#b",
    ] {
        assert_eq!(words(text), ["a", "b"], "{text}");
    }
    let lines: Vec<usize> = tokens("a\n\"x\ny\"\nb")
        .into_iter()
        .map(|(_, line)| line)
        .collect();
    assert_eq!(lines, [1, 2, 4]);
}
