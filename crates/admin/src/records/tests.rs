//! Records of configurations.

use std::path::Path;

use super::*;
use crate::keys::{DkimKind, KeyFile};

const NOW: mox_base::UnixSeconds = mox_base::UnixSeconds(1_795_274_564);

const MOX_CONF: &str = "\
DataDir: data
LogLevel: info
Hostname: HOST
ACME:
\tletsencrypt:
\t\tDirectoryURL: https://acme-v02.api.letsencrypt.org/directory
\t\tContactEmail: mjl@example.org
Listeners:
\tinternal:
\t\tIPs:
\t\t\t- 127.0.0.1
\t\tIMAP:
\t\t\tEnabled: true
\t\t\tNoRequireSTARTTLS: true
\tpublic:
\t\tIPs:
\t\t\t- 2001:db8::1
\t\t\t- 192.0.2.1
\t\tTLS:
\t\t\tACME: letsencrypt
KEYS\t\tSMTP:
\t\t\tEnabled: true
\t\tSubmissions:
\t\t\tEnabled: true
\t\tIMAPS:
\t\t\tEnabled: true
\t\tAutoconfigHTTPS:
\t\t\tEnabled: true
\t\tMTASTSHTTPS:
\t\t\tEnabled: true
Transports:
\tproxy:
\t\tSocks:
\t\t\tAddress: localhost:1080
\t\t\tRemoteIPs:
\t\t\t\t- 198.51.100.7
\t\t\tRemoteHostname: proxy.example.org
HostTLSRPT:
\tAccount: mjl
\tMailbox: TLSRPT
\tLocalpart: tlsreports
Postmaster:
\tAccount: mjl
\tMailbox: Postmaster
";

const DOMAINS_CONF: &str = "\
Domains:
\texample.org:
\t\tClientSettingsDomain: mail.example.org
\t\tDKIM:
\t\t\tSelectors:
\t\t\t\t2026a:
\t\t\t\t\tPrivateKeyFile: rsa
\t\t\t\t2026b:
\t\t\t\t\tPrivateKeyFile: ed25519
\t\t\tSign:
\t\t\t\t- 2026a
\t\tDMARC:
\t\t\tLocalpart: dmarcreports
\t\t\tAccount: mjl
\t\t\tMailbox: DMARC
\t\tMTASTS:
\t\t\tPolicyID: 20261121T152244
\t\t\tMode: enforce
\t\t\tMaxAge: 24h
\t\tTLSRPT:
\t\t\tLocalpart: tlsreports
\t\t\tAccount: mjl
\t\t\tMailbox: TLSRPT
\tbücher.example:
\t\tDMARC:
\t\t\tLocalpart: dmarc!reports
\t\t\tDomain: example.org
\t\t\tAccount: mjl
\t\t\tMailbox: DMARC
Accounts:
\tmjl:
\t\tDomain: example.org
\t\tDestinations:
\t\t\tmjl@example.org: nil
\t\t\tmjl@bücher.example: nil
";

/// A directory with keys, and the configuration that names them.
fn config(host: &str) -> (tempfile::TempDir, Config, [KeyFile; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let host_name = Domain::parse(host).unwrap();
    let files = [HostKeyKind::Rsa, HostKeyKind::EcdsaP256].map(|kind| {
        let file = KeyFile::host(&HostKey::generate(kind).unwrap(), &host_name, NOW).unwrap();
        file.write(dir.path()).unwrap();
        file
    });
    for (name, kind) in [("rsa", DkimKind::Rsa), ("ed25519", DkimKind::Ed25519)] {
        let pem = kind.generate().unwrap().to_pem(None).unwrap();
        std::fs::write(dir.path().join(name), pem).unwrap();
    }
    let names: String = files.iter().map(|file| format!("\t\t\t\t- {}\n", file.name)).collect();
    let mox_conf = MOX_CONF
        .replace("HOST", host)
        .replace("KEYS", &format!("\t\t\tHostPrivateKeyFiles:\n{names}"));
    let config = Config::parse(dir.path(), &mox_conf, DOMAINS_CONF).unwrap();
    (dir, config, files)
}

/// The lines that are no comments on their purpose, with what is not the same each time replaced.
fn lines(config: &Config, domain: &str, facts: &Facts) -> Vec<String> {
    let domain = Domain::parse(domain).unwrap();
    let text = domain_records(config, &domain, facts).unwrap().join("\n");
    let mut replaced = text;
    for tlsa in host_tlsa(config).unwrap() {
        let hash: String = tlsa.data.iter().map(|byte| format!("{byte:02x}")).collect();
        replaced = replaced.replace(&hash, "HASH");
    }
    for name in ["rsa", "ed25519"] {
        let record = read_key(&config.path(name)).unwrap().record().unwrap().to_string();
        for chunk in record.as_bytes().chunks(100) {
            let chunk = std::str::from_utf8(chunk).unwrap();
            replaced = replaced.replace(chunk, &format!("{name}{}", chunk.len()));
        }
    }
    let is_record = |line: &&str| !line.is_empty() && !line.starts_with("; ");
    replaced.lines().filter(is_record).map(str::to_owned).collect()
}

#[test]
fn a_domain_has_all_its_records() {
    let (_dir, config, _) = config("mx.example.org");
    let facts = Facts {
        has_dnssec: true,
        acme_account_uri: Some("https://acme.example/acct/1".to_owned()),
    };
    let stricter = "CAA 0 issue \"letsencrypt.org; accounturi=https://acme.example/acct/1; \
                    validationmethods=tls-alpn-01,http-01\"";
    let want = [
        "$TTL 300",
        "_25._tcp.mx.example.org. TLSA 3 1 1 HASH",
        "_25._tcp.mx.example.org. TLSA 3 1 1 HASH",
        "mx.example.org. TXT \"v=spf1 a -all\"",
        "_smtp._tls.mx.example.org. TXT \"v=TLSRPTv1; rua=mailto:tlsreports@mx.example.org\"",
        "example.org. MX 10 mx.example.org.",
        "2026a._domainkey.example.org. TXT (",
        "\t\"rsa100\"",
        "\t\"rsa100\"",
        "\t\"rsa100\"",
        "\t\"rsa100\"",
        "\t\"rsa11\"",
        ")",
        "2026b._domainkey.example.org. TXT \"ed2551973\"",
        "example.org. TXT \"v=spf1 ip4:192.0.2.1 ip4:198.51.100.7 ip6:2001:db8::1 mx ~all\"",
        "_dmarc.example.org. TXT \"v=DMARC1;p=reject;rua=mailto:dmarcreports@example.org!10m\"",
        "mta-sts.example.org. CNAME mx.example.org.",
        "_mta-sts.example.org. TXT \"v=STSv1; id=20261121T152244\"",
        "_smtp._tls.example.org. TXT \"v=TLSRPTv1; rua=mailto:tlsreports@example.org\"",
        "mail.example.org. CNAME mx.example.org.",
        "autoconfig.example.org. CNAME mx.example.org.",
        "_autodiscover._tcp.example.org. SRV 0 1 443 mx.example.org.",
        "_imaps._tcp.example.org. SRV 0 1 993 mail.example.org.",
        "_submissions._tcp.example.org. SRV 0 1 465 mail.example.org.",
        "_imap._tcp.example.org. SRV 0 0 0 .",
        "_submission._tcp.example.org. SRV 0 0 0 .",
        "_pop3._tcp.example.org. SRV 0 0 0 .",
        "_pop3s._tcp.example.org. SRV 0 0 0 .",
        "example.org. CAA 0 issue \"letsencrypt.org\"",
        &format!(";; example.org. {stricter}"),
        &format!(";; autoconfig.example.org. {stricter}"),
        &format!(";; mta-sts.example.org. {stricter}"),
        &format!(";; mail.example.org. {stricter}"),
        &format!(";; mx.example.org. {stricter}"),
    ];
    assert_eq!(lines(&config, "example.org", &facts), want);
}

/// RFC 9990 §4: another domain that gets reports must say so. RFC 6068 §2 for the escape.
#[test]
fn a_domain_with_less_has_less() {
    let (_dir, config, _) = config("mx.example.org");
    let domain = "xn--bcher-kva.example";
    let want = [
        "$TTL 300",
        ";; _25._tcp.mx.example.org. TLSA 3 1 1 HASH",
        ";; _25._tcp.mx.example.org. TLSA 3 1 1 HASH",
        "mx.example.org. TXT \"v=spf1 a -all\"",
        "_smtp._tls.mx.example.org. TXT \"v=TLSRPTv1; rua=mailto:tlsreports@mx.example.org\"",
        "DOMAIN. MX 10 mx.example.org.",
        "DOMAIN. TXT \"v=spf1 ip4:192.0.2.1 ip4:198.51.100.7 ip6:2001:db8::1 mx ~all\"",
        "_dmarc.DOMAIN. TXT \"v=DMARC1;p=reject;rua=mailto:dmarc%21reports@example.org!10m\"",
        "DOMAIN._report._dmarc.example.org. TXT \"v=DMARC1\"",
        "autoconfig.DOMAIN. CNAME mx.example.org.",
        "_autodiscover._tcp.DOMAIN. SRV 0 1 443 mx.example.org.",
        "_imaps._tcp.DOMAIN. SRV 0 1 993 mx.example.org.",
        "_submissions._tcp.DOMAIN. SRV 0 1 465 mx.example.org.",
        "_imap._tcp.DOMAIN. SRV 0 0 0 .",
        "_submission._tcp.DOMAIN. SRV 0 0 0 .",
        "_pop3._tcp.DOMAIN. SRV 0 0 0 .",
        "_pop3s._tcp.DOMAIN. SRV 0 0 0 .",
        "DOMAIN. CAA 0 issue \"letsencrypt.org\"",
    ];
    let want = want.map(|line| line.replace("DOMAIN", domain));
    assert_eq!(lines(&config, domain, &Facts::default()), want);
}

/// The name of the host has its records as domain, and only those.
#[test]
fn the_domain_of_the_host_has_no_records_of_the_host_besides() {
    let (_dir, config, _) = config("example.org");
    let lines = lines(&config, "example.org", &Facts::default());
    let named = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!(named("_smtp._tls."), 1);
    assert_eq!(named("example.org. TXT "), 1);
    assert_eq!(named("mail.example.org. CNAME example.org."), 1);
}

/// RFC 7671 §5.1: the hash is that of the key that is used; ECDSA comes first.
#[test]
fn keys_of_the_host_come_in_order() {
    let (_dir, config, [rsa, ecdsa]) = config("mx.example.org");
    let hash = |file: &KeyFile| HostKey::read(&config.path(&file.name)).unwrap().spki_sha256();
    let want = [hash(&ecdsa).unwrap(), hash(&rsa).unwrap()];
    let found: Vec<_> = host_tlsa(&config).unwrap().into_iter().map(|tlsa| tlsa.data).collect();
    assert_eq!(found, want);
}

#[test]
fn what_cannot_be_told_is_an_error() {
    let (dir, config, _) = config("mx.example.org");
    let domain = |text| Domain::parse(text).unwrap();
    let error = groups(&config, &domain("other.example"), &Facts::default()).unwrap_err();
    assert!(matches!(error, RecordsError::UnknownDomain(_)));
    std::fs::write(dir.path().join("rsa"), "").unwrap();
    let error = groups(&config, &domain("example.org"), &Facts::default()).unwrap_err();
    assert!(matches!(error, RecordsError::Dkim(_)), "{error:?}");
    assert_eq!(config.dir(), Path::new(dir.path()));
}
