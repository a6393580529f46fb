use std::path::Path;

use super::*;
use crate::stack::{DEFAULT, StackError, parse};

fn with(lines: &str) -> Result<Backup, StackError> {
    let text = format!("{DEFAULT}\n[backup]\n{lines}\n");
    parse(Path::new("counter.toml"), text.as_bytes()).map(|stack| stack.backup.unwrap())
}

#[test]
fn a_target_is_enough() {
    let backup = with("to = \"/srv/backup/\"").map(|backup| backup.to);
    assert!(backup.is_err(), "a slash too many");
    let backup = with("to = \"/srv/backup\"").unwrap();
    let name: Name = "counter".parse().unwrap();
    assert_eq!(backup.to.repository(&name), "/srv/backup/counter");
    assert_eq!(backup.keep, Retention::default());
    assert_eq!(backup.at, "*-*-* 03:00:00");
    assert_eq!(backup.drill, Interval::Weekly);
}

#[test]
fn every_kind_of_target() {
    let name: Name = "counter".parse().unwrap();
    for (text, repository) in [
        (
            "to = \"sftp:ann@box.example:/data\"",
            "sftp:ann@box.example:/data/counter",
        ),
        (
            "to = \"s3:https://s3.example/bucket\"\ncredentials = \"s3\"",
            "s3:https://s3.example/bucket/counter",
        ),
    ] {
        assert_eq!(with(text).unwrap().to.repository(&name), repository);
    }
}

#[test]
fn times_of_day() {
    for (text, calendar) in [
        ("04:30", "*-*-* 04:30:00"),
        ("Sun 04:30", "Sun *-*-* 04:30:00"),
        ("Mon..Fri 23:59", "Mon..Fri *-*-* 23:59:00"),
        ("hourly", "hourly"),
    ] {
        let backup = with(&format!("to = \"/srv/backup\"\nat = \"{text}\"")).unwrap();
        assert_eq!(backup.at, calendar);
    }
}

#[test]
fn each_mistake_has_its_place_and_help() {
    for lines in [
        "to = \"srv/backup\"",
        "to = \"ftp://box/\"",
        "to = \"/srv/../etc\"",
        "to = \"/var/lib/tavern/backup\"",
        "to = \"/etc/tavern\"",
        "to = \"sftp:box\"",
        "to = \"sftp:-oProxyCommand=x:/y\"",
        "to = \"sftp:a@-oX:/y\"",
        "to = \"s3:https://s3.example/bucket\"",
        "to = \"s3:https://key:secret@s3.example/bucket\"\ncredentials = \"s3\"",
        "to = \"s3:https://s3.example/bucket\"\ncredentials = \"jwt-key\"",
        "to = \"/srv/backup\"\ncredentials = \"s3\"",
        "to = \"/srv/backup\"\nat = \"25:00\"",
        "to = \"/srv/backup\"\nat = \"3:00\"",
        "to = \"/srv/backup\"\nat = \"03:00\\nExecStart=x\"",
        "to = \"/srv/backup\"\nat = \"Som 03:00\"",
        "to = \"/srv/backup\"\nkeep = { daily = 0 }",
        "to = \"/srv/backup\"\nkeep = { yearly = 1 }",
        "to = \"/srv/backup\"\ndrill = \"never\"",
        "to = \"/srv/backup\"\ndirectories = [\"/\"]",
        "to = \"/srv/backup\"\ndirectories = [\"/srv/backup/x\"]",
        "to = \"/srv/data/backup\"\ndirectories = [\"/srv/data\"]",
        "to = \"/srv/backup\"\ndirectories = [\"/var/lib\"]",
        "to = \"/srv/backup\"\nsqlite = [\"shop.db\"]",
        "to = \"/srv/backup\"\nsqlite = [\"/srv/a'b.db\"]",
        "to = \"/srv/backup\"\nsqlite = [\"/etc/tavern/x.db\"]",
        "to = \"/srv/backup\"\nsqlite = [\"/shop.db\"]",
        "to = \"/srv/backup\"\nsqlite = [\"/srv/shop.db-wal\"]",
        "to = \"/srv/backup\"\nsqlite = [\"/srv/a.db\", \"/srv/a.db\"]",
        "to = \"/srv/backup\"\ndirectories = [\"/srv/x\"]\nsqlite = [\"/srv/x/a.db\"]",
        "to = \"/srv/backup\"\nwhere = 1",
        "to = \"/srv/backup\"\ndirectories = [\"/srv/a\", \"/srv/a\"]",
        "to = \"/srv/backup\"\ndirectories = [\"/srv/a\", \"/srv/a/b\"]",
        "to = \"/srv/backup\"\ndirectories = [\"/srv/a/b\", \"/srv/a\"]",
        "to = \"/srv/backup\"\ndirectories = [\"/var/www/counter/open\"]",
        "to = \"/srv/backup\"\ndirectories = [\"/var/www\"]",
    ] {
        let error = with(lines).expect_err(lines);
        let text = error.to_string();
        assert!(text.contains('^'), "{lines}: {text}");
        assert!(error.help().is_some(), "{lines}: {text}");
    }
}
