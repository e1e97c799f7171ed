//! New releases: which is the newest, and what changed since the one that runs.
//!
//! The newest version stands in DNS, in a record such as `v=UPDATES0;l=v1.2.3`. What changed is a list
//! of texts over HTTPS, each signed with Ed25519 (RFC 8032) by who makes the releases: neither DNS nor
//! the web server can have us believe in a release that there is not.
//!
//! Nobody is asked unless [`origin`] names somebody.

mod changelog;
mod origin;
mod record;
mod serve;

use std::time::Duration;

use mox_base::UnixSeconds;
use mox_dns::{DnsError, Lookups as _, Name};
use mox_metrics::updates as metrics;
use mox_net::http::{HttpError, Reach, Request, Url};

use crate::Services;
use crate::services::within;

pub use changelog::{
    CHANGELOG_BYTES_MAX, Change, ChangeError, Changelog, SigningKey, decode_key, encode_key,
};
pub use origin::{Origin, origin};
pub use record::{RecordError, Version, VersionError, parse_record};
pub use serve::serve;

/// How long a whole look may take.
pub const LOOK_WAIT: Duration = Duration::from_secs(60);

/// The time between two looks.
pub const LOOK_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Why it is not known whether there is a new release.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// DNS has no answer.
    #[error("look up {name}: {source}")]
    Dns {
        /// What was looked up.
        name: Name,
        /// Why there is none.
        #[source]
        source: DnsError,
    },
    /// There is not exactly one record.
    #[error("{0} records with the newest version instead of one")]
    Count(usize),
    /// The record makes no sense.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The changes could not be fetched.
    #[error("fetch changes: {0}")]
    Http(#[from] HttpError),
    /// The server says something else than the changes.
    #[error("fetch changes: status {0}")]
    Status(u16),
    /// The changes are not those of who makes the releases.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Looks up which version is the newest.
///
/// # Errors
///
/// If it cannot be found out.
pub async fn newest(services: &Services, origin: &Origin) -> Result<Version, UpdateError> {
    let start = services.clock.monotonic();
    let found = look_up(services, origin).await;
    let result = match &found {
        Ok(_) => "ok",
        Err(UpdateError::Dns { source, .. }) if source.is_temporary() => "temporary",
        Err(_) => "error",
    };
    metrics::looked_up(result, services.clock.monotonic().saturating_sub(start));
    found
}

async fn look_up(services: &Services, origin: &Origin) -> Result<Version, UpdateError> {
    let answer = within(LOOK_WAIT, services.resolver.txt(&origin.name)).await;
    let failed = |source| UpdateError::Dns { name: origin.name.clone(), source };
    let texts = answer.map_err(failed)?.records;
    let found: Vec<_> = texts.iter().filter_map(|text| parse_record(text)).collect();
    match <[_; 1]>::try_from(found) {
        Ok([one]) => Ok(one?),
        Err(found) => Err(UpdateError::Count(found.len())),
    }
}

/// Fetches what changed since a version, the newest first. All signatures are good.
///
/// # Errors
///
/// If the list cannot be had, is larger than [`CHANGELOG_BYTES_MAX`], or one signature is wrong.
pub async fn changes_since(
    services: &Services,
    origin: &Origin,
    known: Version,
) -> Result<Vec<String>, UpdateError> {
    let start = services.clock.monotonic();
    let fetched = fetch(services, origin, known).await;
    let result = if fetched.is_ok() { "ok" } else { "error" };
    let took = services.clock.monotonic().saturating_sub(start);
    metrics::changelog_fetched(result, took);
    fetched
}

async fn fetch(
    services: &Services,
    origin: &Origin,
    known: Version,
) -> Result<Vec<String>, UpdateError> {
    let url = format!("{}?from={known}", origin.changelog);
    let request = Request {
        url: Url::parse(&url).ok_or(UpdateError::Status(0))?,
        post: None,
        headers: vec![("accept".to_owned(), "application/json".to_owned())],
        limit: LOOK_WAIT,
        body_bytes_max: CHANGELOG_BYTES_MAX,
        follows_redirects: false,
        reach: Reach::Any,
    };
    let response = services.network.fetch(request).await?;
    if response.status != 200 {
        return Err(UpdateError::Status(response.status));
    }
    if response.is_cut {
        return Err(ChangeError::TooLarge.into());
    }
    Ok(Changelog::parse(&response.body)?.texts(&origin.key)?)
}

/// The message to the postmaster about a new release: header and body.
#[must_use]
pub fn notice(
    (from, to): (&str, &str),
    (installed, newest): (Version, Version),
    changes: &[String],
    now: UnixSeconds,
) -> String {
    let date = mox_base::DateTime::from_unix(now).to_rfc5322();
    let mut text = format!(
        "From: mox <{from}>\r\nTo: <{to}>\r\nSubject: mox {newest} available\r\nDate: {date}\r\n\
         Message-ID: <update.{newest}.{}@{}>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         Hi!\r\n\r\nVersion {newest} of mox is available. This server runs {installed}.\r\n\r\n\
         Changes:\r\n",
        now.0,
        from.rsplit('@').next().unwrap_or(from),
    );
    for change in changes {
        text.push_str("\r\n----\r\n\r\n");
        for line in change.lines() {
            text.push_str(line.trim_end_matches('\r'));
            text.push_str("\r\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use mox_dns::FakeDns;

    use super::*;
    use crate::FakeNetwork;
    use crate::tests::{NOW, services};

    const PAGE: &str = "https://updates.mox.example/changelog?from=v0.1.0";

    fn origin(key: [u8; 32]) -> Origin {
        let name = Name::parse("_updates.mox.example").unwrap();
        let changelog = "https://updates.mox.example/changelog".to_owned();
        Origin { name, changelog, key }
    }

    async fn check_record(texts: &[&str], want: Result<&str, &str>) {
        let mut dns = FakeDns::new();
        for text in texts {
            dns.add_txt("_updates.mox.example", text);
        }
        let services = services(dns, FakeNetwork::new());
        let found = newest(&services, &origin([0; 32])).await;
        let found = found.map(|version| version.to_string()).map_err(|error| error.to_string());
        match (found, want) {
            (Ok(found), Ok(want)) => assert_eq!(found, want, "{texts:?}"),
            (Err(found), Err(want)) => assert!(found.contains(want), "{texts:?}: {found}"),
            (found, want) => panic!("{texts:?}: {found:?}, not {want:?}"),
        }
    }

    #[tokio::test]
    async fn the_newest_version_stands_in_one_record() {
        check_record(&["v=UPDATES0;l=v1.2.3"], Ok("v1.2.3")).await;
        check_record(&["v=spf1 -all", "v=UPDATES0; l=v1.2.3; x=y;"], Ok("v1.2.3")).await;
        check_record(&[], Err("look up _updates.mox.example")).await;
        check_record(&["v=spf1 -all"], Err("0 records")).await;
        check_record(&["v=UPDATES0;l=v1.2.3", "v=UPDATES0;l=v1.2.4"], Err("2 records")).await;
        check_record(&["v=UPDATES0;l=1.2"], Err("version")).await;
    }

    async fn check_page(status: u16, body: &str, key: [u8; 32], want: Result<&[&str], &str>) {
        let mut network = FakeNetwork::new();
        network.add_page(PAGE, status, body);
        let known = Version::parse("0.1.0").unwrap();
        let services = services(FakeDns::new(), network);
        let found = changes_since(&services, &origin(key), known).await;
        match (found, want) {
            (Ok(found), Ok(want)) => assert_eq!(found, want),
            (Err(found), Err(want)) => assert!(found.to_string().contains(want), "{found}"),
            (found, want) => panic!("{found:?}, not {want:?}"),
        }
    }

    #[tokio::test]
    async fn changes_are_believed_if_they_are_signed() {
        let key = |seed| SigningKey::from_seed([seed; 32]).unwrap();
        let (key, other) = (key(1), key(2));
        let log = Changelog { changes: vec![key.sign("second\n"), key.sign("first\n")] };
        let page = log.to_json();
        check_page(200, &page, key.public(), Ok(&["second\n", "first\n"])).await;
        check_page(200, &page, other.public(), Err("another key")).await;
        check_page(200, &page.replace("first", "worse"), key.public(), Err("signature")).await;
        // Somebody else signs, and says so, or says otherwise.
        let mixed = Changelog { changes: vec![key.sign("x"), other.sign("y")] };
        check_page(200, &mixed.to_json(), key.public(), Err("another key")).await;
        let forged = Change { pub_key: key.sign("y").pub_key, ..other.sign("y") };
        let forged = Changelog { changes: vec![forged] };
        check_page(200, &forged.to_json(), key.public(), Err("signature")).await;
        check_page(404, &page, key.public(), Err("status 404")).await;
        check_page(200, "{", key.public(), Err("not a list")).await;
        let large = Changelog { changes: vec![key.sign(&"x".repeat(CHANGELOG_BYTES_MAX))] };
        check_page(200, &large.to_json(), key.public(), Err("larger than")).await;
    }

    #[test]
    fn the_notice_tells_both_versions_and_all_changes() {
        let version = |text| Version::parse(text).unwrap();
        let (installed, newest) = (version("0.1.0"), version("0.2.0"));
        let changes = ["second\nline".to_owned(), "first\n".to_owned()];
        let addresses = ("postmaster@mail.example", "postmaster@mail.example");
        let text = notice(addresses, (installed, newest), &changes, NOW);
        assert!(text.contains("\r\nSubject: mox v0.2.0 available\r\n"), "{text}");
        let end = "v0.1.0.\r\n\r\nChanges:\r\n\r\n----\r\n\r\nsecond\r\nline\r\n\r\n----\r\n\r\nfirst\r\n";
        assert!(text.ends_with(end), "{text}");
        assert!(!text.replace("\r\n", "").contains('\n'));
    }
}
