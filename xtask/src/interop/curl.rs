//! curl: SMTP and IMAP as URLs.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Case;
use super::program::{run, run_failing, token};
use super::python::arrived;
use super::server::{ADDRESS, PASSWORD, Server};

const LIMIT: Duration = Duration::from_secs(60);

pub(super) const CASES: &[Case] = &[
    ("curl delivers", |server| send(server, &format!("smtp://127.0.0.1:{}", server.smtp), &[])),
    ("curl submits after STARTTLS", |server| {
        let url = format!("smtp://localhost:{}", server.submission);
        send(server, &url, &["--ssl-reqd", "--user", &login()])
    }),
    ("curl submits over TLS", |server| {
        let url = format!("smtps://localhost:{}", server.submissions);
        send(server, &url, &["--user", &login()])
    }),
    ("curl appends, lists, searches and fetches by IMAP", |server| {
        mailbox(server, &format!("imap://127.0.0.1:{}", server.imap))
    }),
    ("curl appends, lists, searches and fetches over TLS", |server| {
        mailbox(server, &format!("imaps://localhost:{}", server.imaps))
    }),
    ("curl is refused with a wrong password", wrong_password),
];

fn login() -> String {
    format!("{ADDRESS}:{PASSWORD}")
}

/// With the certificate of localserve trusted and its name checked.
fn curl(server: &Server) -> Command {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "30", "--cacert"]);
    command.arg(server.certificate());
    command
}

fn message(subject: &str) -> String {
    format!(
        "From: <{ADDRESS}>\r\nTo: <{ADDRESS}>\r\nSubject: {subject}\r\n\
         Date: Fri, 20 Nov 2020 08:55:32 +0000\r\nMessage-ID: <{subject}@client.example>\r\n\
         \r\nBody of {subject}.\r\n.\r\nEnd.\r\n"
    )
}

fn send(server: &Server, url: &str, options: &[&str]) -> Result<()> {
    let subject = token()?;
    let mut command = curl(server);
    command.args(options).args(["--mail-from", ADDRESS, "--mail-rcpt", ADDRESS]);
    command.args(["--upload-file", "-", url]);
    run(&mut command, &message(&subject), LIMIT)?;
    arrived(server, &subject)
}

fn mailbox(server: &Server, url: &str) -> Result<()> {
    let subject = token()?;
    let file = server.folder().join(&subject);
    fs::write(&file, message(&subject)).context("write message")?;
    let mut append = curl(server);
    append.args(["--user", &login(), "--upload-file"]).arg(&file).arg(format!("{url}/INBOX"));
    run(&mut append, "", LIMIT)?;

    let ask = |path: &str, options: &[&str]| {
        let mut command = curl(server);
        command.args(["--user", &login()]).args(options).arg(format!("{url}/{path}"));
        run(&mut command, "", LIMIT)
    };
    let list = ask("", &[])?;
    ensure!(list.contains("* LIST") && list.to_uppercase().contains("INBOX"), "list: {list}");
    let found = ask(&format!("INBOX?SUBJECT%20{subject}"), &[])?;
    let number = found.trim().strip_prefix("* SEARCH ").context(found.clone())?.trim().to_owned();
    ensure!(number.parse::<u32>().is_ok(), "search: {found}");
    let fetched = ask(&format!("INBOX;MAILINDEX={number}"), &[])?;
    ensure!(fetched.ends_with(&format!("Body of {subject}.\r\n.\r\nEnd.\r\n")), "{fetched}");
    let text = ask(&format!("INBOX;MAILINDEX={number};SECTION=TEXT"), &[])?;
    ensure!(text == format!("Body of {subject}.\r\n.\r\nEnd.\r\n"), "{text}");
    let status = ask("", &["--request", "STATUS INBOX (MESSAGES UIDNEXT)"])?;
    ensure!(status.contains("* STATUS"), "status: {status}");
    Ok(())
}

/// Exit code 67: logging in failed.
fn wrong_password(server: &Server) -> Result<()> {
    let url = format!("imap://127.0.0.1:{}/INBOX", server.imap);
    let mut command = curl(server);
    command.args(["--user", &format!("{ADDRESS}:wrong-password"), &url]);
    run_failing(&mut command, 67, LIMIT).map(|_| ())
}
