//! Putting a backup back.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use crate::error::{At as _, BackupError, Result};
use crate::file;
use crate::layout::{CONFIG, DATA};
use crate::manifest::{Entry, Kind, Manifest};
use crate::run::Progress;
use crate::verify::difference;

/// What was put back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Names that may be in a data directory that is not used: the lock of whoever restores.
const UNUSED: [&str; 1] = ["lock"];

/// Puts the data directory of a backup back into `data`, which must be missing or empty but for its
/// lock; and its configuration into `config`, if that is wanted, likewise. Every file is compared with
/// its checksum on the way.
///
/// # Errors
///
/// [`BackupError::NotEmpty`] if there is anything already, else at the first file that is damaged or
/// cannot be written: what is there by then is not complete.
pub fn restore(
    backup: &Path,
    data: &Path,
    config: Option<&Path>,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Restored> {
    let manifest = Manifest::read(backup)?;
    for dir in [Some(data), config].into_iter().flatten() {
        check_unused(dir)?;
    }
    let mut put =
        Put { backup, restored: Restored::default(), progress: Progress::default(), watch };
    put.tree(&manifest, DATA, data)?;
    if let Some(config) = config {
        put.tree(&manifest, CONFIG, config)?;
    }
    Ok(put.restored)
}

/// Refuses a folder that has anything in it.
///
/// # Errors
///
/// [`BackupError::NotEmpty`].
pub fn check_unused(dir: &Path) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    let is_used = file::names(dir)?.iter().any(|name| !UNUSED.iter().any(|unused| name == unused));
    if is_used { Err(BackupError::NotEmpty(dir.to_owned())) } else { Ok(()) }
}

pub(crate) struct Put<'a> {
    pub(crate) backup: &'a Path,
    pub(crate) restored: Restored,
    pub(crate) progress: Progress,
    pub(crate) watch: &'a mut dyn FnMut(&Progress),
}

impl Put<'_> {
    /// Copies everything of the manifest below `root` to `target`.
    pub(crate) fn tree(&mut self, manifest: &Manifest, root: &str, target: &Path) -> Result<()> {
        let below = |entry: &Entry| {
            let rest = entry.path.strip_prefix(root)?;
            Some(rest.strip_prefix('/').unwrap_or(rest).to_owned())
                .filter(|_| rest.is_empty() || rest.starts_with('/'))
        };
        fs::create_dir_all(target).at("make", target)?;
        let mut folders = Vec::new();
        for entry in &manifest.entries {
            let Some(rest) = below(entry) else { continue };
            let to = if rest.is_empty() { target.to_owned() } else { target.join(&rest) };
            if entry.kind == Kind::Directory {
                file::make_dir(&to)?;
                folders.push((to, entry.mode_bits()));
            } else {
                self.one(entry, &to)?;
            }
        }
        // From within, so that a mode without writing keeps nothing out.
        for (folder, mode) in folders.iter().rev() {
            fs::set_permissions(folder, fs::Permissions::from_mode(*mode))
                .at("set the mode of", folder)?;
            file::sync_dir(folder)?;
        }
        file::sync_dir(target)
    }

    fn one(&mut self, entry: &Entry, to: &Path) -> Result<()> {
        let from = self.backup.join(&entry.path);
        if entry.kind == Kind::Symlink {
            let target = entry.target.as_deref().unwrap_or_default();
            return symlink(target, to).at("make", to);
        }
        self.progress.path.clone_from(&entry.path);
        let (progress, watch) = (&mut self.progress, &mut self.watch);
        let hashed = file::copy(&from, to, &mut |bytes| {
            progress.bytes += bytes;
            watch(progress);
        })?;
        if let Some(what) = difference(entry, &hashed) {
            // A damaged file must not be taken for a good one.
            let _removed = fs::remove_file(to);
            return Err(BackupError::Damaged { path: entry.path.clone(), what });
        }
        fs::set_permissions(to, fs::Permissions::from_mode(entry.mode_bits()))
            .at("set the mode of", to)?;
        self.progress.files += 1;
        self.restored.files += 1;
        self.restored.bytes += entry.size;
        Ok(())
    }
}
