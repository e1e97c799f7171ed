//! Looks for new releases once a day, and tells the postmaster of them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Cursor, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use mox_base::Flags;
use mox_checks::updates::{LOOK_EVERY, Origin, Version, changes_since, newest, notice, origin};
use mox_net::blocking;
use mox_store::{Destination, NewMessage};
use tokio::time::{sleep, timeout};

use crate::services::Services;

/// The file with the version that the postmaster was told of last; when it was changed is when there
/// was last a look.
pub(crate) const LAST_KNOWN: &str = "lastknownversion";

/// The first look waits for the server to be busy with nothing else.
const FIRST_WAIT: Duration = Duration::from_secs(60);

/// A whole look, with its message.
const LOOK_WAIT: Duration = Duration::from_secs(60);

/// Looks again and again if the configuration wants it and there is somebody to ask.
pub(crate) fn start(services: &Services, checks: mox_checks::Services, data: &Path) {
    let Some(origin) = origin().filter(|_| services.config.snapshot().statics.check_updates) else {
        return;
    };
    let look = Look { checks, services: services.clone(), origin, path: data.join(LAST_KNOWN) };
    let (supervisor, stopping) = (services.supervisor.clone(), services.supervisor.stopping());
    supervisor.spawn("updates", supervisor.next_cid(), async move {
        let all = Box::pin(look.run());
        // What is cut off is done at the next start.
        let _ended = stopping.run_until_cancelled(all).await;
    });
}

struct Look {
    services: Services,
    checks: mox_checks::Services,
    origin: Origin,
    path: PathBuf,
}

impl Look {
    async fn run(self) {
        sleep(FIRST_WAIT).await;
        loop {
            let path = self.path.clone();
            sleep(blocking(move || wait_after(&path, SystemTime::now())).await).await;
            match timeout(LOOK_WAIT, Box::pin(self.once())).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::info!(error = %format!("{error:#}"), "look for releases")
                }
                Err(_) => tracing::info!("look for releases took too long"),
            }
        }
    }

    /// Looks once. That there was a look is noted first: restarts do not make more.
    async fn once(&self) -> Result<()> {
        let path = self.path.clone();
        let known = blocking(move || touched(&path)).await.context("note the look")?;
        let installed = Version::parse(crate::VERSION)?;
        let newest = newest(&self.checks, &self.origin).await?;
        if newest <= installed.max(known.unwrap_or(installed)) {
            return Ok(());
        }
        let changes = changes_since(&self.checks, &self.origin, known.unwrap_or(installed)).await?;
        let (services, path) = (self.services.clone(), self.path.clone());
        blocking(move || {
            tell(&services, (installed, newest), &changes)?;
            write(&path, &format!("{newest}\n")).context("note the version")
        })
        .await?;
        tracing::info!(%installed, %newest, "there is a new release");
        Ok(())
    }
}

/// How long to wait with the next look. Blocks.
fn wait_after(path: &Path, now: SystemTime) -> Duration {
    let looked = fs::metadata(path).and_then(|metadata| metadata.modified());
    let since = looked.ok().map(|looked| now.duration_since(looked).unwrap_or_default());
    since.map_or(Duration::ZERO, |since| LOOK_EVERY.saturating_sub(since))
}

/// Notes that there is a look, and returns the version that was told of last. Blocks.
fn touched(path: &Path) -> io::Result<Option<Version>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    write(path, &text)?;
    Ok(Version::parse(text.trim()).ok())
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file: File = options.write(true).create(true).truncate(true).mode(0o660).open(path)?;
    file.write_all(text.as_bytes())?;
    // Also an empty file has a new time by this.
    file.set_modified(SystemTime::now())?;
    file.sync_all()
}

/// Puts a message into the mailbox of the postmaster. Blocks.
fn tell(services: &Services, versions: (Version, Version), changes: &[String]) -> Result<()> {
    let config = services.config.snapshot();
    let postmaster = &config.statics.postmaster;
    let address = format!("postmaster@{}", config.hostname().ascii());
    let text = notice((&address, &address), versions, changes, services.clock.now());
    let account = services.store.account(&postmaster.account).context("account of postmaster")?;
    let content = account.stage(Vec::new(), &mut Cursor::new(text)).context("stage message")?;
    let flags = Flags::FLAGGED;
    let message =
        NewMessage { content, flags, keywords: Vec::new(), received: None, envelope: None };
    let destination = Destination { mailbox: postmaster.mailbox.0.clone(), create: true };
    account.add(destination, vec![message]).wait().context("add message")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn restarts_do_not_make_more_looks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LAST_KNOWN);
        let now = SystemTime::now();
        assert_eq!(wait_after(&path, now), Duration::ZERO);
        assert_eq!(touched(&path).unwrap(), None);
        let later =
            |secs| fs::metadata(&path).unwrap().modified().unwrap() + Duration::from_secs(secs);
        assert_eq!(wait_after(&path, later(0)), LOOK_EVERY);
        assert_eq!(wait_after(&path, later(3600)), LOOK_EVERY - Duration::from_secs(3600));
        assert_eq!(wait_after(&path, later(90_000)), Duration::ZERO);
        // A clock that went back.
        assert_eq!(wait_after(&path, now - LOOK_EVERY), LOOK_EVERY);
        write(&path, "v1.2.3\n").unwrap();
        assert_eq!(touched(&path).unwrap(), Version::parse("1.2.3").ok());
        assert_eq!(fs::read_to_string(&path).unwrap(), "v1.2.3\n");
    }

    #[tokio::test]
    async fn the_postmaster_is_told_once() {
        use mox_checks::FakeNetwork;
        use mox_checks::updates::{Changelog, SigningKey};
        use mox_dns::{FakeDns, Name};
        use mox_net::tls::client::Connector;
        use mox_tlspolicy::pkix::Roots;

        let dir = tempfile::tempdir().unwrap();
        let local = dir.path().join("ls");
        crate::localserve::init(&local, &crate::localserve::InitOptions::default()).unwrap();
        let options = crate::server::Options::localserve(&local).unwrap().on_free_ports();
        let server = crate::server::Server::start(options).await.unwrap();
        let services = server.services().clone();
        let key = SigningKey::from_seed([4; 32]).unwrap();
        let mut dns = FakeDns::new();
        dns.add_txt("_updates.mox.example", "v=UPDATES0;l=v99.0.0");
        let mut network = FakeNetwork::new();
        let url = "https://mox.example/changelog".to_owned();
        let log = Changelog { changes: vec![key.sign("much better\n")] };
        network.add_page(&format!("{url}?from=v{}", crate::VERSION), 200, &log.to_json());
        let clock = Arc::clone(&services.clock);
        let look = Look {
            checks: mox_checks::Services {
                resolver: Arc::new(dns),
                network: Arc::new(network),
                connector: Connector::new(Roots::default(), Arc::clone(&clock)),
                clock,
            },
            services: services.clone(),
            origin: Origin {
                name: Name::parse("_updates.mox.example").unwrap(),
                changelog: url,
                key: key.public(),
            },
            path: dir.path().join(LAST_KNOWN),
        };
        let config = services.config.snapshot();
        let postmaster = config.statics.postmaster.clone();
        let count = || {
            let reader = services.store.account(&postmaster.account).unwrap().read().unwrap();
            let mailboxes = reader.mailboxes().unwrap();
            let found = mailboxes.iter().find(|one| one.name == postmaster.mailbox.0);
            found.map_or(0, |one| one.counts.total)
        };
        let before = count();
        look.once().await.unwrap();
        assert_eq!(count(), before + 1);
        assert_eq!(fs::read_to_string(&look.path).unwrap(), "v99.0.0\n");
        // It is known now.
        look.once().await.unwrap();
        assert_eq!(count(), before + 1);
        server.shutdown().await;
    }
}
