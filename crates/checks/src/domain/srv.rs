//! Which services mail programs find.

use futures_util::future::join_all;
use mox_admin::records::{Purpose, Record, RecordData};
use mox_dns::{Answer, Data, DnsError, Name, RecordType, Resolver as _};

use super::HOSTS_MAX;
use super::context::{Context, indented};
use super::result::{Srv, SrvResult, Subject as _};

/// What is offered must be found, what is not should be said not to be. RFC 6186 §3.4, RFC 8314 §5.1.
pub(super) async fn check(context: &Context<'_>) -> SrvResult {
    let mut result = SrvResult::default();
    let wanted: Vec<&Record> = context.known.records(Purpose::Services).collect();
    let asked = wanted.into_iter().map(async |record| {
        let found = context.services.resolver.lookup(&record.name, RecordType::Srv).await;
        (record, found)
    });
    for (record, found) in join_all(asked).await {
        judge(context, &mut result, record, found);
    }
    result
}

fn judge(
    context: &Context<'_>,
    result: &mut SrvResult,
    record: &Record,
    found: Result<Answer, DnsError>,
) {
    let RecordData::Srv { port, target, .. } = &record.data else { return };
    let name = record.name.as_str();
    let is_offered = !target.is_root();
    let add = format!("Make sure that DNS has:\n{}", indented(&record.to_string()));
    let found = match found {
        Ok(found) => found,
        Err(DnsError::NotFound { .. }) if !is_offered => {
            result.told().warning(format!(
                "{name} has no SRV record to say that the service is not offered (optional)"
            ));
            result.told().instruction(add);
            return;
        }
        Err(error) => {
            result.told().error(format!("look up SRV of {name}: {error}"));
            result.told().instruction(add);
            return;
        }
    };
    let srvs: Vec<Srv> = found.records.iter().take(HOSTS_MAX).filter_map(srv).collect();
    let is_target = |srv: &Srv| {
        let host = srv.target.as_str();
        host == target.to_string() || is_offered && host == Name::from(context.host()).to_string()
    };
    for srv in srvs.iter().filter(|srv| !is_target(srv) || srv.port != *port) {
        result.told().error(format!(
            "SRV of {name} leads to {} port {}, not to {target} port {port}",
            srv.target, srv.port
        ));
        result.told().instruction(add.clone());
    }
    let label = name.split('.').next().unwrap_or_default().to_owned();
    result.srvs.insert(label, srvs);
}

/// A record for people.
pub(super) fn srv(data: &Data) -> Option<Srv> {
    match data {
        Data::Srv { priority, weight, port, target } => Some(Srv {
            target: target.to_string(),
            port: *port,
            priority: *priority,
            weight: *weight,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use mox_dns::{Data, Name};

    use crate::domain::tests::{World, told};

    fn srv(target: &str, port: u16) -> Data {
        Data::Srv { priority: 0, weight: 1, port, target: Name::parse(target).unwrap() }
    }

    /// RFC 6186 §3.4.
    #[test]
    fn services_must_be_found() {
        let mut world = World::clean();
        let found = world.check().srv_conf;
        assert_eq!((told(&found.told).as_str(), found.srvs["_imaps"][0].port), ("", 993));
        world.dns.add("_imaps._tcp.a.example", srv("mx.a.example", 994));
        world.dns.add("_pop3._tcp.a.example", srv("mx.a.example", 110));
        let found = told(&world.check().srv_conf.told);
        let want = "error: SRV of _imaps._tcp.a.example leads to mx.a.example. port 994, not to \
                    mx.a.example. port 993\n\
                    error: SRV of _pop3._tcp.a.example leads to mx.a.example. port 110, not to . port \
                    0\n";
        assert_eq!(found, want);
    }

    #[test]
    fn what_is_missing_is_told() {
        let told = World::without_records().check().srv_conf.told;
        assert_eq!((told.errors.len(), told.warnings.len()), (2, 4), "{told:?}");
        let want = "Make sure that DNS has:\n\t_imaps._tcp.a.example. SRV 0 1 993 mx.a.example.";
        assert_eq!(told.instructions[0], want);
    }
}
