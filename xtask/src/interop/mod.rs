//! Other people's mail programs against `mox localserve`.
//!
//! Installs what it needs and fails, never skips, when something is missing. Each case is a
//! program doing what its users do with it, and a check by another way that it worked.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

mod curl;
mod dkim;
mod dovecot;
mod faults;
mod fetchmail;
mod install;
mod lab;
mod neomutt;
mod offlineimap;
mod perl;
mod program;
mod python;
mod server;
mod setup;
mod swaks;
mod sync;
mod takeover;

use server::Server;

/// A case by its name.
type Case = (&'static str, fn(&Server) -> Result<()>);

/// What must be there: a command that only works if it is, and the Debian package with it.
const PROGRAMS: &[program::Needed] = &[
    (&["swaks", "--version"], "swaks"),
    (&["perl", "-MNet::SSLeay", "-e", "1"], "libnet-ssleay-perl"),
    (&["curl", "--version"], "curl"),
    (&["python3", "--version"], "python3"),
    (&["mbsync", "--version"], "isync"),
    (&["neomutt", "-v"], "neomutt"),
    (&["perl", "-MMail::IMAPClient", "-e", "1"], "libmail-imapclient-perl"),
    (&["offlineimap", "--version"], "offlineimap3"),
    (&["fetchmail", "--version"], "fetchmail"),
    (&["imapfilter", "-V"], "imapfilter"),
    (&["script", "--version"], "bsdutils"),
    (&["dovecot", "--version"], "dovecot-imapd"),
    (&["postconf", "-d", "mail_version"], "postfix"),
    (&["unbound", "-V"], "unbound"),
    (&["ldns-signzone", "-v"], "ldnsutils"),
    (&["openssl", "version"], "openssl"),
    (&["which", "pebble"], "pebble"),
    (&["useradd", "--help"], "passwd"),
    (&["ip", "-Version"], "iproute2"),
    (&["setpriv", "--version"], "util-linux"),
    (&["dpkg-deb", "--version"], "dpkg"),
    (&["systemd-analyze", "--version"], "systemd"),
    (&[dkim::PYTHON, "-c", "import dkim"], "python3-dkim"),
    (&[dkim::PYTHON, "-c", "import nacl"], "python3-nacl"),
];

/// Runs the cases whose names contain `filter`, which is all if it is empty.
///
/// Builds nothing: wants `target/release/mox`, or the program named in `MOX`.
pub(crate) fn run(filter: &str) -> Result<()> {
    let mut cases: Vec<Case> = [
        swaks::CASES,
        curl::CASES,
        python::CASES,
        perl::CASES,
        sync::CASES,
        offlineimap::CASES,
        fetchmail::CASES,
        neomutt::CASES,
        faults::CASES,
        lab::CASES,
        setup::CASES,
        takeover::CASES,
        dkim::CASES,
        install::CASES,
        dovecot::CASES,
    ]
    .concat();
    cases.retain(|(name, _)| name.contains(filter));
    ensure!(!cases.is_empty(), "no case is called {filter:?}");
    let started = program::install(PROGRAMS)
        .context("install programs")
        .and_then(|()| Server::start().context("start mox localserve"));
    let server = match started {
        Ok(server) => server,
        Err(error) => {
            println!("0 passed, {} failed", cases.len());
            return Err(error);
        }
    };
    let (mut passed, mut failed) = (0, 0);
    for (name, case) in cases {
        let started = Instant::now();
        let result = case(&server);
        let secs = started.elapsed().as_secs_f32();
        match result {
            Ok(()) => {
                passed += 1;
                println!("ok    {name} ({secs:.1} s)");
            }
            Err(error) => {
                failed += 1;
                println!("FAIL  {name} ({secs:.1} s): {error:#}");
            }
        }
    }
    if failed > 0 {
        println!("{}", server.log_tail());
    }
    let stopped = server.stop().context("stop mox localserve");
    println!("{passed} passed, {failed} failed");
    stopped?;
    if failed > 0 {
        bail!("{failed} of {} cases failed", passed + failed);
    }
    Ok(())
}
