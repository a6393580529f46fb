//! What is noted of a drill.

use std::time::Duration;

use super::{Bench, ID, made};
use crate::backup::{BackupError, Backups};

/// bug: a drill filled the disk that the site is on, and a backup that did not fit was no longer good.
#[test]
fn a_drill_that_does_not_fit_is_not_begun() {
    let snapshots = format!(
        "[{{\"id\":\"{ID}\",\"short_id\":\"8f1c2d3e\",\"time\":\"2026-11-18T03:00:00Z\",\"tags\":[\"tavern\"]}}]"
    );
    let manifest = "{\"version\":1,\"tavern\":\"0.1.0\",\"stack\":\"web\",\"made\":1,\"files\":{},\
                    \"stores\":[],\"trees\":[]}";
    let full =
        "ignoring error for /x: write /x: no space left on device\nFatal: There were 1 errors\n";
    for (size, restored) in [("9000000000000", 0), ("1000", 1)] {
        let stats = format!("{{\"total_size\":{size},\"total_file_count\":3}}");
        let bench = Bench::new(&[
            ("restic snapshots", 0, &snapshots, ""),
            ("restic dump", 0, manifest, ""),
            ("restic stats", 0, &stats, ""),
            ("restic restore", restored, "", full),
        ]);
        bench.note(&made(None));
        let error = bench
            .with(|backups| backups.drill(&bench.stack, false))
            .err()
            .unwrap();
        assert!(matches!(error, BackupError::NoRoom { .. }), "{error}");
        assert_eq!(bench.was_asked("restore 8f1c"), restored == 1);
        let record = bench.record();
        assert!(record.good.is_some() && record.drill.unwrap().fault.is_some());
    }
}

/// bug: a drill that found no end of a first upload, or could not begin, was never heard of.
#[test]
fn a_drill_that_was_not_begun_is_noted() {
    let drill = |bench: &Bench| {
        bench.with(|backups| {
            let hurried = Backups {
                engine: backups.engine,
                patience: Duration::ZERO,
            };
            hurried.drill(&bench.stack, false).err().unwrap()
        })
    };
    // Another is at work: it says nothing of any backup, and the journal has it.
    let bench = Bench::new(&[]);
    let at_work = bench.with(|backups| backups.alone()).unwrap();
    bench.note(&made(None));
    drill(&bench);
    let record = bench.record();
    assert!(record.good.is_some() && record.drill.is_none());
    assert_eq!(bench.said.lock().unwrap().asked, ["logger --journald"]);
    drop(at_work);

    let mut bench = Bench::new(&[]);
    bench.layout.lock = "/nonexistent/lock".into();
    bench.note(&made(None));
    drill(&bench);
    let record = bench.record();
    assert!(record.drill.unwrap().fault.unwrap().contains("cannot lock"));
    assert!(record.good.is_some());
    assert_eq!(bench.said.lock().unwrap().asked, ["logger --journald"]);
}
