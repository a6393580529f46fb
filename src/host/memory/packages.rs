use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::tree::Node;
use super::{Machine, MemoryHost};
use crate::host::{HostError, Packages};

const MIRROR: [(&str, &str); 6] = [
    ("restic", "0.14.0"),
    ("sqlite3", "3.40.1"),
    ("nginx", "1.26.3-3"),
    ("docker.io", "26.1.5"),
    ("docker-cli", "26.1.5"),
    ("logrotate", "3.22.0"),
];

/// As Debian's, as far as it says who reads what.
const NGINX_CONF: &str = "user www-data;\nevents { }\nhttp {\n  access_log /var/log/nginx/access.log;\n  \
                          include /etc/nginx/conf.d/*.conf;\n  include /etc/nginx/sites-enabled/*;\n}\n";
const DEFAULT_SITE: &str = "server {\n  listen 80 default_server;\n  listen [::]:80 default_server;\n  \
                            root /var/www/html;\n  server_name _;\n}\n";

fn unit(program: &str) -> Node {
    Node::file(format!(
        "[Service]\nExecStart={program}\n[Install]\nWantedBy=multi-user.target\n"
    ))
}

/// A package's unit, its other files, and the directories that go when nobody else's files are in them.
struct Contents {
    service: (&'static str, &'static str),
    files: &'static [(&'static str, &'static str)],
    directories: &'static [&'static str],
}

fn contents(package: &str) -> Option<Contents> {
    match package {
        "nginx" => Some(Contents {
            service: ("nginx.service", "/usr/sbin/nginx"),
            files: &[
                ("/etc/nginx/nginx.conf", NGINX_CONF),
                ("/etc/nginx/sites-available/default", DEFAULT_SITE),
                ("/var/www/html/index.html", "Welcome to nginx!\n"),
            ],
            directories: &[
                "/etc/nginx/conf.d",
                "/etc/nginx/sites-available",
                "/etc/nginx/sites-enabled",
                "/etc/nginx",
                "/var/log/nginx",
                "/var/www/html",
                "/var/www",
            ],
        }),
        "docker.io" => Some(Contents {
            service: ("docker.service", "/usr/sbin/dockerd"),
            files: &[],
            directories: &[],
        }),
        _ => None,
    }
}

const DEFAULT_LINK: &str = "/etc/nginx/sites-enabled/default";
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

impl Machine {
    /// What a package brings; Debian enables and starts what it brings.
    pub(crate) fn unpack(&mut self, name: &str) {
        if !self.packages.insert(name.to_owned()) {
            return;
        }
        let Some(contents) = contents(name) else {
            return;
        };
        for directory in contents.directories {
            self.tree.make_all(Path::new(directory));
        }
        for (path, text) in contents.files {
            self.tree.plant(path, Node::file(*text));
        }
        let (service, program) = contents.service;
        self.tree.plant(program, Node::file(name));
        self.tree
            .plant(&format!("/usr/lib/systemd/system/{service}"), unit(program));
        if name == "nginx" {
            let target = Node::Link("/etc/nginx/sites-available/default".into());
            self.tree.plant(DEFAULT_LINK, target);
        } else {
            self.tree.plant(DOCKER_SOCKET, Node::Socket);
        }
        // A package's own scripts fail or not by themselves: none of the engine's changes.
        let _ = self.enable(service).and_then(|()| self.start(service));
    }

    /// Takes a package away with its configuration.
    fn pack_up(&mut self, name: &str) {
        self.packages.remove(name);
        let Some(contents) = contents(name) else {
            return;
        };
        let (service, program) = contents.service;
        let _ = self.stop(service).and_then(|()| self.disable(service));
        let shipped = format!("/usr/lib/systemd/system/{service}");
        let files = contents.files.iter().map(|(path, _)| *path);
        let last = if name == "nginx" {
            DEFAULT_LINK
        } else {
            DOCKER_SOCKET
        };
        for path in files.chain([program, &shipped, last]) {
            self.tree.remove(Path::new(path));
        }
        for directory in contents.directories.iter().map(Path::new) {
            if self.tree.below(directory).next().is_none() {
                self.tree.remove(directory);
            }
        }
    }
}

impl Packages for MemoryHost {
    fn installed(&self, names: &[&str]) -> Result<BTreeSet<String>, HostError> {
        let machine = self.look();
        if names.is_empty() {
            return Ok(machine.packages.clone());
        }
        let there = names
            .iter()
            .filter(|name| machine.packages.contains(**name));
        Ok(there.map(|name| (*name).to_owned()).collect())
    }

    fn available(&self, names: &[&str]) -> Result<BTreeMap<String, String>, HostError> {
        let known = MIRROR.iter().filter(|(name, _)| names.contains(name));
        Ok(known
            .map(|(name, version)| ((*name).to_owned(), (*version).to_owned()))
            .collect())
    }

    fn refresh(&self) -> Result<(), HostError> {
        Ok(())
    }

    fn owner_of(&self, _path: &str) -> Option<String> {
        None
    }

    fn install(&self, names: &[&str]) -> Result<(), HostError> {
        let mut machine = self.machine();
        machine.effect(format!("apt-get install {}", names.join(" ")))?;
        for name in names {
            machine.unpack(name);
        }
        Ok(())
    }

    fn automatic(&self) -> Result<BTreeSet<String>, HostError> {
        Ok(BTreeSet::new())
    }

    fn not_of_packages(
        &self,
        _names: &BTreeSet<String>,
        _below: &Path,
    ) -> Result<Vec<PathBuf>, HostError> {
        Ok(Vec::new())
    }

    fn held(&self) -> Result<BTreeSet<String>, HostError> {
        Ok(BTreeSet::new())
    }

    fn purge(&self, names: &BTreeSet<String>) -> Result<BTreeSet<String>, HostError> {
        let mut machine = self.machine();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        machine.effect(format!("dpkg --purge {}", names.join(" ")))?;
        for name in names {
            machine.pack_up(name);
        }
        Ok(BTreeSet::new())
    }

    fn unfinished(&self) -> Result<Vec<String>, HostError> {
        Ok(Vec::new())
    }
}
