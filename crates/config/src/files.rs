//! Reading and writing whole files.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use mox_sconf::DOCUMENT_BYTES_MAX;

/// Reads a text, with an error that names the line of what is not UTF-8.
///
/// Reads no more than a document may have, and one byte more so that it is seen to be too long.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(DOCUMENT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(valid).filter(|b| **b == b'\n').count() + 1;
        io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is not valid UTF-8"))
    })
}

/// Replaces a file so that a crash at any point leaves the old or the new text.
///
/// Writes a file beside it, syncs, renames, syncs the directory. Mode and owner stay, or the mode
/// is 0660 for a new file. A file left over from a crash is overwritten the next time. If the path
/// is a symbolic link, the file it leads to is replaced.
///
/// # Errors
///
/// Those of the disk; the file is as it was, unless only the last sync failed.
pub fn write_atomically(path: &Path, text: &str) -> io::Result<()> {
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error),
    };
    let beside = beside(&path);
    let result = replace(&path, &beside, text);
    if result.is_err() {
        // What counts is the first error.
        let _removed = fs::remove_file(&beside);
    }
    result
}

/// `/etc/mox/.domains.conf.new` for `/etc/mox/domains.conf`.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}

fn replace(path: &Path, beside: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    // Nobody else reads it before it has the mode of the old file.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(beside)?;
    keep_mode_and_owner(path, &file)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(beside, path)?;
    #[cfg(unix)]
    fs::File::open(crate::snapshot::dir_of(path))?.sync_all()?;
    Ok(())
}

#[cfg(unix)]
fn keep_mode_and_owner(path: &Path, file: &fs::File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

    let Ok(old) = fs::metadata(path) else {
        return file.set_permissions(fs::Permissions::from_mode(0o660));
    };
    let new = file.metadata()?;
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        fchown(file, Some(old.uid()), Some(old.gid()))?;
    }
    file.set_permissions(old.permissions())
}

#[cfg(not(unix))]
fn keep_mode_and_owner(path: &Path, file: &fs::File) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(old) => file.set_permissions(old.permissions()),
        Err(_) => Ok(()),
    }
}
