//! Settings as Outlook asks for them: autodiscover.
//!
//! Source: Microsoft's protocol specification \[MS-OXDSCLI\] §2.2.3 and §2.2.4.

use hyper::{Method, StatusCode};
use mox_config::client_settings::{Service, TlsMode};
use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

use super::settings::{self, Found};
use super::xml::Escaped;
use crate::answer::Answer;
use crate::request::{BadBody, Request};

/// How deep elements of a request may be within each other.
pub const XML_DEPTH_MAX: usize = 32;

/// The longest address that is read.
const ADDRESS_BYTES_MAX: usize = 1_000;

const MEDIA_TYPE: &str = "application/xml; charset=utf-8";

/// Gives the settings for the address in the body.
pub(super) async fn answer(mut request: Request) -> Answer {
    if request.method != Method::POST {
        return Answer::wrong_method("POST");
    }
    let body = match request.read_body().await {
        Ok(body) => body,
        Err(BadBody::TooLarge) => {
            return Answer::failure(StatusCode::PAYLOAD_TOO_LARGE, "request too large");
        }
        Err(BadBody::TooSlow) => {
            return Answer::failure(StatusCode::REQUEST_TIMEOUT, "request took too long");
        }
        Err(BadBody::Broken) => return Answer::bad_request("bad request: no body"),
    };
    let Some(address) = requested_address(&body) else {
        return Answer::bad_request("bad request: no address in xml");
    };
    match settings::of_address(&request.config, &address) {
        Ok(found) => {
            let domain = &found.address.domain;
            mox_metrics::http::autodiscover(domain.ascii());
            tracing::debug!(cid = request.cid, %domain, "settings by autodiscover");
            Answer::ok(MEDIA_TYPE, text(&found))
        }
        Err(error) => Answer::bad_request(error.reason()),
    }
}

/// The text of `Autodiscover/Request/EMailAddress`, whatever the namespace. `None` if there is none, or
/// what came is no XML, or too deep.
///
/// Entities that a document declares itself are not known (attack: a few of them expand to a gigabyte),
/// nor is anything fetched. Cost: linear.
#[must_use]
pub fn requested_address(body: &[u8]) -> Option<String> {
    const PATH: [&str; 3] = ["Autodiscover", "Request", "EMailAddress"];
    let text = std::str::from_utf8(body).ok()?;
    let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    reader.config_mut().expand_empty_elements = true;
    // How many elements are open, and how many of these are those of the path.
    let (mut depth, mut on_path) = (0, 0);
    let mut address = None;
    loop {
        let piece = match reader.read_event().ok()? {
            Event::Start(start) => {
                let is_next = on_path == depth
                    && PATH.get(depth) == Some(&start.local_name().into_inner())
                    && address.is_none();
                on_path += usize::from(is_next);
                depth += 1;
                if depth > XML_DEPTH_MAX {
                    return None;
                }
                continue;
            }
            Event::End(_) => {
                if on_path == PATH.len() && depth == PATH.len() {
                    address.get_or_insert_with(String::new);
                }
                depth -= 1;
                on_path = on_path.min(depth);
                continue;
            }
            Event::Text(text) => text.to_string(),
            Event::CData(text) => text.to_string(),
            Event::GeneralRef(name) => entity(&name)?.to_string(),
            Event::DocType(_) => return None,
            Event::Eof => break,
            Event::Comment(_) | Event::PI(_) | Event::Decl(_) | Event::Empty(_) => continue,
        };
        if on_path == PATH.len() && depth == PATH.len() {
            let address = address.get_or_insert_with(String::new);
            address.push_str(&piece);
            if address.len() > ADDRESS_BYTES_MAX {
                return None;
            }
        }
    }
    address.map(|address| address.trim().to_owned()).filter(|_| depth == 0)
}

/// XML 1.0 §4.6.
fn entity(name: &BytesRef<'_>) -> Option<char> {
    if let Some(letter) = name.resolve_char_ref().ok()? {
        return Some(letter);
    }
    Some(match &**name {
        "amp" => '&',
        "apos" => '\'',
        "gt" => '>',
        "lt" => '<',
        "quot" => '"',
        _ => return None,
    })
}

fn text(found: &Found) -> String {
    let user_name = settings::user_name(&found.address);
    let protocol = |kind: &str, service: &Option<Service>| {
        service.as_ref().map(|service| protocol(kind, service, &user_name)).unwrap_or_default()
    };
    let (imap, smtp) =
        (protocol("IMAP", &found.settings.imap), protocol("SMTP", &found.settings.submission));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006\">\n  \
         <Response xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a\">\n    \
         <Account>\n      <AccountType>email</AccountType>\n      <Action>settings</Action>\n\
         {imap}{smtp}    </Account>\n  </Response>\n</Autodiscover>\n"
    )
}

fn protocol(kind: &str, service: &Service, user_name: &str) -> String {
    let (ssl, encryption) = match service.tls {
        TlsMode::Immediate => ("on", "        <Encryption>TLS</Encryption>\n"),
        TlsMode::StartTlsRequired | TlsMode::StartTlsOptional => ("on", ""),
        TlsMode::Plain => ("off", ""),
    };
    let (host, port, user_name) = (service.host.ascii(), service.port, Escaped(user_name));
    format!(
        "      <Protocol>\n        <Type>{kind}</Type>\n        <Server>{host}</Server>\n        \
         <Port>{port}</Port>\n        <DirectoryPort>0</DirectoryPort>\n        \
         <ReferralPort>0</ReferralPort>\n        <LoginName>{user_name}</LoginName>\n        \
         <SSL>{ssl}</SSL>\n{encryption}        <SPA>off</SPA>\n        \
         <AuthRequired>on</AuthRequired>\n      </Protocol>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[track_caller]
    fn check(body: &str, want: Option<&str>) {
        assert_eq!(requested_address(body.as_bytes()).as_deref(), want, "{body}");
    }

    fn within(inner: &str) -> String {
        format!("<Autodiscover xmlns=\"x\"><Request>{inner}</Request></Autodiscover>")
    }

    #[test]
    fn the_address_is_found_where_it_must_stand() {
        let plain = "<?xml version=\"1.0\"?>\n<!-- x -->".to_owned()
            + &within(
                "\n<AcceptableResponseSchema>y</AcceptableResponseSchema>\n<EMailAddress> a@b </EMailAddress>",
            );
        check(&plain, Some("a@b"));
        check(&format!("\u{feff}{plain}"), Some("a@b"));
        let prefixed = "<n:Autodiscover xmlns:n='x'><n:Request><n:EMailAddress>a@b</n:EMailAddress>\
                        </n:Request></n:Autodiscover>";
        check(prefixed, Some("a@b"));
        check(&within("<EMailAddress>a&amp;&#98;<![CDATA[<c]]>@d</EMailAddress>"), Some("a&b<c@d"));
        check(&within("<EMailAddress>a<b>x</b>@c</EMailAddress>"), Some("a@c"));
        // At the edge.
        check(&within("<EMailAddress/>"), Some(""));
        let first = "<EMailAddress>a</EMailAddress><EMailAddress>b</EMailAddress>";
        check(&within(first), Some("a"));
        let longest = "a".repeat(ADDRESS_BYTES_MAX);
        check(&within(&format!("<EMailAddress>{longest}</EMailAddress>")), Some(&longest));
        let deep = |depth| {
            let inner = "<x>".repeat(depth - 2) + &"</x>".repeat(depth - 2);
            within(&format!("{inner}<EMailAddress>a</EMailAddress>"))
        };
        check(&deep(XML_DEPTH_MAX), Some("a"));
        // Just past it.
        check(&deep(XML_DEPTH_MAX + 1), None);
        check(&within(&format!("<EMailAddress>{longest}a</EMailAddress>")), None);
        // Not there.
        check(&within(""), None);
        check(&within("<y><EMailAddress>a</EMailAddress></y>"), None);
        check("<Request><EMailAddress>a</EMailAddress></Request>", None);
        check(
            "<x><Autodiscover><Request><EMailAddress>a</EMailAddress></Request></Autodiscover></x>",
            None,
        );
        // No XML.
        check("", None);
        check("emailaddress=a@b", None);
        check("<Autodiscover><Request><EMailAddress>a", None);
        check("<Autodiscover><Request><EMailAddress>a</Request></Autodiscover>", None);
        assert_eq!(requested_address(b"\xff\xfe<\0"), None);
    }

    /// Attacks: entities that grow, and those that fetch.
    #[test]
    fn entities_of_the_document_are_refused() {
        let document = |doctype: &str, inner: &str| {
            format!("{doctype}{}", within(&format!("<EMailAddress>{inner}</EMailAddress>")))
        };
        check(&document("<!DOCTYPE x [<!ENTITY a \"aaaa\">]>", "a"), None);
        check(&document("<!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\">]>", "&a;"), None);
        check(&document("", "&a;"), None);
        check(&document("", "&#0;"), None);
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_fail(body in "(<|>|/|Autodiscover|Request|EMailAddress|[ -~]|&|;){0,40}") {
            let _found = requested_address(body.as_bytes());
        }
    }

    #[test]
    fn the_settings_are_told() {
        let config = fixture::config();
        let found = settings::of_address(&config, "<x>@example.org");
        assert!(found.is_err(), "no address");
        let found = settings::of_address(&config, "\"<x>\"@example.org").ok().unwrap();
        let want = "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006\">
  <Response xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a\">
    <Account>
      <AccountType>email</AccountType>
      <Action>settings</Action>
      <Protocol>
        <Type>IMAP</Type>
        <Server>mx.example.org</Server>
        <Port>143</Port>
        <DirectoryPort>0</DirectoryPort>
        <ReferralPort>0</ReferralPort>
        <LoginName>&quot;&lt;x&gt;&quot;@example.org</LoginName>
        <SSL>on</SSL>
        <SPA>off</SPA>
        <AuthRequired>on</AuthRequired>
      </Protocol>
      <Protocol>
        <Type>SMTP</Type>
        <Server>mx.example.org</Server>
        <Port>465</Port>
        <DirectoryPort>0</DirectoryPort>
        <ReferralPort>0</ReferralPort>
        <LoginName>&quot;&lt;x&gt;&quot;@example.org</LoginName>
        <SSL>on</SSL>
        <Encryption>TLS</Encryption>
        <SPA>off</SPA>
        <AuthRequired>on</AuthRequired>
      </Protocol>
    </Account>
  </Response>
</Autodiscover>
";
        assert_eq!(text(&found), want);
        for domain in ["off.example", "reports.example", "mail.example.org", "example.net"] {
            assert!(settings::of_address(&config, &format!("a@{domain}")).is_err(), "{domain}");
        }
    }
}
