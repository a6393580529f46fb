//! Validated values that all rooms share, and what the plan must know of the host. Plain data.
//!
//! Every type parses at the edge: once a value exists, it is well-formed.

mod backup_record;
mod byte_size;
mod cidr;
mod facts;
mod hash_cost;
mod header;
mod host_name;
mod image;
mod log_rules;
mod mode;
mod name;
mod paths;
mod redirect;
mod span;
mod url_path;

pub use backup_record::{BackupRecord, Saved, Tried};
pub use byte_size::ByteSize;
pub use cidr::Cidr;
pub use facts::{Facts, NginxVersion, UfwFacts};
pub use hash_cost::HashCost;
pub use header::{HeaderName, HeaderText};
pub use host_name::HostPattern;
pub use image::ImageRef;
pub use log_rules::{JournalRules, LogRules};
pub use mode::Mode;
pub use name::Name;
pub use paths::{CHAIN, KEY, Layout};
pub use redirect::RedirectTo;
pub use span::Span;
pub use url_path::UrlPath;

/// Why a value of the stack file is refused: the sentence and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// What is wrong with the value.
    pub message: String,
    /// What to write instead.
    pub help: std::borrow::Cow<'static, str>,
}

impl Refused {
    fn new(message: impl Into<String>, help: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }
}

/// Between a newtype's sentence and its help when both travel through a serde error as one string.
pub const HELP_MARK: &str = "\u{1f}help: ";

/// Gives a newtype over `String` its text form, its strict parse and its serde form.
macro_rules! text_newtype {
    ($name:ident) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
        $crate::model::serde_by_text!($name);
    };
}

/// Serialises by `Display`, deserialises by `FromStr<Err = Refused>`.
macro_rules! serde_by_text {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(d)?;
                text.parse::<$name>().map_err(|refused| {
                    serde::de::Error::custom(format!(
                        "{}{}{}",
                        refused.message,
                        $crate::model::HELP_MARK,
                        refused.help
                    ))
                })
            }
        }
    };
}
pub(crate) use serde_by_text;
pub(crate) use text_newtype;
