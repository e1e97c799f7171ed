//! Settings for mail programs of Apple: a configuration profile.
//!
//! Source: Apple's "Configuration Profile Reference", payload `com.apple.mail.managed`. It is a property
//! list in XML, not signed.

use std::fmt::Write as _;

use aws_lc_rs::hmac;
use hyper::header::{CONTENT_DISPOSITION, HeaderValue};
use mox_base::Address;
use mox_config::Config;
use mox_config::client_settings::{Settings, TlsMode};

use super::settings::{self, NoSettings};
use super::xml::Escaped;
use crate::answer::Answer;
use crate::query;
use crate::request::Request;

/// Addresses in one profile.
pub const ADDRESSES_MAX: usize = 20;

/// The longest name of a person in a profile.
pub const NAME_BYTES_MAX: usize = 256;

const MEDIA_TYPE: &str = "application/x-apple-aspen-config";

/// From which the identifiers of profiles are made. It is no secret: the same addresses must give the
/// same ones, so that a second profile takes the place of the first.
const UUID_KEY: &[u8] = b"mox0";

/// What a profile is for.
struct Wanted {
    /// One at least, all of our domains.
    addresses: Vec<Address>,
    /// Of the domain of the first address.
    settings: Settings,
    name: String,
}

/// Gives the profile for the addresses of the query.
pub(super) fn answer(request: &Request) -> Answer {
    match wanted(&request.config, &request.query) {
        Ok(wanted) => {
            let answer = Answer::ok(MEDIA_TYPE, text(&wanted));
            let disposition = format!("attachment; filename=\"{}\"", file_name(&wanted));
            match HeaderValue::from_str(&disposition) {
                Ok(value) => answer.with_value(CONTENT_DISPOSITION, value),
                Err(_) => answer,
            }
        }
        Err(reason) => Answer::bad_request(reason),
    }
}

/// Whether there would be a profile.
pub(super) fn check(config: &Config, query: &str) -> Result<(), &'static str> {
    wanted(config, query).map(drop)
}

fn wanted(config: &Config, query: &str) -> Result<Wanted, &'static str> {
    let list = query::field(query, "addresses").unwrap_or_default();
    let name = query::field(query, "name").unwrap_or_default();
    if name.len() > NAME_BYTES_MAX {
        return Err("bad request: name too long");
    }
    let mut addresses = Vec::new();
    let mut of_first = None;
    for text in list.split(',').map(str::trim) {
        if addresses.len() == ADDRESSES_MAX {
            return Err("bad request: too many addresses");
        }
        let found = settings::of_address(config, text).map_err(NoSettings::reason)?;
        of_first.get_or_insert(found.settings);
        addresses.push(found.address);
    }
    let settings = of_first.ok_or_else(|| NoSettings::BadAddress.reason())?;
    Ok(Wanted { addresses, settings, name })
}

/// `email-account-mjl-at-example-org.mobileconfig`, with nothing that a file could not be called.
fn file_name(wanted: &Wanted) -> String {
    let first = wanted.addresses.first().map(settings::user_name).unwrap_or_default();
    let safe = first.replace('.', "-").replace('@', "-at-");
    let safe: String = safe
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' })
        .collect();
    format!("email-account-{safe}.mobileconfig")
}

/// A value of a property list.
enum Value {
    Text(String),
    Number(u64),
    Flag(bool),
    /// Keys sorted.
    Dict(Vec<(&'static str, Self)>),
    Array(Vec<Self>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

fn text(wanted: &Wanted) -> String {
    let addresses: Vec<_> = wanted.addresses.iter().map(settings::user_name).collect();
    let all = addresses.join(",");
    let first = addresses.first().cloned().unwrap_or_default();
    let title = format!("{first} email account");
    let identifier = identifier(&wanted.addresses);
    let profile = Value::Dict(vec![
        ("PayloadContent", Value::Array(vec![account(wanted, &all, &first, &identifier)])),
        ("PayloadDescription", title.as_str().into()),
        ("PayloadDisplayName", first.as_str().into()),
        ("PayloadIdentifier", Value::Text(format!("{identifier}.email"))),
        ("PayloadType", "Configuration".into()),
        ("PayloadUUID", Value::Text(uuid("profile", &addresses))),
        ("PayloadVersion", Value::Number(1)),
    ]);
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
         \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">\n"
        .to_owned();
    print(&profile, 1, &mut text);
    text.push_str("</plist>\n");
    text
}

/// Deviation: the original asks for CRAM-MD5, which is not offered here, since it needs passwords to
/// be kept. The password goes through TLS.
const AUTHENTICATION: &str = "EmailAuthPassword";

fn account(wanted: &Wanted, all: &str, first: &str, identifier: &str) -> Value {
    let addresses: Vec<_> = wanted.addresses.iter().map(settings::user_name).collect();
    let name = if wanted.name.is_empty() { first } else { &wanted.name };
    let mut keys: Vec<(&'static str, Value)> = vec![
        ("EmailAccountDescription", first.into()),
        ("EmailAccountName", name.into()),
        ("EmailAccountType", "EmailTypeIMAP".into()),
        ("EmailAddress", all.into()),
    ];
    if let Some(imap) = &wanted.settings.imap {
        keys.extend([
            ("IncomingMailServerAuthentication", AUTHENTICATION.into()),
            ("IncomingMailServerHostName", imap.host.ascii().into()),
            ("IncomingMailServerPortNumber", Value::Number(imap.port.into())),
            ("IncomingMailServerUseSSL", Value::Flag(imap.tls == TlsMode::Immediate)),
            ("IncomingMailServerUsername", first.into()),
        ]);
    }
    if let Some(submission) = &wanted.settings.submission {
        keys.extend([
            ("OutgoingMailServerAuthentication", AUTHENTICATION.into()),
            ("OutgoingMailServerHostName", submission.host.ascii().into()),
            ("OutgoingMailServerPortNumber", Value::Number(submission.port.into())),
            ("OutgoingMailServerUseSSL", Value::Flag(submission.tls == TlsMode::Immediate)),
            ("OutgoingMailServerUsername", first.into()),
            ("OutgoingPasswordSameAsIncomingPassword", Value::Flag(true)),
        ]);
    }
    keys.extend([
        ("PayloadDescription", Value::Text(format!("{first} email account"))),
        ("PayloadDisplayName", first.into()),
        ("PayloadIdentifier", Value::Text(format!("{identifier}.email.account"))),
        ("PayloadType", "com.apple.mail.managed".into()),
        ("PayloadUUID", Value::Text(uuid("account", &addresses))),
        ("PayloadVersion", Value::Number(1)),
    ]);
    Value::Dict(keys)
}

/// The first address from its end: `org.example.mjl`.
fn identifier(addresses: &[Address]) -> String {
    let Some(address) = addresses.first() else { return String::new() };
    let mut labels: Vec<_> = address.domain.ascii().split('.').collect();
    labels.reverse();
    format!("{}.{}", labels.join("."), address.localpart)
}

/// An identifier that is the same for the same addresses. RFC 9562 §5.8.
fn uuid(what: &str, addresses: &[String]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, UUID_KEY);
    let message = format!("{what}\n\n{}", addresses.join(","));
    let tag = hmac::sign(&key, message.as_bytes());
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a string does not fail.
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

/// Two levels of dictionaries at most, so the recursion is bounded.
fn print(value: &Value, depth: usize, text: &mut String) {
    let indent = "\t".repeat(depth);
    let line = match value {
        Value::Text(value) => format!("<string>{}</string>", Escaped(value)),
        Value::Number(value) => format!("<integer>{value}</integer>"),
        Value::Flag(true) => "<true/>".to_owned(),
        Value::Flag(false) => "<false/>".to_owned(),
        Value::Dict(keys) => {
            text.push_str(&format!("{indent}<dict>\n"));
            for (key, value) in keys {
                text.push_str(&format!("{indent}\t<key>{key}</key>\n"));
                print(value, depth + 1, text);
            }
            "</dict>".to_owned()
        }
        Value::Array(values) => {
            text.push_str(&format!("{indent}<array>\n"));
            for value in values {
                print(value, depth + 1, text);
            }
            "</array>".to_owned()
        }
    };
    text.push_str(&format!("{indent}{line}\n"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[track_caller]
    fn check_wanted(query: &str, want: Result<usize, &str>) {
        let found = wanted(&fixture::config(), query).map(|wanted| wanted.addresses.len());
        assert_eq!(found, want, "{query}");
    }

    #[test]
    fn addresses_must_be_of_our_domains() {
        let (bad, other) = (NoSettings::BadAddress.reason(), NoSettings::OtherDomain.reason());
        check_wanted("addresses=a@example.org", Ok(1));
        check_wanted("addresses=a%40example.org,+b@b%C3%BCcher.example&name=A+B", Ok(2));
        let many = vec!["a@example.org"; ADDRESSES_MAX].join(",");
        check_wanted(&format!("addresses={many}"), Ok(ADDRESSES_MAX));
        let too_many = "bad request: too many addresses";
        check_wanted(&format!("addresses={many},a@example.org"), Err(too_many));
        let name = "n".repeat(NAME_BYTES_MAX + 1);
        let too_long = "bad request: name too long";
        check_wanted(&format!("addresses=a@example.org&name={name}"), Err(too_long));
        check_wanted("addresses=a@example.net", Err(other));
        check_wanted("addresses=a@off.example", Err(other));
        check_wanted("addresses=a@example.org,b@example.net", Err(other));
        check_wanted("addresses=a@example.org,", Err(bad));
        check_wanted("addresses=a", Err(bad));
        check_wanted("addresses=", Err(bad));
        check_wanted("", Err(bad));
    }

    fn profile(query: &str) -> (String, String) {
        let wanted = wanted(&fixture::config(), query).unwrap();
        (text(&wanted), file_name(&wanted))
    }

    #[test]
    fn a_profile_has_one_account_with_all_keys_sorted() {
        let query = "addresses=m.j@example.org,b%26@example.org&name=M+%3C+J";
        let (text, name) = profile(query);
        assert_eq!(name, "email-account-m-j-at-example-org.mobileconfig");
        let want = "\
\t\t\t\t<key>EmailAccountName</key>
\t\t\t\t<string>M &lt; J</string>
\t\t\t\t<key>EmailAccountType</key>
\t\t\t\t<string>EmailTypeIMAP</string>
\t\t\t\t<key>EmailAddress</key>
\t\t\t\t<string>m.j@example.org,b&amp;@example.org</string>
\t\t\t\t<key>IncomingMailServerAuthentication</key>
\t\t\t\t<string>EmailAuthPassword</string>
\t\t\t\t<key>IncomingMailServerHostName</key>
\t\t\t\t<string>mx.example.org</string>
\t\t\t\t<key>IncomingMailServerPortNumber</key>
\t\t\t\t<integer>143</integer>
\t\t\t\t<key>IncomingMailServerUseSSL</key>
\t\t\t\t<false/>
\t\t\t\t<key>IncomingMailServerUsername</key>
\t\t\t\t<string>m.j@example.org</string>
";
        assert!(text.contains(want), "{text}");
        assert!(text.contains("<key>OutgoingMailServerUseSSL</key>\n\t\t\t\t<true/>"), "{text}");
        assert!(text.contains("<string>org.example.m.j.email</string>"), "{text}");
        assert!(text.contains("<string>org.example.m.j.email.account</string>"), "{text}");
        for key in ["IncomingPassword", "OutgoingPassword"] {
            assert!(!text.contains(&format!("<key>{key}</key>")), "{text}");
        }
        let at = |depth: usize| -> Vec<&str> {
            let start = format!("{}<key>", "\t".repeat(depth));
            text.lines().filter_map(|line| line.strip_prefix(&*start)).collect()
        };
        for depth in [2, 4] {
            assert!(at(depth).len() > 6 && at(depth).is_sorted(), "{text}");
        }
        let mut reader = quick_xml::Reader::from_str(&text);
        while reader.read_event().unwrap() != quick_xml::events::Event::Eof {}
    }

    /// RFC 9562 §4.
    #[test]
    fn identifiers_are_stable_and_differ() {
        let one = uuid("profile", &["a@example.org".to_owned()]);
        assert_eq!(one, uuid("profile", &["a@example.org".to_owned()]));
        assert_ne!(one, uuid("account", &["a@example.org".to_owned()]));
        assert_ne!(one, uuid("profile", &["b@example.org".to_owned()]));
        let parts: Vec<_> = one.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert!(one[14..].starts_with('8') && one[19..].starts_with(['8', '9', 'a', 'b']), "{one}");
    }

    /// Attack: a header in the name of an address.
    #[test]
    fn file_names_are_plain() {
        let (_, name) = profile("addresses=%22a%20%5C%22;b%22@b%C3%BCcher.example");
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{name}");
        assert!(name.ends_with("-at-xn--bcher-kva-example.mobileconfig"), "{name}");
    }
}
