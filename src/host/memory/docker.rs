use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::registry::id_of;
use super::tree::Node;
use super::{Machine, MemoryHost};
use crate::host::{
    ContainerEvent, ContainerSpec, Docker, FoundContainer, FoundImage, FoundVolume, HostError,
    Outcome, RegistryLogin,
};
use crate::model::ImageRef;
use crate::resource::Mount;

/// A container, with what it read when it was started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Contained {
    /// What Docker says of it.
    pub(crate) found: FoundContainer,
    /// What it sees of the host.
    pub(super) mounts: Vec<Mount>,
    /// What somebody changed of it since it was made.
    pub(crate) changed: Vec<String>,
    /// The files it read when it was started.
    pub(super) inputs: BTreeMap<PathBuf, Vec<u8>>,
}

pub(super) fn refused(message: impl Into<String>) -> HostError {
    HostError::Docker {
        message: message.into(),
        help: "`docker ps -a` shows more",
    }
}

impl Machine {
    fn engine(&self) -> Result<(), HostError> {
        match self.tree.get(Path::new("/var/run/docker.sock")) {
            Some(Node::Socket) => Ok(()),
            _ => Err(refused("no engine answers")),
        }
    }

    /// The files in what a container mounts and cannot write.
    pub(super) fn mounted_files(&self, mounts: &[Mount]) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for mount in mounts {
            if let Mount::Bind {
                source,
                writable: false,
                ..
            } = mount
            {
                files.extend(
                    self.tree
                        .below(source)
                        .filter_map(|(path, node)| match node {
                            Node::File { bytes, .. } => Some((path.clone(), bytes.clone())),
                            _ => None,
                        }),
                );
            }
        }
        files
    }

    /// Where a container makes its socket on the host.
    fn socket(mounts: &[Mount]) -> Option<PathBuf> {
        mounts.iter().find_map(|mount| match mount {
            Mount::Bind {
                source,
                writable: true,
                ..
            } => Some(source.join("redis.sock")),
            _ => None,
        })
    }

    fn run_contained(&mut self, name: &str) -> Result<(), HostError> {
        let mounts = match self.containers.get(name) {
            None => return Err(refused(format!("No such container: {name}"))),
            Some(contained) => contained.mounts.clone(),
        };
        for mount in &mounts {
            if let Mount::Bind { source, .. } = mount
                && self.tree.get(source).is_none()
            {
                let what = format!("bind source path does not exist: {}", source.display());
                return Err(refused(what));
            }
        }
        if let Some(socket) = Self::socket(&mounts) {
            self.tree.put(&socket, Node::Socket);
        }
        let inputs = self.mounted_files(&mounts);
        if let Some(contained) = self.containers.get_mut(name) {
            contained.found.running = true;
            contained.found.paused = false;
            contained.found.restarting = false;
            contained.inputs = inputs;
        }
        Ok(())
    }

    fn end_contained(&mut self, name: &str) {
        let Some(contained) = self.containers.get_mut(name) else {
            return;
        };
        contained.found.running = false;
        contained.found.exit_code = 0;
        if let Some(socket) = Self::socket(&contained.mounts) {
            self.tree.remove(&socket);
        }
    }

    /// Containers whose start did not see what is on disk now.
    pub(super) fn stale_containers(&self) -> Vec<String> {
        let mut stale = Vec::new();
        for (name, contained) in &self.containers {
            if contained.found.running && contained.inputs != self.mounted_files(&contained.mounts)
            {
                stale.push(format!(
                    "container {name} has read other files than are there"
                ));
            }
        }
        stale
    }
}

impl Docker for MemoryHost {
    fn version(&self) -> Result<String, HostError> {
        self.look().engine().map(|()| "26.1.5".to_owned())
    }

    fn image(&self, name: &str) -> Result<Option<FoundImage>, HostError> {
        let machine = self.look();
        machine.engine()?;
        Ok(machine.found_image(name))
    }

    fn images(&self) -> Result<BTreeSet<String>, HostError> {
        let machine = self.look();
        machine.engine()?;
        Ok(machine.images.values().cloned().collect())
    }

    fn images_in_use(&self) -> Result<BTreeSet<String>, HostError> {
        let machine = self.look();
        machine.engine()?;
        let containers = machine.containers.values();
        let ids = containers.map(|contained| contained.found.image_id.clone());
        Ok(ids.collect())
    }

    fn digest(&self, image: &ImageRef, login: Option<&RegistryLogin>) -> Result<String, HostError> {
        let machine = self.look();
        machine.engine()?;
        machine.registry.digest(image.as_str(), login)
    }

    fn pull(
        &self,
        name: &str,
        login: Option<&RegistryLogin>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), HostError> {
        progress("pulling");
        let mut machine = self.machine();
        machine.engine()?;
        machine.effect(format!("docker pull {name}"))?;
        for (name, id) in machine.registry.pull(name, login)? {
            machine.images.insert(name, id);
        }
        Ok(())
    }

    fn tag(&self, id: &str, reference: &ImageRef) -> Result<(), HostError> {
        let mut machine = self.machine();
        machine.engine()?;
        machine.effect(format!("docker tag {id} {reference}"))?;
        machine.images.insert(reference.to_string(), id.to_owned());
        Ok(())
    }

    fn load(&self, file: &Path) -> Result<(), HostError> {
        let mut machine = self.machine();
        machine.engine()?;
        // A file of ours has the reference for its content.
        let Some(bytes) = machine.tree.bytes(file).map(<[u8]>::to_vec) else {
            return Err(refused(format!("cannot read {}", file.display())));
        };
        machine.effect(format!("docker load {}", file.display()))?;
        let reference = String::from_utf8_lossy(&bytes).into_owned();
        machine.images.insert(reference.clone(), id_of(&reference));
        Ok(())
    }

    fn follow_events(
        &self,
        _each: &mut dyn FnMut(ContainerEvent) -> bool,
    ) -> Result<(), HostError> {
        Ok(())
    }

    fn remove_image(&self, name: &str) -> Result<(), HostError> {
        let mut machine = self.machine();
        machine.engine()?;
        let Some(FoundImage { id, .. }) = machine.found_image(name) else {
            return Ok(());
        };
        let mut containers = machine.containers.values();
        if !containers.any(|contained| contained.found.image_id == id) {
            machine.effect(format!("docker rmi {name}"))?;
            machine.untag(name, &id);
        }
        Ok(())
    }

    fn volume(&self, name: &str) -> Result<Option<FoundVolume>, HostError> {
        let machine = self.look();
        machine.engine()?;
        let found = machine.volumes.get(name).cloned();
        Ok(found.map(|stack| FoundVolume {
            stack,
            path: Path::new("/var/lib/docker/volumes").join(name),
            is_mounted: machine
                .mounts
                .contains(&Path::new("/var/lib/docker/volumes").join(name)),
        }))
    }

    fn create_volume(&self, name: &str, stack: &str) -> Result<(), HostError> {
        let mut machine = self.machine();
        machine.engine()?;
        machine.effect(format!("docker volume create {name}"))?;
        // Docker answers with the old one, whatever its label.
        let label = Some(stack.to_owned());
        machine.volumes.entry(name.to_owned()).or_insert(label);
        Ok(())
    }

    fn remove_volume(&self, name: &str) -> Result<(), HostError> {
        let mut machine = self.machine();
        machine.engine()?;
        let mut used = machine
            .containers
            .values()
            .flat_map(|c| c.found.volumes.values());
        if used.any(|volume| volume == name) {
            return Err(refused(format!("volume is in use: {name}")));
        }
        if machine.volumes.contains_key(name) {
            machine.effect(format!("docker volume rm {name}"))?;
            machine.volumes.remove(name);
        }
        Ok(())
    }

    fn volumes(&self) -> Result<Vec<(String, Option<String>)>, HostError> {
        let machine = self.look();
        machine.engine()?;
        Ok(machine.volumes.clone().into_iter().collect())
    }

    fn containers(&self) -> Result<Vec<(String, Option<String>)>, HostError> {
        let machine = self.look();
        machine.engine()?;
        let containers = machine.containers.iter();
        Ok(containers
            .map(|(name, contained)| (name.clone(), contained.found.stack.clone()))
            .collect())
    }

    fn writers(&self, volume: &str) -> Result<Vec<String>, HostError> {
        let machine = self.look();
        machine.engine()?;
        let on_it = machine.containers.iter().filter(|(_, contained)| {
            let mut volumes = contained.found.volumes.values();
            contained.found.running && volumes.any(|name| name == volume)
        });
        Ok(on_it.map(|(name, _)| name.clone()).collect())
    }

    fn container(&self, name: &str) -> Result<Option<FoundContainer>, HostError> {
        let machine = self.look();
        machine.engine()?;
        let found = machine.containers.get(name);
        Ok(found.map(|contained| contained.found.clone()))
    }

    fn differences(&self, spec: &ContainerSpec) -> Result<Vec<String>, HostError> {
        let machine = self.look();
        machine.engine()?;
        let contained = machine.containers.get(&spec.name);
        Ok(contained.map_or_else(Vec::new, |contained| contained.changed.clone()))
    }

    fn run(&self, spec: &ContainerSpec) -> Result<(), HostError> {
        let mut machine = self.machine();
        machine.engine()?;
        if machine.containers.contains_key(&spec.name) {
            return Err(refused(format!("the name {} is in use", spec.name)));
        }
        let Some(FoundImage { id: image_id, .. }) = machine.found_image(&spec.image) else {
            return Err(refused(format!("No such image: {}", spec.image)));
        };
        machine.effect(format!("docker create {}", spec.name))?;
        let mut volumes = HashMap::new();
        for mount in &spec.mounts {
            if let Mount::Volume { name, target } = mount {
                machine.volumes.entry(name.clone()).or_insert(None);
                volumes.insert(target.clone(), name.clone());
            }
        }
        let contained = Contained {
            found: FoundContainer {
                stack: Some(spec.stack.clone()),
                settings: Some(spec.settings.clone()),
                image_id,
                image: spec.image.clone(),
                restart_policy: "unless-stopped".to_owned(),
                volumes,
                ..FoundContainer::default()
            },
            mounts: spec.mounts.clone(),
            changed: Vec::new(),
            inputs: BTreeMap::new(),
        };
        machine.containers.insert(spec.name.clone(), contained);
        let started = machine
            .effect(format!("docker start {}", spec.name))
            .and_then(|()| machine.run_contained(&spec.name));
        if started.is_err() {
            // The real door removes it again.
            machine.containers.remove(&spec.name);
        }
        started
    }

    fn start(&self, name: &str) -> Result<(), HostError> {
        let mut machine = self.machine();
        machine.engine()?;
        machine.effect(format!("docker start {name}"))?;
        machine.run_contained(name)
    }

    fn restart(&self, name: &str) -> Result<(), HostError> {
        let mut machine = self.machine();
        machine.engine()?;
        machine.effect(format!("docker restart {name}"))?;
        machine.run_contained(name)
    }

    fn stop(&self, name: &str) -> Result<(), HostError> {
        let mut machine = self.machine();
        machine.engine()?;
        if machine.containers.contains_key(name) {
            machine.effect(format!("docker stop {name}"))?;
            machine.end_contained(name);
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), HostError> {
        self.stop(name)?;
        let mut machine = self.machine();
        if machine.containers.contains_key(name) {
            machine.effect(format!("docker rm {name}"))?;
            machine.containers.remove(name);
        }
        Ok(())
    }

    fn set_restart_policy(&self, name: &str, policy: &str) -> Result<(), HostError> {
        let mut machine = self.machine();
        machine.engine()?;
        machine.effect(format!("docker update --restart {policy} {name}"))?;
        match machine.containers.get_mut(name) {
            None => Err(refused(format!("No such container: {name}"))),
            Some(contained) => {
                policy.clone_into(&mut contained.found.restart_policy);
                Ok(())
            }
        }
    }

    fn rename(&self, name: &str, new: &str, restart_policy: &str) -> Result<(), HostError> {
        self.set_restart_policy(name, restart_policy)?;
        let mut machine = self.machine();
        machine.effect(format!("docker rename {name} {new}"))?;
        if machine.containers.contains_key(new) {
            return Err(refused(format!("the name {new} is in use")));
        }
        if let Some(contained) = machine.containers.remove(name) {
            machine.containers.insert(new.to_owned(), contained);
        }
        Ok(())
    }

    fn exec(&self, name: &str, argv: &[&str]) -> Result<Outcome, HostError> {
        let mut machine = self.machine();
        machine.engine()?;
        if !machine
            .containers
            .get(name)
            .is_some_and(|c| c.found.running)
        {
            return Err(refused(format!("container {name} is not running")));
        }
        machine.carry_out(name, argv)
    }

    fn exec_to_file(
        &self,
        name: &str,
        argv: &[&str],
        file: &Path,
        _: &dyn Fn() -> bool,
    ) -> Result<Outcome, HostError> {
        let outcome = self.exec(name, argv)?;
        let mut machine = self.machine();
        machine.effect(format!("write {}", file.display()))?;
        machine.tree.put(file, Node::file(outcome.stdout.clone()));
        Ok(outcome)
    }

    fn follow_logs(&self, _: &str, _: &mut dyn FnMut(&str) -> bool) -> Result<(), HostError> {
        Ok(())
    }
    fn logs(&self, _: &str, _: u32) -> Result<String, HostError> {
        Ok(String::new())
    }
}
