//! One pass over a file's tokens: the paths it names, the modules it declares, what is a test.

use std::collections::BTreeSet;

use super::{Placed, Target, Token, Used};

/// `mod name;`
#[derive(Debug)]
pub struct Child {
    pub name: String,
    /// The modules of this file that the declaration is in.
    pub inline: Vec<String>,
    pub file: Option<String>,
    pub in_tests: bool,
}

/// A path as written, and where.
struct Written {
    line: usize,
    in_tests: bool,
    /// The modules of the file that it is in.
    inline: Vec<String>,
    /// Whether it began with `::`.
    global: bool,
    segments: Vec<String>,
}

/// `{`, `(` or `[` that is open.
struct Frame {
    module: Option<String>,
}

/// One pass over a file's tokens.
pub struct Reading {
    pub tokens: Vec<Placed>,
    at: usize,
    module: Vec<String>,
    all_tests: bool,
    frames: Vec<Frame>,
    /// Where a `#[cfg(test)]` item began: the number of open frames.
    test_item: Option<usize>,
    path_attribute: Option<String>,
    written: Vec<Written>,
    /// Names that `mod` and `use` give a meaning of the file's own.
    modules: BTreeSet<String>,
    imported: BTreeSet<String>,
    pub children: Vec<Child>,
}

impl Reading {
    /// Reads a file that is `module`.
    pub fn of(tokens: Vec<(Token, usize)>, module: Vec<String>, all_tests: bool) -> Self {
        let placed = |(token, line)| Placed {
            token,
            line,
            in_tests: false,
        };
        let mut reading = Self {
            tokens: tokens.into_iter().map(placed).collect(),
            at: 0,
            module,
            all_tests,
            frames: Vec::new(),
            test_item: None,
            path_attribute: None,
            written: Vec::new(),
            modules: BTreeSet::new(),
            imported: BTreeSet::new(),
            children: Vec::new(),
        };
        while reading.at < reading.tokens.len() {
            let from = reading.at;
            let before = reading.in_tests();
            reading.item();
            let in_tests = before || reading.in_tests();
            for token in &mut reading.tokens[from..reading.at] {
                token.in_tests = in_tests;
            }
        }
        reading
    }

    fn in_tests(&self) -> bool {
        self.all_tests || self.test_item.is_some()
    }

    fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead).map(|placed| &placed.token)
    }

    fn is_mark(&self, ahead: usize, mark: char) -> bool {
        self.peek(ahead) == Some(&Token::Mark(mark))
    }

    fn word(&self, ahead: usize) -> Option<String> {
        match self.peek(ahead) {
            Some(Token::Word(word)) => Some(word.clone()),
            _ => None,
        }
    }

    /// Reads on by a token, a path, an attribute or a `use`.
    fn item(&mut self) {
        match self.peek(0).cloned() {
            Some(Token::Mark('#')) if self.is_mark(1, '[') => self.attribute(1),
            Some(Token::Mark('#')) if self.is_mark(1, '!') && self.is_mark(2, '[') => {
                self.attribute(2);
            }
            Some(Token::Mark(mark)) => self.mark(mark),
            Some(Token::Word(word)) => match word.as_str() {
                "use" if !self.is_mark(1, '<') => {
                    self.at += 1;
                    let global = self.separator();
                    self.tree(global, &mut Vec::new());
                }
                "mod" => self.mod_item(),
                "extern" if self.word(1).as_deref() == Some("crate") => {
                    let name = self.word(2).unwrap_or_default();
                    self.write(true, vec![name]);
                    self.at += 3;
                }
                _ => self.path(false),
            },
            // A path from the root of all crates, unless it goes on from a type.
            Some(Token::Sep) => {
                let goes_on = self.at > 0 && self.tokens[self.at - 1].token == Token::Mark('>');
                self.at += 1;
                if !goes_on && self.word(0).is_some() {
                    self.path(true);
                } else if self.word(0).is_some() {
                    self.segments();
                }
            }
            _ => self.at += 1,
        }
    }

    fn mark(&mut self, mark: char) {
        self.at += 1;
        let open = self.frames.len();
        match mark {
            '{' | '(' | '[' => self.frames.push(Frame { module: None }),
            '}' | ')' | ']' => {
                self.frames.pop();
                let left = self.frames.len();
                self.test_item = self
                    .test_item
                    .filter(|item| left > *item || (mark != '}' && left == *item));
            }
            ';' | ',' => self.test_item = self.test_item.filter(|item| open > *item),
            _ => {}
        }
    }

    /// `#[..]`; `bracket` tokens ahead is its `[`. Paths in it count.
    fn attribute(&mut self, bracket: usize) {
        let inner = bracket == 2;
        self.at += bracket + 1;
        let from = self.at;
        let mut depth = 1;
        while depth > 0 && self.at < self.tokens.len() {
            match self.peek(0) {
                Some(Token::Mark('[')) => depth += 1,
                Some(Token::Mark(']')) => depth -= 1,
                Some(Token::Word(_)) => {
                    self.path(false);
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
        let content: Vec<&Token> = self.tokens[from..self.at]
            .iter()
            .map(|t| &t.token)
            .collect();
        let is = |at: usize, word: &str| content.get(at) == Some(&&Token::Word(word.to_owned()));
        // cfg(test), and cfg(all(test, ..)).
        if is(0, "cfg") && (is(2, "test") || is(2, "all") && is(4, "test")) {
            if inner && self.frames.is_empty() {
                self.all_tests = true;
            } else {
                self.test_item.get_or_insert(self.frames.len());
            }
        } else if is(0, "path")
            && let Some(Token::Text(path)) = content.get(2)
        {
            self.path_attribute = Some(path.clone());
        }
    }

    fn mod_item(&mut self) {
        let file = self.path_attribute.take();
        let Some(name) = self.word(1) else {
            self.at += 1;
            return;
        };
        self.modules.insert(name.clone());
        self.at += 2;
        if self.is_mark(0, '{') {
            self.at += 1;
            self.frames.push(Frame { module: Some(name) });
        } else {
            self.children.push(Child {
                name,
                inline: self.inline(),
                file,
                in_tests: self.in_tests(),
            });
        }
    }

    fn inline(&self) -> Vec<String> {
        self.frames
            .iter()
            .filter_map(|frame| frame.module.clone())
            .collect()
    }

    fn write(&mut self, global: bool, segments: Vec<String>) {
        self.written.push(Written {
            line: self.tokens[self.at.min(self.tokens.len() - 1)].line,
            in_tests: self.in_tests(),
            inline: self.inline(),
            global,
            segments,
        });
    }

    fn separator(&mut self) -> bool {
        let there = self.peek(0) == Some(&Token::Sep);
        self.at += usize::from(there);
        there
    }

    /// `a::b::c`, as far as it is names.
    fn segments(&mut self) -> Vec<String> {
        let mut segments: Vec<String> = self.word(0).into_iter().collect();
        self.at += 1;
        while self.peek(0) == Some(&Token::Sep)
            && let Some(next) = self.word(1)
        {
            segments.push(next);
            self.at += 2;
        }
        segments
    }

    /// A path in code; a single name is none, unless more than a name follows its `::`.
    fn path(&mut self, global: bool) {
        let from = self.at;
        let segments = self.segments();
        if segments.len() > 1 || self.peek(0) == Some(&Token::Sep) {
            let end = std::mem::replace(&mut self.at, from);
            self.write(global, segments);
            self.at = end;
        }
    }

    /// What stands behind `use`, or between the commas of its braces.
    fn tree(&mut self, global: bool, before: &mut Vec<String>) {
        let depth = before.len();
        loop {
            match self.peek(0).cloned() {
                Some(Token::Word(word)) => {
                    before.push(word);
                    self.at += 1;
                }
                Some(Token::Mark('*')) => {
                    before.push("*".to_owned());
                    self.at += 1;
                }
                Some(Token::Mark('{')) => {
                    self.at += 1;
                    while self.at < self.tokens.len()
                        && !self.is_mark(0, '}')
                        && !self.is_mark(0, ';')
                    {
                        let global = self.separator() || global;
                        self.tree(global, before);
                        self.at += usize::from(self.is_mark(0, ','));
                    }
                    self.at += 1;
                    before.truncate(depth);
                    return;
                }
                _ => {}
            }
            if !self.separator() {
                break;
            }
        }
        let mut name = before.last().cloned();
        if before.len() > 1 && name.as_deref() == Some("self") {
            before.pop();
            name = before.last().cloned();
        }
        if self.word(0).as_deref() == Some("as") {
            name = self.word(1);
            self.at += 2;
        }
        if !before.is_empty() {
            let at = self.at;
            self.at = at - 1;
            self.write(global, before.clone());
            self.at = at;
        }
        // `use redis;` gives the crate's own name no new meaning.
        if before.len() > 1 || name.as_ref() != before.last() {
            self.imported.extend(name);
        }
        before.truncate(depth);
        // What is not understood must not be read for ever.
        if self.at < self.tokens.len()
            && !self.is_mark(0, ',')
            && !self.is_mark(0, '}')
            && !self.is_mark(0, ';')
        {
            self.at += 1;
        }
    }

    /// The paths, resolved.
    pub fn resolved(&self) -> Vec<Used> {
        self.written
            .iter()
            .filter_map(|written| {
                Some(Used {
                    line: written.line,
                    in_tests: written.in_tests,
                    target: self.target(written)?,
                })
            })
            .collect()
    }

    fn target(&self, written: &Written) -> Option<Target> {
        let (head, rest) = written.segments.split_first()?;
        let mut here = [&self.module[..], &written.inline].concat();
        match head.as_str() {
            "tavern" => Some(Target::Ours(rest.to_vec())),
            _ if written.global => Some(Target::Crate(head.clone())),
            "crate" => Some(Target::Ours(rest.to_vec())),
            "self" | "super" => {
                let ups = |segment: &&String| ["self", "super"].contains(&segment.as_str());
                let leading: Vec<&String> = written.segments.iter().take_while(ups).collect();
                for _ in leading.iter().filter(|segment| *segment == &"super") {
                    here.pop();
                }
                here.extend_from_slice(&written.segments[leading.len()..]);
                Some(Target::Ours(here))
            }
            name if self.modules.contains(name) => {
                here.extend_from_slice(&written.segments);
                Some(Target::Ours(here))
            }
            name if self.imported.contains(name) => None,
            name => Some(Target::Crate(name.to_owned())),
        }
    }
}
