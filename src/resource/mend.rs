use serde::{Deserialize, Serialize};

/// What must be done to a container that is not as it was applied. Each includes those after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mend {
    /// Its image is gone: get it again.
    Image,
    /// It is gone: make it.
    Create,
    /// It is there with other settings, or of another image: make it anew.
    Renew,
    /// It is stopped: start it.
    Start,
    /// It runs and does not answer: restart it.
    Answer,
}

impl Mend {
    /// All of them, first to last.
    pub const ALL: [Self; 5] = [
        Self::Image,
        Self::Create,
        Self::Renew,
        Self::Start,
        Self::Answer,
    ];

    /// What failed, or is to be done.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Create => "create",
            Self::Renew => "renew",
            Self::Start => "start",
            Self::Answer => "answer",
        }
    }
}

/// How a container of ours is, at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sight {
    /// Runs and answers.
    Right,
    /// Runs and says that it is still reading its data.
    Loading,
    /// Runs and does not answer, or not yet.
    Silent,
    /// Runs, does not answer, and Docker's own health check has given it up.
    Unhealthy,
    /// Its process ended, and Docker is about to start it again.
    Restarting,
    /// There, and does not run.
    Stopped,
    /// Not as it was applied: other settings, other mounts, another image.
    Changed,
    /// Not there.
    Missing,
    /// Not there, nor is the image to make it from.
    NoImage,
    /// Somebody else's container has its name.
    Foreign,
    /// Docker does not answer.
    NoDocker,
}

impl Sight {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Right,
        Self::Loading,
        Self::Silent,
        Self::Unhealthy,
        Self::Restarting,
        Self::Stopped,
        Self::Changed,
        Self::Missing,
        Self::NoImage,
        Self::Foreign,
        Self::NoDocker,
    ];
}
