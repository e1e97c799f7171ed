//! Files of messages that no record has: leftovers of crashes, mostly.

use std::path::Path;

use crate::file::{DatabaseFile, TakeoverError};
use crate::files::{entries, is_dir, name};
use crate::message::{FILES_PER_DIR_BITS, dir_name};
use crate::summary::Summary;

const STRAY: &str = "message files without a record";

/// Tells the files below `accounts/*/msg` and `queue` that no record has. What was removed and not erased
/// yet has one.
pub(crate) fn find(data_dir: &Path, summary: &mut Summary) -> Result<(), TakeoverError> {
    for account in entries(&data_dir.join("accounts"))?.iter().filter(|entry| is_dir(entry)) {
        let dir = account.path();
        let found = of_table(&dir.join("index.db"), "Message", &dir.join("msg"), summary);
        or_told(found, summary)?;
    }
    let queue = data_dir.join("queue");
    let found = of_table(&queue.join("index.db"), "Msg", &queue, summary);
    or_told(found, summary)
}

/// What cannot be listed keeps nothing from being taken: messages that cannot be read are told one by one.
fn or_told(found: Result<(), TakeoverError>, summary: &mut Summary) -> Result<(), TakeoverError> {
    match found {
        Err(error) if error.is_damage() => {
            summary.skip("directories of messages that cannot be read", error.in_full());
            Ok(())
        }
        found => found,
    }
}

fn of_table(
    index: &Path,
    table: &'static str,
    files: &Path,
    summary: &mut Summary,
) -> Result<(), TakeoverError> {
    // That it is damaged is told by who takes it over.
    let index = match DatabaseFile::open_if_there(index) {
        Ok(Some(index)) => index,
        Ok(None) | Err(TakeoverError::Open { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    let Ok(Some(table)) = index.database.root().bucket(table.as_bytes()) else { return Ok(()) };
    let Ok(Some(records)) = table.bucket(b"records") else { return Ok(()) };
    // Records come in the order of their ids, so that those of one directory come together. What they say
    // need not be read for this.
    let (mut here, mut dirs) = (Dir::new(0), Vec::new());
    for element in records.walk().flatten() {
        let Some(id) = id(&element.key) else { continue };
        // Only damage can have them in another order; each directory is listed once whatever comes.
        if id <= here.last {
            continue;
        }
        if id >> FILES_PER_DIR_BITS != here.number {
            let next = Dir::new(id >> FILES_PER_DIR_BITS);
            dirs.push(std::mem::replace(&mut here, next).finish(files, summary)?);
        }
        here.has(id);
    }
    dirs.push(here.finish(files, summary)?);
    for entry in entries(files)?.iter().filter(|entry| is_dir(entry)) {
        if !dirs.contains(&name(entry)) {
            for entry in entries(&entry.path())? {
                summary.skip(STRAY, entry.path().display().to_string());
            }
        }
    }
    Ok(())
}

/// The number that a key is, if it can be that of a message: with its sign bit flipped.
fn id(key: &[u8]) -> Option<i64> {
    let number = key.try_into().map(u64::from_be_bytes).ok()? ^ 1 << 63;
    Some(number.cast_signed()).filter(|id| *id > 0)
}

/// A directory of files, and the ids in it that have records.
struct Dir {
    number: i64,
    /// The id that came last.
    last: i64,
    has: Vec<bool>,
}

impl Dir {
    fn new(number: i64) -> Self {
        Self { number, last: 0, has: vec![false; 1 << FILES_PER_DIR_BITS] }
    }

    fn first(&self) -> i64 {
        self.number << FILES_PER_DIR_BITS
    }

    fn at(&mut self, id: i64) -> Option<&mut bool> {
        let index = usize::try_from(id.checked_sub(self.first())?).ok()?;
        self.has.get_mut(index)
    }

    fn has(&mut self, id: i64) {
        self.last = id;
        if let Some(has) = self.at(id) {
            *has = true;
        }
    }

    /// Tells the files that have no record. Returns the name of the directory.
    fn finish(mut self, files: &Path, summary: &mut Summary) -> Result<String, TakeoverError> {
        let dir = dir_name(self.first());
        for entry in entries(&files.join(&dir))? {
            let name = name(&entry);
            let id = name.parse::<i64>().ok().filter(|id| id.to_string() == name);
            if !id.and_then(|id| self.at(id).copied()).unwrap_or(false) {
                summary.skip(STRAY, entry.path().display().to_string());
            }
        }
        Ok(dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &[u8], want: Option<i64>) {
        assert_eq!(id(key), want, "{key:?}");
    }

    #[test]
    fn keys_are_numbers_of_messages() {
        check(&[0x80, 0, 0, 0, 0, 0, 0, 1], Some(1));
        check(&[0x80, 0, 0, 0, 0, 0, 0x20, 0x08], Some(8_200));
        check(&[0xFF; 8], Some(i64::MAX));
        check(&[0x80, 0, 0, 0, 0, 0, 0, 0], None);
        check(&[0; 8], None);
        check(&[0x80, 0, 0, 1], None);
        check(&[], None);
    }
}
