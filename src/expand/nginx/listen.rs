use crate::expand::Edge;
use crate::model::Facts;

/// What `listen` says for a port.
pub(super) fn listens(port: u16, facts: &Facts, edge: &Edge) -> Vec<String> {
    let (v4, v6) = if edge.loopback_only {
        ("127.0.0.1:", "[::1]:")
    } else {
        ("", "[::]:")
    };
    let mut listens = vec![format!("{v4}{port}")];
    if facts.ipv6 {
        listens.push(format!("{v6}{port}"));
    }
    listens
}
