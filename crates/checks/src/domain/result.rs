//! What the checks of a domain found, as it is given out.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::IpAddr;

use serde::Serialize;

use crate::finding::printable;

/// Findings of one kind that are kept for one subject; the rest is left out. Ours.
pub const FINDINGS_MAX: usize = 50;

/// What is wrong, and what to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Told {
    /// What does not work.
    pub errors: Vec<String>,
    /// What could be better.
    pub warnings: Vec<String>,
    /// What to do, with records as they stand in a zone file.
    pub instructions: Vec<String>,
}

impl Told {
    /// Adds what does not work.
    pub(super) fn error(&mut self, text: impl Into<String>) {
        add(&mut self.errors, text.into());
    }

    /// Adds what could be better.
    pub(super) fn warning(&mut self, text: impl Into<String>) {
        add(&mut self.warnings, text.into());
    }

    /// Adds what to do, once.
    pub(super) fn instruction(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !text.is_empty() && !self.instructions.contains(&text) {
            add(&mut self.instructions, text);
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.errors.is_empty() && self.warnings.is_empty()
    }
}

fn add(to: &mut Vec<String>, text: String) {
    if to.len() < FINDINGS_MAX {
        to.push(text);
    }
}

/// Declares what was found about one subject: its own fields, and [`Told`] among them.
macro_rules! subjects {
    ($( $(#[$doc:meta])* $name:ident { $( $(#[$field_doc:meta])* $field:ident : $type:ty, )* } )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "PascalCase")]
        pub struct $name {
            $( $(#[$field_doc])* pub $field: $type, )*
            /// What is wrong, and what to do.
            #[serde(flatten)]
            pub told: Told,
        }

        impl Subject for $name {
            fn told(&mut self) -> &mut Told {
                &mut self.told
            }
        }
    )*};
}

/// Something that was checked.
pub(super) trait Subject: Default {
    /// What is wrong with it.
    fn told(&mut self) -> &mut Told;
}

subjects! {
    /// Whether DNSSEC vouches for the domain.
    DnssecResult {}

    /// Whether addresses lead back to the host. RFC 1912 §2.1.
    IpRevResult {
        /// The name of the host.
        hostname: String,
        /// The names of each address.
        #[serde(rename = "IPNames")]
        ip_names: BTreeMap<IpAddr, Vec<String>>,
    }

    /// Where mail for the domain goes. RFC 5321 §5.1.
    MxResult {
        /// The hosts, the first one first.
        records: Vec<Mx>,
    }

    /// Whether the hosts speak TLS. RFC 3207.
    TlsResult {}

    /// Whether the keys of the hosts are published. RFC 7672.
    DaneResult {}

    /// From where mail may come. RFC 7208.
    SpfResult {
        /// The text of the domain.
        #[serde(rename = "DomainTXT")]
        domain_txt: String,
        /// What was understood of it.
        domain_record: Option<String>,
        /// The text of the host.
        #[serde(rename = "HostTXT")]
        host_txt: String,
        /// What was understood of it.
        host_record: Option<String>,
    }

    /// Whether the keys of signatures are published. RFC 6376 §3.6.
    DkimResult {
        /// By selector.
        records: Vec<DkimRecord>,
    }

    /// What is to happen with mail of others. RFC 9989.
    DmarcResult {
        /// Where the record is: at the domain, or above it.
        domain: String,
        /// Its text.
        #[serde(rename = "TXT")]
        txt: String,
        /// What was understood of it.
        record: Option<String>,
    }

    /// Where others report about TLS. RFC 8460.
    TlsRptResult {
        /// The text.
        #[serde(rename = "TXT")]
        txt: String,
        /// What was understood of it.
        record: Option<String>,
    }

    /// Whether others are told to insist on TLS. RFC 8461.
    MtaStsResult {
        /// The text of the record.
        #[serde(rename = "TXT")]
        txt: String,
        /// What was understood of it.
        record: Option<String>,
        /// The policy as it was fetched.
        policy_text: String,
        /// What was understood of it.
        policy: Option<MtaStsPolicy>,
    }

    /// Which services mail programs find. RFC 6186, RFC 8314 §5.1.
    SrvResult {
        /// By name, such as `_imaps`.
        #[serde(rename = "SRVs")]
        srvs: BTreeMap<String, Vec<Srv>>,
    }

    /// Whether mail programs find their settings.
    AutoconfResult {
        /// Where the host of the settings leads.
        #[serde(rename = "ClientSettingsDomainIPs")]
        client_settings_domain_ips: Vec<IpAddr>,
        /// Where the host with the settings leads.
        #[serde(rename = "IPs")]
        ips: Vec<IpAddr>,
    }

    /// Whether mail programs of another maker find them.
    AutodiscoverResult {
        /// The hosts with the settings.
        records: Vec<AutodiscoverSrv>,
    }
}

/// A host that takes mail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Mx {
    /// Its name.
    pub host: String,
    /// Lower is tried earlier.
    pub pref: u16,
    /// Its addresses.
    #[serde(rename = "IPs")]
    pub ips: Vec<IpAddr>,
}

/// A key of signatures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DkimRecord {
    /// What stands before `_domainkey`.
    pub selector: String,
    /// The text.
    #[serde(rename = "TXT")]
    pub txt: String,
    /// What was understood of it.
    pub record: Option<String>,
}

/// A policy of MTA-STS. RFC 8461 §3.2.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct MtaStsPolicy {
    /// The word for the mode.
    pub mode: String,
    /// The patterns of hosts.
    #[serde(rename = "MX")]
    pub mx: Vec<String>,
    /// How long it is good.
    pub max_age_seconds: u32,
}

/// A host and port of a service. RFC 2782.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Srv {
    /// The host, with the last dot; `.` for no service.
    pub target: String,
    /// The port.
    pub port: u16,
    /// Lower is tried earlier.
    pub priority: u16,
    /// The share among those of the same priority.
    pub weight: u16,
}

/// As [`Srv`], with addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AutodiscoverSrv {
    /// The host and port.
    #[serde(flatten)]
    pub srv: Srv,
    /// Where the host leads.
    #[serde(rename = "IPs")]
    pub ips: Vec<IpAddr>,
}

/// All that was found about a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckResult {
    /// The domain, in Unicode.
    pub domain: String,
    /// Whether DNSSEC vouches for it.
    #[serde(rename = "DNSSEC")]
    pub dnssec: DnssecResult,
    /// Whether addresses lead back.
    #[serde(rename = "IPRev")]
    pub ip_rev: IpRevResult,
    /// Where mail goes.
    #[serde(rename = "MX")]
    pub mx: MxResult,
    /// Whether the hosts speak TLS.
    #[serde(rename = "TLS")]
    pub tls: TlsResult,
    /// Whether their keys are published.
    #[serde(rename = "DANE")]
    pub dane: DaneResult,
    /// From where mail may come.
    #[serde(rename = "SPF")]
    pub spf: SpfResult,
    /// Whether the keys of signatures are published.
    #[serde(rename = "DKIM")]
    pub dkim: DkimResult,
    /// What is to happen with mail of others.
    #[serde(rename = "DMARC")]
    pub dmarc: DmarcResult,
    /// Reports about TLS to the host.
    #[serde(rename = "HostTLSRPT")]
    pub host_tls_rpt: TlsRptResult,
    /// Reports about TLS for the domain.
    #[serde(rename = "DomainTLSRPT")]
    pub domain_tls_rpt: TlsRptResult,
    /// Whether others are told to insist on TLS.
    #[serde(rename = "MTASTS")]
    pub mta_sts: MtaStsResult,
    /// Services for mail programs.
    #[serde(rename = "SRVConf")]
    pub srv_conf: SrvResult,
    /// Settings for mail programs.
    pub autoconf: AutoconfResult,
    /// The same, for others.
    pub autodiscover: AutodiscoverResult,
}

impl CheckResult {
    /// The subjects by their names, in the order in which they are shown.
    #[must_use]
    pub fn subjects(&self) -> [(&'static str, &Told); 14] {
        [
            ("DNSSEC", &self.dnssec.told),
            ("IPRev", &self.ip_rev.told),
            ("MX", &self.mx.told),
            ("TLS", &self.tls.told),
            ("DANE", &self.dane.told),
            ("SPF", &self.spf.told),
            ("DKIM", &self.dkim.told),
            ("DMARC", &self.dmarc.told),
            ("Host TLSRPT", &self.host_tls_rpt.told),
            ("Domain TLSRPT", &self.domain_tls_rpt.told),
            ("MTA-STS", &self.mta_sts.told),
            ("SRV conf", &self.srv_conf.told),
            ("Autoconf", &self.autoconf.told),
            ("Autodiscover", &self.autodiscover.told),
        ]
    }
}

/// For each subject with something wrong its name, then what is wrong a line each, then what to do,
/// indented. Nothing if all is well.
impl fmt::Display for CheckResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, told) in self.subjects().into_iter().filter(|(_, told)| !told.is_clean()) {
            writeln!(f, "# {name}")?;
            for text in &told.errors {
                writeln!(f, "error: {}", printable(text))?;
            }
            for text in &told.warnings {
                writeln!(f, "warning: {}", printable(text))?;
            }
            for line in told.instructions.iter().flat_map(|text| text.lines()) {
                f.write_char('\t')?;
                writeln!(f, "{}", printable(line))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_admin_pages() {
        let result = CheckResult { domain: "a.example".to_owned(), ..CheckResult::default() };
        let json = serde_json::to_value(&result).unwrap();
        let keys = |value: &serde_json::Value| {
            value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ")
        };
        let want = "Autoconf Autodiscover DANE DKIM DMARC DNSSEC Domain DomainTLSRPT HostTLSRPT \
                    IPRev MTASTS MX SPF SRVConf TLS";
        assert_eq!(keys(&json), want);
        for (subject, want) in [
            ("DNSSEC", ""),
            ("IPRev", "Hostname IPNames"),
            ("MX", "Records"),
            ("SPF", "DomainRecord DomainTXT HostRecord HostTXT"),
            ("DKIM", "Records"),
            ("DMARC", "Domain Record TXT"),
            ("HostTLSRPT", "Record TXT"),
            ("MTASTS", "Policy PolicyText Record TXT"),
            ("SRVConf", "SRVs"),
            ("Autoconf", "ClientSettingsDomainIPs IPs"),
            ("Autodiscover", "Records"),
        ] {
            let told = ["Errors", "Instructions", "Warnings"];
            let all = keys(&json[subject]);
            let mut own: Vec<_> = all.split(' ').filter(|key| !told.contains(key)).collect();
            own.sort_unstable();
            assert_eq!(own.join(" "), want, "{subject}");
            assert!(told.iter().all(|key| json[subject][key].is_array()), "{subject}");
        }
        let srv = AutodiscoverSrv::default();
        let want = "IPs Port Priority Target Weight";
        assert_eq!(keys(&serde_json::to_value(srv).unwrap()), want);
    }

    #[test]
    fn only_what_is_wrong_is_shown() {
        let mut result = CheckResult::default();
        assert_eq!(result.to_string(), "");
        result.mx.told.error("bad\u{1b}");
        result.mx.told.warning("odd");
        result.mx.told.instruction("Add:\n\ta. MX 10 b.");
        result.mx.told.instruction("Add:\n\ta. MX 10 b.");
        result.spf.told.instruction("not shown alone");
        let want = "# MX\nerror: bad?\nwarning: odd\n\tAdd:\n\t\ta. MX 10 b.\n";
        assert_eq!(result.to_string(), want);
        for _ in 0..100 {
            result.tls.told.error("again");
        }
        assert_eq!(result.tls.told.errors.len(), FINDINGS_MAX);
    }
}
