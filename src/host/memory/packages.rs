use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::tree::Node;
use super::{Machine, MemoryHost};
use crate::host::{HostError, Packages};

const MIRROR: [(&str, &str); 4] = [
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

impl Machine {
    /// What a package brings; Debian enables and starts what it brings.
    pub(crate) fn unpack(&mut self, name: &str) {
        if !self.packages.insert(name.to_owned()) {
            return;
        }
        let (service, program) = match name {
            "nginx" => ("nginx.service", "/usr/sbin/nginx"),
            "docker.io" => ("docker.service", "/usr/sbin/dockerd"),
            _ => return,
        };
        self.tree.plant(program, Node::file(name));
        let path = format!("/usr/lib/systemd/system/{service}");
        self.tree.plant(&path, unit(program));
        if name == "nginx" {
            self.unpack_nginx();
        } else {
            self.tree.plant("/var/run/docker.sock", Node::Socket);
        }
        // A package's own scripts fail or not by themselves: none of the engine's changes.
        let _ = self.enable(service).and_then(|()| self.start(service));
    }

    fn unpack_nginx(&mut self) {
        for path in ["/etc/nginx/conf.d", "/var/log/nginx", "/var/www/html"] {
            self.tree.make_all(Path::new(path));
        }
        let files = [
            ("/etc/nginx/nginx.conf", NGINX_CONF),
            ("/etc/nginx/sites-available/default", DEFAULT_SITE),
            ("/var/www/html/index.html", "Welcome to nginx!\n"),
        ];
        for (path, text) in files {
            self.tree.plant(path, Node::file(text));
        }
        self.tree.plant(
            "/etc/nginx/sites-enabled/default",
            Node::Link("/etc/nginx/sites-available/default".into()),
        );
    }
}

impl Packages for MemoryHost {
    fn installed(&self, names: &[&str]) -> Result<BTreeSet<String>, HostError> {
        let machine = self.look();
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

    fn unfinished(&self) -> Result<Vec<String>, HostError> {
        Ok(Vec::new())
    }
}
