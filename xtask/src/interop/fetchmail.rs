//! fetchmail and imapfilter: programs that fetch mail away, and sort it on the server.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Case;
use super::program::{run, token};
use super::python::script;
use super::server::{ADDRESS, PASSWORD, Server};

const LIMIT: Duration = Duration::from_secs(60);

pub(super) const CASES: &[Case] = &[
    ("fetchmail fetches a mailbox and empties it", fetch_away),
    ("imapfilter moves messages by what they contain", filter),
];

fn fetch_away(server: &Server) -> Result<()> {
    let name = token()?;
    script(server, "fill", &[&name, "20"])?;
    let config = server.folder().join(format!("fetchmailrc-{name}"));
    let fetched = server.folder().join(format!("fetched-{name}"));
    let text = format!(
        "poll localhost service {} protocol IMAP auth password\n  user \"{ADDRESS}\" password \
         \"{PASSWORD}\" folder {name}\n  ssl sslcertfile {} fetchall no keep no rewrite\n  \
         mda \"cat >> {}\"\n",
        server.imaps,
        server.certificate().display(),
        fetched.display(),
    );
    write_private(&config, &text)?;
    let mut command = Command::new("fetchmail");
    command.arg("--fetchmailrc").arg(&config).args(["--nosyslog", "--pidfile"]);
    command.arg(config.with_extension("pid")).args(["--idfile"]).arg(config.with_extension("ids"));
    command.env("HOME", server.folder()).env("FETCHMAILHOME", server.folder());
    run(&mut command, "", LIMIT)?;
    let text = fs::read_to_string(&fetched).context("read what was fetched")?;
    ensure!(text.matches("\nSubject: far ").count() == 20, "{} bytes fetched", text.len());
    let far = script(server, "state", &[&name])?;
    ensure!(far.contains("MESSAGES 0"), "there: {far}");
    Ok(())
}

fn filter(server: &Server) -> Result<()> {
    let name = token()?;
    let target = format!("{name}-moved");
    script(server, "fill", &[&name, "20"])?;
    let config = server.folder().join(format!("imapfilter-{name}.lua"));
    let text = format!(
        "options.timeout = 60\noptions.create = true\noptions.starttls = false\n\
         account = IMAP {{ server = '127.0.0.1', port = {}, username = '{ADDRESS}',\n  \
         password = '{PASSWORD}' }}\n\
         found = account['{name}']:contain_subject('far 1') * account['{name}']:is_unseen()\n\
         found:move_messages(account['{target}'])\n",
        server.imap
    );
    write_private(&config, &text)?;
    let mut command = Command::new("imapfilter");
    command.arg("-c").arg(&config).env("HOME", server.folder());
    run(&mut command, "", LIMIT)?;
    // Those with 1 and with 10 to 19.
    let (left, moved) = (script(server, "state", &[&name])?, script(server, "state", &[&target])?);
    ensure!(left.contains("MESSAGES 9") && moved.contains("MESSAGES 11"), "{left} {moved}");
    Ok(())
}

/// Both refuse to read a password from a file that others can read.
fn write_private(path: &std::path::Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).context("write configuration")?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).context("make it private")
}
