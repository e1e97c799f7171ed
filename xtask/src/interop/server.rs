//! `mox localserve` on free ports in a folder of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::program::{run, tail};

/// The address of the account that localserve makes.
pub(super) const ADDRESS: &str = "mox@localhost";

/// Its password.
pub(super) const PASSWORD: &str = "moxmoxmox";

/// How long the server may take to greet. It is meant to take 0.1 s; the machine may be busy.
const START_WAIT: Duration = Duration::from_secs(120);

/// So often it is started at most: its ports were free, and may not be when it takes them.
const STARTS_MAX: usize = 3;

/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(20);

/// How long it may take to end.
const STOP_WAIT: Duration = Duration::from_secs(120);

/// A running server; dropping it ends it.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    /// Removed with the server.
    folder: Option<TempDir>,
    data: PathBuf,
    log: PathBuf,
    ports: [u16; 8],
    pub(super) smtp: u16,
    pub(super) submission: u16,
    pub(super) submissions: u16,
    pub(super) imap: u16,
    pub(super) imaps: u16,
}

/// The ports that localserve writes into its configuration, in the order of the fields above,
/// then those that are not used here but must not collide with a server that runs already.
const PORTS: [u16; 8] = [1025, 1587, 1465, 1143, 1993, 1080, 1443, 1081];

/// The program under test: `target/release/mox`, or what `MOX` names.
pub(super) fn program() -> PathBuf {
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/mox");
    std::env::var_os("MOX").map_or_else(built, PathBuf::from)
}

impl Server {
    pub(super) fn start() -> Result<Self> {
        let folder = tempfile::tempdir().context("make folder")?;
        let mut server = Self::start_in(folder.path(), &[])?;
        server.folder = Some(folder);
        Ok(server)
    }

    /// Starts a new server with its data in a folder, and with these variables of environment.
    pub(super) fn start_in(folder: &Path, environment: &[(&str, &str)]) -> Result<Self> {
        for _ in 1..STARTS_MAX {
            match Self::start_once(folder, environment) {
                // Somebody may have taken a port since it was found free.
                Err(error) if error.to_string().starts_with("mox ended") => {
                    fs::remove_dir_all(folder.join("localserve")).context("remove data")?;
                }
                done => return done,
            }
        }
        Self::start_once(folder, environment)
    }

    fn start_once(folder: &Path, environment: &[(&str, &str)]) -> Result<Self> {
        let mox = program();
        ensure!(mox.is_file(), "{}: missing; run `cargo build --release`", mox.display());
        let data = folder.join("localserve");
        let ports = free_ports()?;
        initialise(&mox, &data, &ports)?;
        Self::run(&data, ports, environment)
    }

    /// Kills the server and starts it again with the same data, on the same ports.
    pub(super) fn restart(mut self) -> Result<Self> {
        self.child.kill().context("kill mox")?;
        self.child.wait().context("wait for mox")?;
        let mut server = Self::run(&self.data, self.ports, &[])?;
        server.folder = self.folder.take();
        Ok(server)
    }

    fn run(data: &Path, ports: [u16; 8], environment: &[(&str, &str)]) -> Result<Self> {
        let log = data.with_extension("log");
        let output = File::create(&log).context("create log")?;
        let child = Command::new(program())
            .args(["localserve", "--dir"])
            .arg(data)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("start mox")?;
        let data = data.to_owned();
        let [smtp, submission, submissions, imap, imaps, ..] = ports;
        let folder = None;
        let mut server =
            Self { child, folder, data, log, ports, smtp, submission, submissions, imap, imaps };
        server.wait_for_greetings()?;
        Ok(server)
    }

    /// The folder with its configuration and accounts.
    pub(super) fn data(&self) -> PathBuf {
        self.data.clone()
    }

    fn wait_for_greetings(&mut self) -> Result<()> {
        let started = Instant::now();
        for (port, greeting) in [(self.smtp, "220 "), (self.imap, "* OK ")] {
            while let Err(error) = greeted(port, greeting) {
                if let Some(status) = self.child.try_wait()? {
                    bail!("mox ended: {status}\n{}", self.log_tail());
                }
                if started.elapsed() > START_WAIT {
                    return Err(error.context(self.log_tail()));
                }
                std::thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    /// A folder for the files of cases.
    pub(super) fn folder(&self) -> &Path {
        self.folder.as_ref().map_or(self.data.as_path(), TempDir::path)
    }

    /// The certificate that localserve made for itself.
    pub(super) fn certificate(&self) -> PathBuf {
        self.data.join("localhost.crt")
    }

    /// The end of what the server logged.
    pub(super) fn log_tail(&self) -> String {
        tail(&fs::read_to_string(&self.log).unwrap_or_default())
    }

    /// Ends the server as an administrator would, and wants it to end well and in time.
    pub(super) fn stop(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        run(Command::new("kill").args(["-TERM", &pid]), "", STOP_WAIT)?;
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "mox ended with {status}\n{}", self.log_tail());
                return Ok(());
            }
            ensure!(asked.elapsed() < STOP_WAIT, "mox did not end\n{}", self.log_tail());
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails if it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Writes the configuration and puts free ports into it.
fn initialise(mox: &Path, data: &Path, ports: &[u16; 8]) -> Result<()> {
    let mut command = Command::new(mox);
    command.args(["localserve", "--initonly", "--dir"]).arg(data);
    run(&mut command, "", START_WAIT)?;
    let path = data.join("mox.conf");
    let config = fs::read_to_string(&path).context("read mox.conf")?;
    fs::write(&path, with_ports(&config, ports)).context("write mox.conf")
}

fn with_ports(config: &str, ports: &[u16; 8]) -> String {
    let mut changed = String::with_capacity(config.len());
    for line in config.lines() {
        let port = line.trim().strip_prefix("Port: ").and_then(|port| port.trim().parse().ok());
        let index = port.and_then(|port: u16| PORTS.iter().position(|usual| *usual == port));
        match index {
            Some(index) => {
                let indent = line.len() - line.trim_start().len();
                changed.push_str(&format!("{}Port: {}", &line[..indent], ports[index]));
            }
            None => changed.push_str(line),
        }
        changed.push('\n');
    }
    changed
}

/// Ports that nobody listens on, found by listening on all of them at once.
fn free_ports() -> Result<[u16; 8]> {
    let mut ports = [0; 8];
    let mut held = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("find free port")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

pub(super) fn greeted(port: u16, greeting: &str) -> Result<()> {
    let stream = TcpStream::connect(("127.0.0.1", port)).context("connect")?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).context("read greeting")?;
    ensure!(line.starts_with(greeting), "greeting on port {port}: {line:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_put_in_by_their_usual_number() {
        let config = "SMTP:\n\tPort: 1025\nOther:\n\tPort: 9999\n\tIMAP:\n\t\tPort: 1143\n";
        let ports = [1, 2, 3, 4, 5, 6, 7, 8];
        let want = "SMTP:\n\tPort: 1\nOther:\n\tPort: 9999\n\tIMAP:\n\t\tPort: 4\n";
        assert_eq!(with_ports(config, &ports), want);
    }

    #[test]
    fn free_ports_differ() {
        let mut ports = free_ports().unwrap();
        ports.sort_unstable();
        assert!(ports.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
