//! dkimpy: whether others find our signatures good.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Case;
use super::program::run;
use super::server::{Server, program};

const LIMIT: Duration = Duration::from_secs(60);

pub(super) const CASES: &[Case] =
    &[("dkimpy verifies what mox dkim sign signs", |server| signed_messages_verify(server))];

/// Debian's, for which the package of dkimpy is.
pub(super) const PYTHON: &str = "/usr/bin/python3";

const SCRIPT: &str = include_str!("dkim.py");

/// Selectors with the command that makes their key, and whether header and body are relaxed.
const SELECTORS: &[(&str, &str, bool, bool)] = &[
    ("rsa-simple", "genrsa", false, false),
    ("rsa-relaxed", "genrsa", true, true),
    ("ed-simple", "gened25519", false, false),
    ("ed-relaxed", "gened25519", true, true),
    ("ed-mixed", "gened25519", true, false),
    ("rsa-mixed", "genrsa", false, true),
];

/// Messages whose forms are told apart by canonicalisation.
const MESSAGES: &[(&str, &str)] = &[
    ("plain", "From: <u@a.example>\r\nSubject: one\r\n\r\nbody\r\n"),
    ("blanks", "from:u@a.example\r\nSubject: \ttwo  \r\n\t words \r\n\r\n  a \t b  \r\n\r\n\r\n"),
    ("empty", "From: u@a.example\r\nSubject: three\r\n\r\n"),
    ("twice", "From: u@a.example\r\nTo: a@b.example\r\nTo: c@d.example\r\nSubject: four\r\n\r\nx"),
    ("utf8", "From: Ü <u@a.example>\r\nSubject: fünf\r\n\r\n.\r\n..\r\nü\r\n"),
];

fn signed_messages_verify(server: &Server) -> Result<()> {
    let folder = server.folder().join("dkim");
    fs::create_dir_all(&folder)?;
    let mut keys = Vec::new();
    for (selector, command, ..) in SELECTORS {
        let pem = mox(&folder, &["dkim", command], "")?;
        let record = mox(&folder, &["dkim", "txt"], &pem)?;
        fs::write(folder.join(format!("{selector}.pem")), pem)?;
        keys.push((*selector, write(&folder, &format!("{selector}.txt"), &record)?));
    }
    write(&folder, "mox.conf", MOX_CONF)?;
    write(&folder, "domains.conf", &domains_conf())?;
    for (name, message) in MESSAGES {
        let path = write(&folder, name, message)?;
        let path = path.to_string_lossy();
        let signed = mox(&folder, &["dkim", "sign", &path], "")?;
        verify(&write(&folder, &format!("{name}.signed"), &signed)?, &keys)?;
    }
    Ok(())
}

/// Wants all signatures of a message to be good, one for each key: a selector, and the file with its
/// record.
pub(super) fn verify(message: &Path, keys: &[(&str, PathBuf)]) -> Result<()> {
    let mut command = Command::new(PYTHON);
    command.arg("-").arg(message);
    for (selector, record) in keys {
        command.arg(format!("{selector}={}", record.display()));
    }
    run(&mut command, SCRIPT, LIMIT).map(|_| ()).context("verify with dkimpy")
}

/// What a command of mox prints.
pub(super) fn mox(folder: &Path, arguments: &[&str], input: &str) -> Result<String> {
    let mut command = Command::new(program());
    command.args(arguments).env("MOXCONF", folder.join("mox.conf"));
    run(&mut command, input, LIMIT)
}

fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

const MOX_CONF: &str = "DataDir: data\nLogLevel: error\nHostname: mx.a.example\n\
    Listeners:\n\tlocal:\n\t\tIPs:\n\t\t\t- 127.0.0.1\n\
    Postmaster:\n\tAccount: u\n\tMailbox: Inbox\n";

/// A domain that signs with all selectors.
fn domains_conf() -> String {
    let mut text = "Domains:\n\ta.example:\n\t\tDKIM:\n\t\t\tSelectors:\n".to_owned();
    for (selector, _, header, body) in SELECTORS {
        text.push_str(&format!(
            "\t\t\t\t{selector}:\n\t\t\t\t\tCanonicalization:\n\t\t\t\t\t\tHeaderRelaxed: {header}\n\
             \t\t\t\t\t\tBodyRelaxed: {body}\n\t\t\t\t\tPrivateKeyFile: {selector}.pem\n"
        ));
    }
    text.push_str("\t\t\tSign:\n");
    for (selector, ..) in SELECTORS {
        text.push_str(&format!("\t\t\t\t- {selector}\n"));
    }
    let account =
        "Accounts:\n\tu:\n\t\tDomain: a.example\n\t\tDestinations:\n\t\t\tu@a.example: nil\n";
    text + account
}
