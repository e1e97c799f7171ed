//! Settings as Thunderbird and others ask for them: autoconfig.
//!
//! Source: "Autoconfig: configuration file format 1.1" of Thunderbird.

use mox_base::Domain;
use mox_config::client_settings::{self, HTTPS_PORT, Service, Settings, TlsMode};

use super::settings::{self, NoSettings};
use super::xml::Escaped;
use crate::answer::Answer;
use crate::query;
use crate::request::Request;
use crate::router::settings_domain;

const MEDIA_TYPE: &str = "application/xml; charset=utf-8";

/// Stands for the address that the program knows.
const PLACEHOLDER: &str = "%EMAILADDRESS%";

/// Gives the settings for an address, or for any address of the domain that the host is for.
pub(super) fn answer(request: &Request) -> Answer {
    let address = query::field(&request.query, "emailaddress").unwrap_or_default();
    match settings_for(request, &address) {
        Ok((domain, user_name, settings)) => {
            mox_metrics::http::autoconf(domain.ascii());
            tracing::debug!(cid = request.cid, %domain, "settings by autoconfig");
            Answer::ok(MEDIA_TYPE, text(&domain, &user_name, &settings))
        }
        Err(error) => Answer::bad_request(error.reason()),
    }
}

fn settings_for(
    request: &Request,
    address: &str,
) -> Result<(Domain, String, Settings), NoSettings> {
    let config = &request.config;
    if !address.is_empty() {
        let found = settings::of_address(config, address)?;
        let user_name = settings::user_name(&found.address);
        return Ok((found.address.domain, user_name, found.settings));
    }
    let domain = settings_domain(&request.host, config).ok_or(NoSettings::OtherDomain)?;
    let settings = client_settings::of(config, &domain).ok_or(NoSettings::OtherDomain)?;
    Ok((domain, PLACEHOLDER.to_owned(), settings))
}

fn text(domain: &Domain, user_name: &str, settings: &Settings) -> String {
    let name = domain.ascii();
    let incoming = servers("incomingServer", "imap", user_name, settings.imap.as_ref());
    let outgoing = servers("outgoingServer", "smtp", user_name, settings.submission.as_ref());
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <clientConfig version=\"1.1\">\n  <emailProvider id=\"{name}\">\n    \
         <domain>{name}</domain>\n    <displayName>{name}</displayName>\n    \
         <displayShortName>{name}</displayShortName>\n{incoming}{outgoing}  </emailProvider>\n  \
         <clientConfigUpdate url=\"https://autoconfig.{name}/mail/config-v1.1.xml\"></clientConfigUpdate>\n\
         </clientConfig>\n"
    )
}

/// A service, and the same on the port of HTTPS for networks that let nothing else through.
fn servers(element: &str, kind: &str, user_name: &str, service: Option<&Service>) -> String {
    let Some(service) = service else { return String::new() };
    let socket = match service.tls {
        TlsMode::Immediate => "SSL",
        TlsMode::StartTlsRequired | TlsMode::StartTlsOptional => "STARTTLS",
        TlsMode::Plain => "plain",
    };
    let one = |port: u16, socket: &str| server(element, kind, (service, port, socket), user_name);
    let mut text = one(service.port, socket);
    if service.has_https_port {
        text.push_str(&one(HTTPS_PORT, "SSL"));
    }
    text
}

/// Deviation: the original asks for `password-encrypted`, which programs take for CRAM-MD5. That is
/// not offered here, since it needs passwords to be kept; the password goes through TLS.
fn server(
    element: &str,
    kind: &str,
    (service, port, socket): (&Service, u16, &str),
    user_name: &str,
) -> String {
    let (host, user_name) = (service.host.ascii(), Escaped(user_name));
    format!(
        "    <{element} type=\"{kind}\">\n      <hostname>{host}</hostname>\n      \
         <port>{port}</port>\n      <socketType>{socket}</socketType>\n      \
         <username>{user_name}</username>\n      \
         <authentication>password-cleartext</authentication>\n    </{element}>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_settings_of_a_domain_are_told() {
        let config = fixture::config();
        let domain = Domain::parse("bücher.example").unwrap();
        let settings = client_settings::of(&config, &domain).unwrap();
        let found = text(&domain, "a&b@xn--bcher-kva.example", &settings);
        let want = "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<clientConfig version=\"1.1\">
  <emailProvider id=\"xn--bcher-kva.example\">
    <domain>xn--bcher-kva.example</domain>
    <displayName>xn--bcher-kva.example</displayName>
    <displayShortName>xn--bcher-kva.example</displayShortName>
    <incomingServer type=\"imap\">
      <hostname>imap.xn--bcher-kva.example</hostname>
      <port>143</port>
      <socketType>STARTTLS</socketType>
      <username>a&amp;b@xn--bcher-kva.example</username>
      <authentication>password-cleartext</authentication>
    </incomingServer>
    <outgoingServer type=\"smtp\">
      <hostname>imap.xn--bcher-kva.example</hostname>
      <port>465</port>
      <socketType>SSL</socketType>
      <username>a&amp;b@xn--bcher-kva.example</username>
      <authentication>password-cleartext</authentication>
    </outgoingServer>
    <outgoingServer type=\"smtp\">
      <hostname>imap.xn--bcher-kva.example</hostname>
      <port>443</port>
      <socketType>SSL</socketType>
      <username>a&amp;b@xn--bcher-kva.example</username>
      <authentication>password-cleartext</authentication>
    </outgoingServer>
  </emailProvider>
  <clientConfigUpdate url=\"https://autoconfig.xn--bcher-kva.example/mail/config-v1.1.xml\"></clientConfigUpdate>
</clientConfig>
";
        assert_eq!(found, want);
        let none = Settings { imap: None, submission: None };
        assert!(!text(&domain, PLACEHOLDER, &none).contains("Server"));
    }
}
