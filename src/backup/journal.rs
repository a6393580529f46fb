use super::Backups;
use crate::host::Invocation;
use crate::model::Name;

/// How bad it is, in the journal's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Priority {
    Error = 3,
    Notice = 5,
}

impl Backups<'_> {
    /// Says it in the journal, with fields that programs can look for. A journal that takes nothing stops no backup.
    pub(super) fn tell(
        &self,
        priority: Priority,
        event: &str,
        stack: &Name,
        id: Option<&str>,
        text: &str,
    ) {
        let entry = entry(priority, event, stack, id, text);
        let logger = Invocation::new("logger", &["--journald"]).input(entry.into_bytes());
        let _ = self.engine.host.processes.run(&logger);
    }
}

fn entry(priority: Priority, event: &str, stack: &Name, id: Option<&str>, text: &str) -> String {
    // A line each: no text may begin a field of its own.
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let mut entry = format!(
        "MESSAGE={text}\nPRIORITY={}\nSYSLOG_IDENTIFIER=tavern-backup\nTAVERN_EVENT={event}\nTAVERN_STACK={stack}\n",
        priority as u8
    );
    if let Some(id) = id {
        entry.push_str(&format!("TAVERN_BACKUP={id}\n"));
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_begins_a_field() {
        let stack = "counter".parse().unwrap();
        let entry = entry(
            Priority::Error,
            "drill-failed",
            &stack,
            None,
            "bad\nPRIORITY=7",
        );
        assert!(
            entry.starts_with("MESSAGE=bad PRIORITY=7\nPRIORITY=3\n"),
            "{entry}"
        );
    }
}
