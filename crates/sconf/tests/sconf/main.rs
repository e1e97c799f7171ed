//! The invariants of the fuzz target, on generated text.

mod invariants;

use proptest::prelude::*;

#[test]
fn findings_stay_fixed() {
    for text in [
        "",
        "\n",
        "#",
        "Text",
        "Text:",
        "Text: \nFlag: true",
        "Map:\n\tx: nil",
        "Map:\n\tx:\n\t\tTexts:\n\t\t\t- \n\n\t\t# a\n# b\n",
        "List:\n\t-\n\t\tText: a\n\t# last\n\t-\n\t\tText: nil\n",
        "Count: +1\nShare: -0\nWait: 1.5h\n",
        "Wait:\n",
        // Found by fuzzing: a last line of white space is a fault, and stays one after an edit.
        "Map\t- \n\n\t",
        // Found by fuzzing: a list item with nothing set could not be written.
        "List:\n\t-\n\t\tText:",
    ] {
        invariants::check(text);
    }
}

proptest! {
    #[test]
    fn any_text(text in "\\PC{0,40}") {
        invariants::check(&text);
    }

    #[test]
    fn text_like_a_document(
        lines in proptest::collection::vec(
            "\t{0,3}(Text|Flag|Count|Map|List|Texts|x|-|#)(:|: |: true|: 1|: nil| a|)",
            0..12,
        ),
    ) {
        invariants::check(&lines.join("\n"));
    }
}
