//! What holds for any bytes; shared by the property tests and the fuzz target.
#![expect(clippy::panic, reason = "a login without the password should fail the test")]

use mox_sasl::{Answer, ChannelBindings, Decoy, Mechanism, Question, Server, Step};

/// Nobody gets in: the password is never right, there is no certificate, and the verifiers are
/// those of no account.
pub(crate) fn check_server(mechanism: Mechanism, messages: &[Vec<u8>]) {
    let tls_exporter = Some([1; 32]);
    let bindings = ChannelBindings { tls_exporter, ..ChannelBindings::default() };
    let mut server = Server::start(mechanism, bindings, [6; 18]);
    let mut messages = messages.iter();
    let mut step = server.first(messages.next().map(Vec::as_slice));
    loop {
        step = match step {
            Step::Ask(Question::Verifier { username, hash }) => {
                let decoy = Decoy::new([9; 32]).verifiers(&username);
                server.answer(Answer::Verifier(decoy.for_hash(hash).clone()))
            }
            Step::Ask(Question::Password { .. }) => server.answer(Answer::Password(false)),
            Step::Ask(Question::Certificate { .. }) => server.answer(Answer::Certificate(None)),
            Step::Challenge(_) => match messages.next() {
                Some(message) => server.step(message),
                None => break,
            },
            Step::Done => panic!("logged in"),
            Step::Failed(_) => break,
        };
    }
}
