//! `docs/metrics.md` is made of the registry. `UPDATE=1` rewrites it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");

const HEAD: &str = "\
# Metrics

<!-- Made of the registry in crates/metrics: `UPDATE=1 cargo test -p mox-metrics` rewrites this page. -->

A listener with `MetricsHTTP` gives these at `/metrics`, in the text format of OpenMetrics. Durations are in seconds. A
metric with labels appears when the first such thing has happened. Values of labels are bounded: after SERIES_MAX time series
of one metric, what is new is counted with all labels `(other)`.

| Metric | Kind | Labels | Meaning |
|---|---|---|---|
";

#[test]
fn the_page_is_what_the_registry_says() {
    let mut page = HEAD.replace("SERIES_MAX", &mox_metrics::SERIES_MAX.to_string());
    for metric in mox_metrics::descriptions() {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, labels) = (metric.name, metric.kind.name(), labels.join(", "));
        writeln!(page, "| `{name}` | {kind} | {labels} | {}. |", metric.help).unwrap();
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(PATH, &page).unwrap();
    }
    let found = std::fs::read_to_string(PATH).unwrap();
    assert!(found == page, "docs/metrics.md is out of date: run with UPDATE=1");
}

#[test]
fn names_and_helps_are_well_formed_and_names_are_unique() {
    let mut names = BTreeSet::new();
    for metric in mox_metrics::descriptions() {
        let name = metric.name;
        let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(is_name, "{name}");
        assert!(names.insert(name), "{name} is there twice");
        assert!(metric.help.len() > 10 && !metric.help.ends_with('.'), "{name}");
        assert!(metric.help.starts_with(|first: char| first.is_ascii_uppercase()), "{name}");
        let is_counter = metric.kind == mox_metrics::Kind::Counter;
        assert!(!is_counter || name.ends_with("_total"), "{name}");
    }
}

/// Dashboards and alerts of administrators hang on these.
#[test]
fn the_names_that_administrators_know_are_there() {
    const NAMES: &str = "
        mox_panic_total mox_authentication_total mox_authentication_ratelimited_total
        mox_connections_count mox_logging_level_info_total mox_logging_level_warn_total
        mox_logging_level_error_total mox_httpclient_request_duration_seconds
        mox_httpserver_request_duration_seconds mox_httpserver_response_duration_seconds
        mox_autoconf_request_total mox_autodiscover_request_total
        mox_smtpserver_connection_total mox_smtpserver_command_duration_seconds
        mox_smtpserver_delivery_total mox_smtpserver_submission_total mox_smtpserver_errors_total
        mox_smtpserver_delivery_starttls_total mox_smtpserver_delivery_starttls_errors_total
        mox_imap_connection_total mox_imap_command_duration_seconds mox_queue_connection_total
        mox_queue_delivery_duration_seconds mox_queue_hold mox_queue_destinations_total
        mox_queue_destinations_authentic_total mox_queue_destination_dane_required_total
        mox_queue_destination_dane_starttlsunverified_total
        mox_queue_destination_dane_gathertlsa_errors_total mox_queue_tlsrequiredno_ignored_total
        mox_queue_requiretls_unsupported_total mox_queue_plaintext_fallback_total
        mox_queue_dmarcreport_failure_total mox_webhook_request_duration_seconds
        mox_webhook_results_total mox_smtpclient_command_duration_seconds
        mox_smtpclient_tlsrequiredno_ignored_total mox_dns_lookup_duration_seconds
        mox_dnsbl_lookup_duration_seconds mox_dnsbl_ips_success mox_iprev_lookup_total
        mox_spf_verify_duration_seconds mox_dkim_sign_total mox_dkim_verify_duration_seconds
        mox_dmarc_verify_duration_seconds mox_dmarcdb_policy_evaluated_total
        mox_dmarcdb_dkim_result_total mox_dmarcdb_spf_result_total
        mox_dmarcdb_report_queued_total mox_dmarcdb_report_error_total mox_tlsrptdb_session_total
        mox_tlsrptsend_report_queued_total mox_tlsrptsend_report_error_total
        mox_tlsrpt_lookup_duration_seconds mox_mtasts_get_duration_seconds mox_mtastsdb_get_total
        mox_dane_verify_total mox_dane_verify_errors_total mox_subjectpass_generate_total
        mox_subjectpass_verify_total mox_updates_lookup_duration_seconds
        mox_updates_fetchchangelog_duration_seconds mox_autotls_missing_servername_total
        mox_autotls_unknown_servername_total mox_autotls_cert_request_errors_total
        mox_autotls_certput_total process_cpu_seconds_total process_resident_memory_bytes
        process_open_fds";
    let found: BTreeSet<_> = mox_metrics::descriptions().map(|metric| metric.name).collect();
    for name in NAMES.split_whitespace() {
        assert!(found.contains(name), "{name}");
    }
}

/// OpenMetrics: the text ends with a mark, so that a cut answer is noticed.
#[test]
fn the_text_ends_with_its_mark() {
    let text = mox_metrics::text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(text.contains("mox_panic_total{pkg=\"smtpserver\"} 0\n"), "{text}");
}

#[cfg(test)]
mod uses {
    /// The metric and labels of each use in a text, such as `mox_x_count{code="5",result!="ok"}`.
    fn uses(text: &str) -> Vec<(String, Vec<String>)> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut uses = Vec::new();
        for (at, _) in text.match_indices("mox_").chain(text.match_indices("process_")) {
            let name: String = text[at..].chars().take_while(|c| is_name(*c)).collect();
            let rest = &text[at + name.len()..];
            let inside = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let conditions = inside.map_or("", |(inside, _)| inside).replace('\\', "");
            let labels = conditions.split(',').filter_map(|condition| {
                let label: String = condition.trim().chars().take_while(|c| is_name(*c)).collect();
                (!label.is_empty()).then_some(label)
            });
            uses.push((name, labels.collect()));
        }
        uses
    }

    #[track_caller]
    fn check_uses(file: &str, uses_min: usize) {
        let path = format!("{}/../../packaging/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let uses = uses(&text);
        assert!(uses.len() >= uses_min, "{file}: {}", uses.len());
        for (name, labels) in uses {
            let metric = mox_metrics::descriptions().find(|metric| {
                let parts = ["", "_count", "_bucket", "_sum"];
                parts.iter().any(|part| name.strip_suffix(part) == Some(metric.name))
            });
            let metric = metric.unwrap_or_else(|| panic!("{file}: there is no {name}"));
            for label in labels.iter().filter(|label| *label != "instance") {
                assert!(metric.labels.contains(&label.as_str()), "{file}: {name} has no {label}");
            }
        }
    }

    #[test]
    fn alerts_and_dashboard_use_metrics_that_exist() {
        check_uses("prometheus/mox-alerts.yml", 15);
        check_uses("grafana/mox.json", 25);
    }
}
