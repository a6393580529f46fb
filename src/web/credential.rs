//! Credentials: files in one directory (systemd's `$CREDENTIALS_DIRECTORY`). The only place of a
//! service that reads them, so that a secret has one way in.
#![allow(
    clippy::disallowed_methods,
    reason = "a service reads its credentials itself; it has no host adapter"
)]

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// No credential is longer; a mistaken path to something huge fails early.
const MAX_BYTES: u64 = 256 * 1024;

#[derive(Debug, Error)]
pub enum CredentialError {
    #[error(
        "credential {} is missing\nhelp: the unit needs `LoadCredential={name}:…`", path.display()
    )]
    Missing { name: String, path: PathBuf },
    #[error("credential {} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(
        "credential {} can be read by everybody (mode {mode:04o})\nhelp: chmod 0400", path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
    #[error("credential {} is empty", path.display())]
    Empty { path: PathBuf },
    #[error("credential {} is longer than {MAX_BYTES} bytes", path.display())]
    TooLong { path: PathBuf },
    #[error("credential {} is not UTF-8 text", path.display())]
    NotText { path: PathBuf },
}

/// A secret text. It can be neither printed nor logged by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Reads one credential, without its trailing line end.
pub fn read(directory: &Path, name: &str) -> Result<Secret, CredentialError> {
    let path = directory.join(name);
    let unreadable = |source| CredentialError::Unreadable {
        path: path.clone(),
        source,
    };
    let metadata = match std::fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(CredentialError::Missing {
                name: name.to_owned(),
                path,
            });
        }
        Err(source) => return Err(unreadable(source)),
    };
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o007 != 0 {
        return Err(CredentialError::Exposed { path, mode });
    }
    if metadata.len() > MAX_BYTES {
        return Err(CredentialError::TooLong { path });
    }
    let bytes = std::fs::read(&path).map_err(unreadable)?;
    let Ok(text) = String::from_utf8(bytes) else {
        return Err(CredentialError::NotText { path });
    };
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err(CredentialError::Empty { path });
    }
    Ok(Secret(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, name: &str, text: &[u8], mode: u32) {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn reads_and_trims_the_line_end_only() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "a", b" pass word \n", 0o400);
        assert_eq!(read(directory.path(), "a").unwrap().expose(), " pass word ");
    }

    #[test]
    fn fails_closed() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "open", b"x", 0o604);
        write(directory.path(), "empty", b"\n", 0o400);
        write(directory.path(), "binary", b"\xff\xfe", 0o400);
        let error = |name| read(directory.path(), name).unwrap_err();
        assert!(matches!(error("gone"), CredentialError::Missing { .. }));
        assert!(matches!(
            error("open"),
            CredentialError::Exposed { mode: 0o604, .. }
        ));
        assert!(matches!(error("empty"), CredentialError::Empty { .. }));
        assert!(matches!(error("binary"), CredentialError::NotText { .. }));
    }

    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".into())), "[secret]");
    }
}
