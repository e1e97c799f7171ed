//! Where mail for the domain goes.

use mox_admin::records::Purpose;

use super::context::Context;
use super::result::{Mx, MxResult, Subject as _};

/// The hosts that take mail must be this server. RFC 5321 §5.1, RFC 7505 §3.
pub(super) async fn check(context: &Context<'_>) -> MxResult {
    let mut result = MxResult::default();
    let domain = context.domain;
    let found = match context.mail_hosts().await {
        Ok(found) => found.records,
        Err(error) => {
            result.told().error(format!("look up MX of {domain}: {error}"));
            context.add_records(result.told(), Purpose::Mx);
            return result;
        }
    };
    for (pref, name) in found {
        if name.is_root() {
            result
                .told()
                .error(format!("{domain} has a record that says it takes no mail (null MX)"));
            context.add_records(result.told(), Purpose::Mx);
            continue;
        }
        let ips = context.our_ips(&name, result.told()).await;
        result.records.push(Mx { host: name.as_str().to_owned(), pref, ips });
    }
    result
}

#[cfg(test)]
mod tests {
    use crate::domain::tests::{World, told};

    #[test]
    fn mail_must_come_here() {
        let mut world = World::clean();
        let mx = world.check().mx;
        assert_eq!((told(&mx.told).as_str(), mx.records[0].host.as_str()), ("", "mx.a.example"));
        world.dns.add_mx("a.example", 20, ".");
        let found = told(&world.check().mx.told);
        assert_eq!(found, "error: a.example has a record that says it takes no mail (null MX)\n");
        let mut world = World::clean();
        world.dns.add_mx("a.example", 20, "far.example").add_ips("far.example", &["9.9.9.9"]);
        world.dns.add_mx("a.example", 30, "none.example");
        let found = told(&world.check().mx.told);
        let want = "error: far.example leads to 9.9.9.9, which is not an address of this server by \
                    mox.conf\nerror: look up addresses of none.example: the name does not exist\n";
        assert_eq!(found, want);
        // Where addresses cannot be known, only what is missing is told.
        world.change(|config| config.replace("\t\tIPs:", "\t\tIPsNATed: true\n\t\tIPs:"));
        let found = told(&world.check().mx.told);
        assert!(!found.contains("9.9.9.9"), "{found}");
    }

    #[test]
    fn the_record_to_add_is_told() {
        let mut world = World::without_records();
        let mx = world.check().mx.told;
        assert_eq!(mx.errors, ["look up MX of a.example: no such records"]);
        assert_eq!(mx.instructions, ["Make sure that DNS has:\n\ta.example. MX 10 mx.a.example."]);
    }
}
