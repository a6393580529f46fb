//! A receipt that was lost or damaged, made again from its copies, or from the marks on what we made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use super::prior::Prior;
use super::receipt::{Entry, Receipt};
use super::uninstall::Leftovers;
use super::{Engine, EngineError, Lock, Request};
use crate::expand;
use crate::host::gather;
use crate::model::{ImageRef, Mode};
use crate::resource::{
    Container, Content, Directory, File, Group, Keep, Link, MARKER, Network, NginxTree, Opening,
    Owner, PathState, Probe, Resource, Unit, Volume,
};

/// Where files of ours lie outside of nginx's tree, `/etc/tavern` and the units.
const PLACES: [&str; 4] = [
    "/etc/sysusers.d",
    "/etc/tmpfiles.d",
    "/etc/logrotate.d",
    "/etc/profile.d",
];

/// Links to tavernctl.
const LINKS: [&str; 2] = ["/usr/local/bin/check-flask", "/usr/local/bin/restart-flask"];

impl Engine<'_> {
    /// Puts a readable receipt in the place of a damaged one, which is kept. Says from where it came.
    ///
    /// # Errors
    /// When another run holds the lock, or nothing readable is left.
    pub fn mend_receipt(&self) -> Result<Option<String>, EngineError> {
        let _lock = Lock::take(&self.layout.lock)?;
        match self.receipt() {
            Ok(_) => return Ok(None),
            Err(EngineError::Receipt { .. }) => {}
            Err(other) => return Err(other),
        }
        let copy = self.newest_copy()?;
        let files = &self.host.files;
        let damaged = self.receipt_path().with_extension("json.damaged");
        files.rename(&self.receipt_path(), &damaged)?;
        let from = match copy {
            Some(receipt) => {
                self.save_receipt(&receipt)?;
                format!("generation {} had a copy", receipt.generation)
            }
            None => {
                "no generation has a copy: the next install finds what is Tavern's by its marks"
                    .to_owned()
            }
        };
        Ok(Some(format!(
            "the receipt was damaged, and is kept as {}; {from}",
            damaged.display()
        )))
    }

    fn newest_copy(&self) -> Result<Option<Receipt>, EngineError> {
        let numbers = self.generations()?;
        let mut copies = numbers.iter().rev().map(|n| self.generation_receipt(*n));
        Ok(copies.find_map(Result::ok))
    }

    /// For an uninstall, which must not fail for want of a receipt.
    pub(super) fn receipt_or_rebuilt(&self, left: &mut Leftovers) -> Result<Receipt, EngineError> {
        let damage = match self.receipt() {
            Ok(receipt) if !receipt.entries.is_empty() || !self.has_marks()? => {
                return Ok(receipt);
            }
            Ok(_) => "the receipt is gone".to_owned(),
            // Of a newer version: what it says is not to be guessed at.
            Err(error @ EngineError::NotReady { .. }) => return Err(error),
            Err(error) => error.to_string(),
        };
        if let Some(copy) = self.newest_copy()? {
            let from = copy.generation;
            left.notes
                .push(format!("{damage}: its copy in generation {from} was used"));
            return Ok(copy);
        }
        left.notes.push(format!(
            "{damage}: what is Tavern's was found by its marks; what was there before is not known"
        ));
        self.rebuilt()
    }

    /// What bears our marks, in the order it would have been made.
    fn rebuilt(&self) -> Result<Receipt, EngineError> {
        let mut found: Vec<(Resource, Prior)> = self.wanted_and_marked().unwrap_or_default();
        let known: Vec<_> = found.iter().map(|(resource, _)| resource.id()).collect();
        let marked = self.marked()?;
        found.extend(
            marked
                .into_iter()
                .filter(|resource| !known.contains(&resource.id()))
                .map(|resource| (resource, Prior::Absent)),
        );
        Ok(Receipt {
            entries: found
                .into_iter()
                .map(|(resource, prior)| Entry {
                    id: resource.id(),
                    resource,
                    prior,
                })
                .collect(),
            spares_blobs: true,
            ..Receipt::default()
        })
    }

    /// What the stack files would make, as far as they can be read: ours where it bears a mark.
    fn wanted_and_marked(&self) -> Result<Vec<(Resource, Prior)>, EngineError> {
        let wanted = self.wanted(&Request::default(), false, &Receipt::default())?;
        let desired = expand::expand(
            &wanted.stacks,
            &gather(self.host)?,
            &self.layout,
            &self.edge,
        )?;
        let mut found = Vec::new();
        for item in wanted.files.into_iter().chain(desired) {
            let prior = if self.is_marked(&item.resource, true)? {
                Prior::Absent
            } else {
                Prior::Present
            };
            found.push((item.resource, prior));
        }
        Ok(found)
    }

    /// What bears a mark or a label, whatever the stack files say.
    fn marked(&self) -> Result<Vec<Resource>, EngineError> {
        let files = &self.host.files;
        let mut found = Vec::new();
        for place in PLACES {
            for path in files.list(Path::new(place))? {
                if self.has_mark(&path)? {
                    found.push(managed(path));
                }
            }
        }
        let drop_ins = self.layout.units.join("nginx.service.d");
        for path in files.list(&drop_ins)? {
            if self.has_mark(&path)? {
                found.push(Resource::Directory(Directory {
                    path: drop_ins.clone(),
                    mode: Mode(0o755),
                    owner: Owner::root(),
                    keep: Keep::Managed,
                }));
                found.push(managed(path));
            }
        }
        for path in LINKS.map(PathBuf::from) {
            if let PathState::Link { target } = files.state(&path)?
                && target.ends_with("tavernctl")
            {
                found.push(Resource::Link(Link { path, target }));
            }
        }
        let docker = &self.host.docker;
        for (name, stack) in docker.volumes().unwrap_or_default() {
            if let Some(stack) = stack {
                found.push(Resource::Volume(Volume {
                    name,
                    stack,
                    postgres: None,
                }));
            }
        }
        for (name, stack) in docker.containers().unwrap_or_default() {
            if let (Some(stack), Ok(image)) = (stack, ImageRef::from_str("unknown:unknown")) {
                found.push(Resource::Container(unknown(name, stack, image)));
            }
        }
        for path in files.list(&self.layout.units)? {
            if !self.has_mark(&path)? {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            found.push(Resource::Unit(Unit {
                name: name.into_owned(),
                alias: None,
                service: None,
                is_beside: false,
            }));
            found.push(managed(path));
        }
        // `g NAME -`, in the file that declares ours.
        let declared = files.read(Path::new("/etc/sysusers.d/tavern.conf"))?;
        for line in String::from_utf8_lossy(&declared.unwrap_or_default()).lines() {
            if let Some(name) = line
                .strip_prefix("g ")
                .and_then(|rest| rest.split(' ').next())
            {
                found.push(Resource::Group(Group { name: name.into() }));
            }
        }
        // Whether somebody comes in by it is not known, unless it is one of the web.
        for port in self.host.firewall.opened_by_us()? {
            found.push(Resource::Opening(Opening {
                port,
                public: false,
                ssh: false,
            }));
        }
        found.push(Resource::Nginx(NginxTree {
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            generation: String::new(),
            http_port: self.edge.http_port,
            ports: Vec::new(),
            claims_default: false,
        }));
        Ok(found)
    }

    fn has_mark(&self, path: &Path) -> Result<bool, EngineError> {
        Ok(match self.host.files.state(path)? {
            PathState::File { content, .. } => {
                content.starts_with(format!("# {MARKER}").as_bytes())
            }
            _ => false,
        })
    }
}

fn managed(path: PathBuf) -> Resource {
    Resource::File(File {
        path,
        mode: Mode(0o644),
        owner: Owner::root(),
        content: Content::Text(String::new()),
        keep: Keep::Managed,
    })
}

/// A container of which only the name and the label are known: enough to remove it.
fn unknown(name: String, stack: String, image: ImageRef) -> Container {
    Container {
        name,
        stack,
        image,
        command: Vec::new(),
        uid: 0,
        group: String::new(),
        mounts: Vec::new(),
        memory: 0,
        pids: 0,
        network: Network::None,
        environment: BTreeMap::new(),
        probe: Probe::of_redis(),
        settle: Vec::new(),
    }
}
