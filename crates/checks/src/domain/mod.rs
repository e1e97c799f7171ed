//! Whether DNS and the servers of a domain are as its configuration wants.
//!
//! All subjects are checked at the same time, each by a file of its own; what is wrong is told with
//! the records to add.

mod autoconf;
mod context;
mod dane;
mod dkim;
mod dmarc;
mod dnssec;
mod iprev;
mod mtasts;
mod mx;
mod result;
mod spf;
mod srv;
mod starttls;
#[cfg(test)]
mod tests;
mod tls;
mod tlsrpt;

use std::sync::Arc;
use std::time::Duration;

use mox_base::Domain;
use mox_config::Config;
use mox_net::blocking;
use tokio::time::{Instant, timeout_at};

use crate::Services;
use context::{Context, Known};
use result::Subject;
pub use result::{
    AutoconfResult, AutodiscoverResult, AutodiscoverSrv, CheckResult, DaneResult, DkimRecord,
    DkimResult, DmarcResult, DnssecResult, FINDINGS_MAX, IpRevResult, MtaStsPolicy, MtaStsResult,
    Mx, MxResult, SpfResult, Srv, SrvResult, TlsResult, TlsRptResult, Told,
};

/// How long all checks take together at most.
pub const CHECK_WAIT: Duration = Duration::from_secs(30);

/// How long a connection may take to come about.
pub const DIAL_WAIT: Duration = Duration::from_secs(10);

/// Hosts and addresses of one kind that are looked at. Ours.
pub const HOSTS_MAX: usize = 20;

/// Texts of others are shown up to this many bytes. Ours.
pub const TEXT_BYTES_MAX: usize = 4_096;

/// Checks a domain, within [`CHECK_WAIT`].
pub async fn check(services: &Services, config: &Arc<Config>, domain: &Domain) -> CheckResult {
    let (for_files, wanted) = (Arc::clone(config), domain.clone());
    let known = blocking(move || Known::read(&for_files, &wanted)).await;
    check_known(services, config, domain, &known).await
}

async fn check_known(
    services: &Services,
    config: &Config,
    domain: &Domain,
    known: &Known,
) -> CheckResult {
    let end = Instant::now() + CHECK_WAIT;
    let default = mox_config::DomainSettings::default();
    let settings = config.domain(domain).unwrap_or(&default);
    let context = Context { services, config, domain, settings, known };
    let context = &context;
    // In boxes: together they would be large.
    let first = Box::pin(async {
        tokio::join!(
            in_time(end, dnssec::check(context)),
            in_time(end, iprev::check(context)),
            in_time(end, mx::check(context)),
            in_time(end, tls::check(context)),
            in_time(end, dane::check(context)),
            in_time(end, spf::check(context)),
            in_time(end, dkim::check(context)),
        )
    });
    let second = Box::pin(async {
        tokio::join!(
            in_time(end, dmarc::check(context)),
            in_time(end, tlsrpt::check_host(context)),
            in_time(end, tlsrpt::check_domain(context)),
            in_time(end, mtasts::check(context)),
            in_time(end, srv::check(context)),
            in_time(end, autoconf::check(context)),
            in_time(end, autoconf::check_autodiscover(context)),
        )
    });
    let (first, second) = tokio::join!(first, second);
    let (dnssec, ip_rev, mx, tls, dane, spf, dkim) = first;
    let (dmarc, host_tls_rpt, domain_tls_rpt, mta_sts, srv_conf, autoconf, autodiscover) = second;
    CheckResult {
        domain: domain.unicode().to_owned(),
        dnssec,
        ip_rev,
        mx,
        tls,
        dane,
        spf,
        dkim,
        dmarc,
        host_tls_rpt,
        domain_tls_rpt,
        mta_sts,
        srv_conf,
        autoconf,
        autodiscover,
    }
}

/// What comes of a check, or that it was not done in time.
async fn in_time<T: Subject>(end: Instant, work: impl Future<Output = T>) -> T {
    timeout_at(end, Box::pin(work)).await.unwrap_or_else(|_| {
        let mut none = T::default();
        none.told().error(format!("not done within {} seconds", CHECK_WAIT.as_secs()));
        none
    })
}

/// Text of others, cut.
fn shown(text: &[u8]) -> String {
    let text = text.get(..TEXT_BYTES_MAX).unwrap_or(text);
    String::from_utf8_lossy(text).into_owned()
}
