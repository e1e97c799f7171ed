//! Whether DNSSEC vouches for the domain.

use mox_dns::{Lookups as _, Name};

use super::context::Context;
use super::result::{DnssecResult, Subject as _};
use crate::setup::resolver_validates;
use crate::{Finding, Level};

/// First whether answers are validated at all, then whether those about the domain can be.
pub(super) async fn check(context: &Context<'_>) -> DnssecResult {
    let mut result = DnssecResult::default();
    let told = result.told();
    let resolver = &context.services.resolver;
    let Finding { level, what, next_step } = resolver_validates(&**resolver).await;
    match level {
        Level::Ok | Level::Note => {}
        Level::Warning => told.warning(what),
        Level::Error => told.error(what),
    }
    told.instruction(next_step);
    if level != Level::Ok {
        return result;
    }
    match resolver.mx(&Name::from(context.domain)).await {
        Ok(found) if found.security.is_secure() => {}
        Ok(_) => {
            told.warning(format!(
                "{} is not signed: others cannot verify its records, nor use DANE",
                context.domain
            ));
            told.instruction(
                "Switch on DNSSEC where the domain is managed. If its DNS is run by somebody else than \
                 its registrar, the DS records of the one must be entered at the other.",
            );
        }
        Err(error) if error.is_not_found() => {}
        Err(error) => told.error(format!("look up MX of {}: {error}", context.domain)),
    }
    result
}

#[cfg(test)]
mod tests {
    use crate::domain::tests::{World, told};

    #[test]
    fn unsigned_domains_are_told() {
        let mut world = World::clean();
        assert_eq!(told(&world.check().dnssec.told), "");
        world.unsign();
        let found = told(&world.check().dnssec.told);
        assert!(found.starts_with("warning: answers of DNS are not validated"), "{found}");
        world.dns.sign("com");
        let found = told(&world.check().dnssec.told);
        assert!(found.starts_with("warning: a.example is not signed"), "{found}");
    }
}
