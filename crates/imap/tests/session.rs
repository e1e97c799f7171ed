//! Whole sessions as transcripts: the client's and the server's lines, and what is asked of the
//! driver (`Q:`), which the transcript answers (`A:`). The words of both are in `play/mod.rs`.

mod play;

use play::Player;

#[test]
fn transcripts() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
    mox_testkit::transcript::run_folder(folder, |case| {
        let mut player = Player::new(case);
        move |input| player.play(input)
    });
}
