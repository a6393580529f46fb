use std::collections::HashMap;

use bollard::errors::Error;
use bollard::query_parameters::ListContainersOptionsBuilder;

/// The containers that run and may write to a volume, by name.
pub(super) async fn of(docker: &bollard::Docker, volume: &str) -> Result<Vec<String>, Error> {
    let filters = HashMap::from([("volume", vec![volume])]);
    // Those that run, paused ones and those about to start again among them.
    let options = ListContainersOptionsBuilder::new()
        .filters(&filters)
        .build();
    let found = docker.list_containers(Some(options)).await?;
    let writers = found.into_iter().filter(|container| {
        let mut mounts = container.mounts.iter().flatten();
        mounts.any(|mount| mount.name.as_deref() == Some(volume) && mount.rw != Some(false))
    });
    // By the links of others it has more names, with a part before.
    let named = writers.filter_map(|container| {
        let names = container.names?;
        let mut names = names.iter().map(|name| name.trim_start_matches('/'));
        names.find(|name| !name.contains('/')).map(str::to_owned)
    });
    Ok(named.collect())
}
