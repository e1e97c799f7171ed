//! The server under measurement, seen from outside.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mox::localserve::{InitOptions, init};

use crate::imap::Imap;
use crate::{proc, served};

/// A running server. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    /// Where mail is delivered.
    pub(crate) smtp: SocketAddr,
    /// Where mail is read.
    pub(crate) imap: SocketAddr,
    /// Where mail is read with TLS from the start.
    pub(crate) imaps: SocketAddr,
    /// Where users send.
    pub(crate) submission: SocketAddr,
    /// From the start of the process to the first greeting.
    pub(crate) start_time: Duration,
}

/// What the server has used since its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stats {
    /// How often it waited for the disk.
    pub(crate) syncs: u64,
    /// User and system time of all its threads.
    pub(crate) cpu: Duration,
}

/// Makes the directory of a server with an empty account.
pub(crate) fn make_dir(dir: &Path) -> Result<()> {
    init(dir, &InitOptions::default()).with_context(|| format!("make {}", dir.display()))
}

impl Server {
    /// Starts a server in a directory made by [`make_dir`], and waits for its first greeting.
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        Self::start_with(dir, None)
    }

    /// Starts a server that sends all its mail to a sink.
    pub(crate) fn start_sending(dir: &Path, sink: SocketAddr) -> Result<Self> {
        Self::start_with(dir, Some(sink))
    }

    fn start_with(dir: &Path, sink: Option<SocketAddr>) -> Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(dir.join("server.log"))?;
        let started = Instant::now();
        let mut child = Command::new(std::env::current_exe()?)
            .arg(served::ARGUMENT)
            .arg(dir)
            .args(sink.map(|sink| sink.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("start the server")?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("standard output of the server")?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let words: Vec<_> = line.split_whitespace().collect();
        let ["ready", smtp, imap, imaps, submission] = words[..] else {
            bail!("the server did not start; see {}", dir.join("server.log").display());
        };
        let (smtp, imap, imaps) = (smtp.parse()?, imap.parse()?, imaps.parse()?);
        let submission = submission.parse()?;
        let greeted = Imap::connect(imap)?;
        let start_time = started.elapsed();
        drop(greeted);
        Ok(Self { child, stdin, stdout, smtp, imap, imaps, submission, start_time })
    }

    /// How many messages of its account are in the search index, and how many there are.
    pub(crate) fn index_progress(&mut self) -> Result<(u64, u64)> {
        let line = self.ask("index")?;
        let words: Vec<_> = line.split_whitespace().collect();
        let ["index", done, total] = words[..] else {
            bail!("the server does not tell of its index: {line:?}");
        };
        Ok((done.parse()?, total.parse()?))
    }

    fn ask(&mut self, question: &str) -> Result<String> {
        let stdin = self.stdin.as_mut().context("standard input of the server")?;
        stdin.write_all(format!("{question}\n").as_bytes())?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line)
    }

    /// What it has used.
    pub(crate) fn stats(&mut self) -> Result<Stats> {
        let line = self.ask("stats")?;
        let words: Vec<_> = line.split_whitespace().collect();
        let ["stats", syncs, cpu_us] = words[..] else {
            bail!("the server gives no figures: {line:?}");
        };
        Ok(Stats { syncs: syncs.parse()?, cpu: Duration::from_micros(cpu_us.parse()?) })
    }

    /// How many messages are queued, and how many attempts an earlier process left without an end.
    pub(crate) fn queue(&mut self) -> Result<(u64, u64)> {
        let line = self.ask("queue")?;
        let words: Vec<_> = line.split_whitespace().collect();
        let ["queue", queued, interrupted] = words[..] else {
            bail!("the server does not tell of its queue: {line:?}");
        };
        Ok((queued.parse()?, interrupted.parse()?))
    }

    /// Makes all that is queued due.
    pub(crate) fn send_now(&mut self) -> Result<()> {
        let line = self.ask("now")?;
        anyhow::ensure!(line.starts_with("now "), "the queue does not change: {line:?}");
        Ok(())
    }

    /// The memory it has now, in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u64> {
        proc::resident_kib(self.child.id())
    }

    /// Ends it at once: SIGKILL.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends it in order.
    pub(crate) fn stop(mut self) -> Result<()> {
        drop(self.stdin.take());
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}
