//! mbsync: a whole mailbox kept the same on both sides.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Case;
use super::program::{run, token};
use super::python::script;
use super::server::{ADDRESS, PASSWORD, Server};

const LIMIT: Duration = Duration::from_secs(300);

/// Messages on each side before the first run.
const MESSAGES: usize = 1_000;

pub(super) const CASES: &[Case] = &[
    ("mbsync syncs 2,000 messages both ways, then finds nothing to do", |server| {
        two_way(server, &format!("SSLType None\nHost 127.0.0.1\nPort {}", server.imap), MESSAGES)
    }),
    ("mbsync syncs over TLS", |server| {
        two_way(server, &format!("SSLType IMAPS\nHost localhost\nPort {}", server.imaps), 10)
    }),
];

/// A local folder that mbsync keeps the same as a mailbox.
struct Pair {
    name: String,
    near: PathBuf,
    config: PathBuf,
}

impl Pair {
    fn new(server: &Server, connection: &str) -> Result<Self> {
        let name = token()?;
        let base = server.folder().join(format!("mbsync-{name}"));
        let near = base.join(&name);
        for folder in ["cur", "new", "tmp"] {
            fs::create_dir_all(near.join(folder)).context("create maildir")?;
        }
        let config = base.join("mbsyncrc");
        let (folder, certificate) = (base.display(), server.certificate());
        let text = format!(
            "IMAPAccount mox\n{connection}\nUser {ADDRESS}\nPass {PASSWORD}\nAuthMechs LOGIN\n\
             CertificateFile {}\n\nIMAPStore far\nAccount mox\n\n\
             MaildirStore near\nPath {folder}/\nInbox {folder}/INBOX\nSubFolders Verbatim\n\n\
             Channel both\nFar :far:\nNear :near:\nPattern {name}\nCreate Both\nExpunge Both\n\
             SyncState *\n",
            certificate.display()
        );
        fs::write(&config, text).context("write mbsyncrc")?;
        Ok(Self { name, near, config })
    }

    fn sync(&self) -> Result<String> {
        let mut command = Command::new("mbsync");
        command.arg("--config").arg(&self.config).args(["--verbose", "both"]);
        command.env("HOME", &self.near);
        run(&mut command, "", LIMIT)
    }

    /// Names with flags of all local messages, and the state of the mailbox.
    fn state(&self, server: &Server) -> Result<(Vec<String>, String)> {
        Ok((local_messages(&self.near)?, script(server, "state", &[&self.name])?))
    }
}

fn local_messages(maildir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for folder in ["cur", "new"] {
        for entry in fs::read_dir(maildir.join(folder)).context("list maildir")? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn two_way(server: &Server, connection: &str, messages: usize) -> Result<()> {
    let pair = Pair::new(server, connection)?;
    for number in 0..messages {
        let path = pair.near.join(format!("new/{number}.near"));
        let body = "y".repeat(number % 911);
        let text = format!("From: <a@near.example>\nSubject: near {number}\n\n{body}\nEnd.\n");
        fs::write(path, text).context("write message")?;
    }
    script(server, "fill", &[&pair.name, &messages.to_string()])?;

    pair.sync().context("first run")?;
    let (local, far) = pair.state(server)?;
    ensure!(local.len() == messages * 2, "{} messages here", local.len());
    ensure!(far.contains(&format!("MESSAGES {}", messages * 2)), "there: {far}");

    pair.sync().context("second run")?;
    ensure!(pair.state(server)? == (local, far), "the second run changed something");

    // A flag and a removal over there reach this side, and the other way round.
    script(server, "flag", &[&pair.name, "1"])?;
    script(server, "remove", &[&pair.name, "2"])?;
    pair.sync().context("third run")?;
    let local = local_messages(&pair.near)?;
    ensure!(local.len() == messages * 2 - 1, "{} messages here", local.len());
    let flagged: Vec<_> = local
        .iter()
        .filter(|name| name.rsplit(',').next().is_some_and(|f| f.contains('F')))
        .collect();
    ensure!(flagged.len() == 1, "flagged here: {flagged:?}");
    let first = local.first().context("a message is here")?;
    let path = ["cur", "new"].map(|folder| pair.near.join(folder).join(first));
    fs::remove_file(path.iter().find(|path| path.exists()).context("find it again")?)?;
    pair.sync().context("fourth run")?;
    let far = script(server, "state", &[&pair.name])?;
    ensure!(far.contains(&format!("MESSAGES {}", messages * 2 - 2)), "there: {far}");
    Ok(())
}
