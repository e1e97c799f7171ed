//! The field with the details of SPF.
//!
//! Source: RFC 7208 §9.1.

use mox_base::Host;

use super::text::{LINE_COLUMNS_MAX, Lines, comment, dot_atom, quoted};
use crate::spf::{Args, Identity, Received};

/// Columns that the text of a problem may take with its name and quotes: a line without its tab
/// and semicolon.
const PROBLEM_COLUMNS_MAX: usize = LINE_COLUMNS_MAX - 1;

/// The whole field with its CRLF.
///
/// `header-field = "Received-SPF:" [CFWS] result FWS [comment FWS] [ key-value-list ] CRLF`.
///
/// Nothing in it can begin another field, whatever the sender says. Characters that are not ASCII
/// become question marks unless `is_utf8`: whether the message may have them in its header.
#[must_use]
pub fn received_spf(received: &Received, args: &Args<'_>, is_utf8: bool) -> String {
    let mut lines = Lines::field("Received-SPF:");
    lines.word(received.status.as_str());
    let mut remark = match &received.domain {
        Some(domain) if is_utf8 => format!("domain {}", domain.unicode()),
        Some(domain) => format!("domain {}", domain.ascii()),
        None => "no domain".to_owned(),
    };
    if received.identity == Identity::Helo {
        remark.push_str(", from EHLO because there is no sender");
    }
    lines.word(&comment(&remark, is_utf8));
    let mut pair = |key: &str, value: &str, end: &str| lines.word(&format!("{key}={value}{end}"));
    pair("client-ip", &dot_atom(&args.ip.to_canonical().to_string(), is_utf8), ";");
    pair("envelope-from", &dot_atom(&sender(args, is_utf8), is_utf8), ";");
    let helo = match args.helo {
        Host::Domain(domain) if is_utf8 => domain.unicode().to_owned(),
        host => host.ascii(),
    };
    pair("helo", &dot_atom(&helo, is_utf8), ";");
    if let Some(problem) = &received.problem {
        let mut text = problem.to_string();
        let room = PROBLEM_COLUMNS_MAX - "problem=\"\";".len();
        // One character of the text may need two; then the line is folded all the same.
        if let Some((end, _)) = text.char_indices().nth(room) {
            text.truncate(end);
        }
        pair("problem", &quoted(&text, is_utf8), ";");
    }
    if let Some(mechanism) = &received.mechanism {
        pair("mechanism", &dot_atom(mechanism, is_utf8), ";");
    }
    let receiver = if is_utf8 { args.receiver.unicode() } else { args.receiver.ascii() };
    pair("receiver", &dot_atom(receiver, is_utf8), ";");
    let identity = match received.identity {
        Identity::MailFrom => "mailfrom",
        Identity::Helo => "helo",
    };
    pair("identity", identity, "");
    format!("{}\r\n", lines.finish())
}

/// The sender that was checked. RFC 7208 §2.4.
fn sender(args: &Args<'_>, is_utf8: bool) -> String {
    match args.mail_from {
        Some(address) if is_utf8 => format!("{}@{}", address.localpart, address.domain.unicode()),
        Some(address) => format!("{}@{}", address.localpart, address.domain.ascii()),
        None => format!("postmaster@{}", args.helo.ascii()),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use mox_base::{Address, Domain, UnixSeconds};
    use mox_dns::FakeDns;

    use super::*;
    use crate::spf::check;

    #[track_caller]
    fn check_field(mail_from: &str, helo: &str, is_utf8: bool, want: &[&str]) {
        let mut dns = FakeDns::new();
        dns.add_txt("a.example", "v=spf1 ip4:192.0.2.0/24 -all");
        dns.add_txt("h.example", "v=spf1 ?all");
        dns.add_txt("bad.example", &format!("v=spf1 include:{}.example", "x".repeat(60)));
        let address = (!mail_from.is_empty()).then(|| Address::parse(mail_from).unwrap());
        let helo = match helo.parse() {
            Ok(ip) => Host::Ip(ip),
            Err(_) => Host::Domain(Domain::parse(helo).unwrap()),
        };
        let args = Args {
            ip: "192.0.2.1".parse().unwrap(),
            mail_from: address.as_ref(),
            helo: &helo,
            receiver: &Domain::parse("mx.example").unwrap(),
            now: UnixSeconds(0),
        };
        let received = check(&dns, &args).now_or_never().unwrap();
        let field = received_spf(&received, &args, is_utf8);
        assert_eq!(field.strip_suffix("\r\n").unwrap().split("\r\n\t").collect::<Vec<_>>(), want);
        assert!(!field.split("\r\n").any(|line| line.chars().count() > LINE_COLUMNS_MAX));
    }

    /// RFC 7208 §9.1.
    #[test]
    fn the_details_of_spf_are_told() {
        check_field(
            "u@a.example",
            "h.example",
            false,
            &[
                "Received-SPF: pass (domain a.example) client-ip=192.0.2.1;",
                "envelope-from=\"u@a.example\"; helo=h.example;",
                "mechanism=\"ip4:192.0.2.0/24\"; receiver=mx.example; identity=mailfrom",
            ],
        );
        check_field(
            "",
            "h.example",
            false,
            &[
                "Received-SPF: neutral (domain h.example, from EHLO because there is no sender)",
                "client-ip=192.0.2.1; envelope-from=\"postmaster@h.example\";",
                "helo=h.example; mechanism=all; receiver=mx.example; identity=helo",
            ],
        );
        check_field(
            "",
            "2001:db8::1",
            false,
            &[
                "Received-SPF: none (no domain, from EHLO because there is no sender)",
                "client-ip=192.0.2.1; envelope-from=\"postmaster@[IPv6:2001:db8::1]\";",
                "helo=\"[IPv6:2001:db8::1]\"; problem=\"no domain to ask\";",
                "receiver=mx.example; identity=helo",
            ],
        );
        let problem = format!("problem=\"no record at {}\";", "x".repeat(53));
        check_field(
            "\"a\\\"b\"@bad.example",
            "h.example",
            false,
            &[
                "Received-SPF: permerror (domain bad.example) client-ip=192.0.2.1;",
                "envelope-from=\"\\\"a\\\\\\\"b\\\"@bad.example\"; helo=h.example;",
                &problem,
                "receiver=mx.example; identity=mailfrom",
            ],
        );
        check_field(
            "\u{fc}@b\u{fc}cher.example",
            "h.example",
            false,
            &[
                "Received-SPF: none (domain xn--bcher-kva.example) client-ip=192.0.2.1;",
                "envelope-from=\"?@xn--bcher-kva.example\"; helo=h.example;",
                "receiver=mx.example; identity=mailfrom",
            ],
        );
        check_field(
            "\u{fc}@b\u{fc}cher.example",
            "h.example",
            true,
            &[
                "Received-SPF: none (domain b\u{fc}cher.example) client-ip=192.0.2.1;",
                "envelope-from=\"\u{fc}@b\u{fc}cher.example\"; helo=h.example; receiver=mx.example;",
                "identity=mailfrom",
            ],
        );
    }
}
