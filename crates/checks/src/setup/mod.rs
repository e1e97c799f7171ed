//! What a machine must have before it becomes a mail server.
//!
//! In the order in which set-up asks: does the resolver validate ([`resolver_validates`]), which
//! addresses are there ([`interfaces`]), what is the machine called ([`hostname`]), where does that
//! name lead and on what is listened ([`addresses`]), do the addresses lead back ([`reverse`]), may
//! mail go out ([`port25`]), how old is the domain ([`domain_age`]), and do block lists have the
//! addresses ([`blocklists`]). Each has an end of its own.

mod addresses;
mod blocklists;
mod domain_age;
mod hostname;
mod interfaces;
mod port25;
mod resolver;
mod reverse;

use std::time::Duration;

pub use addresses::{HostAddresses, addresses};
pub use blocklists::{BLOCKLIST_WAIT, BLOCKLISTS, blocklists};
pub use domain_age::{DOMAIN_AGE_WAIT, RECENT_DAYS, domain_age};
pub use hostname::{HostName, hostname};
pub use interfaces::{
    INTERFACES_MAX, Interface, InterfaceAddresses, interfaces, system_interfaces,
};
pub use port25::{DIAL_WAIT, port25};
pub use resolver::{RESOLVER_WAIT, resolver_validates};
pub use reverse::reverse;

/// How long a single question takes at most.
pub const LOOKUP_WAIT: Duration = Duration::from_secs(5);

/// Addresses of a machine that are asked about; those behind them are not. Ours.
pub const IPS_MAX: usize = 32;

/// Names of others that are shown for one address. Ours.
const NAMES_MAX: usize = 8;

/// Things in a row, for people.
fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}
