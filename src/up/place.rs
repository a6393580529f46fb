use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nix::unistd::{getegid, geteuid};

use super::UpError;
use crate::expand;
use crate::host::Host;
use crate::model::{Layout, Mode};
use crate::resource::{Content, Desired, File, Keep, NginxTree, Owner, PathState, Resource};

/// Writes what of these resources lies below `dir`, all of it the caller's. Units, packages and the like
/// belong to a managed host and are passed over. Gives the generation nginx will answer with.
pub(super) fn write(
    host: &Host,
    dir: &Path,
    layout: &Layout,
    desired: &[Desired],
) -> Result<String, UpError> {
    let mut writer = Writer {
        host,
        dir,
        owner: host.accounts.owner(geteuid().as_raw(), getegid().as_raw()),
        fresh: BTreeSet::new(),
        passwords: Vec::new(),
        generation: String::new(),
    };
    let own = [
        &layout.etc,
        &layout.run,
        &layout.www,
        &layout.logs,
        &layout.state,
        &layout.nginx,
        &layout.nginx.join("conf.d"),
        &layout.nginx.join("sites-available"),
        &layout.nginx.join("sites-enabled"),
    ];
    for path in own {
        writer.directory(path, Mode(0o755))?;
    }
    for Desired { resource, .. } in desired {
        if resource
            .path()
            .is_some_and(|path| path.starts_with(&layout.units))
        {
            continue;
        }
        writer.resource(resource, layout)?;
    }
    for (path, lines) in std::mem::take(&mut writer.passwords) {
        writer.file(&path, lines.as_bytes(), Mode(0o600))?;
    }
    let user = geteuid().is_root().then_some("root");
    let text = expand::main_conf(layout, user);
    writer.file(
        &layout.nginx.join("nginx.conf"),
        text.as_bytes(),
        Mode(0o644),
    )?;
    Ok(writer.generation)
}

pub(super) struct Writer<'a> {
    pub(super) host: &'a Host,
    dir: &'a Path,
    owner: Owner,
    /// Directories this run made: only they are seeded.
    fresh: BTreeSet<PathBuf>,
    /// Passwords files with their lines.
    pub(super) passwords: Vec<(PathBuf, String)>,
    generation: String,
}

impl Writer<'_> {
    fn resource(&mut self, resource: &Resource, layout: &Layout) -> Result<(), UpError> {
        let ours = resource
            .path()
            .is_none_or(|path| path.starts_with(self.dir));
        match resource {
            Resource::Directory(directory) if ours => {
                self.directory(&directory.path, directory.mode)
            }
            Resource::File(file) if ours => self.content(file),
            Resource::Secret(secret) => self.secret(secret),
            Resource::Htpasswd(htpasswd) => self.htpasswd(htpasswd),
            Resource::Certificate(certificate) => self.certificate(certificate),
            Resource::Nginx(tree) => self.nginx(tree, layout),
            _ => Ok(()),
        }
    }

    pub(super) fn directory(&mut self, path: &Path, mode: Mode) -> Result<(), UpError> {
        if self.host.files.state(path)? == PathState::Absent {
            self.fresh.insert(path.to_owned());
        }
        Ok(self.host.files.make_directory(path, mode, &self.owner)?)
    }

    pub(super) fn file(&self, path: &Path, bytes: &[u8], mode: Mode) -> Result<(), UpError> {
        Ok(self.host.files.write(path, bytes, mode, &self.owner)?)
    }

    fn content(&self, file: &File) -> Result<(), UpError> {
        // A page the owner deleted stays deleted.
        let seeded = file.path.ancestors().any(|path| self.fresh.contains(path));
        if file.keep == Keep::Seeded && !seeded {
            return Ok(());
        }
        match &file.content {
            Content::Text(text) => self.file(&file.path, text.as_bytes(), file.mode),
            Content::Page(name) => {
                let page = expand::page(name).unwrap_or_default();
                self.file(&file.path, &page, file.mode)
            }
            Content::RedisAcl(_) | Content::PostgresRole(_) | Content::Password(_) => Ok(()),
        }
    }

    fn nginx(&mut self, tree: &NginxTree, layout: &Layout) -> Result<(), UpError> {
        // Of a stack that ran here before, nothing is served.
        for folder in ["conf.d", "sites-enabled"] {
            for path in self.host.files.list(&layout.nginx.join(folder))? {
                if !tree.files.contains_key(&path) && !tree.links.contains_key(&path) {
                    self.host.files.remove(&path)?;
                }
            }
        }
        for (path, text) in &tree.files {
            self.file(path, text.as_bytes(), Mode(0o644))?;
        }
        for (path, target) in &tree.links {
            self.host.files.link(path, target)?;
        }
        self.generation.clone_from(&tree.generation);
        Ok(())
    }
}
