//! Reading a directory: a Maildir, a Maildir++, or folders with such and with mbox files in them.

use std::ffi::OsString;
use std::fs::{self, File, FileType};
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use mox_base::UnixSeconds;

use super::layout::{Place, place};
use super::tree::{Entry, Tree, shortened};
use super::{FOLDER_ENTRIES_MAX, Meter, ReadOptions};
use crate::event::{Sink, SourceError};
use crate::maildir_name::KEYWORDS_FILE;

/// How deep directories may lie. Ours.
const DEPTH_MAX: usize = 60;

/// Reads everything below a directory. Links are not followed.
///
/// The names of the files of one folder are held in memory: messages come in the order of their times.
///
/// # Errors
///
/// If the directory cannot be listed, or holds too much. What cannot be read in it is a problem.
pub fn read_directory(
    path: &Path,
    options: &ReadOptions,
    meter: &Meter,
    sink: &mut Sink<'_>,
) -> Result<(), SourceError> {
    let mut walk = Walk { tree: Tree::new(options, sink), meter };
    let listed = list(path).map_err(SourceError::io(path.display()))?;
    walk.folder(path, "", listed, 0)
}

/// A file or directory by its name.
type Listed = Vec<(OsString, FileType)>;

/// What is in a directory, sorted by name.
fn list(path: &Path) -> io::Result<Listed> {
    let mut listed = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if listed.len() == FOLDER_ENTRIES_MAX {
            return Err(io::Error::other("too many files in one directory"));
        }
        listed.push((entry.file_name(), entry.file_type()?));
    }
    listed.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(listed)
}

struct Walk<'a, 's> {
    tree: Tree<'a, 's>,
    meter: &'a Meter,
}

impl Walk<'_, '_> {
    fn folder(
        &mut self,
        path: &Path,
        relative: &str,
        listed: Listed,
        depth: usize,
    ) -> Result<(), SourceError> {
        // The names of the keywords are needed before the messages.
        if listed.iter().any(|(name, kind)| name == KEYWORDS_FILE && kind.is_file()) {
            self.file(&path.join(KEYWORDS_FILE), &join(relative, KEYWORDS_FILE))?;
        }
        self.messages(path, relative, &listed)?;
        for (name, kind) in listed {
            let shown = name.to_string_lossy();
            let inner = join(relative, &shown);
            self.tree.count()?;
            if kind.is_dir() {
                if matches!(&*shown, "cur" | "new" | "tmp") {
                    continue;
                }
                if depth == DEPTH_MAX {
                    self.tree.problem(format!("{}: too deep", shortened(&inner)))?;
                    continue;
                }
                let path = path.join(&name);
                match list(&path) {
                    Ok(listed) => self.folder(&path, &inner, listed, depth + 1)?,
                    Err(error) => self.tree.problem(format!("{}: {error}", shortened(&inner)))?,
                }
            } else if kind.is_file() {
                if name != KEYWORDS_FILE {
                    self.file(&path.join(&name), &inner)?;
                }
            } else {
                self.tree.problem(format!("{}: neither file nor directory", shortened(&inner)))?;
            }
        }
        Ok(())
    }

    /// The messages of a Maildir, if this is one: those in `new` and `cur` together, oldest first.
    fn messages(
        &mut self,
        path: &Path,
        relative: &str,
        listed: &Listed,
    ) -> Result<(), SourceError> {
        let mut files = Vec::new();
        for (name, kind) in listed {
            let shown = name.to_string_lossy();
            if !kind.is_dir() || !matches!(&*shown, "cur" | "new") {
                continue;
            }
            let inner = join(relative, &shown);
            if let Some(Place::Maildir { levels }) = place(&inner, true) {
                self.tree.mailbox(&levels)?;
            }
            match list(&path.join(name)) {
                Ok(listed) => {
                    let is_new = shown == "new";
                    let plain = listed.into_iter().filter(|(_, kind)| kind.is_file());
                    files.extend(plain.map(|(name, _)| (time_in(&name), is_new, name)));
                }
                Err(error) => self.tree.problem(format!("{}: {error}", shortened(&inner)))?,
            }
        }
        files.sort_unstable();
        for (_, is_new, name) in files {
            self.tree.count()?;
            let folder = if is_new { "new" } else { "cur" };
            let inner = join(&join(relative, folder), &name.to_string_lossy());
            self.file(&path.join(folder).join(name), &inner)?;
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, relative: &str) -> Result<(), SourceError> {
        let opened = File::open(path).and_then(|file| file.metadata().map(|meta| (file, meta)));
        let (mut file, meta) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.tree.problem(format!("{}: {error}", shortened(relative))),
        };
        let modified = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified =
            modified.and_then(|time| i64::try_from(time.as_secs()).ok()).map(UnixSeconds);
        let place = place(relative, false);
        // A large file is told as it is read.
        let is_mbox = matches!(place, Some(Place::Mbox { .. }));
        if is_mbox {
            let mut file = self.meter.count(file);
            return self.tree.file(place, Entry { path: relative, modified, content: &mut file });
        }
        self.tree.file(place, Entry { path: relative, modified, content: &mut file })?;
        self.meter.add(meta.len());
        Ok(())
    }
}

fn join(relative: &str, name: &str) -> String {
    if relative.is_empty() { name.to_owned() } else { format!("{relative}/{name}") }
}

/// The number that a name begins with: the time of delivery.
fn time_in(name: &OsString) -> u64 {
    let digits = name.as_encoded_bytes().iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0_u64, |number, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    })
}

/// The bytes of all files below a directory, as deep as it is read.
pub(super) fn size(path: &Path, depth: usize) -> io::Result<u64> {
    let mut total = 0_u64;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_file() {
            total = total.saturating_add(entry.metadata()?.len());
        } else if kind.is_dir() && depth < DEPTH_MAX {
            total = total.saturating_add(size(&entry.path(), depth + 1)?);
        }
    }
    Ok(total)
}
