//! Questions to DNS.

use std::net::IpAddr;
use std::time::Duration;

use crate::family::{BUCKETS, Durations, Gauges};
use crate::registry::Metric;

static LOOKUPS: Durations<3> = Durations::new(
    "mox_dns_lookup_duration_seconds",
    "Time of questions to DNS, by the package that asks",
    ["pkg", "type", "result"],
    BUCKETS,
);

static BLOCKLISTS: Durations<2> = Durations::new(
    "mox_dnsbl_lookup_duration_seconds",
    "Time of questions to block lists about others",
    ["zone", "status"],
    BUCKETS,
);

static OWN_ADDRESSES: Gauges<2> = Gauges::new(
    "mox_dnsbl_ips_success",
    "Whether an address of ours is not on a block list: 0 if it is listed",
    ["zone", "ip"],
);

pub(crate) static ALL: &[&dyn Metric] = &[&LOOKUPS, &BLOCKLISTS, &OWN_ADDRESSES];

/// A question was answered, or not.
///
/// - `package`: who asked.
/// - `record`: the type, in lower case.
/// - `result`: `ok`, `nxdomain`, `temporary`, `timeout`, `canceled`, `error`, ….
pub fn looked_up(
    package: &'static str,
    record: &'static str,
    result: &'static str,
    took: Duration,
) {
    LOOKUPS.observe([package.into(), record.into(), result.into()], took);
}

/// A block list of the configuration was asked about an address: `pass`, `fail`, `temperror`.
pub fn blocklist_asked(zone: &str, status: &'static str, took: Duration) {
    BLOCKLISTS.observe([zone.to_owned().into(), status.into()], took);
}

/// A block list was asked about an address of ours.
pub fn own_address(zone: &str, ip: IpAddr, is_listed: bool) {
    let value = i64::from(!is_listed);
    OWN_ADDRESSES.with([zone.to_owned().into(), ip.to_string().into()]).set(value);
}

/// Forgets what was said of addresses of ours: lists or addresses of the configuration changed.
pub fn forget_own_addresses() {
    OWN_ADDRESSES.clear();
}
