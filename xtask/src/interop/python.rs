//! Python's smtplib and imaplib: what scripts use.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Case;
use super::program::run;
use super::server::{ADDRESS, PASSWORD, Server};

const LIMIT: Duration = Duration::from_secs(300);

pub(super) const CASES: &[Case] = &[
    ("smtplib submits in its three ways", |server| script(server, "smtp", &[]).map(|_| ())),
    ("imaplib logs in, and out", |server| script(server, "imap_login", &[]).map(|_| ())),
    ("imaplib works on mailboxes", |server| script(server, "imap_mailboxes", &[]).map(|_| ())),
    ("imaplib works on messages", |server| script(server, "imap_messages", &[]).map(|_| ())),
    ("imaplib sees what another session does", |server| {
        script(server, "imap_sessions", &[]).map(|_| ())
    }),
];

const SCRIPT: &str = include_str!("cases.py");

/// Runs a function of the script and returns what it prints.
pub(super) fn script(server: &Server, function: &str, arguments: &[&str]) -> Result<String> {
    script_of(server, SCRIPT, function, arguments)
}

/// Runs a function of another script.
pub(super) fn script_of(
    server: &Server,
    script: &str,
    function: &str,
    arguments: &[&str],
) -> Result<String> {
    let mut command = Command::new("python3");
    command.args(["-", function]).args(arguments);
    command.env("ADDRESS", ADDRESS).env("PASSWORD", PASSWORD);
    command.env("CERTIFICATE", server.certificate());
    let ports = [
        ("SMTP", server.smtp),
        ("SUBMISSION", server.submission),
        ("SUBMISSIONS", server.submissions),
        ("IMAP", server.imap),
        ("IMAPS", server.imaps),
    ];
    for (name, port) in ports {
        command.env(name, port.to_string());
    }
    run(&mut command, script, LIMIT)
}

/// Wants exactly one message with the subject in the inbox, soon.
pub(super) fn arrived(server: &Server, subject: &str) -> Result<()> {
    script(server, "arrived", &[subject]).map(|_| ()).context("look for the message")
}
