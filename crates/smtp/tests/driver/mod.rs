//! A driver for tests: bytes in, bytes and questions out, answers from whoever asks for them.
#![expect(clippy::expect_used, clippy::panic, reason = "a broken set-up should fail the test")]

use std::sync::{Arc, LazyLock};

use mox_base::{Domain, UnixSeconds};
use mox_sasl::{ChannelBindings, Decoy, Password, Verifiers};
use mox_smtp::command::{Body, RcptCommand};
use mox_smtp::server::{
    Action, Answer, ChunkEnd, Config, DataEnd, DataRefusal, Decision, Envelope, Input,
    LoginVerdict, Question, RcptRefusal, SenderRefusal, Service, Session, Tls,
};
use mox_smtp::{ChunkReader, CommandLine, DataProgress, DataReader, Reply, command_line};
use mox_testkit::TestRng;

/// The only user, and its password.
pub(crate) const USER: &str = "mjl@local.example";
pub(crate) const PASSWORD: &str = "moxmoxmox";

static STORED: LazyLock<Verifiers> = LazyLock::new(|| {
    let password = Password::prepare(PASSWORD).expect("a good password");
    Verifiers::derive(&password, [1; 16], [2; 16])
});

/// 2026-11-20 08:55:32.
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_795_164_932);

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Sent(Vec<u8>),
    /// A question to be answered, or something else worth telling.
    Told(String),
}

pub(crate) struct Driver {
    session: Session,
    rng: TestRng,
    buffer: Vec<u8>,
    mode: Mode,
    message: Vec<u8>,
    is_slow: bool,
    events: Vec<Event>,
}

enum Mode {
    Line,
    Data(DataReader),
    /// And whether it is the last.
    Chunk(Box<ChunkReader>, bool),
    /// How many bytes, and what is said then.
    Skip(u64, Reply),
    /// For an answer from outside.
    Wait(Question),
    Delay,
    Tls,
    Closed,
}

pub(crate) fn config(service: Service) -> Config {
    Config {
        service,
        hostname: Domain::parse("mail.local.example").expect("a good name"),
        size_bytes_max: 1_000,
        is_pedantic: false,
        slows_offenders: true,
        has_starttls: true,
        has_requiretls: true,
        login_needs_tls: true,
        second_rcpt_needs_verified_sender: false,
    }
}

pub(crate) fn tls(certificate_username: Option<&str>) -> Tls {
    let bindings = ChannelBindings { tls_exporter: Some([7; 32]), ..ChannelBindings::default() };
    Tls { bindings, certificate_username: certificate_username.map(str::to_owned) }
}

impl Driver {
    pub(crate) fn new(config: Config, tls: Option<Tls>) -> Self {
        let session = Session::new(Arc::new(config), "cid", tls);
        let mut driver = Self {
            session,
            rng: TestRng::new(1),
            buffer: Vec::new(),
            mode: Mode::Line,
            message: Vec::new(),
            is_slow: false,
            events: Vec::new(),
        };
        let action = driver.session.greet();
        driver.act(action);
        driver
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.mode, Mode::Closed)
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub(crate) fn is_delayed(&self) -> bool {
        matches!(self.mode, Mode::Delay)
    }

    /// Bytes from the client.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.pump();
    }

    /// A delay is over, or too much time has passed.
    pub(crate) fn time_passes(&mut self) {
        match std::mem::replace(&mut self.mode, Mode::Line) {
            Mode::Delay => self.feed(Input::DelayOver),
            _ => self.feed(Input::TimedOut),
        }
        self.pump();
    }

    /// The question that waits for an answer.
    pub(crate) fn question(&self) -> Option<&Question> {
        match &self.mode {
            Mode::Wait(question) => Some(question),
            _ => None,
        }
    }

    pub(crate) fn answer(&mut self, answer: Answer) {
        self.feed(Input::Answer(answer));
        self.pump();
    }

    pub(crate) fn tls_established(&mut self, tls: Tls) {
        self.feed(Input::TlsEstablished(tls));
        self.pump();
    }

    fn pump(&mut self) {
        loop {
            let buffer = std::mem::take(&mut self.buffer);
            let taken = match std::mem::replace(&mut self.mode, Mode::Line) {
                Mode::Line => match command_line(&buffer) {
                    CommandLine::Complete { line, taken_bytes } => {
                        // What comes after must be there already, for `EarlyBytes`.
                        self.buffer = buffer[taken_bytes..].to_vec();
                        self.feed(Input::Line(line));
                        continue;
                    }
                    CommandLine::TooLong => {
                        self.feed(Input::LineTooLong);
                        buffer.len()
                    }
                    CommandLine::Incomplete => {
                        self.buffer = buffer;
                        return;
                    }
                },
                Mode::Data(mut reader) => {
                    if buffer.is_empty() {
                        self.mode = Mode::Data(reader);
                        return;
                    }
                    match reader.push(&buffer, &mut self.message) {
                        DataProgress::More => {
                            self.mode = Mode::Data(reader);
                            buffer.len()
                        }
                        DataProgress::End { taken_bytes } => {
                            self.buffer = buffer[taken_bytes..].to_vec();
                            self.feed(Input::DataEnd(DataEnd::Complete(reader.report())));
                            continue;
                        }
                        DataProgress::Overrun => {
                            self.feed(Input::DataEnd(DataEnd::Overrun));
                            buffer.len()
                        }
                    }
                }
                Mode::Chunk(reader, is_last) => {
                    if self.chunk(reader, is_last, &buffer) {
                        continue;
                    }
                    return;
                }
                Mode::Skip(left_bytes, reply) => {
                    let taken = usize::try_from(left_bytes)
                        .map_or(buffer.len(), |left| left.min(buffer.len()));
                    self.buffer = buffer[taken..].to_vec();
                    let left_bytes = left_bytes - taken as u64;
                    if left_bytes > 0 {
                        self.mode = Mode::Skip(left_bytes, reply);
                        return;
                    }
                    self.send(&reply);
                    continue;
                }
                mode => {
                    self.mode = mode;
                    self.buffer = buffer;
                    return;
                }
            };
            self.buffer = buffer[taken..].to_vec();
        }
    }

    /// Takes what belongs to the chunk; returns whether that was the end of it.
    fn chunk(&mut self, mut reader: Box<ChunkReader>, is_last: bool, buffer: &[u8]) -> bool {
        let taken = reader.push(buffer, &mut self.message);
        self.buffer = buffer[taken..].to_vec();
        if reader.left_bytes() > 0 {
            self.mode = Mode::Chunk(reader, is_last);
            return false;
        }
        if is_last {
            reader.finish(&mut self.message);
        }
        self.feed(Input::ChunkEnd(ChunkEnd::Complete(reader)));
        true
    }

    fn feed(&mut self, input: Input<'_>) {
        let action = self.session.handle(input, NOW, &self.rng);
        if let Some(attempt) = self.session.take_login_attempt() {
            let username = attempt.username.as_deref().unwrap_or("-");
            let result = match &attempt.result {
                Ok(()) => "ok".to_owned(),
                Err(failure) => format!("{failure:?}"),
            };
            let counted = if attempt.is_counted() { " counted" } else { "" };
            self.tell(format!("login-attempt {} {username} {result}{counted}", attempt.mechanism));
        }
        if self.session.is_slow() != self.is_slow {
            self.is_slow = self.session.is_slow();
            self.tell(if self.is_slow { "slow" } else { "fast" }.to_owned());
        }
        self.act(action);
    }

    fn tell(&mut self, text: String) {
        self.events.push(Event::Told(text));
    }

    fn send(&mut self, reply: &Reply) {
        self.events.push(Event::Sent(reply.to_bytes()));
    }

    fn act(&mut self, action: Action) {
        self.mode = match action {
            Action::Reply(reply) => {
                self.send(&reply);
                Mode::Line
            }
            Action::Challenge(line) => {
                self.events.push(Event::Sent(line));
                Mode::Line
            }
            Action::Read => Mode::Line,
            Action::Ask(question) => {
                let text = describe(&question);
                self.tell(text);
                Mode::Wait(question)
            }
            Action::Delay(wait) => {
                self.tell(format!("delay {}s", wait.as_secs()));
                Mode::Delay
            }
            Action::StartTls(reply) => {
                self.mode = Mode::Tls;
                if self.buffer.is_empty() {
                    self.send(&reply);
                    self.tell("tls".to_owned());
                } else {
                    self.feed(Input::EarlyBytes);
                }
                return;
            }
            Action::ReadData { reply, reader } => {
                self.send(&reply);
                self.message.clear();
                Mode::Data(reader)
            }
            Action::ReadChunk { reader, is_first, is_last } => {
                if is_first {
                    self.message.clear();
                }
                Mode::Chunk(reader, is_last)
            }
            Action::SkipChunk { chunk_bytes, reply } => Mode::Skip(chunk_bytes, reply),
            Action::Close(reply) => {
                if let Some(reply) = reply {
                    self.send(&reply);
                }
                self.tell("close".to_owned());
                Mode::Closed
            }
        };
    }
}

pub(crate) fn describe(question: &Question) -> String {
    match question {
        Question::ClientExists(domain) => format!("client-exists {domain}"),
        Question::Sasl(mox_sasl::Question::Password { username, .. }) => {
            format!("password {username}")
        }
        Question::Sasl(mox_sasl::Question::Verifier { username, hash }) => {
            format!("verifier {username} {hash:?}")
        }
        Question::Sasl(mox_sasl::Question::Certificate { username }) => {
            format!("certificate {}", username.as_deref().unwrap_or("-"))
        }
        Question::Login { username } => format!("login {username}"),
        Question::Sender(path) => format!("sender {path}"),
        Question::SenderVerified(path) => format!("sender-verified {path}"),
        Question::Rcpt(path) => format!("rcpt {path}"),
        Question::Decide { envelope, report } => describe_decide(envelope, report.size_bytes),
    }
}

fn describe_decide(envelope: &Envelope, size_bytes: u64) -> String {
    let Envelope { client_name, is_esmtp, username, is_tls, mail, rcpts, release, priority } =
        envelope;
    let rcpts: Vec<_> = rcpts.iter().map(describe_rcpt).collect();
    let client = client_name.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let mut text = format!(
        "decide {} -> {} by {} client={client} esmtp={is_esmtp} tls={is_tls} utf8={} size={size_bytes}",
        mail.reverse_path,
        rcpts.join(" "),
        username.as_deref().unwrap_or("-"),
        mail.is_utf8,
    );
    let asked = [
        (mail.body == Some(Body::BinaryMime)).then(|| "binary".to_owned()),
        mail.requires_tls.then(|| "requiretls".to_owned()),
        mail.ret.map(|ret| format!("ret={ret}")),
        mail.envid.as_ref().map(|envid| format!("envid={envid:?}")),
        release.as_ref().map(|release| {
            format!("release={} at=+{}s", release.request, release.at.secs_since(NOW))
        }),
        (*priority != 0).then(|| format!("priority={priority}")),
    ];
    asked.into_iter().flatten().for_each(|asked| text.push_str(&format!(" {asked}")));
    text
}

fn describe_rcpt(rcpt: &RcptCommand) -> String {
    let mut text = rcpt.forward_path.to_string();
    if let Some(notify) = rcpt.notify {
        text.push_str(&format!(" notify={notify}"));
    }
    if let Some(orcpt) = &rcpt.orcpt {
        text.push_str(&format!(" orcpt={orcpt:?}"));
    }
    text
}

/// Answers as a transcript says it: a word, or several for the recipients.
pub(crate) fn answer(question: &Question, words: &str) -> Answer {
    match question {
        Question::ClientExists(_) => Answer::ClientExists(words == "yes"),
        Question::Sasl(question) => Answer::Sasl(sasl_answer(question, words)),
        Question::Login { .. } => Answer::Login(match words {
            "ok" => LoginVerdict::Ok,
            "other" => LoginVerdict::OtherAccount,
            "unavailable" => LoginVerdict::Unavailable,
            text => LoginVerdict::Disabled(text.to_owned()),
        }),
        Question::Sender(_) => Answer::Sender(match words {
            "ok" => Ok(()),
            "not-yours" => Err(SenderRefusal::NotYours),
            "disabled" => Err(SenderRefusal::DomainDisabled),
            "cannot-receive" => Err(SenderRefusal::CannotReceive),
            other => panic!("sender {other}"),
        }),
        Question::SenderVerified(_) => Answer::SenderVerified(words == "yes"),
        Question::Rcpt(_) => Answer::Rcpt(match words {
            "ok" => Ok(()),
            "not-ours" => Err(RcptRefusal::NotOurs),
            "unknown" => Err(RcptRefusal::UnknownAddress),
            "disabled" => Err(RcptRefusal::DomainDisabled),
            "needs-tls" => Err(RcptRefusal::NeedsTls),
            other => panic!("rcpt {other}"),
        }),
        Question::Decide { .. } => {
            let results: Vec<_> = words.split(' ').map(data_result).collect();
            Answer::Decision(match results.as_slice() {
                [result] => Decision::All(result.clone()),
                _ => Decision::Each(results),
            })
        }
    }
}

fn data_result(word: &str) -> Result<(), DataRefusal> {
    match word {
        "ok" => Ok(()),
        "unknown" => Err(DataRefusal::UnknownAddress),
        "quota" => Err(DataRefusal::OverQuota),
        "full" => Err(DataRefusal::StorageFull),
        other => panic!("data {other}"),
    }
}

/// `auto` answers from the only user's password.
fn sasl_answer(question: &mox_sasl::Question, words: &str) -> mox_sasl::Answer {
    if words == "unavailable" {
        return mox_sasl::Answer::Unavailable;
    }
    let verifiers = |username: &str| {
        let decoy = || Decoy::new([3; 32]).verifiers(username);
        if username == USER { STORED.clone() } else { decoy() }
    };
    match question {
        mox_sasl::Question::Password { username, password } => {
            mox_sasl::Answer::Password(verifiers(username).sha256.is_password(password))
        }
        mox_sasl::Question::Verifier { username, hash } => {
            mox_sasl::Answer::Verifier(verifiers(username).for_hash(*hash).clone())
        }
        mox_sasl::Question::Certificate { username } => {
            let username = username.clone().unwrap_or_else(|| USER.to_owned());
            mox_sasl::Answer::Certificate(Some(username).filter(|username| username == USER))
        }
    }
}
