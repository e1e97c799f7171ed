//! Owners and modes of the files of a server, set right when it starts as root.
//!
//! Whoever copied a backup into place or edited a file as root would else find a server that
//! cannot read its own files. No symbolic link is followed, and nothing outside of the given
//! directories is touched, whatever the user of the server put into them: files are looked at and
//! changed through descriptors, and those with a second name that belong to others are left alone.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat};
use nix::unistd::{Gid, Uid, fchown};

use super::user::Ids;

/// How deep, and among how many files of each directory, others' files are looked for.
const FOREIGN_DEPTH: usize = 3;
const FOREIGN_MAX: usize = 10_000;

/// How deep directories are looked into. Ours are nested less than half as deep.
const DEPTH_MAX: usize = 16;

/// How many files and directories are looked at below one directory.
const ENTRIES_MAX: u64 = 20_000_000;

/// The mode of the working directory: others may pass through it, and not look.
const WORK_DIR_MODE: u32 = 0o751;

/// The mode of directories with configuration and data. Files made in them get their group.
const DIR_MODE: u32 = 0o2750;

/// The mode of files in them.
const FILE_MODE: u32 = 0o640;

/// The mode of the program.
const PROGRAM_MODE: u32 = 0o750;

/// The mode of the unit file.
const UNIT_MODE: u32 = 0o644;

/// All bits of a mode that can be set.
const MODE_BITS: u32 = 0o7777;

/// Who is to own a file, and how it may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    uid: Uid,
    gid: Gid,
    mode: u32,
}

/// What is to be done about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repair {
    /// Nothing: it is right.
    None,
    /// Owner and mode are to be set.
    Set,
    /// It is neither file nor directory, or has other names that may be those of files of others.
    LeaveAlone,
}

impl Wanted {
    fn repair(self, found: &FileStat, service: Ids) -> Repair {
        let kind = SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits());
        let is_ours = found.st_uid == service.uid.as_raw();
        match kind {
            SFlag::S_IFDIR => {}
            // A second name for /etc/shadow, say, made by a service that was broken into.
            SFlag::S_IFREG if found.st_nlink == 1 || is_ours => {}
            _ => return Repair::LeaveAlone,
        }
        let is_right = found.st_uid == self.uid.as_raw()
            && found.st_gid == self.gid.as_raw()
            && found.st_mode & MODE_BITS == self.mode;
        if is_right { Repair::None } else { Repair::Set }
    }
}

/// What was repaired, for the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Repaired {
    /// Files and directories with a new owner or mode.
    pub(crate) changed: u64,
    /// Those that could not be changed, or must not be.
    pub(crate) left: u64,
}

/// Which files are repaired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// The directory with everything, if that is what it is: see [`Places::of`].
    work_dir: Option<PathBuf>,
    /// Those of which everything is.
    trees: Vec<PathBuf>,
}

impl Places {
    /// Everything in one directory, absolute.
    pub(crate) fn only(dir: &Path) -> Self {
        Self { work_dir: None, trees: vec![dir.to_owned()] }
    }

    /// - `work_dir`: where the process was started, absolute.
    /// - `config_dir`, `data_dir`: absolute.
    ///
    /// Deviation: the original takes the directory that it is started in for its own, whatever
    /// that is. We do so only if both other directories are in it, so that one started in `/` or
    /// `/etc` does no harm.
    pub(crate) fn of(work_dir: &Path, config_dir: &Path, data_dir: &Path) -> Self {
        let holds_all =
            config_dir.parent() == Some(work_dir) && data_dir.parent() == Some(work_dir);
        // Such as /home: it belongs to others too.
        let is_deep = work_dir.components().count() > 2;
        Self {
            work_dir: (holds_all && is_deep).then(|| work_dir.to_owned()),
            trees: vec![config_dir.to_owned(), data_dir.to_owned()],
        }
    }

    /// Sets owners and modes. What cannot be set is logged and left.
    pub(crate) fn repair(&self, service: Ids) -> Repaired {
        let mut walk = Walk { service, repaired: Repaired::default(), entries: 0 };
        let root = (Uid::from_raw(0), Gid::from_raw(0));
        let of_root = |mode| Wanted { uid: root.0, gid: service.gid, mode };
        if let Some(work_dir) = &self.work_dir {
            walk.alone(work_dir, of_root(WORK_DIR_MODE));
            walk.alone(&work_dir.join("mox"), of_root(PROGRAM_MODE));
            let unit = Wanted { gid: root.1, ..of_root(UNIT_MODE) };
            walk.alone(&work_dir.join("mox.service"), unit);
        }
        for dir in &self.trees {
            walk.tree(dir);
        }
        walk.repaired
    }
}

struct Walk {
    service: Ids,
    repaired: Repaired,
    entries: u64,
}

impl Walk {
    fn inside(&self, is_dir: bool) -> Wanted {
        let mode = if is_dir { DIR_MODE } else { FILE_MODE };
        Wanted { uid: self.service.uid, gid: Gid::from_raw(0), mode }
    }

    /// Sets one file right. Returns it if it had to be changed and was.
    fn one(
        &mut self,
        at: impl AsFd,
        name: &CStr,
        path: &Path,
        wanted: Option<Wanted>,
    ) -> Option<(OwnedFd, bool, bool)> {
        // A pipe must not block us, and opening a device may do something.
        let flags = OFlag::O_RDONLY
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_CLOEXEC
            | OFlag::O_NOCTTY;
        let opened = openat(at, name, flags, Mode::empty())
            .and_then(|fd| fstat(&fd).map(|found| (fd, found)));
        let (fd, found) = match opened {
            Ok(opened) => opened,
            Err(Errno::ENOENT) => return None,
            // Symbolic links and sockets.
            Err(Errno::ELOOP | Errno::ENXIO) => {
                tracing::debug!(path = %path.display(), "owner and mode left alone");
                return None;
            }
            Err(error) => {
                self.failed(path, error);
                return None;
            }
        };
        let is_dir = found.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits();
        let wanted = wanted.unwrap_or_else(|| self.inside(is_dir));
        let changed = match wanted.repair(&found, self.service) {
            Repair::None => false,
            Repair::Set => {
                // Changing the owner clears bits of the mode, so the mode comes last.
                let set = fchown(&fd, Some(wanted.uid), Some(wanted.gid))
                    .and_then(|()| fchmod(&fd, Mode::from_bits_truncate(wanted.mode)));
                match set {
                    Ok(()) => self.repaired.changed += 1,
                    Err(error) => self.failed(path, error),
                }
                true
            }
            Repair::LeaveAlone => {
                self.repaired.left += 1;
                tracing::warn!(path = %path.display(), links = found.st_nlink, "owner and mode left alone: no plain file, or one that has other names");
                return None;
            }
        };
        Some((fd, is_dir, changed))
    }

    fn failed(&mut self, path: &Path, error: Errno) {
        self.repaired.left += 1;
        tracing::warn!(path = %path.display(), %error, "owner or mode not set");
    }

    fn alone(&mut self, path: &Path, wanted: Wanted) {
        if let Some(name) = c_path(path) {
            self.one(AT_FDCWD, &name, path, Some(wanted));
        }
    }

    /// A directory, and all below it if the directory itself was not right, or something near its top is
    /// another user's: what root has put back from a backup is.
    fn tree(&mut self, dir: &Path) {
        let wanted = self.inside(true);
        let Some(name) = c_path(dir) else { return };
        if let Some((fd, true, changed)) = self.one(AT_FDCWD, &name, dir, Some(wanted))
            && (changed || self.has_foreign(dir, FOREIGN_DEPTH))
        {
            self.below(fd, dir, 0);
        }
    }

    /// Whether something in a directory is another user's. Only says whether to look closer.
    fn has_foreign(&self, dir: &Path, depth: usize) -> bool {
        let mut entries = std::fs::read_dir(dir).into_iter().flatten().flatten().take(FOREIGN_MAX);
        entries.any(|entry| {
            let Ok(meta) = entry.metadata() else { return false };
            // Links are left alone, and so are files with other names.
            let is_ours = meta.uid() == self.service.uid.as_raw();
            let is_set = meta.is_dir() || (meta.is_file() && meta.nlink() == 1);
            (is_set && !is_ours)
                || (depth > 1 && meta.is_dir() && self.has_foreign(&entry.path(), depth - 1))
        })
    }

    fn below(&mut self, fd: OwnedFd, path: &Path, depth: usize) {
        let mut dir = match Dir::from_fd(fd) {
            Ok(dir) => dir,
            Err(error) => return self.failed(path, error),
        };
        // Read first: a directory that is changed while it is read may give names twice.
        let entries: Result<Vec<_>, _> =
            dir.iter().map(|entry| entry.map(|entry| entry.file_name().to_owned())).collect();
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.failed(path, error),
        };
        for name in entries {
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.entries += 1;
            if self.entries > ENTRIES_MAX || depth == DEPTH_MAX {
                self.repaired.left += 1;
                tracing::warn!(path = %path.display(), "too many files or directories: the rest is left alone");
                return;
            }
            let path = path.join(&*name.to_string_lossy());
            if let Some((fd, true, _)) = self.one(&dir, &name, &path, None) {
                self.below(fd, &path, depth + 1);
            }
        }
    }
}

fn c_path(path: &Path) -> Option<std::ffi::CString> {
    use std::os::unix::ffi::OsStrExt as _;
    std::ffi::CString::new(path.as_os_str().as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    const SERVICE: Ids = Ids { uid: Uid::from_raw(900), gid: Gid::from_raw(901) };

    #[track_caller]
    fn check(kind: SFlag, mode: u32, owner: (u32, u32), links: u64, want: Repair) {
        let dir = tempfile::tempdir().unwrap();
        let mut found = nix::sys::stat::stat(dir.path()).unwrap();
        found.st_mode = kind.bits() | mode;
        (found.st_uid, found.st_gid) = owner;
        found.st_nlink = links;
        let is_dir = kind == SFlag::S_IFDIR;
        let walk = Walk { service: SERVICE, repaired: Repaired::default(), entries: 0 };
        assert_eq!(
            walk.inside(is_dir).repair(&found, SERVICE),
            want,
            "{kind:?} {mode:o} {owner:?} {links}"
        );
    }

    #[test]
    fn what_is_repaired() {
        // Right.
        check(SFlag::S_IFREG, 0o640, (900, 0), 1, Repair::None);
        check(SFlag::S_IFREG, 0o640, (900, 0), 2, Repair::None);
        check(SFlag::S_IFDIR, 0o2750, (900, 0), 9, Repair::None);
        // A bit, the group, or the owner is off.
        check(SFlag::S_IFREG, 0o644, (900, 0), 1, Repair::Set);
        check(SFlag::S_IFREG, 0o4640, (900, 0), 1, Repair::Set);
        check(SFlag::S_IFDIR, 0o750, (900, 0), 9, Repair::Set);
        check(SFlag::S_IFREG, 0o640, (900, 901), 3, Repair::Set);
        check(SFlag::S_IFREG, 0o640, (0, 0), 1, Repair::Set);
        // With another name it may be a file of somebody else's.
        check(SFlag::S_IFREG, 0o640, (0, 0), 2, Repair::LeaveAlone);
        check(SFlag::S_IFIFO, 0o640, (900, 0), 1, Repair::LeaveAlone);
        check(SFlag::S_IFCHR, 0o640, (900, 0), 1, Repair::LeaveAlone);
        check(SFlag::S_IFSOCK, 0o640, (900, 0), 1, Repair::LeaveAlone);
    }

    #[track_caller]
    fn check_work_dir(work: &str, config: &str, data: &str, want: bool) {
        let places = Places::of(Path::new(work), Path::new(config), Path::new(data));
        assert_eq!(places.work_dir.is_some(), want, "{work} {config} {data}");
    }

    #[test]
    fn only_a_directory_of_its_own_is_taken_for_it() {
        check_work_dir("/home/mox", "/home/mox/config", "/home/mox/data", true);
        check_work_dir("/home/mox", "/etc/mox", "/home/mox/data", false);
        check_work_dir("/home", "/home/config", "/home/data", false);
        check_work_dir("/", "/config", "/data", false);
        check_work_dir("/etc", "/etc/mox", "/var/lib/mox", false);
        check_work_dir("/tmp/x", "/home/mox/config", "/home/mox/data", false);
    }

    /// With our own user and group for those of the service, since tests may not be root.
    #[test]
    fn links_are_not_followed_and_a_right_directory_is_not_looked_into() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mode = |name: &str| fs::metadata(at(name)).unwrap().mode() & MODE_BITS;
        let set = |name: &str, mode| {
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap()
        };
        fs::create_dir_all(at("data/accounts/a")).unwrap();
        for name in ["data/lock", "data/accounts/a/index.db", "outside", "data/x"] {
            fs::write(at(name), "").unwrap();
            set(name, 0o666);
        }
        symlink(at("outside"), at("data/link")).unwrap();
        symlink(dir.path(), at("data/up")).unwrap();
        fs::hard_link(at("outside"), at("data/second-name")).unwrap();
        set("data", 0o755);

        let service =
            Ids { uid: Uid::from_raw(Uid::effective().as_raw().max(1)), gid: Gid::effective() };
        let places = Places::of(dir.path(), &at("no-config"), &at("data"));
        let repaired = places.repair(service);
        if Uid::effective().is_root() {
            assert_eq!(mode("data"), DIR_MODE);
            assert_eq!(mode("data/accounts/a"), DIR_MODE);
            assert_eq!(mode("data/accounts/a/index.db"), FILE_MODE);
            assert_eq!(fs::metadata(at("data/lock")).unwrap().uid(), service.uid.as_raw());
            // The working directory too.
            assert_eq!(repaired, Repaired { changed: 7, left: 1 });
            // Now the directory is right, so that nothing below it is looked at.
            set("data/lock", 0o600);
            assert_eq!(places.repair(service).changed, 0);
            assert_eq!(mode("data/lock"), 0o600);
            // Bug: what root had put back stayed root's, and the server could not read it.
            std::os::unix::fs::chown(at("data/accounts/a"), Some(0), None).unwrap();
            set("data/accounts/a/index.db", 0o600);
            assert!(places.repair(service).changed > 0);
            assert_eq!(fs::metadata(at("data/accounts/a")).unwrap().uid(), service.uid.as_raw());
            assert_eq!(mode("data/accounts/a/index.db"), FILE_MODE);
        } else {
            // Others may not give files to group root.
            assert!(repaired.changed == 0 && repaired.left > 0, "{repaired:?}");
        }
        assert_eq!(mode("outside"), 0o666);
        assert_eq!(fs::metadata(at("outside")).unwrap().uid(), Uid::effective().as_raw());
    }

    /// What root has put back is found near the top, and nothing else makes all of it be looked at.
    #[test]
    fn files_of_others_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let own = Uid::effective().as_raw();
        let finds = |top: &str, uid: u32, depth: usize| {
            let service = Ids { uid: Uid::from_raw(uid), gid: Gid::effective() };
            let walk = Walk { service, repaired: Repaired::default(), entries: 0 };
            walk.has_foreign(&at(top), depth)
        };
        fs::create_dir_all(at("file")).unwrap();
        fs::write(at("file/index.db"), "").unwrap();
        fs::create_dir_all(at("dir/a")).unwrap();
        assert!(!finds("file", own, FOREIGN_DEPTH) && !finds("dir", own, FOREIGN_DEPTH));
        assert!(finds("file", own + 1, 1) && finds("dir", own + 1, 1));
        // Neither is ever set right: they would be found at every start.
        fs::create_dir(at("links")).unwrap();
        symlink(at("file/index.db"), at("links/link")).unwrap();
        fs::write(at("outside"), "").unwrap();
        fs::hard_link(at("outside"), at("links/second-name")).unwrap();
        assert!(!finds("links", own + 1, FOREIGN_DEPTH));
        assert!(!finds("missing", own + 1, FOREIGN_DEPTH) && !finds("file/index.db", own + 1, 1));
    }
}
