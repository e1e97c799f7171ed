//! A client session for tests, with words for what it is told and what it does.
#![expect(clippy::panic, reason = "a mistake in a transcript should fail the test")]

use mox_base::{Address, Secret};
use mox_sasl::{ChannelBindings, Mechanism};
use mox_smtp::client::{
    Action, Config, Credentials, DeliveryError, GROUP_BYTES_MAX, Loss, RcptParams, Session, TlsUse,
    Transaction,
};
use mox_smtp::{ForwardPath, Mailbox, Notify, Reply, ReplyParser, Ret, ReversePath};

/// What it does, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It sends bytes.
    Sent(Vec<u8>),
    /// Anything else.
    Told(String),
}

/// A session with the parser of its replies.
pub(crate) struct Client {
    session: Session,
    parser: ReplyParser,
    received: Vec<u8>,
    events: Vec<Event>,
    /// Of the transaction.
    rcpts: usize,
    /// Nothing more is read.
    is_closed: bool,
}

/// A connection with TLS has this.
pub(crate) fn bindings() -> ChannelBindings {
    ChannelBindings { tls_exporter: Some([7; 32]), ..ChannelBindings::default() }
}

pub(crate) fn config(tls: TlsUse, mechanisms: Option<Vec<Mechanism>>) -> Config {
    let login = mechanisms.map(|mechanisms| Credentials {
        username: "mjl".to_owned(),
        password: Secret::new("moxmoxmox"),
        mechanisms,
    });
    Config { name: "me.example".to_owned(), tls, login, is_private: false }
}

impl Client {
    pub(crate) fn new(config: Config, has_tls: bool) -> Self {
        let session = Session::new(config, [0; 18], has_tls.then(bindings));
        let (parser, received) = (ReplyParser::default(), Vec::new());
        let events = Vec::new();
        let mut client = Self { session, parser, received, events, rcpts: 0, is_closed: false };
        let action = client.session.start();
        client.act(action);
        client
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The server says something.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
        while !self.is_closed {
            match self.parser.push(&self.received) {
                Ok((taken, reply)) => {
                    self.received.drain(..taken);
                    let Some(reply) = reply else { return };
                    let action = self.session.reply(reply);
                    self.act(action);
                }
                Err(error) => {
                    let action = self.session.garbage(error);
                    self.act(action);
                }
            }
        }
    }

    /// Something happens: `tls`, `data` (the message was sent), `closed`, `timeout`, `quit`, `forgo`
    /// (chunks), or `deliver` with words for the transaction.
    pub(crate) fn tell(&mut self, words: &str) {
        let action = match words.split_once(' ').unwrap_or((words, "")) {
            ("tls", _) => self.session.tls_established(bindings()),
            ("data", _) => self.session.data_sent(),
            ("closed", _) => self.session.lost(Loss::Closed),
            ("timeout", _) => self.session.lost(Loss::TimedOut),
            ("quit", _) => self.session.quit(),
            ("forgo", _) => return self.session.forgo_chunks(),
            ("deliver", words) => return self.deliver(&transaction(words)),
            _ => panic!("unknown: {words}"),
        };
        self.act(action);
    }

    pub(crate) fn deliver(&mut self, transaction: &Transaction) {
        self.rcpts = transaction.rcpts.len();
        let action = self.session.deliver(transaction);
        self.act(action);
    }

    fn act(&mut self, action: Action) {
        let told = match action {
            Action::Send { bytes, .. } => return self.events.push(Event::Sent(bytes)),
            Action::Read => return,
            Action::SendChunk { command, size_bytes } => {
                self.events.push(Event::Sent(command));
                format!("chunk {size_bytes}")
            }
            Action::StartTls => "tls".to_owned(),
            Action::Ready => "ready".to_owned(),
            Action::SendData => "data".to_owned(),
            Action::Quit => "close".to_owned(),
            Action::Failed(error) => format!("failed: {}", describe(&error)),
            Action::Done(results) => return self.done(&results),
        };
        self.is_closed |= told == "close" || !self.session.is_usable();
        self.events.push(Event::Told(told));
    }

    fn done(&mut self, results: &[Result<Reply, DeliveryError>]) {
        assert_eq!(results.len(), self.rcpts, "one result for each recipient");
        for result in results {
            self.events.push(Event::Told(match result {
                Ok(reply) => format!("delivered: {reply}"),
                Err(error) => describe(error),
            }));
        }
        let is_usable = self.session.is_usable();
        self.events.push(Event::Told(if is_usable { "ready" } else { "unusable" }.to_owned()));
        self.is_closed |= !is_usable;
    }
}

fn describe(error: &DeliveryError) -> String {
    let permanence = if error.is_permanent { "permanent" } else { "temporary" };
    let doubt = if error.is_in_doubt() { " (in doubt)" } else { "" };
    let kind = format!("{:?}", error.kind);
    let kind = kind.split('(').next().unwrap_or_default();
    format!("{permanence} {kind}{doubt}: {error}")
}

/// The first address is the sender's, or `-` for none; those that follow are recipients.
pub(crate) fn transaction(words: &str) -> Transaction {
    let mut transaction = Transaction {
        reverse_path: ReversePath::Null,
        rcpts: Vec::new(),
        size_bytes: 20,
        has_8bit: false,
        requires_8bitmime: false,
        is_binary: false,
        needs_utf8: false,
        requires_tls: false,
        ret: None,
        envid: None,
        priority: 0,
    };
    for (index, word) in words.split(' ').enumerate() {
        match word.split_once('=').unwrap_or((word, "")) {
            ("-", _) if index == 0 => {}
            (address, _) if index == 0 => {
                transaction.reverse_path = ReversePath::Mailbox(mailbox(address));
            }
            ("size", size) => transaction.size_bytes = size.parse().unwrap_or_default(),
            ("8bit", _) => transaction.has_8bit = true,
            ("strict", _) => transaction.requires_8bitmime = true,
            ("binary", _) => transaction.is_binary = true,
            ("utf8", _) => transaction.needs_utf8 = true,
            ("requiretls", _) => transaction.requires_tls = true,
            ("envid", envid) => {
                transaction.envid = Some(envid.to_owned());
                transaction.ret = Some(Ret::Full);
            }
            ("notify", notify) => {
                transaction.rcpts.iter_mut().for_each(|rcpt| rcpt.notify = Notify::parse(notify));
            }
            ("many", count) => {
                let rcpt = |n| ForwardPath::Mailbox(mailbox(&format!("rcpt{n}@many.example")));
                let count = 0..count.parse().unwrap_or(0);
                transaction.rcpts.extend(count.map(rcpt).map(RcptParams::from));
            }
            (address, _) => {
                transaction.rcpts.push(ForwardPath::Mailbox(mailbox(address)).into());
            }
        }
    }
    transaction
}

fn mailbox(address: &str) -> Mailbox {
    match Address::parse(address) {
        Ok(address) => Mailbox::from(address),
        Err(error) => panic!("{address}: {error:?}"),
    }
}

/// Whatever a server sends: every recipient gets one result, what is sent is whole lines, and
/// nothing is said once the server is not to be trusted. `bits` chooses how the session is set up.
pub(crate) fn check(bits: u8, bytes: &[u8]) {
    let tls = match bits & 3 {
        0 => TlsUse::Never,
        1 => TlsUse::IfOffered,
        _ => TlsUse::Required,
    };
    let mechanisms = (bits & 4 != 0).then(|| Mechanism::ALL.to_vec());
    let mut config = config(tls, mechanisms);
    config.is_private = bits & 8 != 0;
    let mut client = Client::new(config, tls == TlsUse::Never && bits & 16 != 0);
    let transaction = transaction(match bits >> 5 {
        0 => "a@b.example c@d.example",
        1 => "- c@d.example e@d.example f@d.example 8bit",
        2 => "a@b.example many=900",
        3 => "a@b.example c@d.example e@d.example size=5000000",
        4 => "a@b.example c@d.example binary",
        5 => "a@b.example c@d.example requiretls",
        6 => "a@b.example c@d.example utf8",
        _ => "a@b.example many=3",
    });
    let mut left = 3;
    // A line that ends with LF is enough for the parser: one step per line.
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        client.receive(line);
        check_step(&mut client, &transaction, &mut left);
    }
    client.tell("closed");
    check_step(&mut client, &transaction, &mut left);
    assert!(!client.session().is_usable());
    client.tell("quit");
    assert_eq!(client.take_events().last(), Some(&Event::Told("close".to_owned())));
}

/// Does what the events ask for until there are none.
fn check_step(client: &mut Client, transaction: &Transaction, left: &mut u32) {
    loop {
        let events = client.take_events();
        if events.is_empty() {
            return;
        }
        for event in events {
            match event {
                Event::Sent(bytes) => check_sent(&bytes),
                Event::Told(_) if client.is_closed => {}
                Event::Told(text) => match text.as_str() {
                    "tls" => client.tell("tls"),
                    "data" => client.tell("data"),
                    "ready" if *left > 0 => {
                        *left -= 1;
                        client.deliver(transaction);
                    }
                    _ if text.starts_with("chunk") => client.tell("data"),
                    _ => {}
                },
            }
        }
    }
}

fn check_sent(bytes: &[u8]) {
    assert!(bytes.len() <= GROUP_BYTES_MAX + 1_000 && bytes.ends_with(b"\r\n"));
    let crlfs = bytes.windows(2).filter(|pair| pair == b"\r\n").count();
    let ends = bytes.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count();
    assert_eq!(crlfs * 2, ends);
}
