//! Mail::IMAPClient of Perl: extensions that other programs here do not use.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::Case;
use super::program::run;
use super::server::{ADDRESS, PASSWORD, Server};

const LIMIT: Duration = Duration::from_secs(120);

pub(super) const CASES: &[Case] = &[
    ("Mail::IMAPClient works compressed", |server| script(server, "compressed")),
    ("Mail::IMAPClient sorts and threads", |server| script(server, "sorted")),
    ("Mail::IMAPClient asks for quota and structure", |server| script(server, "described")),
    ("Mail::IMAPClient idles", |server| script(server, "idling")),
];

const SCRIPT: &str = include_str!("cases.pl");

fn script(server: &Server, function: &str) -> Result<()> {
    let mut command = Command::new("perl");
    command.args(["-", function]).env("ADDRESS", ADDRESS).env("PASSWORD", PASSWORD);
    command.env("IMAP", server.imap.to_string());
    run(&mut command, SCRIPT, LIMIT).map(|_| ())
}
