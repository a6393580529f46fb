use std::fs::{File, Metadata, OpenOptions, metadata};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::libc::{O_CLOEXEC, O_NOCTTY, O_NONBLOCK};
use nix::sys::stat::makedev;

/// Opens what can be read to an end. A fifo would be waited on for ever, and to open a device may be to use it.
pub(super) fn open(path: &Path) -> Result<File> {
    judge(&metadata(path)?)?;
    // What is there may be another thing by now: it is not waited for either.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
        .open(path)?;
    judge(&file.metadata()?)?;
    Ok(file)
}

fn judge(data: &Metadata) -> Result<()> {
    let kind = data.file_type();
    // A unit is masked by a link to the null device.
    let is_null = kind.is_char_device() && data.rdev() == makedev(1, 3);
    let is_special =
        kind.is_fifo() || kind.is_socket() || kind.is_block_device() || kind.is_char_device();
    if is_special && !is_null {
        let what = "it is a fifo, a socket or a device, not a file";
        return Err(Error::new(ErrorKind::InvalidInput, what));
    }
    Ok(())
}
