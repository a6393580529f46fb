//! Images: looked for, pulled, loaded, removed.
#![allow(clippy::disallowed_methods, reason = "reads the image to be loaded")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use bollard::errors::Error;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ImportImageOptions, ListContainersOptionsBuilder,
    ListImagesOptionsBuilder, RemoveImageOptions, TagImageOptionsBuilder,
};
use futures_util::StreamExt;
use hyper::body::Bytes;
use tokio::io::AsyncReadExt;

use super::HostError;
use super::docker::FoundImage;
use super::docker_error::{absent_is_none, said};
use super::docker_login::RegistryLogin;
use crate::model::ImageRef;

/// A pull ends when nothing came for this long.
const PULL_STALL: Duration = Duration::from_secs(120);

/// A load ends when the engine said nothing for this long.
const LOAD_STALL: Duration = Duration::from_secs(300);

/// How long a registry may take to say which image a tag is.
const ASK: Duration = Duration::from_secs(15);

const PART: usize = 256 * 1024;

pub(super) async fn find(
    docker: &bollard::Docker,
    name: &str,
) -> Result<Option<FoundImage>, Error> {
    let found = absent_is_none(docker.inspect_image(name).await)?;
    Ok(found.and_then(|image| {
        Some(FoundImage {
            id: image.id?,
            digests: image.repo_digests.unwrap_or_default(),
        })
    }))
}

pub(super) async fn all(docker: &bollard::Docker) -> Result<BTreeSet<String>, Error> {
    let options = ListImagesOptionsBuilder::new().all(true).build();
    let images = docker.list_images(Some(options)).await?;
    Ok(images.into_iter().map(|image| image.id).collect())
}

pub(super) async fn in_use(docker: &bollard::Docker) -> Result<BTreeSet<String>, Error> {
    let options = ListContainersOptionsBuilder::new().all(true).build();
    let containers = docker.list_containers(Some(options)).await?;
    let ids = containers.into_iter().filter_map(|one| one.image_id);
    Ok(ids.collect())
}

/// A login as the engine takes it, or why it cannot be given.
fn with(login: Option<&RegistryLogin>) -> Result<Option<bollard::auth::DockerCredentials>, String> {
    match login {
        Some(login) if !login.can_be_sent() => Err(
            "the password of its registry has a character that cannot be handed on (`~`, `?` or `>`): use another"
                .to_owned(),
        ),
        login => Ok(login.map(RegistryLogin::credentials)),
    }
}

/// Asks the registry which image a tag is now.
pub(super) async fn digest(
    docker: &bollard::Docker,
    image: &ImageRef,
    login: Option<&RegistryLogin>,
) -> Result<String, HostError> {
    let failed = |message: String| HostError::Docker {
        message: format!("cannot ask which image {image} is: {message}"),
        help: "the registry must be reachable, and its login in the `auth-file` or in /root/.docker/config.json",
    };
    let login = with(login).map_err(failed)?;
    let asked = docker.inspect_registry_image(image.as_str(), login);
    let answer = tokio::time::timeout(ASK, asked)
        .await
        .map_err(|_| failed(format!("no answer within {} s", ASK.as_secs())))?
        .map_err(|error| failed(said(&error)))?;
    let digest = answer.descriptor.digest.unwrap_or_default();
    if digest.starts_with("sha256:") {
        Ok(digest)
    } else {
        Err(failed("it names no digest".to_owned()))
    }
}

pub(super) async fn pull(
    docker: &bollard::Docker,
    name: &str,
    login: Option<&RegistryLogin>,
    progress: &mut dyn FnMut(&str),
) -> Result<(), HostError> {
    let failed = |message: String| HostError::Docker {
        message: format!("cannot pull {name}: {message}"),
        help: if is_about_a_login(&message) {
            "the registry wants a login: `docker login` as root, or `auth-file` in the stack file"
        } else {
            "without a network: `docker load` the image from a file on another machine, then run it again"
        },
    };
    let login = with(login).map_err(failed)?;
    let options = CreateImageOptionsBuilder::new().from_image(name).build();
    let mut stream = std::pin::pin!(docker.create_image(Some(options), None, login));
    loop {
        let next = tokio::time::timeout(PULL_STALL, stream.next())
            .await
            .map_err(|_| failed(format!("nothing came for {} s", PULL_STALL.as_secs())))?;
        let Some(item) = next else { return Ok(()) };
        // The answer began with 200: what went wrong later stands in the stream.
        let info = item.map_err(|error| failed(said(&error)))?;
        if let Some(error) = info.error_detail {
            return Err(failed(error.message.unwrap_or_default()));
        }
        if let Some(status) = info.status {
            progress(&match info.id {
                Some(layer) => format!("{layer}: {status}"),
                None => status,
            });
        }
    }
}

fn is_about_a_login(message: &str) -> bool {
    [
        "unauthorized",
        "authentication required",
        "no basic auth",
        "denied",
    ]
    .iter()
    .any(|word| message.contains(word))
}

pub(super) async fn tag(
    docker: &bollard::Docker,
    id: &str,
    reference: &ImageRef,
) -> Result<(), Error> {
    let name = reference.name();
    let tag = reference.as_str()[name.len()..]
        .split('@')
        .next()
        .unwrap_or_default();
    let options = TagImageOptionsBuilder::new()
        .repo(name)
        .tag(tag.trim_start_matches(':'))
        .build();
    docker.tag_image(id, Some(options)).await
}

pub(super) async fn remove(docker: &bollard::Docker, name: &str) -> Result<(), Error> {
    match docker
        .remove_image(name, None::<RemoveImageOptions>, None)
        .await
    {
        Ok(_)
        | Err(Error::DockerResponseServerError {
            status_code: 404 | 409,
            ..
        }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Loads an image from a file that `docker save` wrote.
pub(super) async fn load(docker: &bollard::Docker, file: &Path) -> Result<(), HostError> {
    let failed = |message: String| HostError::Docker {
        message: format!("cannot load {}: {message}", file.display()),
        help: "`docker load --input` of that file says more; `docker save` makes such a file",
    };
    let opened = tokio::fs::File::open(file)
        .await
        .map_err(|error| failed(error.to_string()))?;
    let parts = futures_util::stream::unfold(opened, |mut file| async move {
        let mut part = vec![0; PART];
        match file.read(&mut part).await {
            Ok(0) => None,
            Ok(length) => {
                part.truncate(length);
                Some((Ok(Bytes::from(part)), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    });
    let answer = docker.import_image(
        ImportImageOptions::default(),
        bollard::body_try_stream(parts),
        None,
    );
    let mut answer = std::pin::pin!(answer);
    loop {
        let next = tokio::time::timeout(LOAD_STALL, answer.next())
            .await
            .map_err(|_| failed(said(&Error::RequestTimeoutError)))?;
        match next {
            Some(part) => part.map_err(|error| failed(said(&error)))?,
            None => return Ok(()),
        };
    }
}
