//! Gives memory back that a flood of connections took: the allocator would keep it for the next one.

use std::time::Duration;

const PAUSE: Duration = Duration::from_secs(5);

/// Gives back for ever, what there is.
pub async fn keep_small() {
    loop {
        tokio::time::sleep(PAUSE).await;
        trim();
    }
}

#[cfg(target_env = "gnu")]
#[allow(
    unsafe_code,
    reason = "the allocator of the C library has no safe door"
)]
fn trim() {
    // SAFETY: malloc_trim has no conditions: it takes the allocator's own locks, and gives back only
    // pages that nothing was allocated from.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(target_env = "gnu"))]
fn trim() {}
