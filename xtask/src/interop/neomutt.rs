//! neomutt: sending in batch mode, and reading a mailbox by keys that are typed for it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Case;
use super::program::{run, token};
use super::python::arrived;
use super::server::{ADDRESS, PASSWORD, Server};

const LIMIT: Duration = Duration::from_secs(60);

pub(super) const CASES: &[Case] =
    &[("neomutt sends over TLS", send), ("neomutt opens the inbox and saves a message", read)];

fn config(server: &Server) -> Result<PathBuf> {
    let folder = server.folder();
    let path = folder.join("neomuttrc");
    let certificate = server.certificate();
    // Left to itself, neomutt with GNU SASL picks SCRAM-SHA-256-PLUS, for which it has no channel
    // binding, and gives up.
    let text = format!(
        "set from={ADDRESS}\nset realname='Mox Local'\nset use_envelope_from=yes\n\
         set hostname=client.example\n\
         set smtp_url=smtps://{ADDRESS}@localhost:{}/\nset smtp_pass={PASSWORD}\n\
         set smtp_authenticators=plain\nset imap_authenticators=plain\n\
         set folder=imaps://localhost:{}/\nset imap_user={ADDRESS}\nset imap_pass={PASSWORD}\n\
         set spoolfile=+INBOX\nset certificate_file={}\nset ssl_verify_dates=yes\n\
         set copy=no\nset quit=yes\nset confirmappend=no\nset confirmcreate=no\nset delete=no\n\
         set header_cache=''\nset message_cachedir=''\nset mbox_type=mbox\nset wait_key=no\n",
        server.submissions,
        server.imaps,
        certificate.display()
    );
    fs::write(&path, text).context("write neomuttrc")?;
    Ok(path)
}

fn send(server: &Server) -> Result<()> {
    let subject = token()?;
    let mut command = Command::new("neomutt");
    command.arg("-n").arg("-F").arg(config(server)?).args(["-s", &subject, "--", ADDRESS]);
    command.env("HOME", server.folder());
    run(&mut command, "Hello from neomutt.\n", LIMIT)?;
    arrived(server, &subject)
}

/// `script` gives neomutt the terminal that it wants.
fn read(server: &Server) -> Result<()> {
    send(server)?;
    let saved = server.folder().join(format!("saved-{}", token()?));
    let keys =
        format!("push '<last-entry><copy-message><kill-line>{}<enter><exit>'", saved.display());
    let line = format!("neomutt -n -F {} -e \"{keys}\"", config(server)?.display());
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    command.env("HOME", server.folder()).env("TERM", "xterm");
    run(&mut command, "", LIMIT)?;
    let text = fs::read_to_string(&saved).context("read saved message")?;
    ensure!(text.contains("Hello from neomutt."), "{text}");
    Ok(())
}
