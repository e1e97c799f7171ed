//! Whether mail programs find their settings.

use std::net::{IpAddr, SocketAddr};

use futures_util::future::join_all;
use mox_admin::records::Purpose;
use mox_base::Domain;
use mox_dns::{Name, RecordType, Resolver as _};
use mox_net::tls::client::Verify;

use super::context::Context;
use super::result::{AutoconfResult, AutodiscoverResult, AutodiscoverSrv, Subject, Told};
use super::srv::srv;
use super::{DIAL_WAIT, HOSTS_MAX};

/// The port of HTTPS. RFC 9110 §4.2.2.
const HTTPS_PORT: u16 = 443;

/// The host of the settings, and the one with the settings, must lead here.
pub(super) async fn check(context: &Context<'_>) -> AutoconfResult {
    let mut result = AutoconfResult::default();
    if let Some(client) = context.settings.client_settings_domain.as_deref() {
        let mut told = Told::default();
        result.client_settings_domain_ips = context.our_ips(&client.into(), &mut told).await;
        finish(context, &mut result, told, Purpose::ClientSettings);
    }
    if !is_offered(context, result.told()) {
        return result;
    }
    let Ok(host) = Domain::parse(&format!("autoconfig.{}", context.domain.ascii())) else {
        return result;
    };
    let mut told = Told::default();
    result.ips = context.our_ips(&Name::from(&host), &mut told).await;
    check_tls(context, &host, HTTPS_PORT, &result.ips, &mut told).await;
    finish(context, &mut result, told, Purpose::Autoconfig);
    result
}

/// The service that other mail programs look for must lead here.
pub(super) async fn check_autodiscover(context: &Context<'_>) -> AutodiscoverResult {
    let mut result = AutodiscoverResult::default();
    let mut told = Told::default();
    if !is_offered(context, &mut told) {
        // Told with the other one.
        return result;
    }
    let Ok(name) = Name::below("_autodiscover._tcp", context.domain) else { return result };
    let found = match context.services.resolver.lookup(&name, RecordType::Srv).await {
        Ok(found) => found.records,
        Err(error) => {
            told.error(format!("look up SRV of {}: {error}", name.as_str()));
            finish(context, &mut result, told, Purpose::Autoconfig);
            return result;
        }
    };
    for srv in found.iter().filter_map(srv).take(HOSTS_MAX) {
        if srv.port != HTTPS_PORT {
            told.error(format!(
                "SRV of {} has port {}: mail programs use only {HTTPS_PORT}",
                name.as_str(),
                srv.port
            ));
        }
        let mut ips = Vec::new();
        if let Ok(host) = Domain::parse(&srv.target) {
            ips = context.our_ips(&Name::from(&host), &mut told).await;
            check_tls(context, &host, srv.port, &ips, &mut told).await;
        }
        result.records.push(AutodiscoverSrv { srv, ips });
    }
    finish(context, &mut result, told, Purpose::Autoconfig);
    result
}

/// Whether the server has settings to find.
fn is_offered(context: &Context<'_>, told: &mut Told) -> bool {
    let listeners = &context.config.statics.listeners;
    let is_offered = listeners.values().any(|listener| listener.autoconfig_https.enabled);
    if !is_offered {
        told.warning("mail programs cannot find their settings: no listener has AutoconfigHTTPS");
        told.instruction("Add AutoconfigHTTPS to the public listener in mox.conf.");
    }
    is_offered
}

/// Adds what was found, with the records to add.
fn finish(context: &Context<'_>, result: &mut impl Subject, found: Told, purpose: Purpose) {
    let told = result.told();
    if !found.is_clean() {
        context.add_records(told, purpose);
    }
    found.errors.into_iter().for_each(|text| told.error(text));
    found.instructions.into_iter().for_each(|text| told.instruction(text));
}

/// Whether each address shows a certificate for the host.
async fn check_tls(
    context: &Context<'_>,
    host: &Domain,
    port: u16,
    ips: &[IpAddr],
    told: &mut Told,
) {
    let services = context.services;
    let tried = ips.iter().map(async |ip| {
        let conn = services.network.dial(SocketAddr::new(*ip, port), DIAL_WAIT).await;
        let conn = conn.map_err(|error| error.to_string())?;
        let verify = Verify { pkix: true, names: vec![host.clone()], ..Verify::default() };
        let connected = services.connector.connect(conn, &verify).await;
        connected.map(|_| ()).map_err(|error| format!("tls: {error}"))
    });
    for (ip, outcome) in ips.iter().zip(join_all(tried).await) {
        let Err(error) = outcome else { continue };
        told.error(format!("connect to {host} at {ip} port {port}: {error}"));
        told.instruction(
            "The port must be reachable from outside and show a certificate for the name. Look at the \
             log for what keeps the server from getting one.",
        );
    }
}

#[cfg(test)]
mod tests {
    use mox_dns::{Data, Name};

    use crate::domain::tests::{Server, World, told};

    #[test]
    fn settings_must_be_found() {
        let mut world = World::clean();
        let found = world.check();
        assert_eq!(told(&found.autoconf.told), "");
        assert_eq!(told(&found.autodiscover.told), "");
        assert_eq!((found.autoconf.ips.len(), found.autodiscover.records[0].ips.len()), (1, 1));
        world.serve_https(Server::OtherName);
        let found = world.check();
        let want = "error: connect to autoconfig.a.example at 8.8.4.4 port 443: tls: certificate is for \
                    other names\n";
        assert_eq!(told(&found.autoconf.told), want);
        assert!(told(&found.autodiscover.told).contains("other names"));
        world.serve_https(Server::Refuses);
        let found = told(&world.check().autoconf.told);
        assert!(found.contains("connection refused"), "{found}");
    }

    #[test]
    fn wrong_records_are_told() {
        let mut world = World::clean();
        let target = Name::parse("mx.a.example").unwrap();
        let data = Data::Srv { priority: 0, weight: 1, port: 8443, target };
        world.dns.add("_autodiscover._tcp.a.example", data);
        let found = told(&world.check().autodiscover.told);
        assert!(found.contains("has port 8443: mail programs use only 443"), "{found}");
        let found = World::without_records().check();
        assert_eq!(found.autoconf.told.errors.len(), 1, "{found:?}");
        assert_eq!(found.autodiscover.told.errors.len(), 1, "{found:?}");
        world.change_dynamic(|text| {
            text.replace("\t\tDKIM:", "\t\tClientSettingsDomain: mail.a.example\n\t\tDKIM:")
        });
        let found = world.check().autoconf.told;
        assert_eq!(found.errors, ["look up addresses of mail.a.example: the name does not exist"]);
        let want = "Make sure that DNS has:\n\tmail.a.example. CNAME mx.a.example.";
        assert_eq!(found.instructions[0], want);
    }

    #[test]
    fn a_server_without_settings_is_told() {
        let mut world = World::clean();
        world.change(|text| {
            text.replace(
                "AutoconfigHTTPS:\n\t\t\tEnabled: true",
                "AutoconfigHTTPS:\n\t\t\tEnabled: false",
            )
        });
        let found = world.check();
        let want =
            "warning: mail programs cannot find their settings: no listener has AutoconfigHTTPS\n";
        assert_eq!(
            (told(&found.autoconf.told).as_str(), told(&found.autodiscover.told).as_str()),
            (want, "")
        );
    }
}
