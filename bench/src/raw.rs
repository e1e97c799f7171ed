//! The raw rate of the disk, for comparison: small files written and synced, one after another.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

/// The size of a file, that of the messages.
const FILE_BYTES: usize = 5_000;

/// Files written and synced per second, on the disk of `dir`.
pub(crate) fn syncs_per_s(dir: &Path, run: Duration) -> Result<f64> {
    let folder = dir.join("raw");
    fs::create_dir_all(&folder)?;
    let content = vec![b'x'; FILE_BYTES];
    let started = Instant::now();
    let mut files = 0_u32;
    while started.elapsed() < run {
        let mut file = File::create(folder.join(files.to_string()))?;
        file.write_all(&content)?;
        file.sync_all()?;
        files += 1;
    }
    let rate = f64::from(files) / started.elapsed().as_secs_f64();
    fs::remove_dir_all(&folder)?;
    Ok(rate)
}
