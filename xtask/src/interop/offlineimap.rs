//! offlineimap: a mailbox kept the same on both sides, in Python and by other commands than
//! mbsync's.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Case;
use super::program::{run, token};
use super::python::script;
use super::server::{ADDRESS, PASSWORD, Server};

const LIMIT: Duration = Duration::from_secs(120);

/// Messages on each side before the first run.
const MESSAGES: usize = 100;

pub(super) const CASES: &[Case] = &[("offlineimap syncs 200 messages both ways", two_way)];

fn two_way(server: &Server) -> Result<()> {
    let name = token()?;
    let base = server.folder().join(format!("offlineimap-{name}"));
    let local = base.join("mail").join(&name);
    for folder in ["cur", "new", "tmp"] {
        fs::create_dir_all(local.join(folder)).context("create maildir")?;
    }
    for number in 0..MESSAGES {
        let text = format!("From: <a@near.example>\nSubject: near {number}\n\nnear\n");
        fs::write(local.join(format!("new/{number}.1.near")), text).context("write message")?;
    }
    script(server, "fill", &[&name, &MESSAGES.to_string()])?;
    let config = base.join("offlineimaprc");
    let text = format!(
        "[general]\naccounts = a\nmetadata = {base}/meta\nui = quiet\n\
         [Account a]\nlocalrepository = near\nremoterepository = far\n\
         [Repository near]\ntype = Maildir\nlocalfolders = {base}/mail\n\
         [Repository far]\ntype = IMAP\nremotehost = localhost\nremoteport = {port}\n\
         remoteuser = {ADDRESS}\nremotepass = {PASSWORD}\nssl = yes\nsslcacertfile = {certificate}\n\
         folderfilter = lambda name: name == '{name}'\n",
        base = base.display(),
        port = server.imaps,
        certificate = server.certificate().display(),
    );
    fs::write(&config, text).context("write offlineimaprc")?;

    sync(&config).context("first run")?;
    ensure!(local_messages(&local)?.len() == MESSAGES * 2, "after the first run");
    let far = script(server, "state", &[&name])?;
    ensure!(far.contains(&format!("MESSAGES {}", MESSAGES * 2)), "there: {far}");

    script(server, "flag", &[&name, "1"])?;
    script(server, "remove", &[&name, "2"])?;
    sync(&config).context("second run")?;
    let messages = local_messages(&local)?;
    ensure!(messages.len() == MESSAGES * 2 - 1, "{} after the second run", messages.len());
    let is_flagged = |name: &&String| name.rsplit(',').next().is_some_and(|f| f.contains('F'));
    ensure!(messages.iter().filter(is_flagged).count() == 1, "flagged: {messages:?}");
    Ok(())
}

fn sync(config: &Path) -> Result<()> {
    let mut command = Command::new("offlineimap");
    command.args(["-o", "-c"]).arg(config);
    run(&mut command, "", LIMIT).map(|_| ())
}

fn local_messages(maildir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for folder in ["cur", "new"] {
        for entry in fs::read_dir(maildir.join(folder)).context("list maildir")? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}
