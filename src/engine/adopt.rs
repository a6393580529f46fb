use std::path::Path;

use super::EngineError;
use crate::host::{FoundContainer, Host, HostError};
use crate::model::ImageRef;
use crate::resource::PathState;
use crate::stack::DEFAULT;

/// The container of the host that the counter stack was modelled on.
const CONTAINER: &str = "redis-flask";

/// Directories of that host's pages, and what the default stack calls them.
const PAGES: [(&str, &str); 3] = [
    ("main", "/var/www/main"),
    ("open", "/var/www/site1"),
    ("close", "/var/www/site2"),
];

/// What a host set up by hand has that the default stack can go on with.
#[derive(Debug, Default, PartialEq, Eq)]
struct Legacy {
    /// Sites of the default stack, with the directory that holds their pages.
    pages: Vec<(&'static str, &'static str)>,
    /// The volume with the count.
    volume: Option<String>,
    /// The Redis that wrote it: a later one's files are unreadable to an earlier one.
    image: Option<ImageRef>,
    /// The key of the count.
    key: Option<String>,
}

impl Legacy {
    /// The stack file that says so. Nothing if there is nothing to go on with.
    fn stack(&self) -> Option<String> {
        if *self == Self::default() {
            return None;
        }
        let mut text = DEFAULT.to_owned();
        let mut put = |key: &str, usual: &str, found: &str| {
            let found = toml::Value::from(found);
            text = text.replace(&format!("{key} = \"{usual}\""), &format!("{key} = {found}"));
        };
        for (name, path) in &self.pages {
            put("static", name, path);
        }
        if let Some(volume) = &self.volume {
            put("volume", "redis-flask-data", volume);
        }
        if let Some(image) = &self.image {
            put("image", "redis:7-alpine", image.as_str());
        }
        if let Some(key) = &self.key {
            put("count-key", "visits", key);
        }
        Some(text)
    }
}

/// The stack file for a host that was set up by hand after the seed: its pages, its volume and its count stay
/// where they are. Nothing if this is not such a host.
///
/// # Errors
/// When the host cannot be asked, or its count cannot be kept.
pub fn legacy_stack(host: &Host) -> Result<Option<String>, EngineError> {
    let mut legacy = Legacy::default();
    for page in PAGES {
        let index = Path::new(page.1).join("index.html");
        if matches!(host.files.state(&index)?, PathState::File { .. }) {
            legacy.pages.push(page);
        }
    }
    if host.files.state(Path::new("/var/run/docker.sock"))? != PathState::Absent
        && let Some(container) = host.docker.container(CONTAINER)?
        && container.stack.is_none()
    {
        legacy.volume = Some(volume(&container)?);
        legacy.image = container.image.parse().ok();
        if container.running {
            legacy.key = Some(count_key(host)?);
        }
    }
    Ok(legacy.stack())
}

/// Where its data is. Without a volume the stack would begin with an empty one, and so lose the count.
fn volume(container: &FoundContainer) -> Result<String, EngineError> {
    if container.auto_remove {
        return Err(EngineError::NotReady {
            what: format!(
                "the container `{CONTAINER}` was made with --rm: stopping it would remove it"
            ),
            help: "run it again without --rm, on the same volume, then run this again".into(),
        });
    }
    container
        .volumes
        .get("/data")
        .cloned()
        .ok_or_else(|| EngineError::NotReady {
            what: format!("the container `{CONTAINER}` keeps /data in no volume"),
            help: "copy its data into a Docker volume and run it from there (`-v NAME:/data`), then run this again"
                .into(),
        })
}

/// The one key that holds a number: the count, whatever its app called it.
fn count_key(host: &Host) -> Result<String, EngineError> {
    let cli = |argv: &[&str]| -> Result<String, HostError> {
        Ok(host
            .docker
            .exec(CONTAINER, &[&["redis-cli"], argv].concat())?
            .stdout)
    };
    let mut counts = Vec::new();
    for key in cli(&["--scan"])?.lines().take(100) {
        if cli(&["GET", key])?.trim().parse::<u64>().is_ok() {
            counts.push(key.to_owned());
        }
    }
    match counts.as_slice() {
        [] => Ok("visits".to_owned()),
        [key] => Ok(key.clone()),
        several if several.iter().any(|key| key == "visits") => Ok("visits".to_owned()),
        several => Err(EngineError::NotReady {
            what: format!("the Redis in `{CONTAINER}` holds several counts: {}", several.join(", ")),
            help: "write /etc/tavern/stacks/counter.toml yourself, with `count-key` naming the right one".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::PathBuf;

    use super::*;
    use crate::stack::{SiteContent, parse};

    #[test]
    fn what_the_old_host_has_is_in_the_stack() {
        let legacy = Legacy {
            pages: PAGES.to_vec(),
            volume: Some("flask-app_redis-data".into()),
            image: "redis:8.2".parse().ok(),
            key: Some("flask:hits".into()),
        };
        let text = legacy.stack().unwrap();
        let stack = parse(&PathBuf::from("counter.toml"), text.as_bytes()).unwrap();
        for (site, (_, path)) in stack.sites.iter().zip(PAGES) {
            assert_eq!(site.content, SiteContent::Directory(path.into()));
        }
        assert_eq!(stack.containers[0].volume, "flask-app_redis-data");
        assert_eq!(stack.containers[0].image.as_str(), "redis:8.2");
        assert_eq!(stack.apps[0].count_key, "flask:hits");
        // A key is somebody's data: whatever it is, it stays a string.
        let odd = Legacy {
            key: Some("a\"\nserve = \"x".into()),
            ..Legacy::default()
        };
        assert!(toml::from_str::<toml::Table>(&odd.stack().unwrap()).is_ok());
    }

    #[test]
    fn another_host_is_none_of_ours() {
        assert_eq!(Legacy::default().stack(), None);
    }

    #[test]
    fn data_outside_a_volume_is_not_lost_in_silence() {
        let mut container = FoundContainer::default();
        assert!(volume(&container).is_err());
        container.volumes = HashMap::from([("/data".to_owned(), "d".to_owned())]);
        assert_eq!(volume(&container).unwrap(), "d");
        container.auto_remove = true;
        assert!(volume(&container).is_err());
    }
}
