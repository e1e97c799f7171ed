//! MTA-STS policies of our domains. RFC 8461 §3.2.

use std::fmt::Write as _;

use mox_config::{Config, MtaSts};

use crate::answer::Answer;
use crate::request::Request;
use crate::router::mta_sts_domain;

/// What RFC 8461 §3.3 wants, and some compare with.
const MEDIA_TYPE: &str = "text/plain";

/// The policy of the domain that the host is for.
///
/// Any method gets it, as with the original: others ask by GET only (RFC 8461 §3.3).
pub(super) fn answer(request: &Request) -> Answer {
    let config = &request.config;
    let domain = mta_sts_domain(&request.host, config);
    let policy = domain.and_then(|domain| config.domain(&domain)?.mtasts.as_ref());
    match policy {
        Some(policy) => Answer::ok(MEDIA_TYPE, text(policy, config)).uncached(),
        None => Answer::not_found(),
    }
}

/// Lines end in LF, which RFC 8461 §3.2 allows. Names are A-labels, as certificates have them.
fn text(policy: &MtaSts, config: &Config) -> String {
    let (mode, max_age) = (policy.mode.0, policy.max_age.0.as_secs());
    let mut text = format!("version: STSv1\nmode: {mode}\nmax_age: {max_age}\n");
    let own = [config.hostname().ascii().to_owned()];
    let hosts = if policy.mx.is_empty() { &own[..] } else { &policy.mx };
    for host in hosts {
        // Writing to a string does not fail.
        let _infallible = writeln!(text, "mx: {}", ascii(host));
    }
    text
}

fn ascii(host: &str) -> String {
    let (wildcard, name) = match host.strip_prefix("*.") {
        Some(name) => ("*.", name),
        None => ("", host),
    };
    let parsed = mox_base::Domain::parse(name);
    let ascii = parsed.map_or_else(|_| name.to_owned(), |domain| domain.ascii().to_owned());
    format!("{wildcard}{ascii}")
}

#[cfg(test)]
mod tests {
    use mox_base::Domain;

    use super::*;
    use crate::fixture;

    #[track_caller]
    fn check(domain: &str, want: &str) {
        let config = fixture::config();
        let settings = config.domain(&Domain::parse(domain).unwrap()).unwrap();
        assert_eq!(text(settings.mtasts.as_ref().unwrap(), &config), want);
    }

    /// RFC 8461 §3.2.
    #[test]
    fn policies_have_one_line_for_each_thing() {
        check(
            "example.org",
            "version: STSv1\nmode: enforce\nmax_age: 86400\n\
             mx: mail.example.org\nmx: *.mx.example.org\n",
        );
        check(
            "bücher.example",
            "version: STSv1\nmode: testing\nmax_age: 600\nmx: mail.example.org\n",
        );
        assert_eq!(ascii("*.bücher.example"), "*.xn--bcher-kva.example");
        assert_eq!(ascii("bücher.example"), "xn--bcher-kva.example");
    }
}
