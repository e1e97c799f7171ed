//! What the tags of an HTML text say: which there are, where links lead, and what is hidden.

use std::borrow::Cow;

use crate::address::add_text;
use crate::links::{add_link, host_of};
use crate::words::{Kinds, Words};

/// The longest tag that is looked at, in bytes; of a longer one, its beginning.
const TAG_BYTES_MAX: usize = 2_048;

/// The most attributes of one tag that are looked at.
const ATTRIBUTES_MAX: usize = 32;

/// The most text of one link that is compared with where it leads, in bytes.
const LINK_TEXT_BYTES_MAX: usize = 100;

/// Elements that are learnt by name.
const NAMES: [&str; 24] = [
    "a",
    "area",
    "b",
    "base",
    "blockquote",
    "button",
    "center",
    "embed",
    "font",
    "form",
    "iframe",
    "img",
    "input",
    "link",
    "marquee",
    "meta",
    "object",
    "pre",
    "script",
    "style",
    "svg",
    "table",
    "ul",
    "video",
];

/// Styles that keep a text from being seen, without blanks.
const HIDING: [&str; 7] = [
    "display:none",
    "visibility:hidden",
    "font-size:0",
    "font-size:1px",
    "max-height:0",
    "opacity:0;",
    "mso-hide:all",
];

/// Reads the tags of an HTML text that comes in pieces. Holds one tag and one link's text.
#[derive(Debug, Default)]
pub(crate) struct Tags {
    /// The tag being read, from behind its `<`.
    tag: Option<String>,
    /// The quote that an attribute's value is in.
    quote: Option<char>,
    /// Where the link around leads, and its text so far.
    link: Option<(String, String)>,
}

impl Tags {
    pub(crate) fn push(&mut self, html: &str, words: &mut Words) {
        for c in html.chars() {
            let Some(tag) = &mut self.tag else {
                if c == '<' {
                    self.tag = Some(String::new());
                    self.quote = None;
                } else if let Some((_, text)) = &mut self.link
                    && text.len() < LINK_TEXT_BYTES_MAX
                {
                    text.push(c);
                }
                continue;
            };
            match (self.quote, c) {
                (None, '>') => {
                    let tag = self.tag.take().unwrap_or_default();
                    self.end_tag(&tag, words);
                    continue;
                }
                (None, '"' | '\'') if tag.ends_with('=') => self.quote = Some(c),
                (Some(quote), _) if c == quote => self.quote = None,
                _ => {}
            }
            if tag.len() < TAG_BYTES_MAX {
                tag.push(c);
            } else if self.quote.take().is_some() {
                // A quote that never ends must not hide all that follows.
                let tag = self.tag.take().unwrap_or_default();
                self.end_tag(&tag, words);
            }
        }
    }

    fn end_tag(&mut self, tag: &str, words: &mut Words) {
        let end = tag.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tag.len());
        let (name, rest) = tag.split_at(end);
        let name = name.to_ascii_lowercase();
        if name.is_empty() {
            if tag.eq_ignore_ascii_case("/a") {
                self.end_link(words);
            }
            return;
        }
        if NAMES.contains(&name.as_str()) {
            words.add_header(&format!("html:{name}"));
        }
        let mut small = 0;
        let mut is_remote = false;
        for (key, value) in attributes(rest).take(ATTRIBUTES_MAX) {
            match key.as_str() {
                "href" | "src" | "action" | "background" => {
                    is_remote |= add_target(&name, &value, words);
                    if key == "href" && name == "a" {
                        self.link = Some((value.into_owned(), String::new()));
                    }
                }
                "width" | "height" if matches!(&*value, "0" | "1" | "0px" | "1px") => small += 1,
                "style" => add_style(&value, words),
                "alt" => add_text("alt:", &value, Kinds::default(), words),
                "hidden" => words.add_header("html:hidden"),
                _ => {}
            }
        }
        if name == "img" && is_remote {
            words.add_header(if small > 0 { "html:tracker" } else { "html:remote-image" });
        }
    }

    /// The attack: a link whose text is another link.
    fn end_link(&mut self, words: &mut Words) {
        let Some((target, text)) = self.link.take() else { return };
        let shown = text.trim();
        let shown = shown.split_once("://").map_or(shown, |(_, link)| link);
        let (Some(shown), Some((_, target))) = (host_of(shown), target.split_once("://")) else {
            return;
        };
        let target = host_of(target).unwrap_or_default().to_lowercase();
        let shown = shown.trim_start_matches("www.").to_lowercase();
        if !target.ends_with(&shown) {
            words.add_header("html:other-link");
        }
    }
}

/// Adds what a target says. Returns whether it is elsewhere.
fn add_target(name: &str, value: &str, words: &mut Words) -> bool {
    let Some((scheme, link)) = value.split_once(':') else { return false };
    let scheme = scheme.trim().to_ascii_lowercase();
    match scheme.as_str() {
        "http" | "https" => add_link(link.trim_start_matches('/'), words),
        "cid" | "data" | "javascript" | "mailto" | "tel" => {
            words.add_header(&format!("html:{scheme}"));
            return false;
        }
        _ => return false,
    }
    if name == "form" {
        words.add_header("html:form-elsewhere");
    }
    true
}

fn add_style(value: &str, words: &mut Words) {
    let mut style = value.to_ascii_lowercase();
    style.retain(|c| !c.is_whitespace());
    // So that the last one ends like the others, and 0.5 is not taken for 0.
    style.push(';');
    if HIDING.iter().any(|hiding| {
        style.match_indices(hiding).any(|(at, _)| {
            !style.get(at + hiding.len()..).is_some_and(|rest| rest.starts_with(['.', '1', '2']))
        })
    }) {
        words.add_header("html:hidden");
    }
}

/// The attributes behind the name of a tag, their names in lower case.
fn attributes(mut rest: &str) -> impl Iterator<Item = (String, Cow<'_, str>)> {
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/' || c == '=');
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let after = after.trim_start();
        let Some(value) = after.strip_prefix('=') else {
            rest = after;
            return Some((key.to_ascii_lowercase(), Cow::Borrowed("")));
        };
        let value = value.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (value, after) = match quote.and_then(|quote| value.get(1..)?.split_once(quote)) {
            Some(parts) => parts,
            None => {
                let value = value.trim_start_matches(['"', '\'']);
                value.split_at(value.find(char::is_whitespace).unwrap_or(value.len()))
            }
        };
        rest = after;
        let value = value.trim();
        let value =
            if value.contains("&amp;") { value.replace("&amp;", "&").into() } else { value.into() };
        Some((key.to_ascii_lowercase(), value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_of(pieces: &[&str]) -> Vec<String> {
        let mut words = Words::default();
        let mut tags = Tags::default();
        pieces.iter().for_each(|piece| tags.push(piece, &mut words));
        let mut all: Vec<_> = words.sorted().iter().map(|word| word.text.to_owned()).collect();
        all.sort_unstable();
        all
    }

    #[track_caller]
    fn check(html: &str, want: &[&str]) {
        assert_eq!(words_of(&[html]), want, "{html}");
    }

    #[test]
    fn tags_say_what_they_do() {
        // Valid.
        check("<P><UL><x-y>", &["html:ul"]);
        let link = ["html:a", "url:.example", "url:a.example"];
        check("<a class=x href=\"https://a.example\">here</a>", &link);
        check("<a href='https://x.a.example'>a.example</a>", &{
            let mut all = link.to_vec();
            all.push("url:x.a.example");
            all
        });
        let other = ["html:a", "html:other-link", "url:.example", "url:a.example"];
        check("<a href=https://a.example>http://bank.test/</a>", &other);
        let image = ["html:img", "html:remote-image", "url:.example", "url:a.example"];
        check("<img src=//x><img src=http://a.example/>", &image);
        let image = ["html:img", "html:tracker", "url:.example", "url:a.example"];
        check("<img height=1 src=http://a.example/>", &image);
        check(
            "<img src=cid:x alt='Great offers'>",
            &["alt:great", "alt:offers", "html:cid", "html:img"],
        );
        let form = ["html:form", "html:form-elsewhere", "url:.example", "url:a.example"];
        check("<form method=post action = 'http://a.example'>", &form);
        check("<p style='Display : None'><p style='font-size:0'>", &["html:hidden"]);
        // At the edge.
        check("<p style='opacity:0'>", &["html:hidden"]);
        // Just past it.
        check("<p style='opacity:0.5;font-size:0.9em;max-height:12px'>", &[]);
        check("<img width=2>", &["html:img"]);
        // Never any.
        check("a < b & c > d", &[]);
        check("<", &[]);
        check("<>", &[]);
        check("</a><a", &[]);
        check("<!-- x -->", &[]);
    }

    #[test]
    fn it_does_not_matter_where_pieces_are_cut() {
        let html =
            "x<a href=\"http://a.example/x>y\">b.test</a><img alt=\"é\" src='http://c.test'>";
        let whole = words_of(&[html]);
        for at in (0..=html.len()).filter(|at| html.is_char_boundary(*at)) {
            assert_eq!(words_of(&[&html[..at], &html[at..]]), whole, "{at}");
        }
    }

    /// The attack: a quote that is never closed, before all that is to be hidden from the filter.
    #[test]
    fn an_open_quote_hides_only_so_much() {
        let html = format!("<a title=\"{}<ul>", "x ".repeat(TAG_BYTES_MAX));
        assert_eq!(words_of(&[&html]), ["html:a", "html:ul"]);
    }
}
