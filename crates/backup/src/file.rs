//! Copying single files: durable, hashed on the way, never over another.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::Path;

use crate::error::{At as _, Result};
use crate::manifest::{CHUNK_BYTES, Hashed, Hasher};

/// Copies a file with its mode and time of change, and syncs it. `between` is told of the bytes copied.
pub(crate) fn copy(from: &Path, to: &Path, between: &mut dyn FnMut(u64)) -> Result<Hashed> {
    let mut source = File::open(from).at("open", from)?;
    let meta = source.metadata().at("look at", from)?;
    // Nobody else can open it before its mode is right.
    let mut target =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).at("make", to)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let count = source.read(&mut buffer).at("read", from)?;
        let Some(data) = buffer.get(..count).filter(|data| !data.is_empty()) else { break };
        hasher.update(data);
        target.write_all(data).at("write", to)?;
        between(count as u64);
    }
    let mode = fs::Permissions::from_mode(meta.mode() & 0o777);
    target.set_permissions(mode).at("set the mode of", to)?;
    if let Ok(changed) = meta.modified() {
        target.set_modified(changed).at("set the time of", to)?;
    }
    target.sync_all().at("sync", to)?;
    Ok(hasher.finish())
}

/// Hashes a file.
pub(crate) fn hash(path: &Path, between: &mut dyn FnMut(u64)) -> Result<Hashed> {
    let mut file = File::open(path).at("open", path)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let count = file.read(&mut buffer).at("read", path)?;
        let Some(data) = buffer.get(..count).filter(|data| !data.is_empty()) else { break };
        hasher.update(data);
        between(count as u64);
    }
    Ok(hasher.finish())
}

/// Makes a folder that only its owner may enter until its mode is set. One that is there is no error.
pub(crate) fn make_dir(path: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error).at("make", path),
        _ => Ok(()),
    }
}

/// Makes a folder durable: the names in it.
pub(crate) fn sync_dir(path: &Path) -> Result<()> {
    File::open(path).and_then(|dir| dir.sync_all()).at("sync", path)
}

/// The names in a folder, sorted.
pub(crate) fn names(dir: &Path) -> Result<Vec<std::ffi::OsString>> {
    let names =
        fs::read_dir(dir).and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    let mut names: Vec<_> = names.at("list", dir)?;
    names.sort();
    Ok(names)
}
