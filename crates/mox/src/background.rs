//! What a server does now and then without being asked.

use std::sync::Arc;
use std::time::Duration;

use mox_base::UnixSeconds;
use mox_checks::blocklist_monitor;
use mox_net::blocking;
use mox_queue::{Filter, Queue};
use mox_reportdb::{Removed, ReportDb};
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use crate::selfcheck;
use crate::services::{Mode, Services};
use crate::tls::ListenerCerts;

/// How often `domains.conf` is looked at.
pub(crate) const CONFIG_INTERVAL: Duration = Duration::from_secs(1);

/// How often the store closes idle accounts and tidies up in the others.
pub(crate) const STORE_INTERVAL: Duration = Duration::from_secs(5);

/// How often the files with certificates are looked at.
pub(crate) const CERTS_INTERVAL: Duration = Duration::from_secs(60);

/// How often old reports and evaluations are removed.
pub(crate) const REPORTS_INTERVAL: Duration = Duration::from_secs(3600);

/// How often messages and webhook calls that left the queue are forgotten.
pub(crate) const QUEUE_INTERVAL: Duration = Duration::from_secs(3600);

/// How often messages on hold are counted.
pub(crate) const HOLDS_INTERVAL: Duration = Duration::from_secs(60);

/// Starts all of it, to end with the supervisor.
pub(crate) fn start(services: &Services, certs: ListenerCerts) {
    let following = services.clone();
    every(services, "config", CONFIG_INTERVAL, move || reload_config(&following));
    let (acme, config) = (services.acme.clone(), Arc::clone(&services.config));
    every(services, "acme hosts", CONFIG_INTERVAL, move || acme.follow(&config.snapshot()));
    let store = services.store.clone();
    every(services, "store", STORE_INTERVAL, move || store.tick());
    let (reports, clock) = (services.reports.clone(), Arc::clone(&services.clock));
    every(services, "reports", REPORTS_INTERVAL, move || remove_old_reports(&reports, clock.now()));
    let (queue, clock) = (services.queue.clone(), Arc::clone(&services.clock));
    every(services, "queue history", QUEUE_INTERVAL, move || forget(&queue, clock.now()));
    let checked = services.clone();
    every(services, "selfcheck", selfcheck::INTERVAL, move || selfcheck::tick(&checked));
    let queue = services.queue.clone();
    every(services, "queue holds", HOLDS_INTERVAL, move || count_held(&queue));
    let clock = Arc::clone(&services.clock);
    let certs = Mutex::new(certs);
    watch_blocklists(services);
    every(services, "certs", CERTS_INTERVAL, move || certs.lock().refresh(clock.now()));
}

/// Watches what block lists have of us. Nobody lists the addresses of a localserve.
fn watch_blocklists(services: &Services) {
    if services.mode != Mode::Serve {
        return;
    }
    let stopping = services.supervisor.stopping();
    let watching = blocklist_monitor::run(services.resolver.clone(), services.config.clone());
    let cid = services.supervisor.next_cid();
    services.supervisor.spawn("block lists", cid, async move {
        let _stopped = stopping.run_until_cancelled(watching).await;
    });
}

/// Runs `work`, which may block, again and again; never twice at the same time.
fn every(
    services: &Services,
    name: &'static str,
    period: Duration,
    work: impl Fn() + Send + Sync + 'static,
) {
    let stopping = services.supervisor.stopping();
    let work = Arc::new(work);
    let cid = services.supervisor.next_cid();
    services.supervisor.spawn(name, cid, async move {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once, and everything was just loaded.
        ticks.tick().await;
        while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
            let work = Arc::clone(&work);
            blocking(move || work()).await;
        }
    });
}

fn remove_old_reports(reports: &ReportDb, now: UnixSeconds) {
    match reports.remove_old(now) {
        Ok(removed) if removed == Removed::default() => {}
        Ok(removed) => tracing::info!(?removed, "old reports removed"),
        Err(error) => tracing::error!(%error, "removing old reports"),
    }
}

/// Removes what was kept of the queue for as long as its account wants.
fn forget(queue: &Queue, now: UnixSeconds) {
    match queue.remove_expired(now) {
        Ok(0) => {}
        Ok(removed) => tracing::info!(removed, "history of the queue removed"),
        Err(error) => tracing::error!(%error, "removing history of the queue"),
    }
}

/// Tells metrics how many messages are on hold.
fn count_held(queue: &Queue) {
    match queue.count(&Filter { hold: Some(true), ..Filter::default() }) {
        Ok(held) => mox_metrics::queue::on_hold(held),
        Err(error) => tracing::error!(%error, "counting messages on hold"),
    }
}

fn reload_config(services: &Services) {
    match services.config.reload(services.clock.now()) {
        Ok(false) => {}
        Ok(true) => tracing::info!("domains config reloaded"),
        Err(faults) => {
            for fault in faults {
                tracing::error!(
                    error = %fault,
                    "domains config has faults, the one before stays in use"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::localserve::{InitOptions, init};
    use crate::server::{Options, Server};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn domains_conf_is_followed_and_faults_in_it_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ls");
        init(&path, &InitOptions::default()).unwrap();
        let options = Options::localserve(&path).unwrap().on_free_ports();
        let server = Server::start(options).await.unwrap();
        let services = server.services().clone();
        let login_disabled = || {
            let config = services.config.snapshot();
            config.account("mox").map(|account| account.login_disabled.clone())
        };

        let until = async |is_so: &dyn Fn() -> bool| {
            for _ in 0..1_000 {
                if is_so() {
                    return;
                }
                tokio::time::sleep(CONFIG_INTERVAL).await;
            }
            panic!("never became so");
        };

        let file = path.join("domains.conf");
        let text = fs::read_to_string(&file).unwrap();
        let with = |line: &str| text.replace("\tmox:\n", &format!("\tmox:\n\t\t{line}\n"));
        fs::write(&file, with("LoginDisabled: away")).unwrap();
        until(&|| login_disabled().as_deref() == Some("away")).await;

        fs::write(&file, with("Nonsense: away")).unwrap();
        tokio::time::sleep(CONFIG_INTERVAL * 10).await;
        assert_eq!(login_disabled().as_deref(), Some("away"));
        fs::write(&file, &text).unwrap();
        until(&|| login_disabled().as_deref() == Some("")).await;

        // Threads know nothing of a clock that jumps.
        tokio::time::resume();
        drop(services);
        assert_eq!(server.shutdown_within(Duration::from_secs(120)).await.killed, 0);
    }
}
