//! The configuration that tests are made with.

use std::path::Path;

use mox_config::Config;

const MOX_CONF: &str = "\
DataDir: data
LogLevel: info
Hostname: mail.example.org
Listeners:
\tinternal:
\t\tIPs:
\t\t\t- 127.0.0.1
\t\tHostname: inside.example.org
\t\tMetricsHTTP:
\t\t\tEnabled: true
\tpublic:
\t\tIPs:
\t\t\t- 192.0.2.1
\t\tHostname: mx.example.org
\t\tTLS:
\t\t\tKeyCerts:
\t\t\t\t-
\t\t\t\t\tCertFile: c
\t\t\t\t\tKeyFile: k
\t\tSubmissions:
\t\t\tEnabled: true
\t\t\tEnabledOnHTTPS: true
\t\tIMAP:
\t\t\tEnabled: true
\t\tAutoconfigHTTPS:
\t\t\tEnabled: true
\t\tMTASTSHTTPS:
\t\t\tEnabled: true
Postmaster:
\tAccount: mjl
\tMailbox: Postmaster
";

const DOMAINS_CONF: &str = "\
Domains:
\texample.org:
\t\tMTASTS:
\t\t\tPolicyID: 1
\t\t\tMode: enforce
\t\t\tMaxAge: 24h
\t\t\tMX:
\t\t\t\t- mail.example.org
\t\t\t\t- *.mx.example.org
\tbücher.example:
\t\tClientSettingsDomain: imap.bücher.example
\t\tMTASTS:
\t\t\tPolicyID: 2
\t\t\tMode: testing
\t\t\tMaxAge: 10m
\tnone.example: nil
\toff.example:
\t\tDisabled: true
\treports.example:
\t\tDescription: nobody has an address here
Accounts:
\tmjl:
\t\tDomain: example.org
\t\tDestinations:
\t\t\tmjl@example.org: nil
\t\t\tmjl@bücher.example: nil
\t\t\tmjl@none.example: nil
\t\t\tmjl@off.example: nil
";

/// Two listeners, five domains.
pub(crate) fn config() -> Config {
    Config::parse(Path::new(""), MOX_CONF, DOMAINS_CONF).unwrap()
}
