//! `mox mtasts`.

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use mox_base::Domain;
use mox_dns::{Lookups as _, Resolver};
use mox_net::http::Client;
use mox_sender::mtasts::{Fetch, HttpsFetch};
use mox_tlspolicy::mtasts::{find_record, parse_policy, record_name};

use super::lookups::{domain, one_line};
use super::network::over_network;
use super::print;

/// Policies by which domains demand TLS for their mail (MTA-STS).
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(super) enum Mtasts {
    Lookup(Lookup),
}

/// Look up the MTA-STS record of a domain, and fetch its policy.
#[derive(Debug, Args)]
pub(super) struct Lookup {
    /// Domain of recipients.
    #[arg(value_parser = domain)]
    domain: Domain,
}

impl Mtasts {
    pub(super) fn run(self) -> Result<()> {
        let Self::Lookup(Lookup { domain }) = self;
        over_network(&[], async |network| {
            let client = Client::new(network.connector.clone(), network.resolver.clone());
            let fetch = HttpsFetch::new(client);
            print(&record(&*network.resolver, &domain).await?)?;
            print(&policy(&fetch, &domain).await?)
        })
    }
}

/// The record as it was understood.
async fn record(resolver: &dyn Resolver, domain: &Domain) -> Result<String> {
    let name = record_name(domain)?;
    let found = resolver.txt(&name).await.with_context(|| format!("look up {name}"))?;
    let record = find_record(&found.records).with_context(|| format!("record at {name}"))?;
    Ok(format!("record: {record}\n"))
}

/// The policy as it was understood.
async fn policy(fetch: &dyn Fetch, domain: &Domain) -> Result<String> {
    let text = fetch.fetch(domain).await.context("fetch policy")?;
    let policy = parse_policy(&text).context("parse policy")?;
    let lines = policy.lines().iter().map(|line| one_line(line) + "\n").collect::<String>();
    Ok(format!("policy:\n{lines}"))
}

#[cfg(test)]
mod tests {
    use mox_dns::FakeDns;
    use mox_sender::mtasts::{FetchError, Fetching};

    use super::super::lookups::tests::now;
    use super::*;

    struct Text(Result<&'static str, FetchError>);

    impl Fetch for Text {
        fn fetch<'a>(&'a self, _domain: &'a Domain) -> Fetching<'a> {
            let text = self.0.clone().map(|text| text.as_bytes().to_vec());
            Box::pin(async { text })
        }
    }

    fn told(result: Result<String>) -> Result<String, String> {
        result.map_err(|error| format!("{error:#}"))
    }

    /// RFC 8461 §3.1.
    #[test]
    fn records_are_shown() {
        let mut dns = FakeDns::new();
        dns.add_txt("_mta-sts.a.example", "v=STSv1;id=1;x=y");
        dns.add_txt("_mta-sts.b.example", "v=STSv1;");
        let look_up = |name: &str| told(now(record(&dns, &Domain::parse(name).unwrap())));
        assert_eq!(look_up("a.example").unwrap(), "record: v=STSv1; id=1; x=y;\n");
        let want = "record at _mta-sts.b.example.: malformed MTA-STS record";
        assert_eq!(look_up("b.example").unwrap_err(), want);
        let want = "look up _mta-sts.c.example.: the name does not exist";
        assert_eq!(look_up("c.example").unwrap_err(), want);
    }

    /// RFC 8461 §3.2.
    #[test]
    fn policies_are_shown() {
        let domain = Domain::parse("a.example").unwrap();
        let show = |text| told(now(policy(&Text(text), &domain)));
        let text = "max_age: 1\nversion: STSv1\nmx: a.example\nmode: enforce\nx: \u{9b}y\n";
        assert!(show(Ok(text)).unwrap_err().contains("malformed"));
        let text = "max_age: 1\nversion: STSv1\nmx: a.example\nmode: enforce\n";
        let want = "policy:\nversion: STSv1\nmode: enforce\nmax_age: 1\nmx: a.example\n";
        assert_eq!(show(Ok(text)).unwrap(), want);
        assert_eq!(show(Err(FetchError::Status(404))).unwrap_err(), "fetch policy: status 404");
        let want = "parse policy: MTA-STS policy has no known version";
        assert_eq!(show(Ok("")).unwrap_err(), want);
    }
}
