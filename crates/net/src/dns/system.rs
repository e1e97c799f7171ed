//! The resolver of a server, from the settings of the system.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mox_base::{Clock, Rng};
use mox_dns::{Name, Pending, RecordType, Resolver};
use tokio::sync::OnceCell;

use super::{CacheCounts, Cached, ResolvConf, StubAd};
use crate::blocking;

/// Where the system keeps its settings.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Bytes of that file that are read.
const RESOLV_CONF_BYTES_MAX: u64 = 65_536;

/// How a [`SystemResolver`] asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemOptions {
    /// Which servers are asked.
    pub servers: Servers,
}

/// Which servers are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// Those of a file like resolv.conf, read when the first question is asked. If there is none, a
    /// server on this machine.
    File(PathBuf),
    /// These.
    Given(ResolvConf),
}

impl Default for SystemOptions {
    /// The servers of the system.
    fn default() -> Self {
        Self { servers: Servers::File(RESOLV_CONF.into()) }
    }
}

/// Asks the DNS servers of the system and keeps what they answer.
///
/// To make one costs nothing: the settings are read when the first question is asked. Changes to them
/// later have no effect.
pub struct SystemResolver {
    cached: Cached<Lazy>,
}

impl fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cached.fmt(f)
    }
}

impl SystemResolver {
    /// One that has not read its settings yet.
    #[must_use]
    pub fn new(options: SystemOptions, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        let lazy = Lazy { options, rng, chosen: OnceCell::new() };
        Self { cached: Cached::new(lazy, clock) }
    }

    /// What was asked and found.
    #[must_use]
    pub fn counts(&self) -> CacheCounts {
        self.cached.counts()
    }
}

impl Resolver for SystemResolver {
    fn lookup<'a>(&'a self, name: &'a Name, kind: RecordType) -> Pending<'a> {
        self.cached.lookup(name, kind)
    }
}

/// The resolver that is made of the settings when it is needed.
struct Lazy {
    options: SystemOptions,
    rng: Arc<dyn Rng>,
    chosen: OnceCell<StubAd>,
}

impl Lazy {
    async fn chosen(&self) -> &StubAd {
        self.chosen.get_or_init(|| self.choose()).await
    }

    async fn choose(&self) -> StubAd {
        let conf = self.conf().await;
        tracing::info!(servers = ?conf.servers, trust_ad = conf.trust_ad, "DNS servers");
        StubAd::new(conf, Arc::clone(&self.rng))
    }

    async fn conf(&self) -> ResolvConf {
        let path = match &self.options.servers {
            Servers::Given(conf) => return conf.clone(),
            Servers::File(path) => path.clone(),
        };
        blocking(move || match read(&path) {
            Ok(text) => ResolvConf::parse(&text),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error,
                    "the settings of DNS cannot be read, a server on this machine is asked");
                ResolvConf::default()
            }
        })
        .await
    }
}

impl Resolver for Lazy {
    fn lookup<'a>(&'a self, name: &'a Name, kind: RecordType) -> Pending<'a> {
        Box::pin(async move { self.chosen().await.lookup(name, kind).await })
    }
}

/// The first part of a file, whatever bytes are in it.
fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(RESOLV_CONF_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_proto::rr::RData;
    use hickory_proto::rr::rdata::A;
    use mox_dns::{Lookups as _, Security};
    use mox_testkit::{ManualClock, TestRng};

    use super::*;
    use crate::dns::scripted::{Scripted, with};

    fn resolver(servers: Servers) -> SystemResolver {
        let (clock, rng) = (Arc::new(ManualClock::default()), Arc::new(TestRng::new(1)));
        SystemResolver::new(SystemOptions { servers }, clock, rng)
    }

    #[tokio::test]
    async fn questions_reach_the_servers_given_once() {
        let address = RData::A(A(Ipv4Addr::new(192, 0, 2, 1)));
        let server = Scripted::answering(move |question| {
            let mut answer = with(question, &[("a.example.", 60, address.clone())]);
            answer.metadata.authentic_data = true;
            answer
        });
        let server = server.await;
        let conf = ResolvConf { servers: vec![server.addr], ..ResolvConf::default() };
        let resolver = resolver(Servers::Given(conf));
        assert_eq!(server.asked(), 0);
        let name = Name::parse("a.example").unwrap();
        for _ in 0..2 {
            let found = resolver.ipv4(&name).await.unwrap();
            assert_eq!(found.records, ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]);
            assert_eq!(found.security, Security::Secure);
        }
        assert_eq!(server.asked(), 1);
        let counts = resolver.counts();
        assert_eq!((counts.asked, counts.hits, counts.found), (1, 1, 1));
    }

    #[tokio::test]
    async fn settings_come_from_the_file_or_are_the_usual_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resolv.conf");
        let conf = async |path: &Path| {
            let (options, rng) = (Servers::File(path.into()), Arc::new(TestRng::new(1)));
            let options = SystemOptions { servers: options };
            Lazy { options, rng, chosen: OnceCell::new() }.conf().await
        };
        assert_eq!(conf(&path).await, ResolvConf::default());
        assert_eq!(conf(dir.path()).await, ResolvConf::default());
        std::fs::write(&path, b"nameserver 192.0.2.1\n# \xff\n").unwrap();
        assert_eq!(conf(&path).await, ResolvConf::parse("nameserver 192.0.2.1"));
        // Attack: none, but a file of any size is not to take any memory.
        let mut long = vec![b'\n'; 65_536];
        long.extend_from_slice(b"nameserver 192.0.2.1");
        std::fs::write(&path, long).unwrap();
        assert_eq!(conf(&path).await, ResolvConf::default());
    }
}
