//! When a domain was registered, as its registry tells by RDAP.
//!
//! Source: RFC 9082 (questions), RFC 9083 (answers), RFC 9224 (which server to ask).

use std::fmt;
use std::time::Duration;

use mox_base::{DateTime, Domain, UnixSeconds};
use mox_net::http::{HttpError, Reach, Request, Response, Url};
use mox_reports::parse_date_time;
use serde::Deserialize;

use crate::Services;

/// Where it is written which server knows of which domains. RFC 9224 §4.
pub const BOOTSTRAP_URL: &str = "https://data.iana.org/rdap/dns.json";

/// The largest list of servers that is read, in bytes.
pub const BOOTSTRAP_BYTES_MAX: usize = 1 << 20;

/// The largest answer that is read, in bytes.
pub const ANSWER_BYTES_MAX: usize = 256 << 10;

/// How long one request takes at most.
pub const REQUEST_WAIT: Duration = Duration::from_secs(10);

/// What RDAP is called. RFC 7480 §4.2.
const MEDIA_TYPE: &str = "application/rdap+json, application/json;q=0.9";

/// Why it is not known when a domain was registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RdapError {
    /// No response.
    #[error("ask {url}: {source}")]
    Http {
        /// What was asked for.
        url: String,
        /// Why there is none.
        #[source]
        source: HttpError,
    },
    /// A response that is no answer.
    #[error("ask {url}: status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// Its status.
        status: u16,
    },
    /// The response is larger than what is read, or not what it should be.
    #[error("the answer of {url} cannot be understood")]
    Malformed {
        /// What was asked for.
        url: String,
    },
    /// The registry of the top-level domain has no such service.
    #[error("the registry of .{0} tells nothing")]
    NoServer(String),
    /// Nobody has registered it.
    #[error("the registry does not know the domain")]
    Unknown,
    /// The answer has no date.
    #[error("the registry does not tell when it was registered")]
    NoDate,
}

/// Which server knows of which domains. RFC 9224 §3.
#[derive(Deserialize)]
struct Bootstrap {
    services: Vec<Vec<Vec<String>>>,
}

/// Of a domain. RFC 9083 §5.3.
#[derive(Deserialize)]
struct DomainAnswer {
    #[serde(default)]
    events: Vec<Event>,
}

/// RFC 9083 §4.5.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(default)]
    event_action: String,
    #[serde(default)]
    event_date: String,
}

/// Asks when a domain was registered: one that somebody registered, not a name below it.
///
/// Takes two requests. Servers at addresses that are not public are not asked.
///
/// # Errors
///
/// If that cannot be found out.
pub async fn registration(services: &Services, domain: &Domain) -> Result<UnixSeconds, RdapError> {
    let text = fetch(services, BOOTSTRAP_URL, BOOTSTRAP_BYTES_MAX).await?;
    let bootstrap: Bootstrap = read(&text, BOOTSTRAP_URL)?;
    let tld = domain.ascii().rsplit('.').next().unwrap_or_default();
    let base = server(&bootstrap, domain).ok_or_else(|| RdapError::NoServer(tld.to_owned()))?;
    // RFC 9082 §3.1.3; RFC 9224 §3: the path is put behind the URL as it is.
    let slash = if base.ends_with('/') { "" } else { "/" };
    let url = format!("{base}{slash}domain/{}", domain.ascii());
    let text = match fetch(services, &url, ANSWER_BYTES_MAX).await {
        // RFC 7480 §5.3.
        Err(RdapError::Status { status: 404, .. }) => return Err(RdapError::Unknown),
        fetched => fetched?,
    };
    let answer: DomainAnswer = read(&text, &url)?;
    let is_registration = |event: &&Event| event.event_action.trim() == "registration";
    let event = answer.events.iter().find(is_registration).ok_or(RdapError::NoDate)?;
    parse_date_time(event.event_date.trim()).ok_or(RdapError::NoDate)
}

/// The server of the most labels that are those of the domain. RFC 9224 §4.
fn server<'a>(bootstrap: &'a Bootstrap, domain: &Domain) -> Option<&'a str> {
    let mut best: Option<(usize, &str)> = None;
    for service in &bootstrap.services {
        let [names, urls, ..] = service.as_slice() else { continue };
        let matches = names.iter().filter(|name| is_below(domain.ascii(), name));
        let Some(length) = matches.map(String::len).max() else { continue };
        let Some(url) = urls.iter().find(|url| url.starts_with("https://")) else { continue };
        if best.is_none_or(|(before, _)| before < length) {
            best = Some((length, url));
        }
    }
    best.map(|(_, url)| url)
}

fn is_below(domain: &str, zone: &str) -> bool {
    let zone = zone.to_ascii_lowercase();
    domain.strip_suffix(&*zone).is_some_and(|rest| rest.ends_with('.'))
}

async fn fetch(
    services: &Services,
    url: &str,
    body_bytes_max: usize,
) -> Result<Vec<u8>, RdapError> {
    let malformed = || RdapError::Malformed { url: url.to_owned() };
    let request = Request {
        url: Url::parse(url).ok_or_else(malformed)?,
        post: None,
        headers: vec![("Accept".to_owned(), MEDIA_TYPE.to_owned())],
        limit: REQUEST_WAIT,
        body_bytes_max,
        follows_redirects: true,
        reach: Reach::Public,
    };
    let response = services.network.fetch(request).await;
    match response.map_err(|source| RdapError::Http { url: url.to_owned(), source })? {
        Response { status: 200, is_cut: false, body, .. } => Ok(body),
        Response { status: 200, .. } => Err(malformed()),
        Response { status, .. } => Err(RdapError::Status { url: url.to_owned(), status }),
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a [u8], url: &str) -> Result<T, RdapError> {
    serde_json::from_slice(text).map_err(|_| RdapError::Malformed { url: url.to_owned() })
}

/// The time between two days, as people count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    /// Whole years.
    pub years: u16,
    /// And days since the last anniversary.
    pub days: i64,
}

impl Age {
    /// From `since` until `now`; nothing if that is not later.
    #[must_use]
    pub fn between(since: UnixSeconds, now: UnixSeconds) -> Self {
        let none = Self { years: 0, days: 0 };
        if now <= since {
            return none;
        }
        let (start, end) = (DateTime::from_unix(since), DateTime::from_unix(now));
        // The last anniversary: of a 29 February, the last day of that month where there is none.
        for year in [end.year, end.year.saturating_sub(1)] {
            let on = |day: u8| DateTime { year, day, ..start }.to_unix();
            let Ok(anniversary) = on(start.day).or_else(|_| on(28)) else { continue };
            if year >= start.year && anniversary <= now {
                let days = now.secs_since(anniversary) / 86_400;
                return Self { years: year - start.year, days };
            }
        }
        none
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.years {
            0 => {}
            1 => f.write_str("1 year, ")?,
            years => write!(f, "{years} years, ")?,
        }
        match self.days {
            1 => f.write_str("1 day"),
            days => write!(f, "{days} days"),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use mox_dns::FakeDns;

    use super::*;
    use crate::FakeNetwork;
    use crate::tests::services;

    /// A network with the registry of `.example`, which knows one domain.
    pub(crate) fn with_registry(domain: &str, date: &str) -> FakeNetwork {
        let mut network = FakeNetwork::new();
        let bootstrap = r#"{"services":[
            [["com","net"],["https://rdap.com.example/"]],
            [["EXAMPLE"],["http://open.example/","https://rdap.example/v1/"]]]}"#;
        network.add_page(BOOTSTRAP_URL, 200, bootstrap);
        let answer = format!(
            r#"{{"events":[{{"eventAction":"expiration","eventDate":"2030-01-01T00:00:00Z"}},
                {{"eventAction":"registration","eventDate":"{date}"}},{{}}]}}"#
        );
        network.add_page(&format!("https://rdap.example/v1/domain/{domain}"), 200, &answer);
        network
    }

    fn asked(network: FakeNetwork, domain: &str) -> Result<i64, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let domain = Domain::parse(domain).unwrap();
        let services = services(FakeDns::new(), network);
        let outcome = runtime.block_on(registration(&services, &domain));
        outcome.map(|time| time.0).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check(network: FakeNetwork, domain: &str, want: Result<i64, &str>) {
        assert_eq!(asked(network, domain), want.map_err(ToOwned::to_owned), "{domain}");
    }

    /// RFC 9083 §4.5, RFC 9224 §4.
    #[test]
    fn registries_are_asked() {
        let network = || with_registry("a.example", "1970-01-02T00:00:00Z");
        check(network(), "a.example", Ok(86_400));
        check(network(), "b.example", Err("the registry does not know the domain"));
        check(network(), "a.test", Err("the registry of .test tells nothing"));
        let want = "the registry does not tell when it was registered";
        check(with_registry("a.example", "long ago"), "a.example", Err(want));
    }

    #[test]
    fn bad_answers_are_refused() {
        let with = |status, body: &str| {
            let mut network = FakeNetwork::new();
            network.add_page(BOOTSTRAP_URL, status, body);
            network
        };
        let bad = "the answer of https://data.iana.org/rdap/dns.json cannot be understood";
        check(with(200, "{"), "a.example", Err(bad));
        check(with(200, &" ".repeat(BOOTSTRAP_BYTES_MAX + 1)), "a.example", Err(bad));
        let deep = format!(r#"{{"services":{}"#, "[".repeat(100_000));
        check(with(200, &deep), "a.example", Err(bad));
        let want = "ask https://data.iana.org/rdap/dns.json: status 500";
        check(with(500, ""), "a.example", Err(want));
        // Servers without protection are not asked, odd entries are left out.
        let odd = r#"{"services":[[],[["example"]],[["example"],["http://a.example/"]]]}"#;
        check(with(200, odd), "a.example", Err("the registry of .example tells nothing"));
    }

    #[test]
    fn the_longest_match_is_asked() {
        let bootstrap: Bootstrap = serde_json::from_str(
            r#"{"services":[[["co.example"],["https://b/"]],[["example"],["https://a/"]]]}"#,
        )
        .unwrap();
        for (domain, want) in [
            ("x.example", "https://a/"),
            ("x.co.example", "https://b/"),
            ("xco.example", "https://a/"),
        ] {
            assert_eq!(server(&bootstrap, &Domain::parse(domain).unwrap()), Some(want), "{domain}");
        }
    }

    #[track_caller]
    fn check_age(since: &str, now: &str, want: &str) {
        let time = |day: &str| parse_date_time(&format!("{day}Z")).unwrap();
        assert_eq!(Age::between(time(since), time(now)).to_string(), want, "{since} {now}");
    }

    #[test]
    fn ages_are_years_and_days() {
        check_age("2020-03-01T00:00:00", "2026-03-11T00:00:00", "6 years, 10 days");
        check_age("2020-03-01T12:00:00", "2026-03-01T11:59:59", "5 years, 364 days");
        check_age("2025-03-01T00:00:00", "2026-03-02T00:00:00", "1 year, 1 day");
        check_age("2026-03-01T00:00:00", "2026-03-01T23:59:59", "0 days");
        check_age("2020-02-29T00:00:00", "2021-03-01T00:00:00", "1 year, 1 day");
        check_age("2026-03-01T00:00:00", "2020-03-01T00:00:00", "0 days");
    }
}
