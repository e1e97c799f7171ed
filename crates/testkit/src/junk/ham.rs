//! Mail that somebody waits for, or at least does not mind.

use super::write::Mail;
use super::{Corpus, Dice, Recipe, Vocabulary, host, mix, text, word};

/// Matters below this number are of ham.
pub(super) const MATTERS: u64 = 40;

/// Words of each sender's own, as of a signature.
const SIGNATURE_WORDS: u64 = 6;

const MAILERS: [&str; 4] = ["Thunderbird 128.0", "Apple Mail (3774)", "Mutt 2.2", "Outlook 16.0"];

pub(super) fn mail(corpus: &Corpus, number: u64, dice: &mut Dice) -> Mail {
    if dice.percent(corpus.newsletter_percent) {
        return newsletter(corpus, dice);
    }
    match dice.below(10) {
        0..=4 => letter(corpus, number, dice),
        5..=7 => list(corpus, dice),
        _ => notice(corpus, dice),
    }
}

/// The key of one who writes: new ones come all the time.
fn person(corpus: &Corpus, number: u64, dice: &mut Dice) -> u64 {
    let known = 30 + number / 60;
    mix(corpus.seed ^ 0x70).wrapping_add(dice.skewed(known))
}

/// Sets who it is from, and returns the words all letters of theirs end with.
fn sign(mail: &mut Mail, key: u64, domain: String) -> String {
    let name = |n: u64| word(mix(key).wrapping_add(n), Vocabulary::Common);
    mail.from_name = format!("{} {}", name(1), name(2));
    mail.from = format!("{}@{domain}", name(1));
    mail.relay = format!("mail.{domain}");
    mail.id_host = domain;
    (3..3 + SIGNATURE_WORDS).map(|n| name(n) + " ").collect()
}

fn letter(corpus: &Corpus, number: u64, dice: &mut Dice) -> Mail {
    let key = person(corpus, number, dice);
    let matter = Vocabulary::Matter((key.wrapping_add(dice.below(2))) % MATTERS);
    let mut mail = Mail::default();
    let top = dice.pick(&["org", "net", "com"]);
    // Half of them are at one of a few large providers.
    let domain = if key.is_multiple_of(2) { host(key % 5, "com") } else { host(key, top) };
    let signature = sign(&mut mail, key, domain);
    let words = 8 + dice.skewed(350);
    let recipe = Recipe { general: 35, special: &[(matter, 12), (Vocabulary::Sales, 1)] };
    let subject = text(corpus, dice, 2 + dice.state % 4, recipe);
    let re = if dice.percent(50) { "Re: " } else { "" };
    mail.subject = format!("{re}{}", one_line(&subject));
    mail.mailer = Some(MAILERS[usize::try_from(mix(key) % 4).unwrap_or(0)]);
    let body = text(corpus, dice, words, recipe);
    let link = if dice.percent(20) {
        format!("\r\nhttps://{}/a\r\n", host(dice.below(3_000), "com"))
    } else {
        String::new()
    };
    mail.plain = Some(format!("{body}{link}\r\n-- \r\n{signature}\r\n"));
    if key.is_multiple_of(3) {
        mail.html = Some(format!("<p>{body}</p><font>{signature}</font>"));
    }
    if dice.percent(8) {
        mail.file = Some(format!("{}.pdf", Vocabulary::General.word(corpus, dice)));
    }
    mail
}

fn list(corpus: &Corpus, dice: &mut Dice) -> Mail {
    let list = dice.below(7);
    let key = mix(corpus.seed ^ 0x71).wrapping_add(list * 1_000 + dice.skewed(80));
    let mut mail = Mail::default();
    let signature = sign(&mut mail, key, host(key, "net"));
    let name = word(list, Vocabulary::General);
    let domain = host(list ^ 0x11, "org");
    mail.relay = format!("lists.{domain}");
    let recipe =
        Recipe { general: 40, special: &[(Vocabulary::Matter(list), 16), (Vocabulary::Sales, 1)] };
    mail.subject = format!("[{name}] {}", one_line(&text(corpus, dice, 4, recipe)));
    mail.fields = format!(
        "List-Id: <{name}.{domain}>\r\nPrecedence: list\r\nIn-Reply-To: <{:x}@x.example>\r\n",
        dice.bits()
    );
    let words = 20 + dice.skewed(500);
    let body = text(corpus, dice, words, recipe);
    mail.plain =
        Some(format!("{body}\r\n-- \r\n{signature}\r\n___\r\nhttps://{domain}/{name}\r\n"));
    mail
}

/// Something was ordered, paid, changed.
fn notice(corpus: &Corpus, dice: &mut Dice) -> Mail {
    let key = mix(corpus.seed ^ 0x72).wrapping_add(dice.skewed(60));
    let mut mail = Mail::default();
    let domain = host(key, "com");
    sign(&mut mail, key, domain.clone());
    mail.from = format!("noreply@{domain}");
    let matter = Vocabulary::Matter(key % MATTERS);
    let recipe = Recipe { general: 20, special: &[(matter, 14), (Vocabulary::Sales, 4)] };
    let words = 10 + dice.skewed(60);
    mail.subject = one_line(&text(corpus, dice, 4, recipe));
    let body = text(corpus, dice, words, recipe);
    mail.plain = dice.percent(60).then(|| body.clone());
    mail.html = Some(format!(
        "<table><tr><td>{body}</td></tr></table><a href=\"https://{domain}/order/{}\">{domain}</a>\r\n",
        dice.below(100_000),
    ));
    mail
}

/// Speaks like spam, and is wanted.
fn newsletter(corpus: &Corpus, dice: &mut Dice) -> Mail {
    let key = mix(corpus.seed ^ 0x73).wrapping_add(dice.skewed(40));
    let mut mail = Mail::default();
    let domain = host(key, "com");
    sign(&mut mail, key, domain.clone());
    mail.from = format!("news@{domain}");
    mail.relay = format!("out{}.{}", dice.below(9), host(key % 3, "net"));
    let matter = Vocabulary::Matter(key % MATTERS);
    let recipe = Recipe { general: 35, special: &[(matter, 10), (Vocabulary::Sales, 16)] };
    mail.subject = one_line(&text(corpus, dice, 5, recipe));
    mail.fields = format!("List-Unsubscribe: <https://{domain}/u/{:x}>\r\n", dice.bits());
    let words = 60 + dice.skewed(400);
    let body = text(corpus, dice, words, recipe);
    if key.is_multiple_of(3) {
        mail.plain = Some(body.clone());
    }
    mail.html = Some(format!(
        "<table><tr><td><font>{body}</font><a href=\"https://click.{domain}/{:x}\">{}</a>\
         </td></tr></table><img src=\"https://click.{domain}/o\" width=1 height=1>\r\n",
        dice.bits(),
        Vocabulary::Sales.word(corpus, dice),
    ));
    mail
}

/// The words as the subject of a message.
pub(super) fn one_line(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}
