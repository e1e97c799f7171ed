//! A localserve from its first start to its end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::program::{Run, command, own_ip, run_in};

struct Running {
    child: Child,
    /// What it told before it was ready.
    welcome: String,
}

impl Running {
    /// Starts it, and waits until it is ready.
    fn start(dir: &Path, words: &[&str]) -> Self {
        let mut command = command(&["--loglevel", "info", "localserve", "--dir", "ls"]);
        command.args(words).current_dir(dir).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut welcome = String::new();
        for line in out.lines() {
            welcome.push_str(&line.unwrap());
            welcome.push('\n');
            if welcome.contains("configuration in ") {
                break;
            }
        }
        Self { child, welcome }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    fn wait(self) -> Run {
        self.child.wait_with_output().unwrap().into()
    }
}

fn greeting(ip: IpAddr, port: u16) -> String {
    let mut greeting = String::new();
    BufReader::new(TcpStream::connect((ip, port)).unwrap()).read_line(&mut greeting).unwrap();
    greeting
}

/// IMAP on standard input and output, or on a socket that is both.
fn check_imapserve(dir: &Path) {
    let words = ["-config", "ls/mox.conf", "admin", "imapserve"];
    let session = "a SELECT Inbox\r\nb LOGOUT\r\n";
    let stdio = run_in(dir, &[&words[..], &["mox@localhost"]].concat(), session);
    assert_eq!(stdio.code, Some(0), "{stdio:?}");
    assert!(stdio.out.starts_with("* PREAUTH [CAPABILITY "), "{stdio:?}");
    assert!(stdio.out.contains("\r\na OK [READ-WRITE]"), "{stdio:?}");
    assert!(stdio.out.ends_with("b OK LOGOUT done\r\n"), "{stdio:?}");
    let unknown = run_in(dir, &[&words[..], &["nobody@localhost.example"]].concat(), "");
    assert_eq!((unknown.code, &*unknown.out), (Some(1), ""), "{unknown:?}");
    assert!(unknown.err.contains("no such account"), "{unknown:?}");

    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut child = command(&[&words[..], &["-fd0", "mox@localhost"]].concat());
    child.current_dir(dir).stdin(OwnedFd::from(theirs)).stdout(Stdio::piped());
    let spawned = child.spawn().unwrap();
    // It holds the other end too, which would never close.
    drop(child);
    ours.write_all(session.as_bytes()).unwrap();
    let mut text = String::new();
    ours.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("b OK LOGOUT done\r\n"), "{text}");
    let run: Run = spawned.wait_with_output().unwrap().into();
    assert_eq!((run.code, &*run.out), (Some(0), ""), "{run:?}");
}

/// Runs it as a program of this name would be run.
fn sendmail(dir: &Path, settings: &str, words: &[&str], message: &str) -> Run {
    std::fs::write(dir.join("moxsubmit.conf"), settings).unwrap();
    let words = [&["-config", "moxsubmit.conf", "sendmail"], words].concat();
    let mut command = command(&words);
    command.current_dir(dir).env("HOME", dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(message.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

/// With a password, and with the key that is registered.
fn check_sendmail(dir: &Path, ip: IpAddr) {
    let settings = |how: &str| {
        let who = "Username: mox@localhost\nFrom: mox@localhost\nDefaultDestination: mox@localhost";
        format!("LocalHostname: me.example\nHost: {ip}\nTLSInsecureSkipVerify: true\n{who}\n{how}")
    };
    let key = std::fs::read_to_string(dir.join("ls/localhost.key")).unwrap();
    let certificate = std::fs::read_to_string(dir.join("ls/localhost.crt")).unwrap();
    std::fs::write(dir.join("both.pem"), format!("{certificate}{key}")).unwrap();
    let message = "Subject: backup\nTo: root\n\ndone\n.\n";
    for how in [
        "Port: 1587\nTLS: false\nSTARTTLS: true\nPassword: new password\n",
        "Port: 1465\nTLS: true\nSTARTTLS: false\nPassword: new password\nAuthMethod: PLAIN\n",
        "Port: 1465\nTLS: true\nSTARTTLS: false\nClientAuthCertPrivateKeyPEMFile: both.pem\n",
    ] {
        let run = sendmail(dir, &settings(how), &["-FCron", "-i", "root"], message);
        assert_eq!((run.code, &*run.out, &*run.err), (Some(0), "", ""), "{how}");
    }
    assert!(!dir.join("moxsubmit.failures").exists());
    let wrong = "Port: 1587\nTLS: false\nSTARTTLS: true\nPassword: wrong password\n";
    let run = sendmail(dir, &settings(wrong), &["root"], message);
    assert_eq!((run.code, &*run.out), (Some(1), ""), "{run:?}");
    assert!(run.err.contains("AUTH") && !run.err.contains("wrong password"), "{run:?}");
    let (_, kept) = run.err.trim_end().rsplit_once(" kept in ").unwrap();
    assert_eq!(std::fs::read_to_string(kept).unwrap(), message);
    let inbox = "a EXAMINE Inbox\r\nb SEARCH FROM Cron SUBJECT backup\r\nc LOGOUT\r\n";
    let words = ["-config", "ls/mox.conf", "admin", "imapserve", "mox@localhost"];
    // They may still be on their way.
    let begun = std::time::Instant::now();
    let mut patient = std::iter::repeat(()).take_while(|()| begun.elapsed().as_secs() < 120);
    let arrived = patient.any(|()| {
        let run = run_in(dir, &words, inbox);
        let found = run.out.lines().find(|line| line.starts_with("* SEARCH")).unwrap_or_default();
        found.split_whitespace().count() == 2 + 3
    });
    assert!(arrived, "three messages");
}

#[test]
fn it_is_made_used_changed_and_ended() {
    let dir = tempfile::tempdir().unwrap();
    let ip = IpAddr::from(own_ip());
    let mox = |words: &[&str], input: &str| {
        let words = [&["-config", "ls/mox.conf"], words].concat();
        run_in(dir.path(), &words, input)
    };

    let running = Running::start(dir.path(), &["--ip", &ip.to_string()]);
    assert!(running.welcome.contains("password moxmoxmox"), "{}", running.welcome);
    assert!(running.welcome.contains("new configuration in ls"), "{}", running.welcome);
    assert!(greeting(ip, 1025).starts_with("220 "));
    assert!(greeting(ip, 1143).starts_with("* OK "));

    let levels = mox(&["loglevels"], "");
    assert_eq!((levels.code, &*levels.out), (Some(0), "(default): info\n"), "{levels:?}");
    assert_eq!(mox(&["loglevels", "debug", "store"], "").code, Some(0));
    assert_eq!(mox(&["loglevels"], "").out, "(default): info\nstore: debug\n");
    assert_eq!(mox(&["loglevels", "", "store"], "").code, Some(0));
    assert_eq!(mox(&["loglevels"], "").out, "(default): info\n");
    assert_eq!(mox(&["setaccountpassword", "mox"], "new password\n").code, Some(0));
    check_imapserve(dir.path());
    let short = mox(&["setaccountpassword", "mox"], "short\n");
    assert_eq!(short.code, Some(1));
    assert!(short.err.contains("at least 8 bytes"), "{short:?}");
    let other = mox(&["setaccountpassword", "other"], "long enough\n");
    assert!(other.err.contains("no such account"), "{other:?}");
    assert_eq!(mox(&["deliver", "mox@localhost"], "Subject: x\n\nbody\n").code, Some(0));
    let certificate = std::fs::read_to_string(dir.path().join("ls/localhost.crt")).unwrap();
    let added = mox(&["config", "tlspubkey", "add", "mox@localhost", "a key"], &certificate);
    assert_eq!(added.code, Some(0), "{added:?}");
    let list = mox(&["config", "tlspubkey", "list"], "").out;
    let fingerprint = list.lines().nth(1).and_then(|row| row.split('\t').next()).unwrap();
    let shown = mox(&["config", "tlspubkey", "get", fingerprint], "").out;
    assert!(shown.starts_with("type: ecdsa-p256\nname: a key\naccount: mox\n"), "{shown}");
    let pem = certificate.replace("\r\n", "\n");
    assert!(shown.ends_with(&pem), "{shown}\n{pem}");
    check_sendmail(dir.path(), ip);
    assert_eq!(mox(&["config", "tlspubkey", "rm", fingerprint], "").code, Some(0));
    // The data is in use: nobody else touches it.
    assert_eq!(mox(&["verifydata", "ls"], "").code, Some(1));
    assert_eq!(mox(&["localserve", "-dir", "ls"], "").code, Some(1));

    running.signal(Signal::SIGTERM);
    let ended = running.wait();
    assert_eq!((ended.code, &*ended.out), (Some(0), ""), "{ended:?}");
    for line in ended.err.lines() {
        assert!(line.starts_with("l="), "not logfmt: {line:?}");
        assert!(!line.contains("new password"), "a secret: {line:?}");
    }
    assert!(TcpStream::connect((ip, 1025)).is_err());
    let verified = mox(&["verifydata", "ls"], "");
    assert_eq!((verified.code, &*verified.out), (Some(0), "ls: OK\n"), "{verified:?}");

    let running = Running::start(dir.path(), &[]);
    assert!(running.welcome.contains("existing configuration in ls"), "{}", running.welcome);
    let stopped = mox(&["stop"], "");
    assert_eq!((stopped.code, &*stopped.out), (Some(0), "mox stopped\n"), "{stopped:?}");
    assert_eq!(running.wait().code, Some(0));
    let stopped = mox(&["stop"], "");
    assert_eq!(stopped.code, Some(1));
    assert!(stopped.err.contains("is the server running?"), "{stopped:?}");
}

/// Ended by the kernel, it leaves a lock file, a socket and logs behind: none of them hinders.
#[test]
fn a_killed_server_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    let ip = own_ip();
    let [first, second, third, _] = ip.octets();
    let ip = IpAddr::from([first, second, third, 1]);
    let running = Running::start(dir.path(), &["--ip", &ip.to_string(), "--port-base", "30000"]);
    running.signal(Signal::SIGKILL);
    assert_eq!(running.wait().code, None);
    let mut running = Running::start(dir.path(), &[]);
    assert!(greeting(ip, 30_143).starts_with("* OK "));
    running.signal(Signal::SIGINT);
    let mut log = String::new();
    running.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("l=print m=\"ready to serve\" pkg=mox"), "{log}");
    assert_eq!(running.wait().code, Some(0));
}
