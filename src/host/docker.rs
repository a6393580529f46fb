use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::{HostError, Outcome, RegistryLogin};
use crate::model::ImageRef;
use crate::resource::{Mount, Network};

/// A container to be made.
#[derive(Debug, Clone)]
pub struct ContainerSpec {
    /// Docker's name for it.
    pub name: String,
    /// The value of our label.
    pub stack: String,
    /// The hash of all these settings.
    pub settings: String,
    /// Its image, by any name that the engine knows it by.
    pub image: String,
    /// Arguments to the entry point.
    pub command: Vec<String>,
    /// `uid:gid`, numeric.
    pub user: String,
    /// What it sees of the host.
    pub mounts: Vec<Mount>,
    /// Bytes.
    pub memory: i64,
    /// Processes and threads.
    pub pids: i64,
    /// The health check, in exec form.
    pub health: Vec<String>,
    /// What it sees of the network.
    pub network: Network,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
}

/// A container that exists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundContainer {
    /// The value of our label.
    pub stack: Option<String>,
    /// The hash from its label.
    pub settings: Option<String>,
    /// Whether it runs.
    pub running: bool,
    /// It is frozen: it runs, and does nothing.
    pub paused: bool,
    /// Its process ended, and Docker is about to start it again.
    pub restarting: bool,
    /// What its last process ended with.
    pub exit_code: i64,
    /// The kernel killed it for want of memory.
    pub is_oom_killed: bool,
    /// Docker removes it, and volumes without a name, as soon as it stops.
    pub auto_remove: bool,
    /// Docker's own health verdict, empty without a check.
    pub health: String,
    /// The id of the image it was made from.
    pub image_id: String,
    /// The reference it was made from.
    pub image: String,
    /// Its restart policy, in Docker's words: `unless-stopped`, `on-failure:5` …
    pub restart_policy: String,
    /// Volumes by their place in it.
    pub volumes: HashMap<String, String>,
    /// Ports published on the host, as `address:port`.
    pub published: Vec<String>,
}

/// An image that is on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundImage {
    /// What this engine calls it.
    pub id: String,
    /// What registries call it, as `name@sha256:…`.
    pub digests: Vec<String>,
}

/// Something happened to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerEvent {
    /// Its name.
    pub name: String,
    /// Its process ended.
    pub is_death: bool,
}

/// A volume that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundVolume {
    /// The value of our label.
    pub stack: Option<String>,
    /// Where its files are on this host.
    pub path: PathBuf,
    /// A driver puts something over that place while a container uses it: a disk, a share.
    pub is_mounted: bool,
}

/// The Docker engine.
pub trait Docker: Send + Sync {
    /// The engine's version.
    ///
    /// # Errors
    /// When none answers, with what to do.
    fn version(&self) -> Result<String, HostError>;

    /// Looks for a local image, by its reference, digest or id.
    ///
    /// # Errors
    /// When the engine does not answer.
    fn image(&self, name: &str) -> Result<Option<FoundImage>, HostError>;

    /// The ids of all local images.
    ///
    /// # Errors
    /// When the engine does not answer.
    fn images(&self) -> Result<BTreeSet<String>, HostError>;

    /// The ids of the images of all containers, running or not.
    ///
    /// # Errors
    /// When the engine does not answer.
    fn images_in_use(&self) -> Result<BTreeSet<String>, HostError>;

    /// Asks the registry for the digest that a reference has there now.
    ///
    /// # Errors
    /// When the engine or the registry refuses or does not answer.
    fn digest(&self, image: &ImageRef, login: Option<&RegistryLogin>) -> Result<String, HostError>;

    /// Pulls an image; `progress` is told what happens, layer by layer.
    ///
    /// # Errors
    /// When the engine or the registry refuses, also in the middle of a stream that began well.
    fn pull(
        &self,
        name: &str,
        login: Option<&RegistryLogin>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), HostError>;

    /// Gives a local image a reference.
    ///
    /// # Errors
    /// When the engine refuses.
    fn tag(&self, id: &str, reference: &ImageRef) -> Result<(), HostError>;

    /// Loads images from a file that `docker save` wrote.
    ///
    /// # Errors
    /// When the engine refuses, or the file cannot be read.
    fn load(&self, file: &Path) -> Result<(), HostError>;

    /// Gives what happens to containers to `each`, until it says false.
    ///
    /// # Errors
    /// When no engine answers any more.
    fn follow_events(&self, each: &mut dyn FnMut(ContainerEvent) -> bool) -> Result<(), HostError>;

    /// Removes a local image; in use or absent is fine.
    ///
    /// # Errors
    /// When the engine does not answer.
    fn remove_image(&self, name: &str) -> Result<(), HostError>;

    /// Looks for a volume.
    ///
    /// # Errors
    /// When the engine does not answer.
    fn volume(&self, name: &str) -> Result<Option<FoundVolume>, HostError>;

    /// Makes a volume with our label.
    ///
    /// # Errors
    /// When the engine refuses.
    fn create_volume(&self, name: &str, stack: &str) -> Result<(), HostError>;

    /// Removes a volume; absent is fine.
    ///
    /// # Errors
    /// When it is in use.
    fn remove_volume(&self, name: &str) -> Result<(), HostError>;

    /// All volumes, each with the value of our label.
    ///
    /// # Errors
    /// When the engine does not answer.
    fn volumes(&self) -> Result<Vec<(String, Option<String>)>, HostError>;

    /// All containers, running or not, each with the value of our label.
    ///
    /// # Errors
    /// When the engine does not answer.
    fn containers(&self) -> Result<Vec<(String, Option<String>)>, HostError>;

    /// The containers that run and may write to a volume, by name.
    ///
    /// # Errors
    /// When the engine does not answer.
    fn writers(&self, volume: &str) -> Result<Vec<String>, HostError>;

    /// Looks for a container.
    ///
    /// # Errors
    /// When the engine does not answer.
    fn container(&self, name: &str) -> Result<Option<FoundContainer>, HostError>;

    /// What of a container is not as it is to be, in words; nothing if it is, or there is none.
    ///
    /// # Errors
    /// When the engine does not answer.
    fn differences(&self, spec: &ContainerSpec) -> Result<Vec<String>, HostError>;

    /// Makes a container and starts it. One that does not start is removed again.
    ///
    /// # Errors
    /// When the engine refuses.
    fn run(&self, spec: &ContainerSpec) -> Result<(), HostError>;

    /// Starts a container that exists.
    ///
    /// # Errors
    /// When the engine refuses.
    fn start(&self, name: &str) -> Result<(), HostError>;

    /// Restarts a container, giving it time to save.
    ///
    /// # Errors
    /// When the engine refuses.
    fn restart(&self, name: &str) -> Result<(), HostError>;

    /// Stops a container, giving it time to save.
    ///
    /// # Errors
    /// When the engine refuses.
    fn stop(&self, name: &str) -> Result<(), HostError>;

    /// Removes a container, not its volumes; absent is fine.
    ///
    /// # Errors
    /// When the engine refuses.
    fn remove(&self, name: &str) -> Result<(), HostError>;

    /// Sets a container's restart policy, in Docker's words.
    ///
    /// # Errors
    /// When the engine refuses.
    fn set_restart_policy(&self, name: &str, policy: &str) -> Result<(), HostError>;

    /// Renames a container and sets its restart policy.
    ///
    /// # Errors
    /// When the engine refuses.
    fn rename(&self, name: &str, new: &str, restart_policy: &str) -> Result<(), HostError>;

    /// Runs a program inside a container.
    ///
    /// # Errors
    /// When the engine refuses; the program's own exit code is in the outcome.
    fn exec(&self, name: &str, argv: &[&str]) -> Result<Outcome, HostError>;

    /// Runs a program inside a container, and writes what it says to a new file of root's alone, whatever its size,
    /// until `is_stop_wanted`.
    ///
    /// # Errors
    /// When the engine refuses, the file cannot be written, it was stopped, or the program said nothing for hours; the
    /// program's own exit code is in the outcome. It may still run then.
    fn exec_to_file(
        &self,
        name: &str,
        argv: &[&str],
        file: &Path,
        is_stop_wanted: &dyn Fn() -> bool,
    ) -> Result<Outcome, HostError>;

    /// Gives each line that a container logs to `line`, until it ends or `line` says false.
    ///
    /// # Errors
    /// When the engine refuses.
    fn follow_logs(&self, name: &str, line: &mut dyn FnMut(&str) -> bool) -> Result<(), HostError>;

    /// The last lines a container logged.
    ///
    /// # Errors
    /// When the engine refuses.
    fn logs(&self, name: &str, lines: u32) -> Result<String, HostError>;
}
