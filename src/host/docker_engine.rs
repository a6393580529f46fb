use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use bollard::errors::Error;
use bollard::models::{ContainerUpdateBody, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptions,
    RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder, RestartContainerOptionsBuilder,
    StopContainerOptionsBuilder,
};
use futures_util::StreamExt;
use tokio::runtime::Runtime;

use super::docker::{
    ContainerEvent, ContainerSpec, Docker, FoundContainer, FoundImage, FoundVolume,
};
use super::docker_body::{SETTINGS_LABEL, body, policy_from, policy_text};
use super::docker_connection::Connection;
use super::docker_error::{absent_is_none, refuse};
use super::docker_login::RegistryLogin;
use super::{HostError, Outcome};
use super::{docker_events, docker_exec, docker_images, docker_settings, docker_writers};
use crate::model::ImageRef;
use crate::resource::LABEL;

/// The engine behind `/var/run/docker.sock`.
#[derive(Default)]
pub struct RealDocker {
    connection: Connection,
}

impl RealDocker {
    fn connection(&self) -> Result<(Arc<Runtime>, bollard::Docker), HostError> {
        self.connection.get()
    }

    fn call<T, F>(&self, work: impl FnOnce(bollard::Docker) -> F) -> Result<T, HostError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.connection.call(work)
    }

    fn call_if_there<T, F>(
        &self,
        work: impl FnOnce(bollard::Docker) -> F,
    ) -> Result<Option<T>, HostError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.call(|docker| async { absent_is_none(work(docker).await) })
    }
}

impl Docker for RealDocker {
    fn version(&self) -> Result<String, HostError> {
        self.call(|docker| async move { Ok(docker.version().await?.version.unwrap_or_default()) })
    }

    fn image(&self, name: &str) -> Result<Option<FoundImage>, HostError> {
        self.call(|docker| async move { docker_images::find(&docker, name).await })
    }

    fn images(&self) -> Result<BTreeSet<String>, HostError> {
        self.call(|docker| async move { docker_images::all(&docker).await })
    }

    fn images_in_use(&self) -> Result<BTreeSet<String>, HostError> {
        self.call(|docker| async move { docker_images::in_use(&docker).await })
    }

    fn digest(&self, image: &ImageRef, login: Option<&RegistryLogin>) -> Result<String, HostError> {
        let (runtime, docker) = self.connection()?;
        runtime.block_on(docker_images::digest(&docker, image, login))
    }

    fn pull(
        &self,
        name: &str,
        login: Option<&RegistryLogin>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), HostError> {
        let (runtime, docker) = self.connection()?;
        runtime.block_on(docker_images::pull(&docker, name, login, progress))
    }

    fn tag(&self, id: &str, reference: &ImageRef) -> Result<(), HostError> {
        self.call(|docker| async move { docker_images::tag(&docker, id, reference).await })
    }

    fn load(&self, file: &Path) -> Result<(), HostError> {
        let (runtime, docker) = self.connection()?;
        runtime.block_on(docker_images::load(&docker, file))
    }

    fn follow_events(&self, each: &mut dyn FnMut(ContainerEvent) -> bool) -> Result<(), HostError> {
        let (runtime, docker) = self.connection()?;
        runtime.block_on(docker_events::follow(&docker, each))
    }

    fn remove_image(&self, name: &str) -> Result<(), HostError> {
        self.call(|docker| async move { docker_images::remove(&docker, name).await })
    }

    fn volume(&self, name: &str) -> Result<Option<FoundVolume>, HostError> {
        let found =
            self.call_if_there(|docker| async move { docker.inspect_volume(name).await })?;
        Ok(found.map(|volume| FoundVolume {
            stack: volume.labels.get(LABEL).cloned(),
            path: volume.mountpoint.into(),
            is_mounted: volume.driver != "local" || !volume.options.is_empty(),
        }))
    }

    fn create_volume(&self, name: &str, stack: &str) -> Result<(), HostError> {
        self.call(|docker| async move {
            let request = VolumeCreateRequest {
                name: Some(name.to_owned()),
                labels: Some(HashMap::from([(LABEL.to_owned(), stack.to_owned())])),
                ..VolumeCreateRequest::default()
            };
            docker.create_volume(request).await.map(|_| ())
        })
    }

    fn remove_volume(&self, name: &str) -> Result<(), HostError> {
        self.call_if_there(|docker| async move {
            docker
                .remove_volume(name, None::<bollard::query_parameters::RemoveVolumeOptions>)
                .await
        })
        .map(|_| ())
    }

    fn volumes(&self) -> Result<Vec<(String, Option<String>)>, HostError> {
        let found = self.call(|docker| async move {
            docker
                .list_volumes(None::<bollard::query_parameters::ListVolumesOptions>)
                .await
        })?;
        let volumes = found.volumes.unwrap_or_default().into_iter();
        Ok(volumes
            .map(|volume| (volume.name, volume.labels.get(LABEL).cloned()))
            .collect())
    }

    fn containers(&self) -> Result<Vec<(String, Option<String>)>, HostError> {
        let all = ListContainersOptionsBuilder::new().all(true).build();
        let found = self.call(|docker| async move { docker.list_containers(Some(all)).await })?;
        let named = found.into_iter().filter_map(|container| {
            let name = container.names?.into_iter().next()?;
            let label = container
                .labels
                .and_then(|labels| labels.get(LABEL).cloned());
            Some((name.trim_start_matches('/').to_owned(), label))
        });
        Ok(named.collect())
    }

    fn writers(&self, volume: &str) -> Result<Vec<String>, HostError> {
        self.call(|docker| async move { docker_writers::of(&docker, volume).await })
    }

    fn container(&self, name: &str) -> Result<Option<FoundContainer>, HostError> {
        let found = self.call_if_there(|docker| async move {
            docker
                .inspect_container(
                    name,
                    None::<bollard::query_parameters::InspectContainerOptions>,
                )
                .await
        })?;
        let Some(found) = found else { return Ok(None) };
        let config = found.config.unwrap_or_default();
        let labels = config.labels.unwrap_or_default();
        let state = found.state.unwrap_or_default();
        let host = found.host_config.unwrap_or_default();
        let ports = found
            .network_settings
            .and_then(|network| network.ports)
            .unwrap_or_default();
        Ok(Some(FoundContainer {
            stack: labels.get(LABEL).cloned(),
            settings: labels.get(SETTINGS_LABEL).cloned(),
            running: state.running.unwrap_or(false),
            paused: state.paused.unwrap_or(false),
            restarting: state.restarting.unwrap_or(false),
            exit_code: state.exit_code.unwrap_or_default(),
            is_oom_killed: state.oom_killed.unwrap_or(false),
            auto_remove: host.auto_remove.unwrap_or(false),
            health: state
                .health
                .and_then(|health| health.status)
                .map(|status| status.to_string())
                .unwrap_or_default(),
            image_id: found.image.unwrap_or_default(),
            image: config.image.unwrap_or_default(),
            restart_policy: host
                .restart_policy
                .map(|policy| policy_text(&policy))
                .unwrap_or_default(),
            volumes: found
                .mounts
                .unwrap_or_default()
                .into_iter()
                .filter_map(|mount| Some((mount.destination?, mount.name?)))
                .collect(),
            published: ports
                .into_values()
                .flatten()
                .flatten()
                .map(|binding| {
                    format!(
                        "{}:{}",
                        binding.host_ip.unwrap_or_default(),
                        binding.host_port.unwrap_or_default()
                    )
                })
                .collect(),
        }))
    }

    fn differences(&self, spec: &ContainerSpec) -> Result<Vec<String>, HostError> {
        let found = self.call_if_there(|docker| async move {
            docker
                .inspect_container(
                    &spec.name,
                    None::<bollard::query_parameters::InspectContainerOptions>,
                )
                .await
        })?;
        Ok(found.map_or_else(Vec::new, |found| {
            docker_settings::changes(&body(spec), &spec.mounts, &found)
        }))
    }

    fn run(&self, spec: &ContainerSpec) -> Result<(), HostError> {
        self.call(|docker| async move {
            let options = CreateContainerOptionsBuilder::new()
                .name(&spec.name)
                .build();
            docker
                .create_container(Some(options.clone()), body(spec))
                .await?;
            let made = docker
                .inspect_container(
                    &spec.name,
                    None::<bollard::query_parameters::InspectContainerOptions>,
                )
                .await?;
            // What this engine or kernel cannot do must not pass for somebody's change.
            if let Some(body) = docker_settings::as_far_as_can_be(spec, &made) {
                docker
                    .remove_container(&spec.name, None::<RemoveContainerOptions>)
                    .await?;
                docker.create_container(Some(options), body).await?;
            }
            match docker
                .start_container(
                    &spec.name,
                    None::<bollard::query_parameters::StartContainerOptions>,
                )
                .await
            {
                Ok(()) => Ok(()),
                Err(error) => {
                    let force = RemoveContainerOptionsBuilder::new().force(true).build();
                    let _ = docker.remove_container(&spec.name, Some(force)).await;
                    Err(error)
                }
            }
        })
    }

    fn start(&self, name: &str) -> Result<(), HostError> {
        self.call(|docker| async move {
            docker
                .start_container(
                    name,
                    None::<bollard::query_parameters::StartContainerOptions>,
                )
                .await
        })
    }

    fn restart(&self, name: &str) -> Result<(), HostError> {
        self.call(|docker| async move {
            docker
                .restart_container(
                    name,
                    Some(RestartContainerOptionsBuilder::new().t(30).build()),
                )
                .await
        })
    }

    fn stop(&self, name: &str) -> Result<(), HostError> {
        self.call_if_there(|docker| async move {
            docker
                .stop_container(name, Some(StopContainerOptionsBuilder::new().t(30).build()))
                .await
        })
        .map(|_| ())
    }

    fn remove(&self, name: &str) -> Result<(), HostError> {
        self.stop(name)?;
        self.call_if_there(|docker| async move {
            docker
                .remove_container(
                    name,
                    Some(RemoveContainerOptionsBuilder::new().force(true).build()),
                )
                .await
        })
        .map(|_| ())
    }

    fn set_restart_policy(&self, name: &str, policy: &str) -> Result<(), HostError> {
        let update = ContainerUpdateBody {
            restart_policy: Some(policy_from(policy)),
            ..ContainerUpdateBody::default()
        };
        self.call(|docker| async move { docker.update_container(name, update).await })
    }

    fn rename(&self, name: &str, new: &str, restart_policy: &str) -> Result<(), HostError> {
        self.set_restart_policy(name, restart_policy)?;
        self.call(|docker| async move {
            docker
                .rename_container(name, RenameContainerOptionsBuilder::new().name(new).build())
                .await
        })
    }

    fn exec(&self, name: &str, argv: &[&str]) -> Result<Outcome, HostError> {
        self.call(|docker| docker_exec::run(docker, name, argv))
    }

    fn exec_to_file(
        &self,
        name: &str,
        argv: &[&str],
        file: &Path,
        is_stop_wanted: &dyn Fn() -> bool,
    ) -> Result<Outcome, HostError> {
        let (runtime, docker) = self.connection()?;
        let work = docker_exec::run_to_file(docker, name, argv, file, is_stop_wanted);
        runtime.block_on(work).map_err(|error| refuse(&error))
    }

    fn follow_logs(&self, name: &str, line: &mut dyn FnMut(&str) -> bool) -> Result<(), HostError> {
        let (runtime, docker) = self.connection()?;
        runtime.block_on(async {
            let options = bollard::query_parameters::LogsOptionsBuilder::new()
                .follow(true)
                .stdout(true)
                .stderr(true)
                .timestamps(true)
                .tail("0")
                .build();
            let mut stream = std::pin::pin!(docker.logs(name, Some(options)));
            while let Some(part) = stream.next().await {
                let bytes = part.map_err(|error| refuse(&error))?.into_bytes();
                if !String::from_utf8_lossy(&bytes).lines().all(&mut *line) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn logs(&self, name: &str, lines: u32) -> Result<String, HostError> {
        self.call(|docker| async move {
            let options = bollard::query_parameters::LogsOptionsBuilder::new()
                .stdout(true)
                .stderr(true)
                .timestamps(true)
                .tail(&lines.to_string())
                .build();
            let mut stream = std::pin::pin!(docker.logs(name, Some(options)));
            let mut text = String::new();
            while let Some(part) = stream.next().await {
                text.push_str(&String::from_utf8_lossy(&part?.into_bytes()));
            }
            Ok(text)
        })
    }
}

#[cfg(test)]
#[path = "docker_engine_tests.rs"]
mod tests;
