//! Whether others are told to insist on TLS.

use std::collections::BTreeSet;

use mox_admin::records::Purpose;
use mox_base::Domain;
use mox_dns::Lookups as _;
use mox_net::http::{Reach, Request, Url};
use mox_tlspolicy::mtasts::{
    Mode, POLICY_BYTES_MAX, POLICY_PATH, Policy, Record, find_record, parse_policy, policy_host,
    record_name,
};

use super::DIAL_WAIT;
use super::context::Context;
use super::result::{MtaStsPolicy, MtaStsResult, Subject as _};
use super::shown;

/// A policy that is kept no longer helps little: an attacker only has to wait. RFC 8461 §3.2 speaks of
/// weeks or more.
const MAX_AGE_SECS_SHORT: u32 = 24 * 60 * 60;

/// The record, the policy that is served, and the hosts that take mail must agree. RFC 8461 §3.
pub(super) async fn check(context: &Context<'_>) -> MtaStsResult {
    let mut result = MtaStsResult::default();
    if context.settings.mtasts.is_none() {
        result
            .told()
            .warning("no MTA-STS policy is configured: others may deliver mail without TLS");
        result.told().instruction(
            "Add MTASTS to the domain in domains.conf, in mode testing first:\n\tMTASTS:\n\t\tPolicyID: 1\n\
             \t\tMode: testing\n\t\tMaxAge: 24h\nand MTASTSHTTPS to the public listener in mox.conf.",
        );
    }
    let record = record(context, &mut result).await;
    if record.is_none() && context.settings.mtasts.is_none() {
        return result;
    }
    if let Some(text) = fetch(context, &mut result).await {
        match parse_policy(&text) {
            Ok(policy) => {
                check_policy(context, &mut result, &policy).await;
                result.policy = Some(MtaStsPolicy {
                    mode: policy.mode.as_str().to_owned(),
                    mx: policy.mx.iter().map(ToString::to_string).collect(),
                    max_age_seconds: policy.max_age_secs,
                });
            }
            Err(error) => result.told().error(error.to_string()),
        }
    }
    if !result.told.errors.is_empty() {
        context.add_records(result.told(), Purpose::MtaSts);
    }
    result
}

async fn record(context: &Context<'_>, result: &mut MtaStsResult) -> Option<Record> {
    let name = record_name(context.domain).ok()?;
    let texts = match context.services.resolver.txt(&name).await {
        Ok(found) => found.records,
        Err(error) if error.is_not_found() => Vec::new(),
        Err(error) => {
            result.told().error(format!("look up MTA-STS of {}: {error}", context.domain));
            return None;
        }
    };
    let record = match find_record(&texts) {
        Ok(record) => record,
        Err(error) => {
            if context.settings.mtasts.is_some() {
                result.told().error(format!("MTA-STS of {}: {error}", context.domain));
            }
            return None;
        }
    };
    result.txt =
        shown(&texts.into_iter().find(|text| text.starts_with(b"v=STSv1")).unwrap_or_default());
    result.record = Some(record.to_string());
    if let Some(settings) = &context.settings.mtasts
        && settings.policy_id != record.id
    {
        result.told().error(format!(
            "the MTA-STS record has id {}, but the policy in domains.conf {}: others keep the one before",
            record.id, settings.policy_id
        ));
    }
    Some(record)
}

async fn fetch(context: &Context<'_>, result: &mut MtaStsResult) -> Option<Vec<u8>> {
    let host = policy_host(context.domain)?;
    let request = Request {
        url: Url::https(&host, POLICY_PATH)?,
        post: None,
        headers: Vec::new(),
        limit: DIAL_WAIT,
        body_bytes_max: POLICY_BYTES_MAX,
        // RFC 8461 §3.3.
        follows_redirects: false,
        // Our own server, wherever it is.
        reach: Reach::Any,
    };
    let told = result.told();
    let what = format!("fetch https://{}{POLICY_PATH}", host.ascii());
    let response = match context.services.network.fetch(request).await {
        Ok(response) => response,
        Err(error) => {
            told.error(format!("{what}: {error}"));
            told.instruction(format!(
                "{host} must lead to this server, the public listener must have MTASTSHTTPS, and there \
                 must be a certificate for that name."
            ));
            return None;
        }
    };
    if response.status != 200 || response.is_cut {
        let problem = if response.is_cut { "too large" } else { "not found there" };
        told.error(format!("{what}: status {}, {problem}", response.status));
        return None;
    }
    result.policy_text = shown(&response.body);
    Some(response.body)
}

async fn check_policy(context: &Context<'_>, result: &mut MtaStsResult, policy: &Policy) {
    let told = result.told();
    match policy.mode {
        Mode::Enforce => {}
        Mode::Testing => told.warning(
            "the MTA-STS policy is only tested: others deliver without TLS too. Once reports show no \
             problems, make it enforce, with a new PolicyID",
        ),
        Mode::None => told.warning("the MTA-STS policy says that there is none"),
    }
    if policy.max_age_secs <= MAX_AGE_SECS_SHORT {
        told.warning(format!(
            "the MTA-STS policy is kept for {} hours only: once all works, make it a week or more",
            policy.max_age_secs / 3600
        ));
    }
    if policy.mode == Mode::None {
        return;
    }
    if !policy.matches(context.host()) {
        told.error(format!(
            "the MTA-STS policy does not allow mail for this host, {}",
            context.host()
        ));
    }
    // What is wrong with the records is told by the check of MX.
    let Ok(found) = context.mail_hosts().await else { return };
    let hosts: BTreeSet<Domain> =
        found.records.iter().filter_map(|(_, name)| name.to_domain()).collect();
    for host in hosts.iter().filter(|host| !policy.matches(host)) {
        told.error(format!("the MTA-STS policy does not allow mail for {host}, which is in MX"));
    }
    for pattern in &policy.mx {
        if !hosts.iter().any(|host| pattern.matches(host)) {
            told.error(format!("the MTA-STS policy has {pattern}, but no such host is in MX"));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::tests::{World, told};

    #[track_caller]
    fn check(policy: &str, want: &[&str]) {
        let mut world = World::clean();
        world.policy = policy.to_owned();
        let lines = want.iter().map(|line| format!("{line}\n")).collect::<String>();
        assert_eq!(told(&world.check().mta_sts.told), lines, "{policy}");
    }

    /// RFC 8461 §3.2, §4.1.
    #[test]
    fn policy_and_hosts_must_agree() {
        check("version: STSv1\nmode: enforce\nmax_age: 604800\nmx: mx.a.example\n", &[]);
        check("version: STSv1\nmode: enforce\nmax_age: 86401\nmx: *.a.example\n", &[]);
        check(
            "version: STSv1\nmode: testing\nmax_age: 86400\nmx: mx.a.example\n",
            &[
                "warning: the MTA-STS policy is only tested: others deliver without TLS too. Once reports \
             show no problems, make it enforce, with a new PolicyID",
                "warning: the MTA-STS policy is kept for 24 hours only: once all works, make it a week or \
             more",
            ],
        );
        check(
            "version: STSv1\nmode: enforce\nmax_age: 604800\nmx: other.example\n",
            &[
                "error: the MTA-STS policy does not allow mail for this host, mx.a.example",
                "error: the MTA-STS policy does not allow mail for mx.a.example, which is in MX",
                "error: the MTA-STS policy has other.example, but no such host is in MX",
            ],
        );
        check(
            "version: STSv1\nmode: none\nmax_age: 604800\n",
            &["warning: the MTA-STS policy says that there is none"],
        );
        check("nonsense", &["error: line of MTA-STS policy is malformed"]);
    }

    #[test]
    fn a_policy_that_is_not_there_is_told() {
        let mut world = World::clean();
        world.policy = String::new();
        let found = told(&world.check().mta_sts.told);
        assert!(found.contains("mta-sts.txt: status 404, not found there"), "{found}");
        let mut world = World::clean();
        world.replace_txt("_mta-sts.a.example", "v=STSv1; id=2");
        let found = told(&world.check().mta_sts.told);
        assert!(found.contains("has id 2, but the policy in domains.conf 1"), "{found}");
        let found = told(&World::without_records().check().mta_sts.told);
        assert!(found.contains("MTA-STS of a.example: no MTA-STS record"), "{found}");
    }
}
