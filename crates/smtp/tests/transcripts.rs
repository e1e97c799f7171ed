//! Whole sessions, from `tests/transcripts/`.
//!
//! Options of a case: `submission`, `tls` (on from the start), `cert` (with a client certificate of
//! the only user), `pedantic`, `no-starttls`, `no-requiretls`, `plain-login`, `verified-second`.
//! `Q:` lines tell also of what needs no answer: login attempts, slow mode, the start of TLS, the
//! close. `T:` ends a delay, or an idle connection.

#[expect(dead_code, reason = "each test uses a part of it")]
mod driver;

use driver::{Driver, Event};
use mox_smtp::server::Service;
use mox_testkit::transcript::run_folder;
use mox_testkit::{Case, Input, Output};

fn start(case: &Case) -> impl FnMut(&Input) -> Vec<Output> + use<> {
    let service = if case.has("submission") { Service::Submission } else { Service::Delivery };
    let mut config = driver::config(service);
    config.is_pedantic = case.has("pedantic");
    config.has_starttls = !case.has("no-starttls");
    config.has_requiretls = !case.has("no-requiretls");
    config.login_needs_tls = !case.has("plain-login");
    config.second_rcpt_needs_verified_sender = case.has("verified-second");
    let certificate = case.has("cert").then_some(driver::USER);
    let tls = (case.has("tls") || case.has("cert")).then(|| driver::tls(certificate));
    let mut driver = Driver::new(config, tls);
    move |input| {
        match input {
            Input::Start => {}
            Input::Client(bytes) => driver.receive(bytes),
            Input::Answer(words) => match driver.question().cloned() {
                Some(question) => driver.answer(driver::answer(&question, words)),
                None if words == "tls-cert" => {
                    driver.tls_established(driver::tls(Some(driver::USER)));
                }
                None => driver.tls_established(driver::tls(None)),
            },
            Input::Advance(_) => driver.time_passes(),
        }
        let output = |event| match event {
            Event::Sent(bytes) => Output::Server(bytes),
            Event::Told(text) => Output::Question(text),
        };
        driver.take_events().into_iter().map(output).collect()
    }
}

#[test]
fn transcripts() {
    run_folder(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts"), start);
}
