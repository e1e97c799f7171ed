//! Annotated templates: every key that a document may have, with its docs.

use crate::document::{Block, Document, Entry};
use crate::shape::{Field, Shape};

/// The width to which docs are wrapped, in characters without the indentation.
const WIDTH: usize = 80;

/// The key standing for any in the example of a map.
const EXAMPLE_KEY: &str = "x";

/// Prints a template of documents of this shape: all keys with their docs and zero values, one
/// example item for each list, one example key `x` for each map.
///
/// The text is for reading: it is not a valid document as it stands.
#[must_use]
pub fn describe(shape: &Shape) -> String {
    Document { root: example_block(shape, 0), ends_in_newline: true }.to_string()
}

fn example_block(shape: &Shape, depth: usize) -> Block {
    let entries = match shape {
        Shape::Scalar(_) => Vec::new(),
        Shape::Struct(fields) => fields
            .iter()
            .enumerate()
            .map(|(place, field)| {
                let mut entry = example(Some(field.key), field.shape, depth);
                entry.lead = comment(field, depth);
                if place == 0 {
                    // No blank line below the key that holds the struct.
                    entry.lead = entry.lead.trim_start_matches('\n').to_owned();
                }
                entry
            })
            .collect(),
        Shape::Map { value, .. } => vec![example(Some(EXAMPLE_KEY), value, depth)],
        Shape::List(item) => vec![example(None, item, depth)],
    };
    Block { entries, tail: String::new() }
}

fn example(key: Option<&str>, shape: &Shape, depth: usize) -> Entry {
    let (inline, block) = match shape {
        Shape::Scalar(scalar) => {
            let zero = (!scalar.zero.is_empty() || key.is_none()).then(|| scalar.zero.to_owned());
            (zero, None)
        }
        _ => (None, Some(example_block(shape, depth + 1))),
    };
    Entry { lead: String::new(), line: 0, key: key.map(str::to_owned), inline, block }
}

/// The docs of a field as comment lines, with a blank line above.
pub(crate) fn comment(field: &Field, depth: usize) -> String {
    let indent = "\t".repeat(depth);
    let mut text = String::from("\n");
    let mut paragraphs: Vec<String> = vec![String::new()];
    for line in field.doc {
        match (line.trim(), paragraphs.last_mut()) {
            ("", _) => paragraphs.push(String::new()),
            (line, Some(last)) if last.is_empty() => last.push_str(line),
            (line, Some(last)) => {
                last.push(' ');
                last.push_str(line);
            }
            (_, None) => {}
        }
    }
    if field.optional
        && let Some(last) = paragraphs.last_mut()
    {
        last.push_str(if last.is_empty() { "(optional)" } else { " (optional)" });
    }
    for (place, paragraph) in paragraphs.iter().enumerate() {
        if place > 0 {
            text.push_str(&format!("{indent}#\n"));
        }
        for line in wrap(paragraph, WIDTH - "# ".len()) {
            text.push_str(&format!("{indent}# {line}\n"));
        }
    }
    text
}

/// Breaks at spaces; a word longer than `width` stands alone.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
