//! The files of the crate, and which paths each of them names.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;

#[path = "reading.rs"]
mod reading;
#[path = "tokens.rs"]
mod tokens;

use reading::{Child, Reading};
pub use tokens::Token;

/// A token of a file.
#[derive(Debug)]
pub struct Placed {
    pub token: Token,
    pub line: usize,
    /// Whether it is in a `#[cfg(test)]` item.
    pub in_tests: bool,
}

/// A path that a file names.
#[derive(Debug)]
pub struct Used {
    pub line: usize,
    pub in_tests: bool,
    pub target: Target,
}

/// Where a path leads.
#[derive(Debug)]
pub enum Target {
    /// From the crate's root.
    Ours(Vec<String>),
    /// The head of a path that begins neither here nor in the file.
    Crate(String),
}

impl Used {
    /// The top module of ours that it leads to; `crate` for all of it.
    pub fn module(&self) -> Option<&str> {
        match &self.target {
            Target::Ours(path) => Some(path.first().map_or("crate", String::as_str)),
            Target::Crate(_) => None,
        }
    }

    pub fn extern_crate(&self) -> Option<&str> {
        match &self.target {
            Target::Ours(_) => None,
            Target::Crate(name) => Some(name),
        }
    }

    pub fn text(&self) -> String {
        match &self.target {
            Target::Ours(path) => format!("crate::{}", path.join("::")),
            Target::Crate(name) => name.clone(),
        }
    }
}

/// A source file.
#[derive(Debug)]
pub struct File {
    /// Below `src/`.
    pub path: String,
    pub text: String,
    /// From the crate's root; `main` for the binary's.
    pub module: Vec<String>,
    pub tokens: Vec<Placed>,
    pub uses: Vec<Used>,
    children: Vec<Child>,
}

impl File {
    /// A file whose module is what its path says.
    pub fn new(path: &str, text: String) -> Self {
        let stem = path.trim_end_matches(".rs").trim_end_matches("/mod");
        let module = match stem {
            "lib" => Vec::new(),
            stem => stem.split('/').map(str::to_owned).collect(),
        };
        Self::at(path.to_owned(), module, false, text)
    }

    fn at(path: String, module: Vec<String>, in_tests: bool, text: String) -> Self {
        let reading = Reading::of(tokens::tokens(&text), module.clone(), in_tests);
        let uses = reading.resolved();
        Self {
            path,
            text,
            module,
            tokens: reading.tokens,
            uses,
            children: reading.children,
        }
    }

    /// The top module that it is in; `lib` and `main` for the roots.
    pub fn room(&self) -> &str {
        self.module.first().map_or("lib", String::as_str)
    }

    /// The tokens outside tests.
    pub fn shipped(&self) -> impl Iterator<Item = &Placed> {
        self.tokens.iter().filter(|token| !token.in_tests)
    }

    /// Where a child may be: one of these exists.
    fn places(&self, child: &Child) -> Vec<String> {
        let (folder, name) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let mut base: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
        if let (Some(file), true) = (&child.file, child.inline.is_empty()) {
            base.push(file);
            return vec![base.join("/")];
        }
        if !["lib.rs", "main.rs", "mod.rs"].contains(&name) {
            base.push(name.trim_end_matches(".rs"));
        }
        base.extend(child.inline.iter().map(String::as_str));
        base.push(&child.name);
        let path = base.join("/");
        vec![format!("{path}.rs"), format!("{path}/mod.rs")]
    }
}

/// All files of the library and the binary, found as the compiler finds them.
pub fn crate_files(source: &Path) -> Vec<File> {
    let read = |path: &str| fs::read_to_string(source.join(path)).ok();
    let mut waiting: VecDeque<File> = ["lib.rs", "main.rs"]
        .into_iter()
        .map(|path| File::new(path, read(path).expect(path)))
        .collect();
    let mut files = Vec::new();
    while let Some(file) = waiting.pop_front() {
        for child in &file.children {
            let places = file.places(child);
            let (path, text) = places
                .iter()
                .find_map(|path| Some((path.clone(), read(path)?)))
                .unwrap_or_else(|| panic!("src/{}: `mod {};` has no file", file.path, child.name));
            let module = [
                &file.module[..],
                &child.inline,
                std::slice::from_ref(&child.name),
            ];
            waiting.push_back(File::at(path, module.concat(), child.in_tests, text));
        }
        files.push(file);
    }
    files
}

/// The paths of all `.rs` files below `source`.
pub fn rust_files(source: &Path) -> Vec<String> {
    let mut folders = vec![source.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the source") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let path = path.strip_prefix(source).expect("a path below");
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}
