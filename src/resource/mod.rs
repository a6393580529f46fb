//! The things on the host that Tavern owns: one file per kind, each with its desired data,
//! what it looks like when observed, and how the two differ. Pure: nothing here touches a machine.

mod certificate;
mod change;
mod container;
mod firewall;
mod image;
mod mend;
mod nginx;
mod nginx_access;
mod nginx_text;
mod package;
mod path;
mod postgres;
mod redis_acl;
mod secret;
mod unit;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use certificate::{Certificate, CertificateState, Origin, Signer};
pub use change::{Action, Change, Claim, TextChange};
pub use container::{
    Container, ContainerState, Mount, Network, Probe, RunningContainer, Volume, VolumeState,
};
pub use firewall::Opening;
pub use image::{Image, Pin};
pub use mend::{Mend, Sight};
pub use nginx::{NginxState, NginxTree, Rival};
pub use nginx_access::{AddressRule, LocationRules, Ruling};
pub use nginx_text::{Directive, NotNginx, directives};
pub use package::{Group, Package};
pub use path::{Binary, BinaryState, Content, Directory, File, Keep, Link, Owner, PathState};
pub use postgres::PostgresRole;
pub use redis_acl::{BACKUP_USER, RULES, RedisAcl};
pub use secret::{Htpasswd, HtpasswdState, Rotation, Secret, SecretKind, SecretState};
pub use unit::{AliasState, Unit, UnitState};

/// First words of every file Tavern generates.
pub const MARKER: &str = "Written by Tavern";

/// Docker label that says a thing is ours, with the stack's name as value.
pub const LABEL: &str = "io.tavern.stack";

/// A thing on the host that Tavern owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Resource {
    /// A Debian package.
    Package(Package),
    /// A system group.
    Group(Group),
    /// A directory.
    Directory(Directory),
    /// A regular file.
    File(File),
    /// A symbolic link.
    Link(Link),
    /// `tavernctl` itself.
    Binary(Binary),
    /// A generated credential.
    Secret(Secret),
    /// A site's password file.
    Htpasswd(Htpasswd),
    /// A stack's certificate and key.
    Certificate(Certificate),
    /// A container image.
    Image(Image),
    /// A Docker volume.
    Volume(Volume),
    /// A Docker container.
    Container(Container),
    /// A systemd unit's state.
    Unit(Unit),
    /// All of nginx's configuration that is ours.
    Nginx(NginxTree),
    /// A port the firewall lets in.
    Opening(Opening),
}

/// Names a resource uniquely on the host, such as `file:/etc/tavern/stacks/counter.toml`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceId(pub String);

impl std::fmt::Display for ResourceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A resource as a stack wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// The thing.
    pub resource: Resource,
    /// What must restart after this changed.
    pub restarts: Vec<ResourceId>,
}

impl From<Resource> for Desired {
    fn from(resource: Resource) -> Self {
        Self {
            resource,
            restarts: Vec::new(),
        }
    }
}

/// A resource as the host has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// Whether the package is installed.
    Package(bool),
    /// Whether the group exists.
    Group(bool),
    /// What is at the path, and for a file the content wanted there, if it can be known yet.
    Path {
        /// What is there.
        state: PathState,
        /// The content a file resource asks for; nothing while a credential it rests on is not made yet.
        wanted: Option<Vec<u8>>,
    },
    /// The installed binary.
    Binary(BinaryState),
    /// The credential.
    Secret(SecretState),
    /// The password file.
    Htpasswd(HtpasswdState),
    /// The certificate.
    Certificate(CertificateState),
    /// The image's id, if it is there.
    Image(Option<String>),
    /// The volume.
    Volume(VolumeState),
    /// The container.
    Container(ContainerState),
    /// The unit.
    Unit(UnitState),
    /// nginx's tree.
    Nginx(Box<NginxState>),
    /// Whether the port is open.
    Opening(bool),
}

impl Resource {
    /// Its unique name.
    pub fn id(&self) -> ResourceId {
        ResourceId(match self {
            Self::Package(package) => format!("package:{}", package.name),
            Self::Group(group) => format!("group:{}", group.name),
            Self::Directory(directory) => format!("directory:{}", directory.path.display()),
            Self::File(file) => format!("file:{}", file.path.display()),
            Self::Link(link) => format!("link:{}", link.path.display()),
            Self::Binary(binary) => format!("binary:{}", binary.path.display()),
            Self::Secret(secret) => format!("credential:{}", secret.path.display()),
            Self::Htpasswd(htpasswd) => format!("htpasswd:{}", htpasswd.path.display()),
            Self::Certificate(certificate) => format!("certificate:{}", certificate.path.display()),
            Self::Image(image) => format!("image:{}", image.reference),
            Self::Volume(volume) => format!("volume:{}", volume.name),
            Self::Container(container) => format!("container:{}", container.name),
            Self::Unit(unit) => format!("unit:{}", unit.name),
            Self::Nginx(_) => "nginx:sites".to_owned(),
            Self::Opening(opening) => format!("firewall:{}/tcp", opening.port),
        })
    }

    /// How the host must change for this to be true; nothing if it is.
    ///
    /// An observation of another kind counts as a difference, so that nothing is skipped in silence.
    pub fn compare(&self, observed: &Observed, claim: Claim) -> Option<Change> {
        match (self, observed) {
            (Self::Package(desired), Observed::Package(installed)) => desired.compare(*installed),
            (Self::Group(desired), Observed::Group(exists)) => desired.compare(*exists),
            (Self::Directory(desired), Observed::Path { state, .. }) => {
                desired.compare(state, claim)
            }
            (Self::File(desired), Observed::Path { state, wanted }) => {
                desired.compare(state, wanted.as_deref(), claim)
            }
            (Self::Link(desired), Observed::Path { state, .. }) => desired.compare(state, claim),
            (Self::Binary(desired), Observed::Binary(state)) => desired.compare(state, claim),
            (Self::Secret(desired), Observed::Secret(state)) => desired.compare(state),
            (Self::Htpasswd(desired), Observed::Htpasswd(state)) => desired.compare(state),
            (Self::Certificate(desired), Observed::Certificate(state)) => desired.compare(state),
            (Self::Image(desired), Observed::Image(id)) => desired.compare(id.as_deref()),
            (Self::Volume(desired), Observed::Volume(state)) => desired.compare(state, claim),
            (Self::Container(desired), Observed::Container(state)) => desired.compare(state, claim),
            (Self::Unit(desired), Observed::Unit(state)) => desired.compare(state, claim),
            (Self::Nginx(desired), Observed::Nginx(state)) => desired.compare(state, claim),
            (Self::Opening(_), Observed::Opening(open)) => Opening::compare(*open),
            _ => Some(Change::new(Action::Update, "its state could not be read")),
        }
    }

    /// The same, as if a file of the owner's were Tavern's to write.
    pub fn managed(&self) -> Self {
        match self {
            Self::File(file) => Self::File(File {
                keep: Keep::Managed,
                ..file.clone()
            }),
            other => other.clone(),
        }
    }

    /// The files that somebody edited since this was applied, and that `wanted` would not leave so.
    pub fn edits(&self, observed: &Observed, wanted: Option<&Self>) -> Vec<PathBuf> {
        let differs = |state: &PathState, applied: &str| matches!(state, PathState::File { content, .. } if content != applied.as_bytes());
        match (self, observed) {
            (Self::File(file), Observed::Path { state, .. }) => {
                let is_edited = match (&file.content, state) {
                    (Content::Text(text), _) => file.is_read() && differs(state, text),
                    (Content::RedisAcl(acl), PathState::File { content, .. }) => {
                        acl.is_edited(&String::from_utf8_lossy(content))
                    }
                    (Content::PostgresRole(role), PathState::File { content, .. }) => {
                        role.is_edited(&String::from_utf8_lossy(content))
                    }
                    _ => false,
                };
                is_edited.then(|| file.path.clone()).into_iter().collect()
            }
            (Self::Nginx(tree), Observed::Nginx(nginx)) => {
                let states = nginx.paths.iter();
                let edited = states.filter(|(path, state)| {
                    let is_wanted = match (wanted, state) {
                        (Some(Self::Nginx(wanted)), PathState::File { content, .. }) => {
                            wanted.has_but_for_generation(path, content, tree)
                        }
                        _ => false,
                    };
                    let text = tree.files.get(*path);
                    !is_wanted && text.is_some_and(|text| differs(state, text))
                });
                edited.map(|(path, _)| path.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether what reads it can do so again without a restart.
    pub fn is_read_again(&self) -> bool {
        matches!(self, Self::File(file) if file.password().is_some())
    }

    /// Whether it holds what a person would miss: kept by `uninstall` unless `--purge` is given.
    pub fn is_data(&self) -> bool {
        match self {
            Self::Secret(_)
            | Self::Volume(_)
            | Self::Image(_)
            | Self::Htpasswd(_)
            | Self::Certificate(_) => true,
            Self::File(file) => file.keep == Keep::Seeded,
            Self::Directory(directory) => directory.keep == Keep::Seeded,
            _ => false,
        }
    }

    /// The path it occupies, for kinds that are paths.
    pub fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::Directory(Directory { path, .. })
            | Self::File(File { path, .. })
            | Self::Link(Link { path, .. })
            | Self::Binary(Binary { path, .. })
            | Self::Secret(Secret { path, .. })
            | Self::Htpasswd(Htpasswd { path, .. })
            | Self::Certificate(Certificate { path, .. }) => Some(path),
            _ => None,
        }
    }
}
