//! What a set-up has made so far, kept in a file, so that all of it can be taken away again: by the
//! same run when it fails, or by the next one when this one was killed.
//!
//! A line is written and synced before what it tells of is made:
//!
//! - `dir PATH`: a directory that was not there. Removed if it is empty.
//! - `file SHA256 PATH`: a file with this content. Removed if it still has it; what somebody else
//!   made or changed stays, and stops the set-up.
//! - `fill PATH`: a directory that was missing or empty and gets databases. Only what a server
//!   makes there is removed.
//!
//! The last file, without which no server runs, makes all before it final: once it has its name,
//! nothing is removed any more, since there may be mail.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::digest::{SHA256, digest};

use super::Interrupt;

/// The name of the file.
pub(super) const STATE: &str = "quickstart.state";

/// Its first line.
const HEADING: &str = "mox quickstart 1";

/// The largest journal that is read, in bytes. One has some 20 lines.
const STATE_BYTES_MAX: u64 = 64 << 10;

/// The largest file of which the content is compared: larger ones are not ours.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Something that was made, or was about to be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Dir(PathBuf),
    File { hash: String, path: PathBuf },
    Fill(PathBuf),
}

/// How a former run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Former {
    /// There was none.
    None,
    /// It was cut off; what it made is removed.
    Removed,
    /// It made everything, and was cut off while it told of it.
    Kept,
}

/// The journal of a set-up in a directory. Only one process has it.
#[derive(Debug)]
pub(super) struct Journal {
    dir: PathBuf,
    /// The name of the file that makes all final.
    last: &'static str,
    /// Locked.
    file: File,
    entries: Vec<Entry>,
    interrupt: Interrupt,
    /// Tests: how many more steps are taken before the process is killed, as it were.
    #[cfg(test)]
    pub(super) steps_left: Option<usize>,
}

impl Drop for Journal {
    /// Closing the file would not be enough: a process that is being started has it too until it is another
    /// program.
    fn drop(&mut self) {
        drop(self.file.unlock());
    }
}

impl Journal {
    /// Opens the journal of a directory. What a former run left there is removed.
    ///
    /// # Errors
    ///
    /// If another set-up runs there, something of a former one was changed by hand, or the last file
    /// is there and of somebody else.
    ///
    /// - `last`: the name of the file that makes all final.
    pub(super) fn open(
        dir: &Path,
        last: &'static str,
        interrupt: Interrupt,
    ) -> Result<(Self, Former)> {
        let path = dir.join(STATE);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).with_context(|| format!("open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("another quickstart runs in this directory"),
            Err(TryLockError::Error(error)) => return Err(error).context("lock journal"),
        }
        let mut text = String::new();
        let read = (&file).take(STATE_BYTES_MAX).read_to_string(&mut text);
        read.with_context(|| format!("read {}", path.display()))?;
        let entries = parse(&text)
            .with_context(|| format!("{} is not of a quickstart: move it away", path.display()))?;
        let former = match (entries.is_empty(), is_there(&dir.join(last))) {
            (true, false) => Former::None,
            (false, false) => Former::Removed,
            (_, true) => Former::Kept,
        };
        let is_ours =
            |entry: &Entry| matches!(entry, Entry::File { path, .. } if path == Path::new(last));
        if former == Former::Kept && !entries.iter().any(is_ours) {
            bail!("{} exists already and is not of quickstart", dir.join(last).display());
        }
        let mut journal = Self {
            dir: dir.to_owned(),
            last,
            file,
            entries,
            interrupt,
            #[cfg(test)]
            steps_left: None,
        };
        if former != Former::Kept {
            journal.undo()?;
            journal.begin()?;
        }
        Ok((journal, former))
    }

    /// Empties the file, but for its heading.
    fn begin(&mut self) -> Result<()> {
        self.entries.clear();
        self.file.seek(SeekFrom::Start(0)).context("journal")?;
        self.file.set_len(0).context("journal")?;
        writeln!(self.file, "{HEADING}").context("journal")?;
        self.file.sync_all().context("journal")?;
        sync_dir(&self.dir).context("journal")
    }

    /// Makes a directory, unless it is there.
    pub(super) fn dir(&mut self, name: &str, mode: u32) -> Result<()> {
        let path = self.dir.join(name);
        if path.is_dir() {
            return Ok(());
        }
        self.note(Entry::Dir(name.into()))?;
        let made = DirBuilder::new().mode(mode).create(&path);
        made.with_context(|| format!("make {}", path.display()))?;
        // Whatever the umask says.
        let set = fs::set_permissions(&path, Permissions::from_mode(mode));
        set.with_context(|| format!("set the mode of {}", path.display()))?;
        sync_dir(parent(&path)).with_context(|| format!("sync {}", path.display()))
    }

    /// Makes a file whose name must be free; it has all of its content or is not there.
    pub(super) fn file(&mut self, name: &str, content: &[u8], mode: u32) -> Result<()> {
        let beside = self.prepare(name, content, mode)?;
        self.publish(name, &beside)
    }

    /// Makes a file under another name beside the one it will have, and returns that name.
    pub(super) fn prepare(&mut self, name: &str, content: &[u8], mode: u32) -> Result<PathBuf> {
        let path = self.dir.join(name);
        if is_there(&path) {
            bail!(
                "{} exists already: move it away, or set up in another directory",
                path.display()
            );
        }
        self.note(Entry::File { hash: hash(content), path: name.into() })?;
        let beside = beside(&path);
        let written = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&beside)?;
            // Whatever the umask says.
            file.set_permissions(Permissions::from_mode(mode))?;
            file.write_all(content)?;
            file.sync_all()
        };
        written().with_context(|| format!("write {}", beside.display()))?;
        Ok(beside)
    }

    /// Gives a prepared file its name, if that is still free.
    pub(super) fn publish(&mut self, name: &str, beside: &Path) -> Result<()> {
        let path = self.dir.join(name);
        self.step()?;
        // A link fails where something is; a renamed file would take its place.
        fs::hard_link(beside, &path).with_context(|| format!("make {}", path.display()))?;
        self.kill_point()?;
        fs::remove_file(beside).with_context(|| format!("remove {}", beside.display()))?;
        sync_dir(parent(&path)).with_context(|| format!("sync {}", path.display()))
    }

    /// Makes a directory for databases, or takes one that is empty.
    pub(super) fn fill(&mut self, name: &str, mode: u32) -> Result<()> {
        let path = self.dir.join(name);
        self.dir(name, mode)?;
        let entries = fs::read_dir(&path).with_context(|| format!("read {}", path.display()))?;
        // A mount point has this one.
        let mut others = entries.flatten().filter(|entry| entry.file_name() != "lost+found");
        if let Some(other) = others.next() {
            bail!(
                "{} is not empty, there is {}: move it away, or set up in another directory",
                path.display(),
                other.path().display()
            );
        }
        self.note(Entry::Fill(name.into()))
    }

    /// Whether all is made, and nothing may be removed any more.
    pub(super) fn is_final(&self) -> bool {
        is_there(&self.dir.join(self.last))
    }

    /// Removes the journal: the set-up is complete and was told of.
    pub(super) fn finish(self) -> Result<()> {
        for entry in &self.entries {
            // A kill may have come between giving the last file its name and taking the other away.
            if let Entry::File { path, .. } = entry {
                absent_or(fs::remove_file(beside(&self.dir.join(path)))).context("remove file")?;
            }
        }
        fs::remove_file(self.dir.join(STATE)).context("remove journal")?;
        sync_dir(&self.dir).context("remove journal")
    }

    /// Removes all that was made, newest first, and the journal.
    ///
    /// # Errors
    ///
    /// If something was changed by hand since, or cannot be removed. The rest is removed, and the
    /// journal stays.
    pub(super) fn remove_all(mut self) -> Result<()> {
        ensure!(!self.is_final(), "the set-up is complete");
        self.undo()?;
        self.finish()
    }

    /// Writes a line before the step it tells of.
    fn note(&mut self, entry: Entry) -> Result<()> {
        self.step()?;
        writeln!(self.file, "{}", line(&entry)).context("write journal")?;
        self.file.sync_data().context("sync journal")?;
        self.entries.push(entry);
        self.step()
    }

    /// Where tests kill.
    #[cfg_attr(
        not(test),
        expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "for tests")
    )]
    fn kill_point(&mut self) -> Result<()> {
        #[cfg(test)]
        if let Some(left) = &mut self.steps_left {
            ensure!(*left > 0, "killed");
            *left -= 1;
        }
        Ok(())
    }

    /// Between two steps.
    fn step(&mut self) -> Result<()> {
        self.kill_point()?;
        ensure!(!self.interrupt.is_cancelled(), "interrupted");
        Ok(())
    }

    fn undo(&mut self) -> Result<()> {
        let (mut faults, mut stuck) = (Vec::new(), Vec::new());
        while let Some(entry) = self.entries.pop() {
            if let Err(error) = self.undo_one(&entry) {
                faults.push(format!("{error:#}"));
                stuck.push(entry);
            }
        }
        stuck.reverse();
        self.entries = stuck;
        ensure!(faults.is_empty(), "{}", faults.join("\n"));
        Ok(())
    }

    fn undo_one(&self, entry: &Entry) -> Result<()> {
        match entry {
            Entry::Dir(name) => {
                let path = self.dir.join(name);
                match fs::remove_dir(&path) {
                    // Somebody put something in: it is theirs now.
                    Err(error) if is_fine(&error, io::ErrorKind::DirectoryNotEmpty) => Ok(()),
                    done => done.with_context(|| format!("remove {}", path.display())),
                }
            }
            Entry::File { hash, path } => self.remove_file(hash, &self.dir.join(path)),
            Entry::Fill(name) => empty(&self.dir.join(name)),
        }
    }

    fn remove_file(&self, hash: &str, path: &Path) -> Result<()> {
        absent_or(fs::remove_file(beside(path)))
            .with_context(|| format!("remove {}", beside(path).display()))?;
        let Some(content) = content(path).with_context(|| format!("read {}", path.display()))?
        else {
            return Ok(());
        };
        ensure!(
            *hash == self::hash(&content),
            "{} was changed since quickstart made it, or made by somebody else: move it away, \
             then start again",
            path.display()
        );
        fs::remove_file(path).with_context(|| format!("remove {}", path.display()))
    }
}

/// What a server makes in its data directory. Databases have files beside them.
const DATA: [&str; 9] = [
    "accounts",
    "queue",
    "tmp",
    "acme",
    "lock",
    "decoy.key",
    "receivedid.key",
    "auth.db",
    "reports.db",
];

/// Removes what a server made in a directory.
fn empty(path: &Path) -> Result<()> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("read {}", path.display()))?,
    };
    for entry in entries {
        let entry = entry.with_context(|| format!("read {}", path.display()))?;
        let (path, name) = (entry.path(), entry.file_name());
        if name == "lost+found" {
            continue;
        }
        let name = name.to_string_lossy();
        let is_made = DATA.iter().any(|made| {
            name == *made || name.strip_prefix(made).is_some_and(|end| end.starts_with('-'))
        });
        ensure!(is_made, "{} was not made by quickstart: move it away", path.display());
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let removed = if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("remove {}", path.display()))?;
    }
    Ok(())
}

/// The content of a file, or `None` if there is none. Of one that is too large only a part.
fn content(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata?,
    };
    if !metadata.is_file() {
        // Never ours.
        return Ok(Some(Vec::new()));
    }
    let mut content = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut content)?;
    Ok(Some(content))
}

fn absent_or(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Whether there is something of that name, be it a link that leads nowhere.
fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn is_fine(error: &io::Error, kind: io::ErrorKind) -> bool {
    error.kind() == kind || error.kind() == io::ErrorKind::NotFound
}

/// `config/.mox.conf.quickstart` for `config/mox.conf`.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.quickstart"))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn hash(content: &[u8]) -> String {
    digest(&SHA256, content).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn line(entry: &Entry) -> String {
    match entry {
        Entry::Dir(path) => format!("dir {}", path.display()),
        Entry::File { hash, path } => format!("file {hash} {}", path.display()),
        Entry::Fill(path) => format!("fill {}", path.display()),
    }
}

/// Reads a journal. A last line without its end was cut off by a crash, before its step.
fn parse(text: &str) -> Result<Vec<Entry>> {
    let Some(end) = text.rfind('\n') else {
        // A file that was just made, or of a crash while its heading was written.
        ensure!(HEADING.starts_with(text), "unknown heading");
        return Ok(Vec::new());
    };
    let mut lines = text.get(..end).unwrap_or_default().lines();
    ensure!(lines.next() == Some(HEADING), "unknown heading");
    lines.map(|line| parse_line(line).with_context(|| format!("line {line:?}"))).collect()
}

fn parse_line(line: &str) -> Option<Entry> {
    // Names are ours and below the directory; whatever else stands there is not followed.
    let below = |name: &str| {
        let path = Path::new(name);
        let is_below =
            path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        (is_below && !name.is_empty()).then(|| path.to_owned())
    };
    match line.split_once(' ')? {
        ("dir", name) => Some(Entry::Dir(below(name)?)),
        ("fill", name) => Some(Entry::Fill(below(name)?)),
        ("file", rest) => {
            let (hash, name) = rest.split_once(' ')?;
            Some(Entry::File { hash: hash.to_owned(), path: below(name)? })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: &str = "config/mox.conf";

    fn open(dir: &Path) -> Result<(Journal, Former)> {
        Journal::open(dir, LAST, Interrupt::default())
    }

    /// What a set-up does, in small.
    fn set_up(journal: &mut Journal) -> Result<()> {
        journal.dir("config", 0o750)?;
        journal.dir("config/dkim", 0o750)?;
        journal.file("config/dkim/a.pem", b"key", 0o600)?;
        journal.file("config/domains.conf", b"domains", 0o660)?;
        let beside = journal.prepare(LAST, b"conf", 0o660)?;
        journal.fill("data", 0o750)?;
        let data = journal.dir.join("data");
        fs::create_dir_all(data.join("accounts/you/msg"))?;
        fs::write(data.join("accounts/you/index.db"), "mail")?;
        fs::write(data.join("auth.db-wal"), "keys")?;
        journal.publish(LAST, &beside)
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_complete_set_up_leaves_no_journal_and_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, former) = open(dir.path()).unwrap();
        assert_eq!(former, Former::None);
        set_up(&mut journal).unwrap();
        journal.finish().unwrap();
        assert_eq!(names(dir.path()), ["config", "data"]);
        assert_eq!(names(&dir.path().join("config")), ["dkim", "domains.conf", "mox.conf"]);
    }

    #[test]
    fn what_was_made_is_taken_away_again() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("mox"), "the program").unwrap();
        let (mut journal, _) = open(dir.path()).unwrap();
        journal.dir("config", 0o750).unwrap();
        journal.file("config/a", b"a", 0o600).unwrap();
        journal.fill("data", 0o750).unwrap();
        journal.remove_all().unwrap();
        assert_eq!(names(dir.path()), ["mox"]);
    }

    /// After a kill between any two steps the next run starts over, and others' files stay.
    #[test]
    fn a_run_after_a_kill_at_any_step_completes() {
        for steps in 0.. {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("config")).unwrap();
            fs::write(dir.path().join("config/mine"), "mine").unwrap();
            let (mut journal, _) = open(dir.path()).unwrap();
            journal.steps_left = Some(steps);
            let done = set_up(&mut journal);
            drop(journal);
            let (mut journal, former) = open(dir.path()).unwrap();
            if former == Former::Kept {
                assert!(journal.is_final(), "after {steps} steps");
            } else {
                assert!(done.is_err(), "after {steps} steps");
                set_up(&mut journal).unwrap_or_else(|error| panic!("{steps}: {error:#}"));
            }
            journal.finish().unwrap();
            let files = ["dkim", "domains.conf", "mine", "mox.conf"];
            assert_eq!(names(&dir.path().join("config")), files, "after {steps} steps");
            assert_eq!(names(&dir.path().join("data")), ["accounts", "auth.db-wal"]);
            if done.is_ok() {
                assert!(steps >= 15, "{steps}");
                return;
            }
        }
    }

    #[test]
    fn what_somebody_else_made_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("mox.service"), "mine").unwrap();
        let (mut journal, _) = open(dir.path()).unwrap();
        let error = journal.file("mox.service", b"ours", 0o644).unwrap_err();
        assert!(error.to_string().contains("exists already"), "{error}");
        fs::create_dir(path("data")).unwrap();
        fs::write(path("data/mail"), "mine").unwrap();
        assert!(journal.fill("data", 0o750).is_err());
        // Made while the set-up was prepared.
        let beside = journal.prepare("config", b"ours", 0o600).unwrap();
        fs::write(path("config"), "mine").unwrap();
        assert!(journal.publish("config", &beside).is_err());
        let error = journal.remove_all().unwrap_err().to_string();
        assert!(error.contains("config was changed"), "{error}");
        for name in ["mox.service", "data/mail", "config"] {
            assert_eq!(fs::read_to_string(path(name)).unwrap(), "mine", "{name}");
        }
        assert!(!beside.exists());
    }

    #[test]
    fn a_file_changed_after_a_kill_stops_the_next_run_until_it_is_moved() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(dir.path()).unwrap();
        journal.file("a", b"ours", 0o600).unwrap();
        journal.fill("data", 0o700).unwrap();
        drop(journal);
        let (a, foreign) = (dir.path().join("a"), dir.path().join("data/foreign"));
        fs::write(&a, "edited").unwrap();
        fs::write(&foreign, "mine").unwrap();
        for _ in 0..2 {
            let error = open(dir.path()).unwrap_err().to_string();
            assert!(error.contains("a was changed since"), "{error}");
            assert!(error.contains("foreign was not made by quickstart"), "{error}");
        }
        assert_eq!(fs::read_to_string(&a).unwrap(), "edited");
        fs::remove_file(&a).unwrap();
        fs::remove_file(&foreign).unwrap();
        assert_eq!(open(dir.path()).unwrap().1, Former::Removed);
    }

    #[test]
    fn only_one_set_up_runs_in_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = open(dir.path()).unwrap();
        assert!(open(dir.path()).is_err());
        drop(journal);
        open(dir.path()).unwrap();
    }

    /// With that file a server may have run, and there may be mail.
    #[test]
    fn nothing_is_removed_once_the_last_file_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(dir.path()).unwrap();
        set_up(&mut journal).unwrap();
        fs::write(dir.path().join(LAST), "edited").unwrap();
        assert!(journal.remove_all().is_err());
        let (journal, former) = open(dir.path()).unwrap();
        assert_eq!(former, Former::Kept);
        journal.finish().unwrap();
        assert_eq!(fs::read_to_string(dir.path().join(LAST)).unwrap(), "edited");
        assert!(dir.path().join("data/accounts/you/index.db").exists());
        // It is of somebody else for a journal that does not have it.
        assert!(open(dir.path()).unwrap_err().to_string().contains("not of quickstart"));
    }

    #[test]
    fn an_interrupt_ends_it_at_the_next_step() {
        let dir = tempfile::tempdir().unwrap();
        let interrupt = Interrupt::default();
        let (mut journal, _) = Journal::open(dir.path(), LAST, interrupt.clone()).unwrap();
        journal.file("a", b"a", 0o600).unwrap();
        interrupt.cancel();
        assert_eq!(journal.file("b", b"b", 0o600).unwrap_err().to_string(), "interrupted");
        journal.remove_all().unwrap();
        assert!(names(dir.path()).is_empty());
    }

    #[track_caller]
    fn check_parse(text: &str, want: Option<usize>) {
        assert_eq!(parse(text).ok().map(|entries| entries.len()), want, "{text:?}");
    }

    #[test]
    fn journals_are_read() {
        check_parse("", Some(0));
        check_parse("mox quick", Some(0));
        check_parse("mox quickstart 1\n", Some(0));
        check_parse("mox quickstart 1\ndir config\nfile ab config/a b\nfill data\n", Some(3));
        // Cut off before the step was taken.
        check_parse("mox quickstart 1\ndir config\nfile ab con", Some(1));
        check_parse("something else", None);
        check_parse("something else\n", None);
        check_parse("mox quickstart 2\n", None);
        check_parse("mox quickstart 1\nlink a\n", None);
        check_parse("mox quickstart 1\nfile ab\n", None);
        check_parse("mox quickstart 1\nfill ../data\n", None);
        check_parse("mox quickstart 1\nfill /data\n", None);
        check_parse("mox quickstart 1\nfill \n", None);
    }
}
