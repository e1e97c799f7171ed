//! Disk and memory.

use super::Facts;
use crate::Finding;

/// Below this share of a disk there is little left.
const LOW_PERCENT: u64 = 10;

/// Below this share mail is about to be refused.
const EMPTY_PERCENT: u64 = 2;

/// On large disks a share is much: with so many bytes there is room enough.
const ENOUGH_BYTES: u64 = 20 << 30;

/// Memory below which a large message or a backup may fail.
const MEMORY_LOW_BYTES: u64 = 64 << 20;

/// What is left of a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// A path on it.
    pub path: String,
    /// Bytes that can be used.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Files that can be made.
    pub free_files: u64,
    /// Files in all; 0 if the file system does not count them.
    pub total_files: u64,
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(room) = &facts.room {
        findings.push(disk(room));
        findings.extend(files(room));
    }
    if let Some(bytes) = facts.memory_bytes.filter(|bytes| *bytes < MEMORY_LOW_BYTES) {
        findings.push(Finding::warning(
            format!("only {} MiB of memory are left", bytes >> 20),
            "Stop what is not needed, or add memory or swap: the system ends programs when it has none.",
        ));
    }
    findings
}

/// Hundredths, rounded down.
fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100).checked_div(whole).unwrap_or(100)
}

fn disk(room: &Room) -> Finding {
    let share = percent(room.free_bytes, room.total_bytes);
    let what =
        format!("{} MiB ({share}%) of the disk of {} are free", room.free_bytes >> 20, room.path);
    let how = "Make room: delete old backups and logs, move other things away, or enlarge the disk. A \
               full disk refuses all mail; what was taken before is safe.";
    if share < EMPTY_PERCENT && room.free_bytes < ENOUGH_BYTES {
        Finding::error(what, how)
    } else if share < LOW_PERCENT && room.free_bytes < ENOUGH_BYTES {
        Finding::warning(what, how)
    } else {
        Finding::ok(what)
    }
}

fn files(room: &Room) -> Option<Finding> {
    let share = percent(room.free_files, room.total_files);
    let what =
        format!("only {share}% of the files that the disk of {} can have are left", room.path);
    let how = "Each message may need a file. Delete many small files elsewhere on that disk, or make a \
               file system with more inodes.";
    match share {
        share if share < EMPTY_PERCENT => Some(Finding::error(what, how)),
        share if share < LOW_PERCENT => Some(Finding::warning(what, how)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;
    use crate::tests::NOW;

    #[track_caller]
    fn check(free_bytes: u64, free_files: u64, memory: u64, want: &[Level]) {
        let mut facts = Facts::at(NOW);
        let (total_bytes, total_files) = (100 << 30, 1_000);
        let path = "/data".to_owned();
        facts.room = Some(Room { path, free_bytes, total_bytes, free_files, total_files });
        facts.memory_bytes = Some(memory);
        let levels: Vec<_> = judge(&facts).into_iter().map(|one| one.level).collect();
        assert_eq!(levels, want, "{:?}", judge(&facts));
    }

    #[test]
    fn there_must_be_room() {
        check(50 << 30, 500, 1 << 30, &[Level::Ok]);
        check(10 << 30, 100, MEMORY_LOW_BYTES, &[Level::Ok]);
        check(
            (10 << 30) - 1,
            99,
            MEMORY_LOW_BYTES - 1,
            &[Level::Warning, Level::Warning, Level::Warning],
        );
        check(1 << 30, 19, 1 << 30, &[Level::Error, Level::Error]);
        // A small share of a large disk.
        let room = Room { free_bytes: ENOUGH_BYTES, total_bytes: 8 << 40, ..Room::default() };
        assert_eq!(disk(&room).level, Level::Ok);
        // A file system that does not count files.
        assert_eq!(files(&room), None);
    }
}
