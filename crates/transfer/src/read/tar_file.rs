//! Reading a tar file of Maildirs and mbox files, compressed or not.

use std::io::{self, Read, Seek, SeekFrom};

use flate2::read::MultiGzDecoder;
use mox_base::UnixSeconds;
use tar::{Archive, EntryType};

use super::layout::{Place, place};
use super::tree::{Entry, Tree};
use super::{Meter, PATH_BYTES_MAX, ReadOptions};
use crate::event::{Sink, SourceError};

/// The most of a header with long names that is read.
const EXTENSION_BYTES_MAX: u64 = 64 << 10;

/// The buffer before the decompressor.
const BUFFER_BYTES: usize = 128 << 10;

/// Reads a tar file that is compressed by gzip. It is read twice, first for the names of keywords.
///
/// # Errors
///
/// If it is no such file, is cut, or holds too much.
pub fn read_tgz(
    mut source: impl Read + Seek,
    options: &ReadOptions,
    meter: &Meter,
    sink: &mut Sink<'_>,
) -> Result<(), SourceError> {
    let mut tree = Tree::new(options, sink);
    read(unpacked(&mut source), &mut tree, Pass::Keywords)?;
    source.seek(SeekFrom::Start(0)).map_err(SourceError::io("tar file"))?;
    read(unpacked(meter.count(source)), &mut tree, Pass::Rest)
}

fn unpacked(source: impl Read) -> impl Read {
    // What is passed over counts too.
    MultiGzDecoder::new(io::BufReader::with_capacity(BUFFER_BYTES, source))
        .take(super::EXPANDED_BYTES_MAX)
}

/// Reads a tar file. It is read twice, first for the names of keywords.
///
/// # Errors
///
/// If it is no such file, is cut, or holds too much.
pub fn read_tar(
    mut source: impl Read + Seek,
    options: &ReadOptions,
    meter: &Meter,
    sink: &mut Sink<'_>,
) -> Result<(), SourceError> {
    let mut tree = Tree::new(options, sink);
    read(io::BufReader::with_capacity(BUFFER_BYTES, &mut source), &mut tree, Pass::Keywords)?;
    source.seek(SeekFrom::Start(0)).map_err(SourceError::io("tar file"))?;
    read(io::BufReader::with_capacity(BUFFER_BYTES, meter.count(source)), &mut tree, Pass::Rest)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Keywords,
    Rest,
}

fn read(source: impl Read, tree: &mut Tree<'_, '_>, pass: Pass) -> Result<(), SourceError> {
    let bad = || SourceError::io("tar file");
    let mut archive = Archive::new(source);
    // What extends names is read here, within bounds: the crate would take it whole into memory.
    let mut long_name: Option<String> = None;
    for entry in archive.entries().map_err(bad())?.raw(true) {
        let mut entry = entry.map_err(bad())?;
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName => {
                long_name =
                    Some(text(&mut entry).map_err(bad())?.trim_end_matches('\0').to_owned());
                continue;
            }
            EntryType::XHeader => {
                let extension = text(&mut entry).map_err(bad())?;
                if pax(&extension, "size").is_some() {
                    return Err(SourceError::NotThat {
                        what: "a file over 8 GB in a pax tar file",
                    });
                }
                long_name = pax(&extension, "path").map(str::to_owned).or(long_name);
                continue;
            }
            EntryType::GNULongLink | EntryType::XGlobalHeader => continue,
            _ => {}
        }
        tree.count()?;
        let own = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = long_name.take().unwrap_or(own);
        let path = tree.stripped(&path).to_owned();
        let is_dir = kind.is_dir();
        let place = place(&path, is_dir);
        match (pass, &place) {
            (Pass::Keywords, Some(Place::Keywords { levels })) if kind.is_file() => {
                tree.learn_letters(levels.clone(), &mut entry)?;
            }
            (Pass::Keywords, _) => {}
            (Pass::Rest, None) if is_dir => {}
            (Pass::Rest, _) if is_dir || kind.is_file() => {
                let modified =
                    entry.header().mtime().ok().and_then(|time| i64::try_from(time).ok());
                let modified = modified.map(UnixSeconds);
                tree.file(place, Entry { path: &path, modified, content: &mut entry })?;
            }
            (Pass::Rest, _) => tree.problem(format!("{path:.200}: neither file nor directory"))?,
        }
    }
    Ok(())
}

fn text(entry: &mut impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    entry.take(EXTENSION_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A value in an extended header of POSIX: lines `length key=value`.
fn pax<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let values = text.lines().filter_map(|line| line.split_once(' ')?.1.split_once('='));
    // A later value replaces an earlier.
    let mut found = values.filter(|(name, value)| *name == key && value.len() <= PATH_BYTES_MAX);
    found.next_back().map(|(_, value)| value)
}
