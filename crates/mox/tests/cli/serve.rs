//! A server from its start to its end: as root if the tests run as root, else as their user.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt as _, FdMapping};
use mox_testkit::certificates::Certified;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use nix::unistd::{Pid, Uid};
use tempfile::TempDir;

use crate::program::{Run, command, own_ip};

/// The user that the server becomes if it starts as root: a number that nobody has.
const USER: u32 = 61_234;

/// How long anything may take that takes no time on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections that are made one after the other while the server is restarted.
const CONNECTIONS: u32 = 1_000;

/// A directory with a configuration, and the program where the user of the server can run it.
struct Home {
    dir: TempDir,
    mox: PathBuf,
    smtp: SocketAddrV4,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("config")).unwrap();
        // As programs that renew certificates keep them: for root alone, if it runs the tests.
        let tls = dir.path().join("tls");
        fs::create_dir(&tls).unwrap();
        fs::set_permissions(&tls, fs::Permissions::from_mode(0o700)).unwrap();
        let made = Certified::new(&["mx.a.example"]);
        fs::write(tls.join("cert.pem"), made.cert_pem()).unwrap();
        fs::write(tls.join("key.pem"), made.key_pem()).unwrap();
        let mox = dir.path().join("mox");
        // By another process: what a test beside this one starts would hold our descriptor until it is
        // another program, and a file that is open for writing cannot be run.
        let mut copy = Command::new("cp");
        let copied = copy.arg("-p").arg(env!("CARGO_BIN_EXE_mox")).arg(&mox).status().unwrap();
        assert!(copied.success());
        let ip = own_ip();
        let free = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap();
        let home = Self { dir, mox, smtp: SocketAddrV4::new(ip, free.port()) };
        home.configure("");
        let domains = "Domains:\n\ta.example: nil\nAccounts:\n\tbox:\n\t\tDomain: a.example\n\
                       \t\tDestinations:\n\t\t\tbox@a.example: nil\n";
        fs::write(home.at("config/domains.conf"), domains).unwrap();
        home
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn configure(&self, more: &str) {
        let (ip, port) = (self.smtp.ip(), self.smtp.port());
        let text = format!(
            "DataDir: ../data\nLogLevel: info\nUser: {USER}\nHostname: mx.a.example\n{more}\
             Listeners:\n\tpublic:\n\t\tIPs:\n\t\t\t- {ip}\n\
             \t\tTLS:\n\t\t\tKeyCerts:\n\t\t\t\t-\n\t\t\t\t\tCertFile: ../tls/cert.pem\n\
             \t\t\t\t\tKeyFile: ../tls/key.pem\n\
             \t\tSMTP:\n\t\t\tEnabled: true\n\t\t\tPort: {port}\n\
             Postmaster:\n\tAccount: box\n\tMailbox: Postmaster\n"
        );
        fs::write(self.at("config/mox.conf"), text).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        // For the environment that it takes away.
        let mut command = command(&[]);
        let environment: Vec<_> = command
            .get_envs()
            .map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned)))
            .collect();
        command = Command::new(&self.mox);
        for (name, value) in environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.args(["--config", "config/mox.conf"]).args(words).current_dir(self.dir.path());
        command
    }

    fn run(&self, words: &[&str]) -> Run {
        self.command(words).output().unwrap().into()
    }

    fn start(&self) -> Running {
        Running::start(self.command(&["serve"]))
    }
}

struct Running {
    child: Child,
    log: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, log) = channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || {
            lines.map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        // It holds sockets that were passed.
        drop(command);
        Self { child, log, seen: Vec::new() }
    }

    /// Waits for a line of the log with this part.
    #[track_caller]
    fn until(&mut self, part: &str) -> &mut Self {
        loop {
            let Ok(line) = self.log.recv_timeout(PATIENCE) else {
                panic!("waited in vain for {part:?} in {:#?}", self.seen);
            };
            self.seen.push(line);
            if self.seen.last().unwrap().contains(part) {
                return self;
            }
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    #[track_caller]
    fn ends_with(mut self, code: Option<i32>) -> Vec<String> {
        let status = self.child.wait().unwrap();
        let rest: Vec<_> = self.log.iter().collect();
        self.seen.extend(rest);
        assert_eq!(status.code(), code, "{:#?}", self.seen);
        std::mem::take(&mut self.seen)
    }

    /// The process that serves.
    fn worker(&self) -> u32 {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let workers: Vec<_> = children.split_whitespace().collect();
        assert_eq!(workers.len(), 1, "{children}");
        workers[0].parse().unwrap()
    }
}

/// A test that fails leaves no server behind.
impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _gone = self.child.kill();
        }
    }
}

/// The first line that the server says to a client with an address of its own network, so that no
/// limit of connections is met.
fn greeting(server: SocketAddrV4, client: u32) -> std::io::Result<String> {
    let [_, _, high, low] = client.to_be_bytes();
    let own = Ipv4Addr::new(127, low, high.wrapping_mul(16), 2);
    let stream = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(stream.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(own, 0)))?;
    connect(stream.as_raw_fd(), &SockaddrIn::from(server))?;
    let stream = TcpStream::from(stream);
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(1_000)).read_line(&mut line)?;
    Ok(line)
}

/// What `/proc` says of a process.
fn status(pid: u32, key: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap();
    line.split_whitespace().map(ToOwned::to_owned).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn it_gives_up_its_rights_and_is_confined() {
    let home = Home::new();
    let mut running = home.start();
    running.until("ready to serve");
    for pid in [running.child.id(), running.worker()] {
        for rights in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
            assert_eq!(status(pid, rights), ["0000000000000000"], "{rights}");
        }
        assert_eq!(status(pid, "NoNewPrivs"), ["1"]);
        if Uid::effective().is_root() {
            assert_eq!(status(pid, "Uid"), vec![USER.to_string(); 4]);
            assert_eq!(status(pid, "Gid"), vec![USER.to_string(); 4]);
            assert_eq!(status(pid, "Groups"), [USER.to_string()]);
        }
    }
    if Uid::effective().is_root() {
        assert_eq!((mode(&home.at("config")), mode(&home.at("data"))), (0o2750, 0o2750));
        assert_eq!(mode(&home.at("config/mox.conf")), 0o640);
        assert_eq!((mode(home.dir.path()), mode(&home.mox)), (0o751, 0o750));
    }
    assert!(greeting(home.smtp, 1).unwrap().starts_with("220 "));

    // Another one with the same data is refused, whatever its ports.
    let second = home.run(&["serve"]);
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.err.contains("in use by another mox"), "{second:?}");

    let stopped = home.run(&["stop"]);
    assert_eq!((stopped.code, &*stopped.out), (Some(0), "mox stopped\n"), "{stopped:?}");
    let log = running.ends_with(Some(0));
    assert!(log.iter().any(|line| line.contains("confined")), "{log:#?}");
    assert!(!home.at("data/ctl").exists());
}

#[test]
fn a_restart_refuses_no_connection() {
    let home = Home::new();
    let mut running = home.start();
    running.until("ready to serve");
    let (pid, worker) = (running.child.id(), running.worker());
    let (first, done) = (channel(), AtomicBool::new(false));
    let greetings = std::thread::scope(|scope| {
        let (begun, waiting) = first;
        let (done, server) = (&done, home.smtp);
        let clients = scope.spawn(move || {
            let mut greetings = Vec::new();
            // As many as are wanted, and until the restart is over.
            for client in 0.. {
                if client >= CONNECTIONS && done.load(Ordering::SeqCst) {
                    break;
                }
                greetings.push(greeting(server, client % CONNECTIONS));
                if client == 10 {
                    begun.send(()).unwrap();
                }
            }
            greetings
        });
        waiting.recv_timeout(PATIENCE).unwrap();
        let restarted = home.run(&["restart"]);
        done.store(true, Ordering::SeqCst);
        assert_eq!(
            (restarted.code, &*restarted.out),
            (Some(0), "mox restarted\n"),
            "{restarted:?}"
        );
        clients.join().unwrap()
    });
    for (number, greeting) in greetings.iter().enumerate() {
        let text = greeting.as_ref().unwrap_or_else(|error| panic!("connection {number}: {error}"));
        // Served twice from one address, when the restart took longer: a limit is no refusal.
        assert!(text.starts_with("220 ") || number >= CONNECTIONS as usize, "{number}: {text}");
    }
    running.until("ready to serve");
    assert_eq!(running.child.id(), pid);
    assert_ne!(running.worker(), worker);
    kill(running.pid(), Signal::SIGTERM).unwrap();
    running.ends_with(Some(15));
}

#[test]
fn a_restart_that_cannot_be_had_leaves_the_server_as_it_is() {
    let home = Home::new();
    let mut running = home.start();
    running.until("ready to serve");
    let worker = running.worker();
    home.configure("NoSuchKey: 1\n");
    // By signal, then by command: the first is told in the log.
    kill(running.pid(), Signal::SIGHUP).unwrap();
    running.until("restart refused");
    let refused = home.run(&["restart"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("NoSuchKey"), "{refused:?}");
    home.configure("");
    // A program that cannot be run.
    let aside = home.at("mox.aside");
    fs::rename(&home.mox, &aside).unwrap();
    fs::write(&home.mox, "no program").unwrap();
    fs::set_permissions(&home.mox, fs::Permissions::from_mode(0o755)).unwrap();
    kill(running.pid(), Signal::SIGHUP).unwrap();
    running.until("restart refused");
    assert_eq!(running.worker(), worker);
    assert!(greeting(home.smtp, 1).unwrap().starts_with("220 "));
    // With one that can, it takes over.
    fs::rename(&aside, &home.mox).unwrap();
    kill(running.pid(), Signal::SIGHUP).unwrap();
    running.until("ready to serve");
    assert_ne!(running.worker(), worker);
    kill(running.pid(), Signal::SIGINT).unwrap();
    running.ends_with(Some(2));
}

#[test]
fn after_the_keeper_was_killed_the_next_start_takes_over() {
    let home = Home::new();
    let mut running = home.start();
    running.until("ready to serve");
    kill(running.pid(), Signal::SIGKILL).unwrap();
    running.ends_with(None);
    let mut running = home.start();
    running.until("ready to serve");
    // A worker that is killed takes its keeper along, with the code that shells give.
    let worker = i32::try_from(running.worker()).unwrap();
    kill(Pid::from_raw(worker), Signal::SIGKILL).unwrap();
    running.ends_with(Some(137));
}

#[test]
fn an_environment_that_makes_no_sense_is_refused() {
    let home = Home::new();
    for (name, value) in
        [("MOX_SOCKETS", "127.0.0.1:25"), ("MOX_FILES", "[]"), ("MOX_STAGE", "next 1 root")]
    {
        let run: Run = home.command(&["serve"]).env(name, value).output().unwrap().into();
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.err.contains(name), "{run:?}");
    }
}

/// What a service manager hears, by its socket.
struct Manager(Receiver<String>);

impl Manager {
    /// Hears in a thread from the first moment: what is sent when ten datagrams wait is lost.
    fn new(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        let (sender, heard) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 1_000];
            while let Ok(size) = socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..size]).into_owned();
                if sender.send(text).is_err() {
                    break;
                }
            }
        });
        Self(heard)
    }

    #[track_caller]
    fn until(&self, part: &str) -> String {
        let mut heard = Vec::new();
        loop {
            let text = self.0.recv_timeout(PATIENCE);
            let text = text.unwrap_or_else(|error| panic!("{part}: {error} after {heard:?}"));
            if text.contains(part) {
                return text;
            }
            heard.push(text);
        }
    }
}

#[test]
fn a_service_manager_is_told_and_its_sockets_are_used() {
    let home = Home::new();
    let path = home.at("notify");
    let manager = Manager::new(&path);
    // As for a unit with ListenStream=PORT, and one that mox.conf knows nothing of.
    let sockets = [home.smtp, SocketAddrV4::new(*home.smtp.ip(), 0)];
    let sockets = sockets.map(|addr| TcpListener::bind(addr).unwrap());
    let unwanted = sockets[1].local_addr().unwrap();
    let mut command = home.command(&["serve"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000").env("LISTEN_FDS", "2");
    let mappings = (3..)
        .zip(sockets)
        .map(|(child_fd, socket)| FdMapping { parent_fd: socket.into(), child_fd });
    command.fd_mappings(mappings.collect()).unwrap();
    let mut running = Running::start(command);
    let ready = manager.until("READY=1");
    assert!(ready.contains("STATUS=serving; confined"), "{ready}");
    running
        .until("a socket was passed that no listener of mox.conf is for")
        .until("ready to serve");
    assert!(
        running.seen.iter().any(|line| line.contains(&unwanted.to_string())),
        "{:#?}",
        running.seen
    );
    // A process that is just being started may hold it for a moment.
    let asked = Instant::now();
    while TcpStream::connect(unwanted).is_ok() {
        assert!(asked.elapsed() < PATIENCE, "somebody still listens");
        std::thread::yield_now();
    }
    assert!(greeting(home.smtp, 1).unwrap().starts_with("220 "));
    manager.until("WATCHDOG=1");
    kill(running.pid(), Signal::SIGHUP).unwrap();
    assert!(manager.until("RELOADING=1").contains("MONOTONIC_USEC="));
    manager.until("READY=1");
    // It still has the same socket, which nobody bound anew.
    assert!(greeting(home.smtp, 2).unwrap().starts_with("220 "));
    kill(running.pid(), Signal::SIGTERM).unwrap();
    manager.until("STOPPING=1");
    running.ends_with(Some(15));
}

/// A worker that hangs is not told to be alive: the service manager starts the server anew.
#[test]
fn a_server_that_hangs_is_not_alive() {
    let home = Home::new();
    let path = home.at("notify");
    let manager = Manager::new(&path);
    let mut command = home.command(&["serve"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000");
    let running = Running::start(command);
    manager.until("WATCHDOG=1");
    let worker = Pid::from_raw(running.worker().try_into().unwrap());
    kill(worker, Signal::SIGSTOP).unwrap();
    // What was said before it stopped.
    while manager.0.recv_timeout(Duration::from_secs(2)).is_ok() {}
    kill(worker, Signal::SIGCONT).unwrap();
    manager.until("WATCHDOG=1");
    kill(running.pid(), Signal::SIGTERM).unwrap();
    running.ends_with(Some(15));
}
