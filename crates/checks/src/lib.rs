//! Whether DNS, ports and certificates are as they must be for mail to arrive and to be taken by others.
//!
//! [`setup`] looks at a machine before it becomes a mail server, [`domain`] at a domain that it serves,
//! [`doctor`] at all of it. [`blocklist_monitor`] watches while a server runs. All of it asks through [`Services`],
//! each question has an end, and what is found is told with what to do about it.
//!
//! Not in here: changing anything.
//!
//! ```
//! use mox_checks::{Finding, Level};
//!
//! let finding = Finding::warning("port 25 is closed", "Ask the provider to open it.");
//! assert_eq!(finding.level, Level::Warning);
//! assert_eq!(finding.to_string(), "warning: port 25 is closed\n\tAsk the provider to open it.\n");
//! ```

pub mod blocklist_monitor;
pub mod doctor;
pub mod domain;
#[cfg(any(test, feature = "fake"))]
mod fake;
mod finding;
pub mod rdap;
mod services;
pub mod setup;
pub mod updates;

#[cfg(any(test, feature = "fake"))]
pub use fake::FakeNetwork;
pub use finding::{Finding, Level};
pub use services::{Connecting, Dating, Fetching, Internet, Network, Services};

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mox_base::{Clock, UnixSeconds};
    use mox_dns::FakeDns;
    use mox_net::tls::client::Connector;
    use mox_testkit::ManualClock;

    use crate::{FakeNetwork, Services};

    /// 2026-01-01T00:00:00Z.
    pub(crate) const NOW: UnixSeconds = UnixSeconds(1_767_225_600);

    /// A world of fakes. No authority is trusted.
    pub(crate) fn services(dns: FakeDns, network: FakeNetwork) -> Services {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
        let connector = Connector::new(mox_tlspolicy::pkix::Roots::default(), Arc::clone(&clock));
        Services { resolver: Arc::new(dns), network: Arc::new(network), connector, clock }
    }
}
