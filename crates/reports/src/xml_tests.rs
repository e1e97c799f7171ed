use super::*;

/// What a document holds, as `name(text)` of its elements.
fn read(source: &[u8]) -> Result<String, ReportError> {
    let mut document = Document::open(source, "r")?;
    let mut out = String::new();
    document.children(|document, name| {
        if name == "skip" {
            return document.skip();
        }
        out.push_str(&format!("{name}({})", document.text()?));
        Ok(())
    })?;
    document.finish()?;
    Ok(out)
}

#[track_caller]
fn check(source: impl AsRef<[u8]>, want: Result<&str, ReportError>) {
    let source = source.as_ref();
    let got = read(source);
    assert_eq!(got.as_deref(), want.as_ref().map(|text| *text), "{}", source.escape_ascii());
}

fn nested(depth: usize) -> String {
    format!("<r>{}{}</r>", "<skip>".repeat(depth - 1), "</skip>".repeat(depth - 1))
}

#[test]
fn elements_and_text_are_read() {
    // Valid.
    check("<?xml version='1.0'?>\n<!-- c --><r><a>1</a><b> 2\n</b></r>\n", Ok("a(1)b(2)"));
    check("<r a='1'><a x=\"/>\">1</a><b/></r>", Ok("a(1)b()"));
    check(
        "<r><a>a &lt;&amp;&#65;&#x42;&quot;&apos;&gt;<![CDATA[<b>]]></a></r>",
        Ok("a(a <&AB\"'><b>)"),
    );
    check("<r><skip><a>1</a></skip><a>2<!-- -->3<b>x</b>4</a></r>", Ok("a(234)"));
    // As it is seen.
    check("<r><a>A&B</a></r>", Ok("a(A&B)"));
    check("<r><a>1\u{7}2</a></r>\0\0", Ok("a(1 2)"));
    // Never.
    check("", Err(ReportError::BadXml));
    check("text", Err(ReportError::BadXml));
    check("<r><a>1</b></r>", Err(ReportError::BadXml));
    check("<r><a>1</a>", Err(ReportError::BadXml));
    check("<r></r><r></r>", Err(ReportError::BadXml));
    check("<r></r>text", Err(ReportError::BadXml));
    check("<other/>", Err(ReportError::OtherRoot));
}

/// Elements of an extension are not those of the report, whatever they are called.
#[test]
fn elements_of_other_namespaces_are_apart() {
    check("<r xmlns:x='u'><x:a>1</x:a><a>2</a></r>", Ok("(1)a(2)"));
    check("<d:r xmlns:d='u'><d:a>1</d:a><a>2</a></d:r>", Ok("a(1)(2)"));
}

/// Entities that a document defines could grow without bound, or name files.
#[test]
fn document_types_and_unknown_entities_are_refused() {
    let bomb = "<!DOCTYPE r [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]><r><a>&b;</a></r>";
    check(bomb, Err(ReportError::DocType));
    check("<!DOCTYPE r SYSTEM \"file:///etc/passwd\"><r/>", Err(ReportError::DocType));
    check("<r><!DOCTYPE r></r>", Err(ReportError::DocType));
    check("<r><a>&b;</a></r>", Err(ReportError::UnknownEntity));
    check("<r><a>&#0;</a></r>", Err(ReportError::UnknownEntity));
    check("<r><a>&#x110000;</a></r>", Err(ReportError::UnknownEntity));
}

#[test]
fn depth_and_lengths_are_bounded() {
    check(nested(XML_DEPTH_MAX), Ok(""));
    check(nested(XML_DEPTH_MAX + 1), Err(ReportError::TooDeep));
    check("<a>".repeat(100_000), Err(ReportError::OtherRoot));
    check(format!("<r>{}", "<skip>".repeat(100_000)), Err(ReportError::TooDeep));
    let text = |length: usize| format!("<r><a>{}</a></r>", "x".repeat(length));
    let kept = format!("a({})", "x".repeat(TEXT_BYTES_MAX));
    check(text(TEXT_BYTES_MAX), Ok(&kept));
    check(text(TEXT_BYTES_MAX + 1), Ok(&kept));
    check(text(XML_TOKEN_BYTES_MAX * 2), Err(ReportError::TooLong));
    let tag = format!("<r><a b='{}'/></r>", "x".repeat(XML_TOKEN_BYTES_MAX * 2));
    check(tag, Err(ReportError::TooLong));
    let comment = format!("<r><!--{}--></r>", "x".repeat(XML_TOKEN_BYTES_MAX * 2));
    check(comment, Err(ReportError::TooLong));
    let before = format!("<!--{}--><r/>", "x".repeat(XML_TOKEN_BYTES_MAX * 2));
    check(before, Err(ReportError::TooLong));
    // Many pieces of one text are as one that is too long to be kept.
    check(
        format!("<r><a>{}</a></r>", "x&amp;".repeat(TEXT_BYTES_MAX)),
        Ok(&format!("a({})", "x&".repeat(TEXT_BYTES_MAX / 2))),
    );
}

#[test]
fn charsets_are_declared_or_shown() {
    let wide = |order: fn(u16) -> [u8; 2], text: &str| -> Vec<u8> {
        text.encode_utf16().flat_map(order).collect()
    };
    let text = "<?xml version=\"1.0\" encoding=\"utf-16\"?><r><a>\u{fc}</a></r>";
    check(wide(u16::to_le_bytes, text), Ok("a(\u{fc})"));
    check(wide(u16::to_be_bytes, &format!("\u{feff}{text}")), Ok("a(\u{fc})"));
    // Not what it says.
    check(text, Ok("a(\u{fc})"));
    check("\u{feff}<r><a>\u{fc}</a></r>", Ok("a(\u{fc})"));
    check(b"<?xml version='1.0' encoding='ISO-8859-1'?><r><a>\xfc</a></r>", Ok("a(\u{fc})"));
    check(b"<r><a>\xfc</a></r>", Ok("a(\u{fc})"));
    check(b"<?xml version='1.0' encoding='utf-8'?><r><a>\xfc</a></r>", Ok("a(\u{fffd})"));
    check(b"<?xml encoding", Err(ReportError::BadXml));
}
