//! Reading a zip file of Maildirs and mbox files.

use std::io::{Read, Seek};

use mox_base::{DateTime, UnixSeconds};
use zip::ZipArchive;
use zip::read::ZipFile;

use super::layout::{Place, place};
use super::tree::{Entry, Tree, shortened};
use super::{ENTRIES_MAX, ReadOptions};
use crate::event::{Sink, SourceError};

/// Reads a zip file. The list of its files is held in memory.
///
/// # Errors
///
/// If it is no zip file or holds too much. A file in it that cannot be read is a problem.
pub fn read_zip(
    source: impl Read + Seek,
    options: &ReadOptions,
    sink: &mut Sink<'_>,
) -> Result<(), SourceError> {
    let mut archive = ZipArchive::new(std::io::BufReader::new(source))
        .map_err(|error| SourceError::Io { what: "zip file".to_owned(), source: error.into() })?;
    if archive.len() as u64 > ENTRIES_MAX {
        return Err(SourceError::TooMuch { what: "files" });
    }
    let mut tree = Tree::new(options, sink);
    // The names of keywords are needed before the messages.
    for pass in [Pass::Keywords, Pass::Rest] {
        for index in 0..archive.len() {
            match archive.by_index(index) {
                Ok(mut file) => one(&mut tree, &mut file, pass)?,
                Err(error) if pass == Pass::Rest => {
                    tree.problem(format!("file {index} of the zip file: {error}"))?;
                }
                Err(_) => {}
            }
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Keywords,
    Rest,
}

fn one<R: Read>(
    tree: &mut Tree<'_, '_>,
    file: &mut ZipFile<'_, R>,
    pass: Pass,
) -> Result<(), SourceError> {
    let path = match file.name() {
        Ok(name) => tree.stripped(&name).to_owned(),
        Err(_) => return tree.problem("a name in the zip file cannot be read".to_owned()),
    };
    let is_dir = file.is_dir();
    let place = place(&path, is_dir);
    let is_keywords = matches!(place, Some(Place::Keywords { .. }));
    if is_keywords != (pass == Pass::Keywords) || (is_dir && place.is_none()) {
        return Ok(());
    }
    if file.encrypted() {
        return tree.problem(format!("{}: encrypted", shortened(&path)));
    }
    let modified = file.last_modified().and_then(to_unix);
    tree.file(place, Entry { path: &path, modified, content: file })
}

/// Zip files have local times without a zone; taken as UTC.
fn to_unix(time: zip::DateTime) -> Option<UnixSeconds> {
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    let (year, month, day) = (time.year(), time.month(), time.day());
    DateTime { year, month, day, hour, minute, second, zone_minutes: 0 }.to_unix().ok()
}
