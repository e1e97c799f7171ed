//! Logging in with every mechanism, and what an attacker gets to see.

#[cfg(test)]
mod login {
    use std::io;
    use std::net::IpAddr;
    use std::num::NonZeroU32;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use aws_lc_rs::pbkdf2;
    use mox_base::{Address, Clock, Rng, Secret, UnixSeconds};
    use mox_config::{Live, NamedFiles};
    use mox_login::{Login, LoginError, Logins, Outcome, Peer, set_password};
    use mox_net::{AuthFailures, Window};
    use mox_sasl::{
        ChannelBindings, Failure, Mechanism, Password, ScramHash, ScramVerifier, Shape,
        StoredPassword,
    };
    use mox_store::{ClientKey, ClientKeys, Disk, Policy, RealDisk, Store};
    use mox_testkit::{ManualClock, TestRng};
    use tempfile::TempDir;

    const MOX_CONF: &str = "DataDir: data\nLogLevel: info\nHostname: mail.example.org\n\
        Listeners:\n\tlocal:\n\t\tIPs:\n\t\t\t- 127.0.0.1\n\
        Postmaster:\n\tAccount: mjl\n\tMailbox: Postmaster\n";
    const DOMAINS_CONF: &str = "Domains:\n\texample.org:\n\t\tLocalpartCatchallSeparator: +\n\
        Accounts:\n\
        \tmjl:\n\t\tDomain: example.org\n\t\tDestinations:\n\t\t\tmjl@example.org: nil\n\
        \tother:\n\t\tDomain: example.org\n\t\tDestinations:\n\t\t\tother@example.org: nil\n\
        \toff:\n\t\tLoginDisabled: on leave\n\t\tDomain: example.org\n\t\tDestinations:\n\
        \t\t\toff@example.org: nil\n";
    const PASSWORD: &str = "correct horse";

    struct Fixture {
        logins: Logins,
        keys: Arc<ClientKeys>,
        store: Store,
        clock: Arc<ManualClock>,
        config: Arc<Live>,
        dir: TempDir,
    }

    /// A server whose accounts have the password [`PASSWORD`].
    fn fixture() -> Fixture {
        fixture_on(RealDisk)
    }

    fn fixture_on(disk: impl Disk + 'static) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mox.conf"), MOX_CONF).unwrap();
        std::fs::write(dir.path().join("domains.conf"), DOMAINS_CONF).unwrap();
        let start = UnixSeconds(1_795_164_932);
        let live = Live::load(dir.path(), NamedFiles::Skip, start).unwrap().0;
        let manual = Arc::new(ManualClock::at(start));
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&manual);
        let policies = Arc::new(Policy::default());
        let store = Store::with_disk(dir.path(), Arc::clone(&clock), policies, Arc::new(disk));
        let rng: Arc<dyn Rng> = Arc::new(TestRng::new(1));
        for name in ["mjl", "other", "off"] {
            let password = Password::for_storing(PASSWORD).unwrap();
            let account = store.account(name).unwrap();
            set_password(&account, &password, &*rng).wait().unwrap();
        }
        let keys = Arc::new(ClientKeys::open(dir.path()).unwrap());
        let limits = AuthFailures::with(&[Window { secs: 60, limits: [5, 15, 45] }]);
        let config = Arc::new(live);
        let logins = Logins::new(
            Arc::clone(&config),
            store.clone(),
            Arc::clone(&keys),
            clock,
            rng,
            [9; 32],
            limits,
        );
        Fixture { logins, keys, store, clock: manual, config, dir }
    }

    /// The same, but of its accounts other servers have stored the passwords.
    fn taken_over(secrets: &[(&str, &str)]) -> Fixture {
        taken_over_on(RealDisk, secrets)
    }

    fn taken_over_on(disk: impl Disk + 'static, secrets: &[(&str, &str)]) -> Fixture {
        let fixture = fixture_on(disk);
        for (name, secret) in secrets {
            let account = fixture.store.account(name).unwrap();
            account.set_secret("password", Some(secret.as_bytes().to_vec())).wait().unwrap();
        }
        fixture.logins.learn_shapes();
        fixture
    }

    fn stored(fixture: &Fixture, name: &str) -> StoredPassword {
        let reader = fixture.store.account(name).unwrap().read().unwrap();
        let text = String::from_utf8(reader.secret("password").unwrap().unwrap()).unwrap();
        StoredPassword::parse(&text).unwrap()
    }

    /// [`PASSWORD`], as bcrypt with the smallest cost.
    const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e";

    /// [`PASSWORD`], as SCRAM verifiers with few iterations.
    fn few_iterations() -> String {
        let verifier = |hash: ScramHash, iterations: u32| {
            let algorithm = match hash {
                ScramHash::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
                ScramHash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            };
            let mut salted = vec![0; hash.bytes()];
            let count = NonZeroU32::new(iterations).unwrap();
            pbkdf2::derive(algorithm, count, &[7; 16], PASSWORD.as_bytes(), &mut salted);
            ScramVerifier::from_salted_password(hash, &salted, &[7; 16], iterations).unwrap()
        };
        let sha1 = verifier(ScramHash::Sha1, 8_192).to_stored();
        format!("{sha1}\n{}", verifier(ScramHash::Sha256, 4_096).to_stored())
    }

    fn peer() -> Peer {
        let ip = IpAddr::from([192, 0, 2, 1]);
        Peer { ip, bindings: ChannelBindings::default(), client_key: None }
    }

    async fn login(fixture: &Fixture, user: &str, password: &str) -> Result<Login, LoginError> {
        fixture.logins.password(&peer(), user, password).await
    }

    fn failure(outcome: Result<Login, LoginError>) -> LoginError {
        outcome.map(|_| ()).unwrap_err()
    }

    #[tokio::test]
    async fn the_right_password_opens_the_account_of_the_address() {
        let fixture = fixture();
        for user in ["mjl@example.org", "MJL@example.org", "mjl+shop@example.org"] {
            let login = login(&fixture, user, PASSWORD).await.unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(login.account.name(), "mjl", "{user}");
        }
    }

    #[tokio::test]
    async fn unknown_users_and_wrong_passwords_fail_alike() {
        let fixture = fixture();
        for user in ["mjl@example.org", "nobody@example.org", "mjl", "x@elsewhere.example"] {
            let error = failure(login(&fixture, user, "wrong horse").await);
            assert!(matches!(error, LoginError::Refused(Failure::BadCredentials)), "{user}");
        }
    }

    #[tokio::test]
    async fn a_disabled_account_is_told_only_after_the_right_password() {
        let fixture = fixture();
        let error = failure(login(&fixture, "off@example.org", "wrong horse").await);
        assert!(matches!(error, LoginError::Refused(Failure::BadCredentials)));
        let error = failure(login(&fixture, "off@example.org", PASSWORD).await);
        assert!(matches!(error, LoginError::Disabled { message } if message == "on leave"));
    }

    #[tokio::test]
    async fn the_operator_opens_any_account_by_its_address() {
        let fixture = fixture();
        for (address, account) in [("off@example.org", "off"), ("mjl@example.org", "mjl")] {
            let login = fixture.logins.by_operator(address).await.unwrap();
            assert_eq!((login.account.name(), &*login.username), (account, address));
        }
        for address in ["mjl", "nobody@example.org", "mjl@elsewhere.example", ""] {
            let error = failure(fixture.logins.by_operator(address).await);
            assert!(matches!(error, LoginError::Store(mox_store::StoreError::NoAccount)));
        }
    }

    #[tokio::test]
    async fn too_many_failures_end_the_trying_and_a_success_forgives() {
        let fixture = fixture();
        for _ in 0..4 {
            failure(login(&fixture, "mjl@example.org", "wrong horse").await);
        }
        assert!(login(&fixture, "mjl@example.org", PASSWORD).await.is_ok());
        for _ in 0..5 {
            failure(login(&fixture, "mjl@example.org", "wrong horse").await);
        }
        let error = failure(login(&fixture, "mjl@example.org", PASSWORD).await);
        assert!(matches!(error, LoginError::TooManyFailures));
    }

    fn client(mechanism: Mechanism, user: &str, password: &str) -> mox_sasl::Client {
        let none = ChannelBindings::default();
        mox_sasl::Client::new(mechanism, user, Secret::new(password), &[], &none, [7; 18]).unwrap()
    }

    /// Runs SCRAM to its end with our own client.
    async fn scram(fixture: &Fixture, user: &str, password: &str) -> (Vec<u8>, Outcome) {
        let mechanism = Mechanism::ScramSha256;
        let mut exchange = fixture.logins.start(mechanism, &peer());
        let mut client = client(mechanism, user, password);
        let first = client.initial();
        let Outcome::Challenge(server_first) = exchange.first(first.as_deref()).await else {
            panic!("no challenge");
        };
        let proof = client.step(&server_first).unwrap();
        let mut outcome = exchange.step(&proof).await;
        if let Outcome::Challenge(_) = outcome {
            outcome = exchange.step(b"").await;
        }
        (server_first, outcome)
    }

    #[tokio::test]
    async fn scram_treats_unknown_users_as_known_ones() {
        let fixture = fixture();
        let (_, outcome) = scram(&fixture, "mjl@example.org", PASSWORD).await;
        assert!(matches!(outcome, Outcome::Done(_)));
        let (known, outcome) = scram(&fixture, "mjl@example.org", "wrong horse").await;
        assert!(matches!(outcome, Outcome::Failed(_)));
        let (unknown, outcome) = scram(&fixture, "nobody@example.org", "wrong horse").await;
        assert!(matches!(outcome, Outcome::Failed(_)));
        assert_eq!(known.len(), unknown.len());
        let (again, _) = scram(&fixture, "NOBODY+x@example.org", "wrong horse").await;
        assert_eq!(field(&unknown, "s="), field(&again, "s="), "a made-up salt does not change");
    }

    /// A field of SCRAM's first message from the server.
    fn field(message: &[u8], name: &str) -> Option<String> {
        let text = String::from_utf8(message.to_vec()).unwrap();
        text.split(',').find(|field| field.starts_with(name)).map(ToOwned::to_owned)
    }

    #[tokio::test]
    async fn a_bcrypt_hash_proves_a_password_and_is_replaced_at_the_first_login() {
        let fixture = taken_over(&[("mjl", BCRYPT)]);
        let user = "mjl@example.org";
        for wrong in ["wrong horse", "correct horsf", &"correct horse".repeat(6)] {
            let error = failure(login(&fixture, user, wrong).await);
            assert!(matches!(error, LoginError::Refused(Failure::BadCredentials)), "{wrong}");
        }
        // RFC 5802 §9: until then it looks to SCRAM as if it did not exist.
        let (before, outcome) = scram(&fixture, user, PASSWORD).await;
        let Outcome::Failed(error) = outcome else { panic!("SCRAM without verifiers") };
        assert!(matches!(error, LoginError::Refused(Failure::BadCredentials)));
        assert_eq!(stored(&fixture, "mjl").to_stored(), BCRYPT);

        assert!(login(&fixture, user, PASSWORD).await.is_ok());
        assert_eq!(stored(&fixture, "mjl").shape(), Shape::OURS);
        let (after, outcome) = scram(&fixture, user, PASSWORD).await;
        assert!(matches!(outcome, Outcome::Done(_)));
        assert_eq!(field(&before, "s="), field(&after, "s="), "it has appeared to have no account");
        assert!(login(&fixture, user, PASSWORD).await.is_ok());
        failure(login(&fixture, user, "wrong horse").await);
    }

    #[tokio::test]
    async fn verifiers_with_few_iterations_work_and_get_more_once_the_password_is_seen() {
        let few = few_iterations();
        let fixture = taken_over(&[("mjl", &few)]);
        let user = "mjl@example.org";
        failure(login(&fixture, user, "wrong horse").await);
        // SCRAM shows nothing of the password that could be stored.
        let (before, outcome) = scram(&fixture, user, PASSWORD).await;
        assert!(matches!(outcome, Outcome::Done(_)));
        assert_eq!(stored(&fixture, "mjl").to_stored(), few);
        assert_eq!(field(&before, "i=").as_deref(), Some("i=4096"));

        assert!(login(&fixture, user, PASSWORD).await.is_ok());
        assert_eq!(stored(&fixture, "mjl").shape(), Shape::OURS);
        let (after, outcome) = scram(&fixture, user, PASSWORD).await;
        assert!(matches!(outcome, Outcome::Done(_)));
        assert_eq!(field(&after, "i=").as_deref(), Some("i=15000"));
        assert_eq!(field(&before, "s="), field(&after, "s="));
        let kept = stored(&fixture, "mjl");
        assert!(login(&fixture, user, PASSWORD).await.is_ok());
        assert_eq!(stored(&fixture, "mjl"), kept, "there is nothing more to do");
    }

    /// Of how many names without account SCRAM shows few iterations.
    async fn few_of(fixture: &Fixture, names: u32) -> u32 {
        let mut few = 0;
        for number in 0..names {
            let user = format!("nobody{number}@example.org");
            let first = client(Mechanism::ScramSha256, &user, PASSWORD).initial();
            let mut exchange = fixture.logins.start(Mechanism::ScramSha256, &peer());
            let Outcome::Challenge(shown) = exchange.first(first.as_deref()).await else {
                panic!("no challenge");
            };
            few += u32::from(field(&shown, "i=").as_deref() == Some("i=4096"));
        }
        few
    }

    /// An iteration count of its own would tell who has been taken over: RFC 5802 §9.
    #[tokio::test]
    async fn names_without_account_show_what_accounts_show() {
        let fixture = taken_over(&[("mjl", &few_iterations()), ("other", BCRYPT)]);
        let few = async || few_of(&fixture, 400).await;
        // Of two accounts with verifiers one has few iterations: half, up to four standard deviations.
        let half = few().await;
        assert!((160..=240).contains(&half), "{half}");
        assert!(login(&fixture, "other@example.org", PASSWORD).await.is_ok());
        let third = few().await;
        assert!((95..=172).contains(&third) && third < half, "{third}");
        // A password set anew by the operator shows in the same way.
        let account = fixture.store.account("mjl").unwrap();
        let logins = fixture.logins.clone();
        let set = move || {
            logins.set_password(&account, &Password::for_storing(PASSWORD).unwrap()).unwrap();
        };
        tokio::task::spawn_blocking(set).await.unwrap();
        assert_eq!(few().await, 0);
    }

    #[tokio::test]
    async fn a_removed_account_is_nobodys_twin() {
        let fixture = taken_over(&[("mjl", &few_iterations()), ("other", BCRYPT)]);
        let before = few_of(&fixture, 100).await;
        assert!((20..80).contains(&before), "{before}");
        let (left, _) = DOMAINS_CONF.split_once("\tother:").unwrap();
        std::fs::write(fixture.dir.path().join("domains.conf"), left).unwrap();
        let UnixSeconds(now) = fixture.clock.now();
        fixture.config.reload(UnixSeconds(now + 10)).unwrap();
        assert_eq!(few_of(&fixture, 100).await, 100);
    }

    /// A disk that can be full.
    #[derive(Clone, Debug, Default)]
    struct Filling(Arc<AtomicBool>);

    impl Disk for Filling {
        fn create_synced(&self, path: &Path, content: &mut dyn io::Read) -> io::Result<u64> {
            RealDisk.create_synced(path, content)
        }

        fn sync_dir(&self, path: &Path) -> io::Result<()> {
            RealDisk.sync_dir(path)
        }

        fn remove(&self, path: &Path) -> io::Result<()> {
            RealDisk.remove(path)
        }

        fn before_commit(&self) -> io::Result<()> {
            let is_full = self.0.load(Ordering::SeqCst);
            if is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
    }

    #[tokio::test]
    async fn a_password_that_cannot_be_stored_anew_is_right_all_the_same() {
        let disk = Filling::default();
        let fixture = taken_over_on(disk.clone(), &[("mjl", BCRYPT)]);
        disk.0.store(true, Ordering::SeqCst);
        for _ in 0..2 {
            assert!(login(&fixture, "mjl@example.org", PASSWORD).await.is_ok());
        }
        assert_eq!(stored(&fixture, "mjl").to_stored(), BCRYPT);
        failure(login(&fixture, "mjl@example.org", "wrong horse").await);
    }

    /// An answer of its own would tell that there is an account.
    #[tokio::test]
    async fn a_damaged_secret_looks_like_a_wrong_password() {
        for damaged in ["", "$2a$10$short", "SCRAM-SHA-1$1:x$y:z", "\u{e4}"] {
            let fixture = taken_over(&[("mjl", damaged)]);
            let error = failure(login(&fixture, "mjl@example.org", PASSWORD).await);
            assert!(matches!(error, LoginError::Refused(Failure::BadCredentials)), "{damaged:?}");
            let (_, outcome) = scram(&fixture, "mjl@example.org", PASSWORD).await;
            assert!(matches!(outcome, Outcome::Failed(LoginError::Refused(_))), "{damaged:?}");
        }
    }

    /// Opening one takes long, which would tell that it is there; and who guesses names would have all
    /// of them open.
    #[tokio::test]
    async fn guesses_open_no_account() {
        let fixture = taken_over(&[("other", BCRYPT)]);
        fixture.clock.advance(Duration::from_secs(3_600));
        // The thread that wrote last may still be at it, which keeps an account open.
        while fixture.store.open_accounts() > 0 {
            fixture.store.tick();
            std::thread::yield_now();
        }
        for user in ["mjl@example.org", "other@example.org", "nobody@example.org"] {
            failure(login(&fixture, user, "wrong horse").await);
            let (_, outcome) = scram(&fixture, user, "wrong horse").await;
            assert!(matches!(outcome, Outcome::Failed(_)));
            fixture.logins.record(peer().ip, Ok(()));
        }
        assert_eq!(fixture.store.open_accounts(), 0);
        assert!(login(&fixture, "mjl@example.org", PASSWORD).await.is_ok());
        assert_eq!(fixture.store.open_accounts(), 1);
    }

    #[tokio::test]
    async fn many_guesses_at_once_are_all_answered() {
        let fixture = taken_over(&[("mjl", BCRYPT)]);
        let mut guesses = tokio::task::JoinSet::new();
        for number in 0..40 {
            let logins = fixture.logins.clone();
            let peer = Peer { ip: IpAddr::from([192, 0, number, 1]), ..peer() };
            let password = if number == 39 { PASSWORD } else { "wrong horse" };
            guesses.spawn(async move {
                logins.password(&peer, "mjl@example.org", password).await.is_ok()
            });
        }
        let right = guesses.join_all().await.into_iter().filter(|is_right| *is_right).count();
        assert_eq!(right, 1);
    }

    fn key(fixture: &Fixture, fingerprint: &str, no_imap_preauth: bool) -> Peer {
        let key = ClientKey {
            fingerprint: fingerprint.to_owned(),
            created: UnixSeconds(0),
            kind: "ed25519".to_owned(),
            name: "laptop".to_owned(),
            no_imap_preauth,
            certificate: Vec::new(),
            account: "mjl".to_owned(),
            login_address: Address::parse("mjl@example.org").unwrap(),
        };
        fixture.keys.add(&key).unwrap();
        Peer { client_key: Some(fingerprint.to_owned()), ..peer() }
    }

    #[tokio::test]
    async fn a_client_key_logs_in_by_itself_or_with_external() {
        let fixture = fixture();
        let open = key(&fixture, "open", false);
        let login = fixture.logins.preauth(&open).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(login.map(|login| login.account.name().to_owned()).as_deref(), Some("mjl"));
        let shut = key(&fixture, "shut", true);
        assert!(fixture.logins.preauth(&shut).await.is_ok_and(|login| login.is_none()));
        let external = async |peer: &Peer, name: &[u8]| {
            fixture.logins.start(Mechanism::External, peer).first(Some(name)).await
        };
        assert!(matches!(external(&shut, b"").await, Outcome::Done(_)));
        assert!(matches!(external(&shut, b"mjl+x@example.org").await, Outcome::Done(_)));
        assert!(matches!(external(&shut, b"other@example.org").await, Outcome::Failed(_)));
        assert!(matches!(external(&peer(), b"").await, Outcome::Failed(_)));
        let unknown = Peer { client_key: Some("unknown".to_owned()), ..peer() };
        assert!(fixture.logins.preauth(&unknown).await.is_err());
    }

    #[tokio::test]
    async fn a_connection_with_a_key_is_of_its_account_only() {
        let fixture = fixture();
        let peer = key(&fixture, "open", false);
        let login = fixture.logins.password(&peer, "other@example.org", PASSWORD).await;
        assert!(matches!(failure(login), LoginError::OtherAccount));
    }

    /// A protocol whose session runs the exchange itself asks the same things one by one.
    #[tokio::test]
    async fn questions_are_answered_one_by_one() {
        let fixture = fixture();
        let logins = &fixture.logins;
        let keyed = key(&fixture, "shut", true);
        // RFC 4422 appendix A: a certificate logs in by itself where the protocol has no other use
        // for it, also one that does not do so in IMAP.
        let login = logins.by_certificate(&keyed).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(login.map(|login| login.username).as_deref(), Some("mjl@example.org"));
        assert!(logins.by_certificate(&peer()).await.is_ok_and(|login| login.is_none()));
        let unknown = Peer { client_key: Some("unknown".to_owned()), ..peer() };
        for _ in 0..5 {
            assert!(logins.by_certificate(&unknown).await.is_err());
        }
        assert!(!logins.may_try(peer().ip), "unknown keys count as failures");
        assert!(logins.by_certificate(&keyed).await.is_ok_and(|login| login.is_none()));
        logins.record(peer().ip, Ok(()));
        assert!(logins.may_try(peer().ip));

        let username = "mjl@example.org".to_owned();
        let question = mox_sasl::Question::Certificate { username: None };
        let answer = logins.answer(&keyed, question).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(answer, mox_sasl::Answer::Certificate(Some(username.clone())));
        assert!(logins.authorize(&keyed, username).await.is_ok());
        let other = logins.authorize(&keyed, "other@example.org".to_owned()).await;
        assert!(matches!(failure(other), LoginError::OtherAccount));
        let off = logins.authorize(&peer(), "off@example.org".to_owned()).await;
        assert!(matches!(failure(off), LoginError::Disabled { .. }));
    }
}
