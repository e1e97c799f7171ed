//! `mox restore`.

use std::io::{Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use mox_backup::{
    BackupError, Manifest, Message, Target, check_unused, messages, restore, restore_account,
    verify_files,
};
use mox_base::{Clock, MailboxName, Uid};
use mox_net::SystemClock;

use super::watching::{Watching, amount};
use super::{Global, print, say};
use crate::ctl::{Appended, Client};
use crate::data_dir::DataDir;

/// Put a backup back: all of it, an account, or messages.
///
/// First the whole backup is compared with its checksums; a damaged one is not put back.
///
/// All of it: DATADIR must be missing or empty. Move a used data directory away, nothing is overwritten.
/// Mail programs that saw newer messages may mix them up with those that come now: see
/// "mox bumpuidvalidity".
///
/// An account, with --account: into the data directory of a server that does not run. If the account is
/// there, it is moved to the folder "moved" of the data directory, and mail programs are made to read all anew.
///
/// Files belong to who runs this: run it as the user of the server, or start the server as root, which sets owners.
///
/// Messages, with --account and --mailbox: into the running server, without DATADIR. Those that the mailbox
/// still has are left out.
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The backup.
    backup: PathBuf,
    /// The data directory.
    #[arg(required_unless_present = "mailbox", conflicts_with = "mailbox")]
    datadir: Option<PathBuf>,
    /// Only this account.
    #[arg(long, value_name = "ACCOUNT", conflicts_with = "config_dir")]
    account: Option<String>,
    /// The name that the account gets, or of the account that gets the messages, if it is another.
    #[arg(long = "as", value_name = "NAME", requires = "account")]
    target: Option<String>,
    /// Only messages of this mailbox of the account.
    #[arg(long, value_name = "MAILBOX", requires = "account", value_parser = mailbox_name)]
    mailbox: Option<MailboxName>,
    /// Only the messages with these UIDs in the backup, separated by commas.
    #[arg(long, value_name = "UIDS", requires = "mailbox", value_delimiter = ',', value_parser = uid)]
    uids: Option<Vec<Uid>>,
    /// The mailbox that the messages go to, if it is another.
    #[arg(long, value_name = "MAILBOX", requires = "mailbox", value_parser = mailbox_name)]
    into: Option<MailboxName>,
    /// Put the configuration back too, into this folder, which must be missing or empty.
    #[arg(long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

fn mailbox_name(text: &str) -> Result<MailboxName, String> {
    MailboxName::parse(text).map_err(|error| error.to_string())
}

fn uid(text: &str) -> Result<Uid, String> {
    let number = text.parse().ok().and_then(Uid::new);
    number.ok_or_else(|| "a UID is a number from 1 on".to_owned())
}

impl Restore {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let Target::Backup(backup) = Target::of(&self.backup)? else {
            bail!("{}: not a backup", self.backup.display());
        };
        let dirs = [self.datadir.as_ref(), self.config_dir.as_ref()];
        for dir in dirs.into_iter().flatten().filter(|_| self.account.is_none()) {
            check_unused(dir)?;
        }
        if !is_well(&backup, self.account.as_deref())? {
            return Ok(ExitCode::FAILURE);
        }
        match (&self.account, &self.mailbox) {
            (Some(account), Some(mailbox)) => self.messages(global, &backup, account, mailbox)?,
            (Some(account), None) => self.account(&backup, account)?,
            (None, _) => self.everything(&backup)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn datadir(&self) -> Result<&Path> {
        self.datadir.as_deref().context("no data directory")
    }

    fn everything(&self, backup: &Path) -> Result<()> {
        let manifest = Manifest::read(backup)?;
        if self.dry_run {
            let bytes = manifest.entries.iter().map(|entry| entry.size).sum();
            let count = manifest.entries.len();
            return print(&format!("{count} entries, {}, would be put back\n", amount(bytes)));
        }
        let data = DataDir::take(self.datadir()?)?;
        let mut watching = Watching::new(false, false);
        let show = &mut |progress: &_| watching.show(progress);
        let done = restore(backup, data.path(), self.config_dir.as_deref(), show)?;
        drop(watching);
        print(&format!("{} files, {}, put back\n", done.files, amount(done.bytes)))
    }

    fn account(&self, backup: &Path, account: &str) -> Result<()> {
        let target = self.target.as_deref().unwrap_or(account);
        let dir = self.datadir()?;
        if !dir.is_dir() {
            bail!("{}: no such directory", dir.display());
        }
        if self.dry_run {
            return print(&format!("account {account} would be put back as {target}\n"));
        }
        let data = DataDir::take(dir)?;
        data.temporary()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let mut watching = Watching::new(false, false);
        let show = &mut |progress: &_| watching.show(progress);
        let done = restore_account(backup, (account, target), data.path(), &clock, show)?;
        drop(watching);
        if let Some(moved) = done.moved {
            print(&format!("the account that was there is now in {}\n", moved.display()))?;
        }
        let restored = done.restored;
        print(&format!("{} files, {}, put back\n", restored.files, amount(restored.bytes)))
    }

    fn messages(
        &self,
        global: &Global,
        backup: &Path,
        account: &str,
        mailbox: &MailboxName,
    ) -> Result<()> {
        let mut found = Vec::new();
        messages(backup, account, mailbox, self.uids.as_deref(), &mut |message| {
            found.push(message.uid);
            Ok::<_, BackupError>(())
        })?;
        if self.dry_run {
            return print(&format!("{} messages would be put back\n", found.len()));
        }
        let target = self.target.as_deref().unwrap_or(account);
        let into = self.into.as_ref().unwrap_or(mailbox);
        let (mut added, mut there) = (0_u64, 0_u64);
        global.control(async |mut client| {
            // One at a time is in memory. Reading blocks; there is nothing else to do.
            for uid in &found {
                let mut one = None;
                messages(backup, account, mailbox, Some(&[*uid]), &mut |message| {
                    one = Some(message);
                    Ok::<_, BackupError>(())
                })?;
                let Some(message) = one else { continue };
                let is_new = append(&mut client, (target, into), message).await?;
                *(if is_new { &mut added } else { &mut there }) += 1;
            }
            Ok(())
        })?;
        print(&format!("{added} messages put back, {there} were there\n"))
    }
}

/// Has the server add a message. Returns false if the mailbox has it already.
async fn append(
    client: &mut Client,
    (account, mailbox): (&str, &MailboxName),
    message: Message,
) -> Result<bool> {
    let known = Appended {
        flags: message.flags.bits(),
        keywords: message.keywords.iter().map(ToString::to_string).collect(),
        received: message.received.time().0,
        zone_minutes: message.received.zone_minutes(),
    };
    let known = serde_json::to_string(&known).context("flags as json")?;
    let mut content = tempfile::tempfile().context("make a temporary file")?;
    std::io::copy(&mut message.content.reader(0..u64::MAX)?, &mut content)
        .context("read from the backup")?;
    content.seek(SeekFrom::Start(0)).context("read a temporary file")?;
    client.run("append", &[account, mailbox.as_str(), &known]).await?;
    client.send_data(tokio::fs::File::from_std(content)).await?;
    Ok(client.data().await? == b"added\n")
}

/// Compares all files with their checksums, and tells what is wrong. What never was in the backup, or
/// is not of the account, keeps nothing else from being put back.
fn is_well(backup: &Path, account: Option<&str>) -> Result<bool> {
    let mut watching = Watching::new(false, false);
    let verified = verify_files(backup, &mut |progress| watching.show(progress))?;
    drop(watching);
    for fault in &verified.faults {
        say(&format!("error: {fault}\n"));
    }
    let own = account.map(|name| format!("data/accounts/{name}/"));
    let is_of_others = |fault: &str| {
        (fault.starts_with("data/") || fault.starts_with("config/"))
            && own.as_ref().is_some_and(|own| !fault.starts_with(own.as_str()))
    };
    let is_bad = |fault: &String| !fault.starts_with("not in the backup: ") && !is_of_others(fault);
    let is_well = !verified.faults.iter().any(is_bad);
    if !is_well {
        say("the backup is damaged: nothing was put back\n");
    }
    Ok(is_well)
}
