//! Mail that nobody asked for.

use super::ham::{MATTERS, one_line};
use super::write::Mail;
use super::{Corpus, Dice, Recipe, Vocabulary, host, mix, text, word};

/// Wares that are sold. Their words are matters above those of ham.
const TRADES: u64 = 12;

/// So many messages are one wave: its senders, hosts and programs are not seen before or after.
const WAVE: u64 = 300;

const MAILERS: [&str; 6] = [
    "Outlook Express 6.00",
    "The Bat! 4",
    "Outlook 16.0",
    "Thunderbird 128.0",
    "PHPMailer 5.2",
    "Foxmail 7",
];

pub(super) fn mail(corpus: &Corpus, number: u64, dice: &mut Dice) -> Mail {
    // Three waves at a time, each of its own trade and kind.
    let wave = mix(corpus.seed ^ 0x80 ^ (number / WAVE * 3 + dice.below(3)));
    let mut mail = sender(wave, dice);
    let trade = Vocabulary::Matter(MATTERS + wave % TRADES);
    match wave / 16 % 6 {
        0 | 1 => offer(corpus, dice, &mut mail, trade, wave),
        2 => letter(corpus, dice, &mut mail, trade),
        3 => pretence(corpus, dice, &mut mail, trade, wave),
        4 => padded(corpus, dice, &mut mail, trade, wave),
        _ => short(corpus, dice, &mut mail, trade, wave),
    }
    mail
}

/// A sender that is never seen again, on hosts of its wave.
fn sender(wave: u64, dice: &mut Dice) -> Mail {
    let key = dice.bits();
    let name = |n: u64| word(key.wrapping_add(n), Vocabulary::Common);
    let top = dice.pick(&["com", "net", "info", "top"]);
    // A third is sent by way of the large providers, or says so.
    let domain = match dice.below(3) {
        0 => host(key % 5, "com"),
        1 => host(wave.wrapping_add(dice.below(20)), top),
        _ => host(key, top),
    };
    let is_forged = dice.percent(50);
    Mail {
        from_name: format!("{} {}", name(1), name(2)),
        from: format!("{}@{domain}", name(1)),
        relay: host(if is_forged { key ^ 7 } else { wave }, top),
        id_host: domain,
        mailer: dice.percent(50).then(|| MAILERS[usize::try_from(wave % 6).unwrap_or(0)]),
        ..Mail::default()
    }
}

/// Where the wave wants its readers; hosts are given up after some messages.
fn link(wave: u64, dice: &mut Dice) -> String {
    let top = dice.pick(&["com", "info", "top"]);
    format!("http://{}/{}", host(wave.wrapping_add(100 + dice.below(12)), top), dice.below(1_000))
}

fn offer(corpus: &Corpus, dice: &mut Dice, mail: &mut Mail, trade: Vocabulary, wave: u64) {
    let special = [(trade, corpus.telling_percent), (Vocabulary::Sales, 16)];
    let recipe = Recipe { general: 30, special: &special };
    mail.subject = one_line(&text(corpus, dice, 5, recipe));
    let words = 20 + dice.skewed(200);
    let body = text(corpus, dice, words, recipe);
    let link = link(wave, dice);
    if dice.percent(30) {
        mail.plain = Some(format!("{body}\r\n{link}\r\n"));
    }
    mail.html = Some(format!(
        "<center><font>{body}</font><a href=\"{link}\">{}</a></center><img src=\"{link}.png\">\r\n",
        Vocabulary::Sales.word(corpus, dice),
    ));
}

/// Somebody far away has money to share.
fn letter(corpus: &Corpus, dice: &mut Dice, mail: &mut Mail, trade: Vocabulary) {
    let special = [(trade, corpus.telling_percent)];
    let recipe = Recipe { general: 35, special: &special };
    mail.subject = one_line(&text(corpus, dice, 3, recipe));
    mail.fields =
        format!("Reply-To: <{}@{}>\r\n", word(dice.bits(), trade), host(dice.below(5), "com"));
    let words = 60 + dice.skewed(300);
    mail.plain = Some(text(corpus, dice, words, recipe));
}

/// Looks like the notice of a sender that the reader may know, and links elsewhere.
fn pretence(corpus: &Corpus, dice: &mut Dice, mail: &mut Mail, trade: Vocabulary, wave: u64) {
    let known = mix(corpus.seed ^ 0x72).wrapping_add(dice.skewed(60));
    let domain = host(known, "com");
    let matter = Vocabulary::Matter(known % MATTERS);
    let special = [(trade, corpus.telling_percent / 2 + 2), (matter, 6), (Vocabulary::Sales, 4)];
    let recipe = Recipe { general: 20, special: &special };
    mail.from_name = word(known, Vocabulary::Common);
    mail.subject = one_line(&text(corpus, dice, 4, recipe));
    let words = 15 + dice.skewed(60);
    let body = text(corpus, dice, words, recipe);
    let link = link(wave, dice);
    mail.html = Some(format!(
        "<table><tr><td>{body}</td></tr></table><a href=\"{link}\">https://{domain}/</a>\r\n"
    ));
}

/// Filled up with what the writer takes for words of ham.
fn padded(corpus: &Corpus, dice: &mut Dice, mail: &mut Mail, trade: Vocabulary, wave: u64) {
    let special = [(trade, corpus.telling_percent), (Vocabulary::Sales, 12)];
    mail.subject = one_line(&text(corpus, dice, 4, Recipe { general: 30, special: &special }));
    let words = 15 + dice.skewed(60);
    let body = text(corpus, dice, words, Recipe { general: 20, special: &special });
    let (a, b) = (Vocabulary::Matter(dice.below(MATTERS)), Vocabulary::Matter(dice.below(MATTERS)));
    let padding = Recipe { general: 60, special: &[(a, 6), (b, 6)] };
    let filler = text(corpus, dice, 40 + words, padding);
    let link = link(wave, dice);
    mail.html = Some(format!(
        "<p>{body}</p><a href=\"{link}\">{link}</a>\r\n<p style=\"display:none\">{filler}</p>\r\n"
    ));
}

/// A few words and a link.
fn short(corpus: &Corpus, dice: &mut Dice, mail: &mut Mail, trade: Vocabulary, wave: u64) {
    let special = [(trade, 2 * corpus.telling_percent), (Vocabulary::Sales, 20)];
    let recipe = Recipe { general: 30, special: &special };
    mail.subject = one_line(&text(corpus, dice, 3, recipe));
    let words = 6 + dice.below(10);
    let body = text(corpus, dice, words, recipe);
    mail.plain = Some(format!("{body}\r\n{}\r\n", link(wave, dice)));
}
