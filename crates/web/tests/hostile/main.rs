//! Input that nobody who means well would send.

#[cfg(test)]
mod checks;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::checks::{check_autodiscover, check_target};

    const AUTODISCOVER: &str = "(<|</|/>|>|Autodiscover|Request|EMailAddress|a@b| |&amp;|&#13;|<!--|-->|\
                                <!\\[CDATA\\[|\\]\\]>|<\\?xml|\\?>|&|;|=|\"|:|xmlns|[ -~]|\\PC){0,60}";

    proptest! {
        #[test]
        fn autodiscover_takes_anything(body in AUTODISCOVER) {
            check_autodiscover(body.as_bytes());
        }

        #[test]
        fn addresses_are_found_between_other_things(
            before in "(<x>y</x>|<!-- c -->|[ a-z])\
                       {0,5}",
            inner in "([a-z@.+]|&amp;|&lt;|<!-- c -->|<b>c</b>|<!\\[CDATA\\[<\\]\\]>){0,20}",
        ) {
            let body = format!(
                "<Autodiscover><Request>{before}<EMailAddress>{inner}</EMailAddress></Request></Autodiscover>"
            );
            prop_assert!(mox_web::requested_address(body.as_bytes()).is_some(), "{body}");
            check_autodiscover(body.as_bytes());
        }

        #[test]
        fn bytes_are_no_xml(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            check_autodiscover(&body);
            check_target(&body);
        }

        #[test]
        fn targets_take_anything(target in "(/|\\.|%2e|%2F|%|[a-z0-9]|\\?|&|=|\\+|\\PC){0,60}") {
            check_target(target.as_bytes());
        }
    }

    /// Attack: work that grows with the square of the body.
    #[test]
    fn large_bodies_cost_no_more_than_their_size() {
        for unit in ["<a>", "<", "&", "<![CDATA[", "<!--", "</", "<a b=\"", "<?", "]]>", "<a/>"] {
            let body = unit.repeat(mox_web::BODY_BYTES_MAX / unit.len());
            check_autodiscover(body.as_bytes());
            check_autodiscover(format!("<Autodiscover><Request>{body}").as_bytes());
        }
        for unit in ["/..", "/a", "a&", "a=b&", "%41", "/%2e%2e"] {
            let target = unit.repeat(mox_web::HEADER_BYTES_MAX / unit.len());
            check_target(target.as_bytes());
            check_target(format!("/?{target}").as_bytes());
        }
    }
}
