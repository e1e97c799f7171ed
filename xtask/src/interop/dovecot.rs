//! Dovecot: an account there is taken over by `mox import imap`.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::Case;
use super::program::{run, tail, token};
use super::python::script_of;
use super::server::{Server, program};

const LIMIT: Duration = Duration::from_secs(60);

/// How long Dovecot may take to greet, and to end.
const START_WAIT: Duration = Duration::from_secs(20);

/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) const CASES: &[Case] =
    &[("dovecot: an account is taken over, then what is new, over TLS and without", take)];

const SCRIPT: &str = include_str!("dovecot.py");

const USER: &str = "ann@dovecot.example";
const PASSWORD: &str = "correct horse";

/// Dovecot with one user in a folder of its own; dropping it ends it.
struct Dovecot {
    child: Child,
    folder: TempDir,
    imap: u16,
    imaps: u16,
}

impl Dovecot {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir().context("make folder")?;
        // Its processes run as users of their own, and must get to their mail.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let path = folder.path();
        let mail = path.join("mail");
        fs::create_dir(&mail)?;
        run(Command::new("chown").arg("nobody").arg(&mail), "", LIMIT)?;
        make_certificate(path)?;
        fs::write(path.join("users"), format!("{USER}:{{PLAIN}}{PASSWORD}\n"))?;
        let held = [(); 2].map(|()| TcpListener::bind(("127.0.0.1", 0)));
        let [imap, imaps] = held.map(|port| Ok::<_, std::io::Error>(port?.local_addr()?.port()));
        let (imap, imaps) = (imap?, imaps?);
        let config = path.join("dovecot.conf");
        fs::write(&config, configuration(path, imap, imaps))?;
        let log = File::create(path.join("output")).context("create log")?;
        let child = Command::new("dovecot")
            .args(["-F", "-c"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start dovecot")?;
        let mut dovecot = Self { child, folder, imap, imaps };
        dovecot.wait_for_greeting()?;
        Ok(dovecot)
    }

    fn wait_for_greeting(&mut self) -> Result<()> {
        let started = Instant::now();
        while super::server::greeted(self.imap, "* OK ").is_err() {
            let ended = self.child.try_wait()?;
            ensure!(
                ended.is_none() && started.elapsed() < START_WAIT,
                "dovecot does not greet: {ended:?}\n{}\n{}",
                self.log("output"),
                self.log("log")
            );
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn log(&self, name: &str) -> String {
        tail(&fs::read_to_string(self.path(name)).unwrap_or_default())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // It ends its own processes when asked so, and not when it is killed.
        let pid = self.child.id().to_string();
        drop(run(Command::new("kill").args(["-TERM", &pid]), "", LIMIT));
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if asked.elapsed() > START_WAIT {
                drop(self.child.kill());
            }
            std::thread::sleep(PAUSE);
        }
    }
}

fn make_certificate(folder: &Path) -> Result<()> {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]);
    openssl.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    openssl.arg("-keyout").arg(folder.join("key.pem")).arg("-out").arg(folder.join("cert.pem"));
    run(&mut openssl, "", LIMIT).map(|_| ())
}

fn configuration(folder: &Path, imap: u16, imaps: u16) -> String {
    let at = folder.display();
    format!(
        "base_dir = {at}/run\nstate_dir = {at}/state\nlog_path = {at}/log\nprotocols = imap\n\
         listen = 127.0.0.1\nssl = yes\nssl_cert = <{at}/cert.pem\nssl_key = <{at}/key.pem\n\
         disable_plaintext_auth = no\nauth_mechanisms = plain login scram-sha-1 scram-sha-256\n\
         login_log_format_elements = method=%m secured=%c\nfirst_valid_uid = 1\n\
         passdb {{\n  driver = passwd-file\n  args = {at}/users\n}}\n\
         userdb {{\n  driver = static\n  args = uid=nobody gid=nogroup home={at}/mail/%u\n}}\n\
         mail_location = maildir:{at}/mail/%u/Maildir\n\
         namespace inbox {{\n  inbox = yes\n  separator = .\n  prefix = INBOX.\n\
         \x20 mailbox Sent {{\n    special_use = \\Sent\n    auto = subscribe\n  }}\n\
         \x20 mailbox Papierkorb {{\n    special_use = \\Trash\n    auto = create\n  }}\n}}\n\
         service imap-login {{\n  inet_listener imap {{\n    port = {imap}\n  }}\n\
         \x20 inet_listener imaps {{\n    port = {imaps}\n    ssl = yes\n  }}\n}}\n"
    )
}

/// Takes over what is there, by one of the ways to protect the connection.
fn import(server: &Server, dovecot: &Dovecot, tls: &str) -> Result<String> {
    let port = if tls == "implicit" { dovecot.imaps } else { dovecot.imap };
    let mut mox = Command::new(program());
    mox.arg("--config").arg(server.data().join("mox.conf")).args(["import", "imap", "mox"]);
    mox.args(["--host", "localhost", "--port", &port.to_string(), "--tls", tls, "--user", USER]);
    mox.arg("--tlscerts").arg(dovecot.path("cert.pem"));
    mox.arg("--password-file").arg(dovecot.path("password"));
    mox.arg("--journal").arg(dovecot.path("journal"));
    run(&mut mox, "", LIMIT).with_context(|| format!("{tls}\n{}", dovecot.log("log")))
}

fn take(server: &Server) -> Result<()> {
    let dovecot = Dovecot::start()?;
    fs::write(dovecot.path("password"), format!("{PASSWORD}\n"))?;
    let name = token()?;
    let there = |function: &str| {
        let (port, messages) = (dovecot.imap.to_string(), "40");
        script_of(server, SCRIPT, function, &[&port, USER, PASSWORD, &name, messages])
    };
    there("fill")?;
    let first = import(server, &dovecot, "implicit")?;
    ensure!(first.starts_with("83 messages added"), "first run: {first}");
    there("compare")?;
    let second = import(server, &dovecot, "starttls")?;
    ensure!(second.starts_with("0 messages added"), "second run: {second}");
    there("more")?;
    // A password does not go where others read it, and SCRAM sends none.
    let third = import(server, &dovecot, "none")?;
    ensure!(third.starts_with("3 messages added"), "third run: {third}");
    there("compare")?;
    // Written by a process of its own, which may be behind.
    let asked = Instant::now();
    loop {
        let log = fs::read_to_string(dovecot.path("log")).context("read the log of dovecot")?;
        let bound = log.matches("method=SCRAM-SHA-256").count();
        if bound == 3 {
            return Ok(());
        }
        let is_late = bound < 3 && asked.elapsed() < START_WAIT;
        ensure!(is_late, "{bound} logins by SCRAM:\n{}", tail(&log));
        std::thread::sleep(PAUSE);
    }
}
