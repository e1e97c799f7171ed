//! Client against server: every mechanism, right and wrong.

#![expect(clippy::unwrap_used, reason = "a failed set-up should fail the test")]

mod invariants;

use std::sync::LazyLock;
use std::time::Duration;

use mox_base::Secret;
use mox_sasl::{
    Answer, ChannelBindings, Client, ClientError, Decoy, Failure, Mechanism, Password,
    PasswordCache, Question, ScramError, Server, Step, StoredPassword, Verifiers,
};
use proptest::prelude::*;

const USER: &str = "m,j=l@example.org";
const PASSWORD: &str = "correct horse";

static STORED: LazyLock<Verifiers> = LazyLock::new(|| {
    Verifiers::derive(&Password::for_storing(PASSWORD).unwrap(), [1; 16], [2; 16])
});
static CACHE: LazyLock<PasswordCache> = LazyLock::new(|| PasswordCache::new([3; 32]));

/// What a driver does with questions.
fn answer(question: Question) -> Answer {
    let verifiers = |username: &str| {
        let found = (username == USER).then(|| STORED.clone());
        found.unwrap_or_else(|| Decoy::new([9; 32]).verifiers(username))
    };
    match question {
        Question::Password { username, password } => {
            let stored = StoredPassword::Verifiers(verifiers(&username));
            Answer::Password(CACHE.verify(&stored, &password, Duration::ZERO))
        }
        Question::Verifier { username, hash } => {
            Answer::Verifier(verifiers(&username).for_hash(hash).clone())
        }
        Question::Certificate { username } => {
            Answer::Certificate(username.filter(|username| username == USER))
        }
    }
}

/// The lengths of what the server sent, and how each side ended.
type Outcome = (Vec<usize>, Result<(), Failure>, Result<(), ClientError>);

fn exchange(mut client: Client, mut server: Server) -> Outcome {
    let initial = client.initial();
    let mut step = server.first(initial.as_deref());
    let mut challenges = Vec::new();
    loop {
        step = match step {
            Step::Challenge(challenge) => {
                challenges.push(challenge.len());
                match client.step(&challenge) {
                    Ok(response) => server.step(&response),
                    Err(error) => return (challenges, Err(server.abort()), Err(error)),
                }
            }
            Step::Ask(question) => server.answer(answer(question)),
            Step::Done => return (challenges, Ok(()), client.finish()),
            Step::Failed(failure) => return (challenges, Err(failure), client.finish()),
        };
    }
}

fn bindings(byte: u8) -> ChannelBindings {
    ChannelBindings {
        tls_exporter: Some([byte; 32]),
        tls_server_end_point: Some([byte; 32].into()),
    }
}

fn run(mechanism: Mechanism, username: &str, password: &str) -> Outcome {
    let offered = Mechanism::ALL;
    let password = Secret::new(password);
    let client = Client::new(mechanism, username, password, &offered, &bindings(1), [5; 18]);
    exchange(client.unwrap(), Server::start(mechanism, bindings(1), [6; 18]))
}

#[test]
fn the_right_password_works_with_every_mechanism() {
    for mechanism in Mechanism::ALL {
        let (_, server, client) = run(mechanism, USER, PASSWORD);
        assert_eq!((server, client), (Ok(()), Ok(())), "{mechanism}");
    }
}

/// RFC 5802 §9: who exists must not show, neither in texts nor in lengths.
#[test]
fn an_unknown_user_looks_like_a_wrong_password() {
    for mechanism in Mechanism::ALL {
        let unknown = run(mechanism, "n,o=n@example.org", PASSWORD);
        let wrong = run(mechanism, USER, "correct house");
        if mechanism != Mechanism::External {
            assert_eq!(unknown, wrong, "{mechanism}");
        }
        assert_eq!(unknown.1, Err(Failure::BadCredentials), "{mechanism}");
    }
}

/// RFC 5802 §6: somebody with another TLS connection to each side is found out.
#[test]
fn somebody_in_the_middle_is_found_out() {
    for mechanism in [Mechanism::ScramSha1Plus, Mechanism::ScramSha256Plus] {
        let offered = [mechanism];
        let secret = || Secret::new(PASSWORD);
        let client = Client::new(mechanism, USER, secret(), &offered, &bindings(1), [5; 18]);
        let server = Server::start(mechanism, bindings(2), [6; 18]);
        let (_, server, client) = exchange(client.unwrap(), server);
        assert_eq!(server, Err(Failure::Scram(ScramError::ChannelBindingsDontMatch)));
        assert_eq!(client, Err(ClientError::Scram(ScramError::ChannelBindingsDontMatch)));
    }
}

/// RFC 5802 §6: the -PLUS names were cut from the list that the client saw.
#[test]
fn a_cut_list_of_mechanisms_is_found_out() {
    let mechanism = Mechanism::ScramSha256;
    let secret = Secret::new(PASSWORD);
    let client = Client::new(mechanism, USER, secret, &[mechanism], &bindings(1), [5; 18]);
    let (_, server, _) = exchange(client.unwrap(), Server::start(mechanism, bindings(1), [6; 18]));
    assert_eq!(server, Err(Failure::Scram(ScramError::ServerDoesSupportChannelBinding)));
}

/// A server that says yes without knowing the password is not believed. RFC 5802 §5.
#[test]
fn a_server_that_skips_its_proof_is_not_believed() {
    let mechanism = Mechanism::ScramSha256;
    let secret = Secret::new(PASSWORD);
    let client = Client::new(mechanism, USER, secret, &[mechanism], &bindings(1), [5; 18]);
    let mut client = client.unwrap();
    client.initial();
    assert_eq!(client.finish(), Err(ClientError::OutOfOrder));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn any_storable_password_logs_in_by_scram(password in "\\PC{8,30}", name in "\\PC{1,20}") {
        if let Ok(prepared) = Password::for_storing(&password) {
            let stored = Verifiers::derive(&prepared, [1; 16], [2; 16]);
            let mechanism = Mechanism::ScramSha1;
            let none = ChannelBindings::default();
            let secret = Secret::new(password);
            let mut client =
                Client::new(mechanism, &name, secret, &[mechanism], &none, [5; 18]).unwrap();
            let mut server = Server::start(mechanism, none, [6; 18]);
            let Step::Ask(Question::Verifier { .. }) = server.first(client.initial().as_deref())
            else { return Err(TestCaseError::fail("no question")) };
            let Step::Challenge(first) = server.answer(Answer::Verifier(stored.sha1))
            else { return Err(TestCaseError::fail("no server-first")) };
            let Step::Challenge(last) = server.step(&client.step(&first).unwrap())
            else { return Err(TestCaseError::fail("no server-final")) };
            prop_assert_eq!(server.step(&client.step(&last).unwrap()), Step::Done);
            prop_assert_eq!(client.finish(), Ok(()));
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_panic_or_log_in(
        mechanism in prop::sample::select(Mechanism::ALL.to_vec()),
        messages in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..80),
                "[npy](=tls-exporter)?,(a=x)?,n=[a-z=,]{0,5},r=[!-~]{0,12}".prop_map(String::into_bytes),
                "c=[a-zA-Z]{4},r=[!-~]{0,40},p=[A-Za-z]{4}".prop_map(String::into_bytes),
            ],
            1..4,
        ),
    ) {
        invariants::check_server(mechanism, &messages);
    }
}
