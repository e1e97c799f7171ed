//! Putting a backup back.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mox_base::{Clock, Flags, Keyword, MailboxName, Uid, UidValidity, UnixSeconds, ZonedTime};
use mox_store::{Columns, Content, Policy, ReadOnly, Store};

use crate::error::{At as _, BackupError, Result};
use crate::file;
use crate::layout::{ACCOUNTS, CONFIG, DATA, MOVED, TEMPORARY};
use crate::manifest::{Entry, Kind, Manifest, is_safe};
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

/// What came of putting an account back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountRestored {
    /// Files and bytes.
    pub restored: Restored,
    /// Where the account went that was in its place.
    pub moved: Option<PathBuf>,
}

/// Puts one account of a backup back into a data directory that nobody uses: the caller has its lock.
///
/// An account that is there under the name goes to the folder `moved`. All mailboxes get a UIDVALIDITY above
/// those that clients can know, so that they forget what they saw (RFC 9051 §2.3.1.1).
///
/// - `name`: the account in the backup; `target`: its name from now on.
///
/// # Errors
///
/// [`BackupError::NoAccount`]; [`BackupError::Damaged`] before anything is changed; else what keeps
/// files from being written.
pub fn restore_account(
    backup: &Path,
    (name, target): (&str, &str),
    data: &Path,
    clock: &Arc<dyn Clock>,
    watch: &mut dyn FnMut(&Progress),
) -> Result<AccountRestored> {
    let manifest = Manifest::read(backup)?;
    let root = format!("{DATA}/{ACCOUNTS}/{name}");
    let is_account = |entry: &Entry| entry.path == root && entry.kind == Kind::Directory;
    if !manifest.entries.iter().any(is_account) || !is_safe(target) || target.contains('/') {
        return Err(BackupError::NoAccount(name.to_owned()));
    }
    let now = clock.now();
    let staged = data.join(TEMPORARY).join(format!("restore-{}", now.0));
    let mut put =
        Put { backup, restored: Restored::default(), progress: Progress::default(), watch };
    let outcome = put.tree(&manifest, &root, &staged);
    if let Err(error) = outcome {
        let _removed = fs::remove_dir_all(&staged);
        return Err(error);
    }
    let accounts = data.join(ACCOUNTS);
    fs::create_dir_all(&accounts).at("make", &accounts)?;
    let place = accounts.join(target);
    // What clients of an account that is gone have seen is not known; a new one would begin here.
    let mut above = UidValidity::new(u32::try_from(now.0 >> 1).unwrap_or_default());
    let mut moved = None;
    if place.exists() {
        above = above.max(highest_uidvalidity(&place));
        moved = Some(move_away(data, &place, now)?);
    }
    let failed = |source| BackupError::Account { name: target.to_owned(), source };
    let swap = || -> Result<()> {
        fs::rename(&staged, &place).at("name", &place)?;
        file::sync_dir(&accounts)?;
        let store = Store::new(data, Arc::clone(clock), Arc::new(Policy::default()));
        let account = store.account(target).map_err(failed)?;
        account.bump_uidvalidity(None, above).wait().map(drop).map_err(failed)
    };
    if let Err(error) = swap() {
        // What was there comes back; what was put there is kept too.
        if place.exists() {
            move_away(data, &place, now)?;
        }
        if let Some(moved) = &moved {
            fs::rename(moved, &place).at("name", &place)?;
        }
        return Err(error);
    }
    Ok(AccountRestored { restored: put.restored, moved })
}

/// Of an account that is about to be replaced, as far as it can be read.
fn highest_uidvalidity(dir: &Path) -> Option<UidValidity> {
    let read = || -> mox_store::Result<Option<UidValidity>> {
        mox_store::upgrade(dir)?;
        let mailboxes = ReadOnly::open_still(dir)?.read()?.mailboxes()?;
        Ok(mailboxes.into_iter().map(|mailbox| mailbox.uidvalidity).max())
    };
    read().ok().flatten()
}

/// Moves what is below the data directory into its folder `moved`, where it keeps its path.
pub(crate) fn move_away(data: &Path, from: &Path, now: UnixSeconds) -> Result<PathBuf> {
    let below = from.strip_prefix(data).unwrap_or(from);
    let mut root = data.join(MOVED).join(now.0.to_string());
    // Twice in a second: nothing is overwritten.
    while root.join(below).symlink_metadata().is_ok() {
        root.push("again");
    }
    let to = root.join(below);
    let folder = to.parent().unwrap_or(&root);
    fs::create_dir_all(folder).at("make", folder)?;
    fs::rename(from, &to).at("move", from)?;
    file::sync_dir(folder)?;
    Ok(to)
}

/// A message of a backup, with what is known of it.
pub struct Message {
    /// Its UID in the backup.
    pub uid: Uid,
    /// Its flags.
    pub flags: Flags,
    /// Its keywords.
    pub keywords: Vec<Keyword>,
    /// When it was received.
    pub received: ZonedTime,
    /// As it is read.
    pub content: Content,
}

/// Visits messages of a mailbox in a backup, in the order of their UIDs.
///
/// - `uids`: which; all if `None`.
///
/// # Errors
///
/// [`BackupError::NoAccount`], [`BackupError::NoMessage`] if a mailbox or a message is not there, and
/// what `visit` fails with.
pub fn messages<E: From<BackupError>>(
    backup: &Path,
    name: &str,
    mailbox: &MailboxName,
    uids: Option<&[Uid]>,
    visit: &mut dyn FnMut(Message) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let dir = backup.join(DATA).join(ACCOUNTS).join(name);
    if !is_safe(name) || !dir.is_dir() {
        return Err(BackupError::NoAccount(name.to_owned()).into());
    }
    let failed = |source| E::from(BackupError::Account { name: name.to_owned(), source });
    let reader = ReadOnly::open_still(&dir).and_then(|account| account.read()).map_err(failed)?;
    let found = reader.mailbox(mailbox);
    let id = found.map_err(|_| BackupError::NoMessage(mailbox.to_string()))?.id;
    let wanted = match uids {
        Some(uids) => uids.iter().map(|uid| uid.get()).collect(),
        None => reader.uids(id).map_err(failed)?,
    };
    for number in wanted {
        let mut found = None;
        let visited = reader.fetch(id, &[number], Columns::default(), &mut |row| {
            found = Some((row.uid, row.flags, row.keyword_list(), row.received, row.is_expunged));
            ControlFlow::Continue(())
        });
        let _flow = visited.map_err(failed)?;
        let Some((uid, flags, keywords, received, false)) = found else {
            return Err(BackupError::NoMessage(format!("{mailbox}, UID {number}")).into());
        };
        let content = reader.content(id, uid).map_err(failed)?;
        visit(Message { uid, flags, keywords, received, content })?;
    }
    Ok(())
}
