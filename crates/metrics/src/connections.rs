//! Open connections.

use prometheus_client::metrics::gauge;

use crate::family::Gauges;
use crate::registry::Metric;

static OPEN: Gauges<2> = Gauges::new(
    "mox_connections_count",
    "Open connections, by protocol and listener of the configuration",
    ["protocol", "listener"],
);

pub(crate) static ALL: &[&dyn Metric] = &[&OPEN];

/// The open connections of one port. Made once for each.
#[derive(Clone, Debug)]
pub struct Connections(gauge::Gauge);

impl Connections {
    /// - `protocol`: the service, such as `imaps`.
    /// - `listener`: its name in the configuration.
    #[must_use]
    pub fn of(protocol: &'static str, listener: &str) -> Self {
        Self(OPEN.with([protocol.into(), listener.to_owned().into()]))
    }

    /// Counts a connection until what is returned is dropped.
    #[must_use]
    pub fn open(&self) -> Open {
        self.0.inc();
        Open(self.0.clone())
    }

    /// How many are open.
    #[must_use]
    pub fn count(&self) -> i64 {
        self.0.get()
    }
}

/// A connection that counts as open.
#[derive(Debug)]
pub struct Open(gauge::Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_counts_until_it_is_dropped() {
        let port = Connections::of("test", "one");
        let (first, second) = (port.open(), port.open());
        assert_eq!(port.count(), 2);
        assert_eq!(Connections::of("test", "one").count(), 2);
        assert_eq!(Connections::of("test", "two").count(), 0);
        drop(first);
        assert!(crate::text().contains("count{protocol=\"test\",listener=\"one\"} 1\n"));
        drop(second);
        assert_eq!(port.count(), 0);
    }
}
