//! The resolver of a server, from the settings of the system.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mox_base::{Clock, Rng};
use mox_dns::{Answer, DnsError, Name, Pending, RecordType, Resolver, Trouble};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::stub::within;
use super::{CacheCounts, Cached, LOOKUP_WAIT, ResolvConf, StubAd, TrustAnchor, Validating};
use crate::blocking;

/// Where the system keeps its settings.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Where Linux lists the network interfaces.
const INTERFACES: &str = "/sys/class/net";

/// Bytes of a file that are read.
const RESOLV_CONF_BYTES_MAX: u64 = 65_536;

/// How often it is looked whether the settings have changed, as they do when the machine comes to
/// another network.
pub const SETTINGS_WAIT: Duration = Duration::from_secs(30);

/// How long it holds that nobody can check signatures. Then it is found out again.
pub const UNCHECKED_WAIT: Duration = Duration::from_secs(3600);

/// How a [`SystemResolver`] asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemOptions {
    /// Which servers are asked.
    pub servers: Servers,
    /// Who checks signatures.
    pub checks: Checks,
    /// The keys of the root zone, if they are not those of the internet.
    pub anchors: Option<Vec<TrustAnchor>>,
}

/// Who checks the signatures of DNSSEC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Checks {
    /// The servers that are trusted, if the first question shows that they do it, else we, else
    /// nobody: then nothing is secure.
    #[default]
    Automatic,
    /// The servers, as far as they are trusted: [`StubAd`]. If they do not, nothing is secure.
    Servers,
    /// We, whatever the servers say: [`Validating`].
    Own,
}

/// Which servers are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// Those of a file like resolv.conf. If there is none, a server on this machine.
    File(PathBuf),
    /// These.
    Given(ResolvConf),
}

impl Default for SystemOptions {
    /// The servers of the system, and whoever can check signatures.
    fn default() -> Self {
        let servers = Servers::File(RESOLV_CONF.into());
        Self { servers, checks: Checks::Automatic, anchors: None }
    }
}

/// Asks the DNS servers of the system and keeps what they answer.
///
/// To make one costs nothing: the settings are read when the first question is asked, and then every
/// [`SETTINGS_WAIT`] when there are questions.
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
        Self { cached: Cached::new(Lazy::new(options, Arc::clone(&clock), rng), clock) }
    }

    /// What was asked and found.
    #[must_use]
    pub fn counts(&self) -> CacheCounts {
        self.cached.counts()
    }
}

impl Resolver for SystemResolver {
    fn lookup<'a>(&'a self, name: &'a Name, kind: RecordType) -> Pending<'a> {
        let answer = self.cached.lookup(name, kind);
        Box::pin(async move {
            let since = Instant::now();
            let answer = answer.await;
            let result = match &answer {
                Ok(_) => "ok",
                Err(error) if error.is_not_found() => "nxdomain",
                Err(DnsError::Temporary(Trouble::Timeout)) => "timeout",
                Err(error) if error.is_temporary() => "temporary",
                Err(_) => "error",
            };
            mox_metrics::dns::looked_up(PACKAGE, word(kind), result, since.elapsed());
            answer
        })
    }
}

/// What metrics call who asks: all go by way of one cache.
const PACKAGE: &str = "dns";

/// What metrics call a type of records.
fn word(kind: RecordType) -> &'static str {
    match kind {
        RecordType::A => "a",
        RecordType::Aaaa => "aaaa",
        RecordType::Cname => "cname",
        RecordType::Mx => "mx",
        RecordType::Ns => "ns",
        RecordType::Ptr => "ptr",
        RecordType::Srv => "srv",
        RecordType::Tlsa => "tlsa",
        RecordType::Txt => "txt",
    }
}

/// The resolver that is made of the settings when it is needed.
struct Lazy {
    options: SystemOptions,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    /// Whoever finds out holds it, and the others wait.
    current: Mutex<Option<Current>>,
}

struct Chosen {
    resolver: Arc<dyn Resolver>,
    /// When to choose again, by the monotonic clock, even if the settings are the same.
    until: Option<Duration>,
}

/// What was chosen for which settings, and when to look whether they still hold.
struct Current {
    chosen: Chosen,
    conf: ResolvConf,
    look_again: Duration,
}

impl Chosen {
    fn for_good(resolver: impl Resolver + 'static) -> Self {
        Self { resolver: Arc::new(resolver), until: None }
    }

    fn holds(&self, now: Duration) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl Lazy {
    fn new(options: SystemOptions, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { options, clock, rng, current: Mutex::new(None) }
    }

    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Answer, DnsError> {
        self.resolver().await?.lookup(name, kind).await
    }

    async fn resolver(&self) -> Result<Arc<dyn Resolver>, DnsError> {
        let mut current = self.current.lock().await;
        let now = self.clock.monotonic();
        if let Some(current) = &*current
            && now < current.look_again
            && current.chosen.holds(now)
        {
            return Ok(Arc::clone(&current.chosen.resolver));
        }
        let conf = self.conf(current.as_ref().map(|current| current.conf.clone())).await;
        let look_again = now.saturating_add(SETTINGS_WAIT);
        if let Some(current) = &mut *current
            && current.conf == conf
            && current.chosen.holds(now)
        {
            current.look_again = look_again;
            return Ok(Arc::clone(&current.chosen.resolver));
        }
        let chosen = self.choose(conf.clone()).await?;
        let resolver = Arc::clone(&chosen.resolver);
        *current = Some(Current { chosen, conf, look_again });
        Ok(resolver)
    }

    /// Finds out who can check signatures.
    ///
    /// Fails if a server that may be trusted cannot be asked now: what it can do is not known, and
    /// the next question finds out.
    async fn choose(&self, conf: ResolvConf) -> Result<Chosen, DnsError> {
        match self.options.checks {
            Checks::Servers => return Ok(Chosen::for_good(self.stub(conf))),
            Checks::Own => return Ok(Chosen::for_good(self.validating(conf))),
            Checks::Automatic => {}
        }
        let Some(trusted) = conf.clone().trusted() else { return Ok(self.own_or_none(conf).await) };
        let servers = trusted.servers.clone();
        let stub = self.stub(trusted);
        // The root zone is signed, so whoever checks says so. RFC 4035 §3.2.3.
        match stub.lookup(&Name::root(), RecordType::Ns).await {
            Ok(answer) if answer.security.is_secure() => {
                tracing::info!(?servers, "DNSSEC is checked by DNS servers that are trusted");
                Ok(Chosen::for_good(stub))
            }
            Err(error @ DnsError::Temporary(Trouble::Timeout | Trouble::Unreachable)) => Err(error),
            _ => Ok(self.own_or_none(conf).await),
        }
    }

    /// Checks here, unless the servers pass no signatures on: then nobody can.
    ///
    /// Attack: whoever can change what such servers say can make it look so. Mail then goes on as it
    /// does where there is no DNSSEC, which is better than not at all, and that is not for good. With
    /// a server that checks on this machine it cannot happen.
    async fn own_or_none(&self, conf: ResolvConf) -> Chosen {
        let servers = conf.servers.clone();
        let (validating, stub) = (self.validating(conf.clone()), self.stub(conf));
        let root = validating.lookup(&Name::root(), RecordType::Ns).await;
        if root != Err(DnsError::Bogus) || stub.may_pass_signatures_on().await {
            tracing::info!(?servers, "DNSSEC is checked here");
            return Chosen::for_good(validating);
        }
        tracing::error!(
            ?servers,
            "the DNS servers pass no signatures on: nothing is checked by DNSSEC. Run a resolver \
             that checks on this machine, such as unbound, and name it in /etc/resolv.conf"
        );
        let until = self.clock.monotonic().saturating_add(UNCHECKED_WAIT);
        Chosen { resolver: Arc::new(stub), until: Some(until) }
    }

    fn stub(&self, conf: ResolvConf) -> StubAd {
        StubAd::new(conf, Arc::clone(&self.rng))
    }

    fn validating(&self, conf: ResolvConf) -> Validating {
        let (clock, rng) = (Arc::clone(&self.clock), Arc::clone(&self.rng));
        match &self.options.anchors {
            Some(anchors) => Validating::with_anchors(conf, clock, rng, anchors),
            None => Validating::new(conf, clock, rng),
        }
    }

    /// The settings as they are now; those of `before` if they cannot be read any more, as when
    /// this process is confined and another file was put in the place of the one that it may read.
    async fn conf(&self, before: Option<ResolvConf>) -> ResolvConf {
        let path = match &self.options.servers {
            Servers::Given(conf) => return conf.clone(),
            Servers::File(path) => path.clone(),
        };
        blocking(move || match read(&path) {
            Ok(text) => ResolvConf::parse(&text, interface_index),
            Err(error) if before.is_some() => {
                tracing::debug!(path = %path.display(), %error, "settings of DNS stay as they were");
                before.unwrap_or_default()
            }
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
        // To find out who checks may take as long as a lookup: all of it together may not.
        Box::pin(within(LOOKUP_WAIT, self.ask(name, kind)))
    }
}

/// The number of a network interface, as Linux tells it. Blocks.
fn interface_index(name: &str) -> Option<u32> {
    // Attack: none, but a name of another file is not one of an interface.
    if name.starts_with('.') || name.contains('/') {
        return None;
    }
    read(&Path::new(INTERFACES).join(name).join("ifindex")).ok()?.trim().parse().ok()
}

/// The first part of a file, whatever bytes are in it.
fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(RESOLV_CONF_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use hickory_proto::op::{Message, ResponseCode};
    use hickory_proto::rr::RData;
    use hickory_proto::rr::rdata::A;
    use mox_dns::{Lookups as _, Security};
    use mox_testkit::{ManualClock, TestRng};

    use super::*;
    use crate::dns::lab::{Lab, Signing};
    use crate::dns::scripted::{Scripted, empty};

    fn lab(vouches: bool) -> Lab {
        let mut lab = Lab::new();
        for (origin, signing) in [("signed.", Signing::Good), ("expired.", Signing::Expired)] {
            lab.zone(origin, signing);
            lab.add(&format!("a.{origin}"), RData::A(A::new(192, 0, 2, 1)));
        }
        lab.vouches = vouches;
        lab
    }

    fn resolver(server: &Scripted, checks: Checks, anchor: TrustAnchor) -> SystemResolver {
        resolver_at(server, checks, anchor, Arc::new(ManualClock::default()))
    }

    fn resolver_at(
        server: &Scripted,
        checks: Checks,
        anchor: TrustAnchor,
        clock: Arc<ManualClock>,
    ) -> SystemResolver {
        let conf = ResolvConf { servers: vec![server.addr], ..ResolvConf::default() };
        let options =
            SystemOptions { servers: Servers::Given(conf), checks, anchors: Some(vec![anchor]) };
        SystemResolver::new(options, clock, Arc::new(TestRng::new(1)))
    }

    async fn ask(resolver: &SystemResolver, name: &str) -> Result<Security, DnsError> {
        let name = Name::parse(name).unwrap();
        resolver.ipv4(&name).await.map(|found| found.security)
    }

    const SECURE: Result<Security, DnsError> = Ok(Security::Secure);
    const BOGUS: Result<Security, DnsError> = Err(DnsError::Bogus);

    /// Asks a server that vouches for all it says, or for nothing, for a name whose signatures are
    /// valid and one whose are not.
    async fn check(vouches: bool, checks: Checks, want: [Result<Security, DnsError>; 2]) {
        let lab = lab(vouches);
        let anchor = lab.anchor();
        let server = lab.serve().await;
        let resolver = resolver(&server, checks, anchor);
        let got = [ask(&resolver, "a.signed").await, ask(&resolver, "a.expired").await];
        assert_eq!(got, want, "{vouches} {checks:?}");
    }

    /// RFC 4035 §4.9.3.
    #[tokio::test]
    async fn whoever_can_check_signatures_does() {
        check(true, Checks::Automatic, [SECURE, SECURE]).await;
        check(false, Checks::Automatic, [SECURE, BOGUS]).await;
        let insecure = Ok(Security::Insecure);
        check(false, Checks::Servers, [insecure.clone(), insecure]).await;
        check(true, Checks::Own, [SECURE, BOGUS]).await;
    }

    #[tokio::test]
    async fn nothing_is_asked_before_there_is_a_question_and_that_once() {
        let lab = lab(true);
        let anchor = lab.anchor();
        let server = lab.serve().await;
        let resolver = resolver(&server, Checks::Automatic, anchor);
        tokio::task::yield_now().await;
        assert_eq!(server.asked(), 0);
        for _ in 0..2 {
            assert_eq!(ask(&resolver, "a.signed").await, SECURE);
        }
        // One to find out who checks.
        assert_eq!(server.asked(), 2);
        let counts = resolver.counts();
        assert_eq!((counts.asked, counts.hits, counts.found), (1, 1, 1));
    }

    /// A server that starts later than we do is found out about later.
    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_found_out_yet_is_not_decided() {
        let lab = lab(true);
        let anchor = lab.anchor();
        let is_up = Arc::new(AtomicBool::new(false));
        let up = Arc::clone(&is_up);
        let meddle = move |_: &Lab, answer: &mut Message| {
            if !up.load(Ordering::Relaxed) {
                // With another number it is no answer at all.
                answer.metadata.id = answer.metadata.id.wrapping_add(1);
            }
        };
        let server = lab.serve_with(meddle).await;
        let resolver = resolver(&server, Checks::Automatic, anchor);
        let timeout = Err(DnsError::Temporary(Trouble::Timeout));
        let started = Instant::now();
        let names = ["a.signed", "b.signed", "c.signed"];
        for got in futures_util::future::join_all(names.map(|name| ask(&resolver, name))).await {
            assert_eq!(got, timeout);
        }
        assert!(started.elapsed() <= LOOKUP_WAIT, "{:?}", started.elapsed());
        // Answers come over sockets, which know nothing of a clock that jumps.
        tokio::time::resume();
        is_up.store(true, Ordering::Relaxed);
        // What failed is kept for a moment; this was not asked.
        assert_eq!(ask(&resolver, "a.expired").await, SECURE);
    }

    /// A server that does not know the root zone does not check.
    #[tokio::test]
    async fn servers_that_refuse_to_tell_are_not_trusted() {
        let lab = lab(true);
        let anchor = lab.anchor();
        let meddle = |_: &Lab, answer: &mut Message| {
            if answer.queries[0].query_type == hickory_proto::rr::RecordType::NS {
                *answer = empty(answer, ResponseCode::Refused);
            }
        };
        let server = lab.serve_with(meddle).await;
        let resolver = resolver(&server, Checks::Automatic, anchor);
        assert_eq!(ask(&resolver, "a.signed").await, SECURE);
        assert_eq!(ask(&resolver, "a.expired").await, BOGUS);
    }

    #[test]
    fn interfaces_have_numbers() {
        let has_loopback = Path::new(INTERFACES).join("lo").exists();
        assert_eq!(interface_index("lo").is_some(), has_loopback);
        for name in ["", ".", "..", "none such", "../../class/net/lo", "lo/../lo"] {
            assert_eq!(interface_index(name), None, "{name:?}");
        }
    }

    #[tokio::test]
    async fn changed_settings_are_noticed_after_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resolv.conf");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        write("nameserver 192.0.2.1");
        let (servers, checks) = (Servers::File(path.clone()), Checks::Servers);
        let options = SystemOptions { servers, checks, anchors: None };
        let clock = Arc::new(ManualClock::default());
        let lazy = Lazy::new(options, Arc::clone(&clock) as _, Arc::new(TestRng::new(1)));
        let resolver = async || lazy.resolver().await.unwrap();
        let first = resolver().await;
        clock.advance(SETTINGS_WAIT);
        assert!(Arc::ptr_eq(&first, &resolver().await));
        write("nameserver 192.0.2.2");
        clock.advance(SETTINGS_WAIT - Duration::from_secs(1));
        assert!(Arc::ptr_eq(&first, &resolver().await));
        clock.advance(Duration::from_secs(1));
        let second = resolver().await;
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &resolver().await));
        // A confined server cannot read a file that took the place of this one.
        std::fs::remove_file(&path).unwrap();
        clock.advance(SETTINGS_WAIT);
        assert!(Arc::ptr_eq(&second, &resolver().await));
    }

    /// Servers that pass no signatures on, in small routers for example, do for mail without DNSSEC
    /// until they do.
    #[tokio::test]
    async fn without_any_signatures_nothing_is_secure_for_a_while() {
        let mut lab = lab(false);
        lab.add("b.signed.", RData::A(A::new(192, 0, 2, 2)));
        let anchor = lab.anchor();
        let is_stripped = Arc::new(AtomicBool::new(true));
        let stripped = Arc::clone(&is_stripped);
        let meddle = move |_: &Lab, answer: &mut Message| {
            if stripped.load(Ordering::Relaxed) {
                answer.answers.retain(|one| !one.record_type().is_dnssec());
                answer.authorities.retain(|one| !one.record_type().is_dnssec());
            }
        };
        let server = lab.serve_with(meddle).await;
        let clock = Arc::new(ManualClock::default());
        let at = |checks| resolver_at(&server, checks, anchor.clone(), Arc::clone(&clock));
        let (resolver, own) = (at(Checks::Automatic), at(Checks::Own));
        let insecure = Ok(Security::Insecure);
        assert_eq!(ask(&resolver, "a.signed").await, insecure);
        assert_eq!(ask(&own, "a.signed").await, BOGUS);
        is_stripped.store(false, Ordering::Relaxed);
        clock.advance(UNCHECKED_WAIT - Duration::from_secs(1));
        assert_eq!(ask(&resolver, "a.expired").await, insecure);
        clock.advance(Duration::from_secs(1));
        assert_eq!(ask(&resolver, "b.signed").await, SECURE);
        clock.advance(UNCHECKED_WAIT);
        assert_eq!(ask(&resolver, "a.expired").await, BOGUS);
    }

    #[tokio::test]
    async fn settings_come_from_the_file_or_are_the_usual_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resolv.conf");
        let conf = async |path: &Path| {
            let options =
                SystemOptions { servers: Servers::File(path.into()), ..SystemOptions::default() };
            let (clock, rng) = (Arc::new(ManualClock::default()), Arc::new(TestRng::new(1)));
            Lazy::new(options, clock, rng).conf(None).await
        };
        assert_eq!(conf(&path).await, ResolvConf::default());
        assert_eq!(conf(dir.path()).await, ResolvConf::default());
        std::fs::write(&path, b"nameserver 192.0.2.1\n# \xff\n").unwrap();
        assert_eq!(conf(&path).await, ResolvConf::parse("nameserver 192.0.2.1", |_| None));
        // Attack: none, but a file of any size is not to take any memory.
        let mut long = vec![b'\n'; 65_536];
        long.extend_from_slice(b"nameserver 192.0.2.1");
        std::fs::write(&path, long).unwrap();
        assert_eq!(conf(&path).await, ResolvConf::default());
    }
}
