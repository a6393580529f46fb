use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::nginx_rivals::words;

/// How deep includes may lie; nginx itself has no bound but the files.
const DEEPEST: usize = 16;

/// What the running configuration as a whole means for files that are added to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NginxSetup {
    /// The file that all begins with.
    pub main: PathBuf,
    /// The group its workers have, with the user, and the file that says so; `None` if none does.
    pub workers: Option<Workers>,
    /// The patterns that `http { }` includes.
    includes: Vec<String>,
}

/// What `user` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workers {
    /// The user.
    pub user: String,
    /// The group; of the user's name if none is given.
    pub group: String,
    /// The file that says so.
    pub file: PathBuf,
}

impl NginxSetup {
    /// Reads what `nginx -T` prints. Lenient, as the search for rivals is: nginx has accepted it.
    pub fn read(dump: &str) -> Self {
        const HEADING: &str = "# configuration file ";
        let mut files: BTreeMap<PathBuf, String> = BTreeMap::new();
        let mut main = None;
        let mut current: Option<&mut String> = None;
        for line in dump.lines() {
            let path = line
                .strip_prefix(HEADING)
                .and_then(|rest| rest.strip_suffix(':'));
            if let Some(path) = path {
                main.get_or_insert_with(|| PathBuf::from(path));
                current = Some(files.entry(path.into()).or_default());
            } else if let Some(text) = &mut current {
                text.push_str(line);
                text.push('\n');
            }
        }
        let files = files
            .into_iter()
            .map(|(path, text)| (path, words(&text)))
            .collect();
        let mut reader = Reader {
            files,
            found: NginxSetup {
                main: main.unwrap_or_default(),
                ..NginxSetup::default()
            },
        };
        let main = reader.found.main.clone();
        reader.read(&main, false, 0);
        reader.found
    }

    /// Whether a file of this path would be read, within `http { }`.
    pub fn includes(&self, path: &Path) -> bool {
        let path = path.to_string_lossy();
        self.includes.iter().any(|pattern| matches(pattern, &path))
    }
}

struct Reader {
    files: BTreeMap<PathBuf, Vec<String>>,
    found: NginxSetup,
}

impl Reader {
    /// Follows a file whose directives are in `http { }`, or else at the top.
    fn read(&mut self, file: &Path, mut in_http: bool, deep: usize) {
        let Some(words) = self.files.get(file).filter(|_| deep < DEEPEST).cloned() else {
            return;
        };
        // Blocks within, that are neither.
        let mut inner = 0_usize;
        let mut directive: Vec<&str> = Vec::new();
        for word in &words {
            match word.as_str() {
                "{" if inner == 0 && !in_http && directive == ["http"] => in_http = true,
                "{" => inner += 1,
                "}" if inner > 0 => inner -= 1,
                "}" => in_http = false,
                ";" if inner == 0 => self.note(file, &directive, in_http, deep),
                ";" => {}
                word => {
                    directive.push(word);
                    continue;
                }
            }
            directive.clear();
        }
    }

    fn note(&mut self, file: &Path, directive: &[&str], in_http: bool, deep: usize) {
        match directive {
            ["include", pattern] => {
                // From the directory of nginx.conf, whichever file says so.
                let base = self.found.main.parent().unwrap_or(Path::new("/"));
                let pattern = base.join(pattern).to_string_lossy().into_owned();
                let included: Vec<PathBuf> = self.files.keys().cloned().collect();
                for path in included {
                    if matches(&pattern, &path.to_string_lossy()) {
                        self.read(&path, in_http, deep + 1);
                    }
                }
                if in_http {
                    self.found.includes.push(pattern);
                }
            }
            ["user", user, group @ ..] if !in_http => {
                self.found.workers = Some(Workers {
                    user: (*user).to_owned(),
                    group: (*group.first().unwrap_or(user)).to_owned(),
                    file: file.to_owned(),
                });
            }
            _ => {}
        }
    }
}

/// glob(3), as nginx uses it: `*`, `?` and `[…]` stop at `/`, and a leading dot must be named.
fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) =
        (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len()
        && pattern.iter().zip(&path).all(|(pattern, name)| {
            let hidden = name.starts_with('.') && !pattern.starts_with('.');
            let (pattern, name): (Vec<_>, Vec<_>) =
                (pattern.chars().collect(), name.chars().collect());
            !hidden && part_matches(&pattern, &name)
        })
}

fn part_matches(pattern: &[char], name: &[char]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        (['*', rest @ ..], _) => (0..=name.len()).any(|skip| part_matches(rest, &name[skip..])),
        (['?', pattern @ ..], [_, name @ ..]) => part_matches(pattern, name),
        (['[', rest @ ..], [one, name @ ..]) => match rest.iter().skip(1).position(|c| *c == ']') {
            Some(end) => in_set(&rest[..=end], *one) && part_matches(&rest[end + 2..], name),
            None => *one == '[' && part_matches(rest, name),
        },
        ([expected, pattern @ ..], [one, name @ ..]) => {
            expected == one && part_matches(pattern, name)
        }
        _ => false,
    }
}

/// `a-z`, `!abc`
fn in_set(set: &[char], one: char) -> bool {
    let (negated, mut set) = match set {
        ['!' | '^', rest @ ..] => (true, rest),
        all => (false, all),
    };
    let mut found = false;
    loop {
        set = match set {
            [] => return found != negated,
            [from, '-', to, rest @ ..] => {
                found |= (*from..=*to).contains(&one);
                rest
            }
            [exact, rest @ ..] => {
                found |= *exact == one;
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "# configuration file /etc/nginx/nginx.conf:\n\
        user www-data;\ninclude /etc/nginx/modules-enabled/*.conf;\n\
        events { worker_connections 768; }\n\
        http {\n  map $a $b { default 1; }\n  include /etc/nginx/mime.types;\n\
        include /etc/nginx/conf.d/*.conf;\n  include sites-enabled/*;\n}\n\
        # mail { include /x/*; }\n\n\
        # configuration file /etc/nginx/sites-enabled/default:\n\
        server { listen 80; location / { include /etc/nginx/inner/*; } }\n";

    #[test]
    fn debians_own_reads_both_directories() {
        let setup = NginxSetup::read(DEBIAN);
        assert_eq!(setup.main, Path::new("/etc/nginx/nginx.conf"));
        let workers = setup.workers.clone().unwrap();
        assert_eq!((&*workers.user, &*workers.group), ("www-data", "www-data"));
        for (path, read) in [
            ("/etc/nginx/conf.d/tavern.conf", true),
            ("/etc/nginx/conf.d/tavern.conf.bak", false),
            ("/etc/nginx/sites-enabled/tavern-counter.conf", true),
            ("/etc/nginx/sites-enabled/.hidden", false),
            ("/etc/nginx/modules-enabled/tavern.conf", false),
            ("/etc/nginx/inner/tavern.conf", false),
        ] {
            assert_eq!(setup.includes(Path::new(path)), read, "{path}");
        }
    }

    #[test]
    fn nginx_orgs_reads_no_sites_and_has_its_own_user() {
        let setup = NginxSetup::read(
            "nginx: the configuration file /etc/nginx/nginx.conf syntax is ok\n\
             # configuration file /etc/nginx/nginx.conf:\nuser  nginx;\nhttp {\n\
             include /etc/nginx/conf.d/*.conf;\n #include /etc/nginx/sites-enabled/*;\n}\n",
        );
        assert!(setup.includes(Path::new("/etc/nginx/conf.d/tavern.conf")));
        assert!(!setup.includes(Path::new("/etc/nginx/sites-enabled/a.conf")));
        let workers = setup.workers.unwrap();
        assert_eq!((&*workers.user, &*workers.group), ("nginx", "nginx"));
    }

    #[test]
    fn includes_are_followed_with_their_place() {
        let setup = NginxSetup::read(
            "# configuration file /etc/nginx/nginx.conf:\ninclude top/*.conf;\n\
             http { include http.d/[a-c]l?.conf; }\n\
             # configuration file /etc/nginx/top/user.conf:\nuser nginx www-data;\ninclude sites-enabled/*;\n\
             # configuration file /etc/nginx/http.d/all.conf:\ninclude sites-enabled/*.conf;\n",
        );
        assert!(setup.includes(Path::new("/etc/nginx/sites-enabled/a.conf")));
        assert!(!setup.includes(Path::new("/etc/nginx/sites-enabled/a")));
        let workers = setup.workers.unwrap();
        assert_eq!(workers.group, "www-data");
        assert_eq!(workers.file, Path::new("/etc/nginx/top/user.conf"));
    }

    #[test]
    fn junk_does_not_panic() {
        for text in [
            "",
            "# configuration file :\n}}{",
            "# configuration file /a:\ninclude [;\nhttp { include [!]; include []; include a[b-; user",
            "# configuration file /a:\ninclude a; include /a;\n",
        ] {
            let setup = NginxSetup::read(text);
            let _ = setup.includes(Path::new("/etc/nginx/[x"));
            let _ = setup.includes(Path::new("/a"));
        }
    }
}
