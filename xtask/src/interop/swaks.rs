//! swaks: SMTP by hand, with each way of TLS and of logging in.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::Case;
use super::program::{run, run_failing, token};
use super::python::arrived;
use super::server::{ADDRESS, PASSWORD, Server};

const LIMIT: Duration = Duration::from_secs(60);

pub(super) const CASES: &[Case] = &[
    ("swaks delivers", |server| deliver(server, server.smtp, &[])),
    ("swaks delivers with STARTTLS", |server| deliver(server, server.smtp, &["--tls"])),
    ("swaks delivers pipelined", |server| deliver(server, server.smtp, &["--pipeline"])),
    ("swaks submits with PLAIN", |server| submit(server, server.submission, "PLAIN", &[])),
    ("swaks submits with LOGIN", |server| submit(server, server.submission, "LOGIN", &[])),
    ("swaks submits with PLAIN after STARTTLS", |server| {
        submit(server, server.submission, "PLAIN", &["--tls"])
    }),
    ("swaks submits with LOGIN over TLS", |server| {
        submit(server, server.submissions, "LOGIN", &["--tls-on-connect"])
    }),
    ("swaks is refused with a wrong password", wrong_password),
    ("swaks is refused without a password", no_password),
    ("swaks sees the simulated errors", simulated_errors),
];

fn swaks(port: u16, subject: &str, options: &[&str]) -> Command {
    let mut command = Command::new("swaks");
    command.args(["--server", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--helo", "client.example", "--timeout", "30"]);
    command.args(["--header", &format!("Subject: {subject}"), "--body", "A line.\n.\n..\nEnd."]);
    command.args(options);
    command
}

fn deliver(server: &Server, port: u16, options: &[&str]) -> Result<()> {
    let subject = token()?;
    let mut command = swaks(port, &subject, options);
    command.args(["--from", "sender@client.example", "--to", ADDRESS]);
    run(&mut command, "", LIMIT)?;
    arrived(server, &subject)
}

fn submit(server: &Server, port: u16, mechanism: &str, options: &[&str]) -> Result<()> {
    let subject = token()?;
    let mut command = swaks(port, &subject, options);
    command.args(["--from", ADDRESS, "--to", ADDRESS, "--auth", mechanism]);
    command.args(["--auth-user", ADDRESS, "--auth-password", PASSWORD]);
    run(&mut command, "", LIMIT)?;
    arrived(server, &subject)
}

/// Exit code 28: logging in failed.
fn wrong_password(server: &Server) -> Result<()> {
    let mut command = swaks(server.submission, "never", &["--auth", "PLAIN"]);
    command.args(["--from", ADDRESS, "--to", ADDRESS]);
    command.args(["--auth-user", ADDRESS, "--auth-password", "wrong-password"]);
    run_failing(&mut command, 28, LIMIT).map(|_| ())
}

/// Exit code 23: MAIL FROM was refused.
fn no_password(server: &Server) -> Result<()> {
    let mut command = swaks(server.submission, "never", &[]);
    command.args(["--from", ADDRESS, "--to", ADDRESS]);
    run_failing(&mut command, 23, LIMIT).map(|_| ())
}

/// Exit codes: 23 for MAIL FROM, 24 for RCPT TO, 26 for what follows DATA.
fn simulated_errors(server: &Server) -> Result<()> {
    let cases = [
        ("mailfrompermerror@client.example", ADDRESS, 23),
        ("sender@client.example", "rcptto550@localhost", 24),
        ("sender@client.example", "rcpttotemperror@localhost", 24),
        ("sender@client.example", "permerror@localhost", 26),
        ("sender@client.example", "452@localhost", 26),
    ];
    for (from, to, code) in cases {
        let mut command = swaks(server.smtp, "never", &["--from", from, "--to", to]);
        run_failing(&mut command, code, LIMIT)?;
    }
    Ok(())
}
