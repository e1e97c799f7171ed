//! What was taken over already: for each folder, up to which UID.
//!
//! A text file: a first line with its version, then for each folder a line `uidvalidity uid name`. It is
//! written anew under another name and put in place, so that a crash leaves the old one. What is not in
//! it is taken over again, and left out as a duplicate: it saves time, nothing depends on it.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::folder::FOLDERS_MAX;

const VERSION: &str = "mox import journal 1";

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// How far a folder was taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Of the folder when it was read.
    pub uidvalidity: u32,
    /// All messages up to this one are in the account.
    pub uid: u32,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// It cannot be read or written.
    #[error("journal {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is another file.
    #[error("{} is no journal of an import", .0.display())]
    NotThat(PathBuf),
}

/// The marks of one account on one server, in a file.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    marks: BTreeMap<String, Mark>,
}

impl Journal {
    /// Opens a journal. A file that does not exist is an empty one.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is something else.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let path = path.to_owned();
        let mut text = String::new();
        let read = match fs::File::open(&path) {
            Ok(file) => file.take(FILE_BYTES_MAX).read_to_string(&mut text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path, marks: BTreeMap::new() });
            }
            Err(error) => Err(error),
        };
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(JournalError::NotThat(path));
            }
            Err(source) => return Err(JournalError::Io { path, source }),
        }
        let mut lines = text.lines();
        if lines.next() != Some(VERSION) {
            return Err(JournalError::NotThat(path));
        }
        let marks = lines.take(FOLDERS_MAX).filter_map(parse_line).collect();
        Ok(Self { path, marks })
    }

    /// How far a folder was taken over, if its UIDs still mean the same.
    #[must_use]
    pub fn uid(&self, wire_name: &str, uidvalidity: u32) -> u32 {
        let mark = self.marks.get(wire_name);
        mark.filter(|mark| uidvalidity != 0 && mark.uidvalidity == uidvalidity)
            .map_or(0, |mark| mark.uid)
    }

    /// Notes that a folder was taken over up to a message, which must be durable by now.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn note(&mut self, wire_name: &str, mark: Mark) -> Result<(), JournalError> {
        self.marks.insert(wire_name.to_owned(), mark);
        let mut text = format!("{VERSION}\n");
        for (name, Mark { uidvalidity, uid }) in &self.marks {
            text.push_str(&format!("{uidvalidity} {uid} {name}\n"));
        }
        let error = |source| JournalError::Io { path: self.path.clone(), source };
        let mut making = self.path.clone().into_os_string();
        making.push(".new");
        let making = PathBuf::from(making);
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&making)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&making, &self.path));
        written.map_err(error)
    }
}

fn parse_line(line: &str) -> Option<(String, Mark)> {
    let (uidvalidity, rest) = line.split_once(' ')?;
    let (uid, name) = rest.split_once(' ')?;
    let mark = Mark { uidvalidity: uidvalidity.parse().ok()?, uid: uid.parse().ok()? };
    Some((name.to_owned(), mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_kept_while_uids_mean_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.uid("a b", 7), 0);
        journal.note("a b", Mark { uidvalidity: 7, uid: 100 }).unwrap();
        journal.note("c", Mark { uidvalidity: 0, uid: 5 }).unwrap();
        let journal = Journal::open(&path).unwrap();
        assert_eq!(
            (journal.uid("a b", 7), journal.uid("a b", 8), journal.uid("a", 7)),
            (100, 0, 0)
        );
        // Without UIDVALIDITY there is nothing to go by.
        assert_eq!(journal.uid("c", 0), 0);
    }

    /// The file in the making was named by the part of the name before its last dot, which others share.
    #[test]
    fn journals_of_like_names_do_not_meet() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("a.example"), dir.path().join("a.new"));
        let mark = Mark { uidvalidity: 7, uid: 100 };
        Journal::open(&other).unwrap().note("x", mark).unwrap();
        Journal::open(&one).unwrap().note("y", mark).unwrap();
        let uids = |path| {
            let journal = Journal::open(path).unwrap();
            (journal.uid("x", 7), journal.uid("y", 7))
        };
        assert_eq!((uids(&one), uids(&other)), ((0, 100), (100, 0)));
    }

    #[test]
    fn another_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes");
        for text in ["remember the milk\n".as_bytes(), b"\xff\xfe"] {
            fs::write(&path, text).unwrap();
            assert!(matches!(Journal::open(&path), Err(JournalError::NotThat(_))));
        }
        assert!(matches!(Journal::open(dir.path()), Err(JournalError::Io { .. })));
    }
}
