use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::tree::Node;
use super::{Machine, MemoryHost};
use crate::host::{HostError, Systemd, UnitReport};
use crate::model::Mode;
use crate::resource::Owner;

/// The unit that is more than its file here.
pub(super) const NGINX: &str = "nginx.service";

/// The process number of every service: only nginx's is ever asked for.
pub(super) const PID: u32 = 700;

const ETC: &str = "/etc/systemd/system";
const SHIPPED: &str = "/usr/lib/systemd/system";

/// A unit that is active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Active {
    /// Its file as the manager has read it; nothing once it is gone and the manager was told.
    pub(super) loaded: Option<String>,
    /// Its file when it was started.
    pub(super) started: String,
    /// What it read when it was started: its program and its credentials.
    pub(super) inputs: BTreeMap<PathBuf, Vec<u8>>,
}

/// A unit's file.
struct UnitFile {
    /// The unit's own name: an alias leads to another.
    name: String,
    path: PathBuf,
    text: String,
    masked: bool,
}

/// The values of a directive, in order.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    text.lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .flat_map(str::split_whitespace)
        .collect()
}

fn failed(verb: &str, unit: &str, tail: impl Into<String>) -> HostError {
    HostError::Failed {
        program: "systemctl".to_owned(),
        args: format!("{verb} {unit}"),
        status: "exit code 1".to_owned(),
        tail: tail.into(),
    }
}

impl Machine {
    fn unit_file(&self, unit: &str) -> Option<UnitFile> {
        for directory in [ETC, SHIPPED] {
            let path = Path::new(directory).join(unit);
            let (name, path) = match self.tree.get(&path) {
                None => continue,
                Some(Node::Link(target)) if target == Path::new("/dev/null") => {
                    return Some(UnitFile {
                        name: unit.to_owned(),
                        path,
                        text: String::new(),
                        masked: true,
                    });
                }
                Some(Node::Link(_)) => {
                    let target = self.tree.target(&path);
                    let name = target.file_name().unwrap_or_default();
                    (name.to_string_lossy().into_owned(), target)
                }
                Some(_) => (unit.to_owned(), path),
            };
            let Some(bytes) = self.tree.bytes(&path) else {
                continue;
            };
            return Some(UnitFile {
                name,
                text: String::from_utf8_lossy(bytes).into_owned(),
                masked: bytes.is_empty(),
                path,
            });
        }
        None
    }

    /// The links that enable a unit, of targets and of aliases.
    fn enabling_links(&self, unit: &str) -> Vec<PathBuf> {
        let below = self.tree.below(Path::new(ETC));
        let leads_to = |node: &Node| matches!(node, Node::Link(target) if target.ends_with(unit));
        below
            .filter(|(_, node)| leads_to(node))
            .map(|(path, _)| path.clone())
            .collect()
    }

    fn report(&self, unit: &str) -> UnitReport {
        let file = self.unit_file(unit);
        let name = file.as_ref().map_or(unit, |file| &file.name);
        let running = self.units.get(name);
        let load = match (&file, running) {
            (Some(file), _) if file.masked => "masked",
            (Some(_), _) => "loaded",
            // Still in the manager's memory.
            (
                None,
                Some(Active {
                    loaded: Some(_), ..
                }),
            ) => "loaded",
            (None, _) => "not-found",
        };
        let (active, sub) = match running {
            Some(_) if name.ends_with(".socket") => ("active", "listening"),
            Some(_) => ("active", "running"),
            None if self.failed.contains(name) => ("failed", "failed"),
            None => ("inactive", "dead"),
        };
        let state = match &file {
            None => "",
            Some(file) if file.masked => "masked",
            Some(_) if !self.enabling_links(name).is_empty() => "enabled",
            Some(_) => "disabled",
        };
        UnitReport {
            load: load.to_owned(),
            active: active.to_owned(),
            sub: sub.to_owned(),
            file: state.to_owned(),
            needs_reload: running.is_some_and(|running| {
                running.loaded.as_ref() != file.as_ref().map(|file| &file.text)
            }),
            status_text: String::new(),
            main_pid: match running {
                Some(_) if name.ends_with(".service") => PID,
                _ => 0,
            },
            path: file
                .map(|file| file.path.to_string_lossy().into_owned())
                .unwrap_or_default(),
            drop_ins: Vec::new(),
        }
    }

    pub(super) fn enable(&mut self, unit: &str) -> Result<(), HostError> {
        let file = self.unit_file(unit).filter(|file| !file.masked);
        let Some(file) = file else {
            let tail = format!("Unit file {unit} does not exist or is masked.");
            return Err(failed("enable", unit, tail));
        };
        let wanted = values(&file.text, "WantedBy")
            .into_iter()
            .map(|target| format!("{ETC}/{target}.wants/{}", file.name));
        let aliases = values(&file.text, "Alias")
            .into_iter()
            .map(|alias| format!("{ETC}/{alias}"));
        for link in wanted.chain(aliases) {
            let path = Path::new(&link);
            match self.tree.get(path) {
                Some(Node::Link(_)) if self.tree.target(path) == file.path => {}
                Some(_) => {
                    let tail = format!("File {link} already exists and is not a link to it.");
                    return Err(failed("enable", unit, tail));
                }
                None => self.tree.plant(&link, Node::Link(file.path.clone())),
            }
        }
        self.reload_manager();
        Ok(())
    }

    pub(super) fn disable(&mut self, unit: &str) -> Result<(), HostError> {
        let name = self
            .unit_file(unit)
            .map_or(unit.to_owned(), |file| file.name);
        for link in self.enabling_links(&name) {
            self.tree.remove(&link);
        }
        self.reload_manager();
        Ok(())
    }

    fn reload_manager(&mut self) {
        let read = |machine: &Self, unit: &str| machine.unit_file(unit).map(|file| file.text);
        let names: Vec<String> = self.units.keys().cloned().collect();
        for name in names {
            let text = read(self, &name);
            if let Some(active) = self.units.get_mut(&name) {
                active.loaded = text;
            }
        }
    }

    pub(super) fn start(&mut self, unit: &str) -> Result<(), HostError> {
        let Some(file) = self.unit_file(unit) else {
            return Err(failed("start", unit, format!("Unit {unit} not found.")));
        };
        if file.masked {
            return Err(failed("start", unit, format!("Unit {unit} is masked.")));
        }
        if self.units.contains_key(&file.name) {
            return Ok(());
        }
        for needed in values(&file.text, "Requires") {
            self.start(needed)?;
        }
        for wanted in values(&file.text, "Wants") {
            // One that does not start keeps nobody from starting.
            let _ = self.start(wanted);
        }
        match self.begin(&file) {
            Ok(inputs) => {
                self.failed.remove(&file.name);
                let active = Active {
                    loaded: Some(file.text.clone()),
                    started: file.text,
                    inputs,
                };
                self.units.insert(file.name, active);
                Ok(())
            }
            Err(why) => {
                self.failed.insert(file.name.clone());
                Err(failed("start", unit, why))
            }
        }
    }

    /// What a unit reads as it starts, or why it does not.
    fn begin(&mut self, file: &UnitFile) -> Result<BTreeMap<PathBuf, Vec<u8>>, String> {
        let groups = [
            values(&file.text, "SupplementaryGroups"),
            values(&file.text, "SocketGroup"),
        ];
        if let Some(group) = groups
            .concat()
            .iter()
            .find(|group| !self.groups.contains_key(**group))
        {
            return Err(format!("no group {group}"));
        }
        for socket in values(&file.text, "ListenStream") {
            let named = values(&file.text, "Service").into_iter().next();
            let service =
                named.map_or_else(|| file.name.replace(".socket", ".service"), str::to_owned);
            if self.units.contains_key(&service) {
                return Err(format!(
                    "Socket service {service} already active, refusing."
                ));
            }
            if !self.tree.has_parent(Path::new(socket)) {
                return Err(format!("Failed to create listening socket ({socket})"));
            }
            self.tree.put(Path::new(socket), Node::Socket);
        }
        let programs = values(&file.text, "ExecStart").into_iter().take(1);
        let credentials = values(&file.text, "LoadCredential")
            .into_iter()
            .filter_map(|value| Some(value.split_once(':')?.1));
        let mut inputs = BTreeMap::new();
        for path in programs.chain(credentials).map(PathBuf::from) {
            let Some(bytes) = self.tree.bytes(&path) else {
                return Err(format!("{}: No such file or directory", path.display()));
            };
            inputs.insert(path, bytes.to_vec());
        }
        if file.name == NGINX {
            self.serving = Some(self.read_nginx()?);
        }
        Ok(inputs)
    }

    pub(super) fn stop(&mut self, unit: &str) -> Result<(), HostError> {
        let file = self.unit_file(unit);
        let name = file.as_ref().map_or(unit, |file| &file.name).to_owned();
        let Some(active) = self.units.remove(&name) else {
            return match file {
                Some(_) => Ok(()),
                None => Err(failed("stop", unit, format!("Unit {unit} not loaded."))),
            };
        };
        for socket in values(&active.started, "ListenStream") {
            self.tree.remove(Path::new(socket));
        }
        if name == NGINX {
            self.serving = None;
        }
        // What requires it stops with it.
        let requiring: Vec<String> = self
            .units
            .iter()
            .filter(|(_, other)| values(&other.started, "Requires").contains(&name.as_str()))
            .map(|(other, _)| other.clone())
            .collect();
        requiring.iter().try_for_each(|other| self.stop(other))
    }

    /// Restarts with what the manager has read, which may be older than the file.
    fn restart(&mut self, unit: &str) -> Result<(), HostError> {
        let name = self
            .unit_file(unit)
            .map_or(unit.to_owned(), |file| file.name);
        let stale = self
            .units
            .get(&name)
            .and_then(|active| active.loaded.clone());
        if self.units.contains_key(&name) {
            self.stop(&name)?;
        }
        self.start(&name)?;
        if let (Some(text), Some(active)) = (stale, self.units.get_mut(&name)) {
            active.loaded = Some(text.clone());
            active.started = text;
        }
        Ok(())
    }

    fn reload(&mut self, unit: &str) -> Result<(), HostError> {
        if unit != NGINX || !self.units.contains_key(unit) {
            return Err(failed("reload", unit, "cannot be reloaded, inactive."));
        }
        match self.read_nginx() {
            Ok(serving) => {
                self.serving = Some(serving);
                Ok(())
            }
            // The old workers go on.
            Err(why) => Err(failed("reload", unit, why)),
        }
    }

    /// Units whose start did not see what is on disk now.
    pub(super) fn stale_units(&self) -> Vec<String> {
        let mut stale = Vec::new();
        for (name, active) in &self.units {
            let text = self.unit_file(name).map(|file| file.text);
            if text.as_ref() != Some(&active.started) {
                stale.push(format!("{name} runs another unit file than is there"));
            }
            if active.loaded != text {
                stale.push(format!("systemd was not told of the file of {name}"));
            }
            for (path, bytes) in &active.inputs {
                if self.tree.bytes(path) != Some(bytes) {
                    stale.push(format!("{name} has read another {}", path.display()));
                }
            }
        }
        stale
    }

    /// A unit of the operator's own, enabled and running.
    pub(crate) fn operate(&mut self, unit: &str, text: &str) {
        let path = format!("{ETC}/{unit}");
        let file = Node::File {
            bytes: text.into(),
            mode: Mode(0o644),
            owner: Owner::root(),
        };
        self.tree.plant(&path, file);
        let _ = self.enable(unit).and_then(|()| self.start(unit));
    }
}

impl Systemd for MemoryHost {
    fn is_booted(&self) -> bool {
        true
    }

    fn reports(&self, units: &[&str]) -> Result<Vec<UnitReport>, HostError> {
        let mut machine = self.machine();
        machine.questions += units.len() as u64;
        Ok(units.iter().map(|unit| machine.report(unit)).collect())
    }

    fn unit_of(&self, pid: u32) -> Option<String> {
        (pid == PID).then(|| NGINX.to_owned())
    }

    fn act(&self, verb: &str, units: &[&str]) -> Result<(), HostError> {
        let mut machine = self.machine();
        machine.effect(format!("systemctl {verb} {}", units.join(" ")))?;
        if verb == "daemon-reload" {
            machine.reload_manager();
            return Ok(());
        }
        for unit in units {
            match verb {
                "enable" => machine.enable(unit)?,
                "disable" => machine.disable(unit)?,
                "reenable" => machine.disable(unit).and_then(|()| machine.enable(unit))?,
                "start" => machine.start(unit)?,
                "stop" => machine.stop(unit)?,
                "restart" => machine.restart(unit)?,
                "reload" => machine.reload(unit)?,
                "reset-failed" => {
                    machine.failed.remove(*unit);
                }
                _ => return Err(failed(verb, unit, "Unknown command verb.")),
            }
        }
        Ok(())
    }
}
