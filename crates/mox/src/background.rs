//! What a server does now and then without being asked.

use std::sync::Arc;
use std::time::Duration;

use mox_net::blocking;
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use crate::services::Services;
use crate::tls::ListenerCerts;

/// How often `domains.conf` is looked at.
pub(crate) const CONFIG_INTERVAL: Duration = Duration::from_secs(1);

/// How often the store closes idle accounts and tidies up in the others.
pub(crate) const STORE_INTERVAL: Duration = Duration::from_secs(5);

/// How often the files with certificates are looked at.
pub(crate) const CERTS_INTERVAL: Duration = Duration::from_secs(60);

/// Starts all of it, to end with the supervisor.
pub(crate) fn start(services: &Services, certs: ListenerCerts) {
    let following = services.clone();
    every(services, "config", CONFIG_INTERVAL, move || reload_config(&following));
    let store = services.store.clone();
    every(services, "store", STORE_INTERVAL, move || store.tick());
    let clock = Arc::clone(&services.clock);
    let certs = Mutex::new(certs);
    every(services, "certs", CERTS_INTERVAL, move || certs.lock().refresh(clock.now()));
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
