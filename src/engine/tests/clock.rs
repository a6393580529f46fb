use std::time::Duration;

use super::rig::{Files, Rig};
use crate::engine::{Request, Source};
use crate::host::memory::MemoryHost;

fn stack(host: &str) -> Files {
    let text = format!(
        "name = \"pages\"\nhosts = [\"{host}\"]\n\n[tls]\nissuer = \"self-signed\"\n\n\
         [[site]]\npath = \"/\"\nname = \"pages\"\nstatic = \"pages\"\n"
    );
    Files::from([("pages".to_owned(), text)])
}

#[test]
fn generations_are_ordered_by_number_whatever_the_clock_says() {
    let rig = Rig::new(MemoryHost::prepared());
    rig.declare(&stack("a.example"));
    rig.install(None).unwrap();
    rig.memory.machine().set_back = Duration::from_secs(2 * 24 * 3600);
    rig.declare(&stack("b.example"));
    rig.install(None).unwrap();
    let engine = rig.engine();
    assert_eq!(engine.generations().unwrap(), [1, 2]);
    let at = |generation| engine.about(generation).unwrap().at;
    assert!(at(2) < at(1), "the clock did jump");
    assert_eq!(engine.receipt().unwrap().generation, 2);
    let request = Request {
        source: Source::Generation(1),
        ..Request::default()
    };
    engine.install(None, &request).unwrap();
    assert_eq!(engine.generations().unwrap(), [1, 2, 3]);
    assert!(rig.plan().unwrap().is_empty());
}
