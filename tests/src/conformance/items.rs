//! The formal syntax of message data. RFC 9051 §9 (`msg-att`).

use super::grammar::{Parsed, Reader};

const MONTHS: &[&str] =
    &["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `msg-att`: one item at least.
pub(super) fn msg_att(reader: &mut Reader<'_>) -> Parsed {
    let mut count = 0;
    reader.list(|reader| {
        count += 1;
        item(reader)
    })?;
    if count == 0 { reader.fail("an item") } else { Ok(()) }
}

fn item(reader: &mut Reader<'_>) -> Parsed {
    let name = reader.run(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    let name = String::from_utf8_lossy(name).to_ascii_uppercase();
    if reader.peek() == Some(b'[') {
        return section(reader, &name);
    }
    reader.sp()?;
    match name.as_str() {
        "FLAGS" => reader.list(|reader| reader.flag(false)),
        "UID" => reader.nz_number().map(drop),
        "INTERNALDATE" => date_time(reader),
        "RFC822.SIZE" => reader.number64().map(drop),
        "ENVELOPE" => envelope(reader),
        "BODY" => body(reader, false),
        "BODYSTRUCTURE" => body(reader, true),
        "RFC822" | "RFC822.HEADER" | "RFC822.TEXT" => reader.nstring().map(drop),
        _ => reader.fail("an item of the standard"),
    }
}

/// `"BODY" section ["<" number ">"] SP nstring` and the BINARY items.
fn section(reader: &mut Reader<'_>, name: &str) -> Parsed {
    reader.byte(b'[')?;
    let part = reader.run(|byte| byte.is_ascii_digit() || byte == b'.');
    let part = String::from_utf8_lossy(part).into_owned();
    let word = reader.run(|byte| byte.is_ascii_alphabetic() || byte == b'.');
    let word = String::from_utf8_lossy(word).to_ascii_uppercase();
    match word.as_str() {
        "HEADER.FIELDS" | "HEADER.FIELDS.NOT" => {
            reader.sp()?;
            reader.list(|reader| reader.astring().map(drop))?;
        }
        "" | "HEADER" | "TEXT" => {}
        "MIME" if !part.is_empty() => {}
        _ => return reader.fail("a section"),
    }
    if (name != "BODY" && !word.is_empty())
        || part.ends_with('.') == word.is_empty() && !part.is_empty()
    {
        return reader.fail("a section of this item");
    }
    reader.byte(b']')?;
    if reader.eat("<") {
        reader.number()?;
        reader.byte(b'>')?;
    }
    reader.sp()?;
    match name {
        "BODY" => reader.nstring().map(drop),
        "BINARY" => reader.nstring8(),
        "BINARY.SIZE" => reader.number().map(drop),
        _ => reader.fail("BODY or BINARY"),
    }
}

/// `date-time`
fn date_time(reader: &mut Reader<'_>) -> Parsed {
    let text = String::from_utf8(reader.quoted()?).unwrap_or_default();
    let ok = text.len() == 26 && {
        let (day, rest) = text.split_at(2);
        let day = day.trim_start().parse::<u8>().is_ok_and(|day| (1..=31).contains(&day));
        let month = rest.get(1..4).is_some_and(|month| MONTHS.contains(&month));
        let shape: String =
            rest.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        let tail = shape.get(4..21) == Some("-9999 99:99:99 +9")
            || shape.get(4..21) == Some("-9999 99:99:99 -9");
        day && month && tail && shape.ends_with("9999")
    };
    if ok { Ok(()) } else { reader.fail("a date and time") }
}

/// `envelope`
fn envelope(reader: &mut Reader<'_>) -> Parsed {
    reader.byte(b'(')?;
    for field in 0..10 {
        if field > 0 {
            reader.sp()?;
        }
        match field {
            0 | 1 | 8 | 9 => reader.nstring().map(drop)?,
            _ => addresses(reader)?,
        }
    }
    reader.byte(b')')
}

/// `"(" 1*address ")" / nil`: no space between addresses.
fn addresses(reader: &mut Reader<'_>) -> Parsed {
    if reader.eat("NIL") {
        return Ok(());
    }
    reader.byte(b'(')?;
    loop {
        reader.byte(b'(')?;
        for field in 0..4 {
            if field > 0 {
                reader.sp()?;
            }
            reader.nstring()?;
        }
        reader.byte(b')')?;
        if reader.eat(")") {
            return Ok(());
        }
    }
}

/// `body`; the extension data of BODYSTRUCTURE only there.
fn body(reader: &mut Reader<'_>, is_extended: bool) -> Parsed {
    reader.byte(b'(')?;
    if reader.peek() == Some(b'(') {
        while reader.peek() == Some(b'(') {
            body(reader, is_extended)?;
        }
        reader.sp()?;
        reader.string()?;
    } else {
        one_part(reader, is_extended)?;
    }
    extension(reader, is_extended)?;
    reader.byte(b')')
}

fn one_part(reader: &mut Reader<'_>, is_extended: bool) -> Parsed {
    let kind = String::from_utf8_lossy(&reader.string()?).to_ascii_uppercase();
    reader.sp()?;
    let subtype = String::from_utf8_lossy(&reader.string()?).to_ascii_uppercase();
    reader.sp()?;
    parameters(reader)?;
    reader.sp()?;
    reader.nstring()?;
    reader.sp()?;
    reader.nstring()?;
    reader.sp()?;
    reader.string()?;
    reader.sp()?;
    reader.number()?;
    if kind == "TEXT" {
        reader.sp()?;
        reader.number64()?;
    } else if kind == "MESSAGE" && matches!(subtype.as_str(), "RFC822" | "GLOBAL") {
        reader.sp()?;
        envelope(reader)?;
        reader.sp()?;
        body(reader, is_extended)?;
        reader.sp()?;
        reader.number64()?;
    }
    Ok(())
}

/// `body-fld-param`
fn parameters(reader: &mut Reader<'_>) -> Parsed {
    if reader.eat("NIL") {
        return Ok(());
    }
    let mut count = 0;
    reader.list(|reader| {
        count += 1;
        reader.string().map(drop)
    })?;
    if count > 0 && count % 2 == 0 { Ok(()) } else { reader.fail("pairs of parameters") }
}

/// `[SP md5-or-parameters [SP disposition [SP language [SP location]]]]`, and nothing after it.
fn extension(reader: &mut Reader<'_>, is_extended: bool) -> Parsed {
    if reader.peek() != Some(b' ') {
        return Ok(());
    }
    if !is_extended {
        return reader.fail("the end of a BODY, which has no extension data,");
    }
    reader.sp()?;
    if reader.peek() == Some(b'(') {
        parameters(reader)?
    } else {
        reader.nstring().map(drop)?
    }
    if !reader.eat(" ") {
        return Ok(());
    }
    if !reader.eat("NIL") {
        reader.byte(b'(')?;
        reader.string()?;
        reader.sp()?;
        parameters(reader)?;
        reader.byte(b')')?;
    }
    if !reader.eat(" ") {
        return Ok(());
    }
    match reader.peek() {
        Some(b'(') => reader.list(|reader| reader.string().map(drop))?,
        _ => reader.nstring().map(drop)?,
    }
    if !reader.eat(" ") {
        return Ok(());
    }
    reader.nstring().map(drop)
}
