//! Files that say more than they have.

use crate::fixtures::files;
use crate::hostile::{check_database, file_of_pages};

#[test]
fn what_holds_of_any_bytes_holds_of_databases() {
    for archive in ["bstore-synthetic.tgz", "moxdata-rich.tgz"] {
        let files = files(archive);
        let databases = files.iter().filter(|(name, _)| name.ends_with(".db"));
        let checked = databases.map(|(_, file)| check_database(file)).count();
        assert!(checked > 0, "{archive}");
    }
    check_database(b"");
    check_database(&[0; 10_000]);
}

/// Pages that run over into all that follow: each of them would be read with the rest of the file.
#[test]
fn pages_that_run_over_into_one_another_are_read_up_to_a_bound() {
    const PAGE: usize = 4096;
    const LEAVES: u32 = 150;
    const BRANCH: u8 = 1;
    const LEAF: u8 = 2;
    let put = |page: &mut [u8], at: u32, field: u32| {
        let at = usize::try_from(at).unwrap();
        page[at..at + 4].copy_from_slice(&field.to_le_bytes());
    };
    let mut root = vec![0; PAGE];
    (root[8], root[10]) = (BRANCH, u8::try_from(LEAVES).unwrap());
    let mut pages = Vec::new();
    for number in 0..LEAVES {
        let (entry, key) = (16 + number * 16, 16 + LEAVES * 16 + number);
        put(&mut root, entry, key - entry);
        put(&mut root, entry + 4, 1);
        put(&mut root, entry + 8, 3 + number);
        root[usize::try_from(key).unwrap()] = u8::try_from(number).unwrap();
        // One element, whose value is the rest of the file.
        let over = LEAVES - 1 - number;
        let mut leaf = vec![0; PAGE];
        (leaf[8], leaf[10]) = (LEAF, 1);
        put(&mut leaf, 12, over);
        put(&mut leaf, 20, 16);
        put(&mut leaf, 24, 4);
        put(&mut leaf, 28, over * 4096);
        leaf[32..36].copy_from_slice(&number.to_be_bytes());
        pages.extend(leaf);
    }
    let input = [vec![0], root, pages].concat();
    let file = file_of_pages(&input);
    assert_eq!(file.len(), (3 + LEAVES as usize) * PAGE);
    let database = mox_bstore::Database::open(file.clone()).unwrap();
    let read = database.root().walk().filter(Result::is_ok).count();
    assert!((1..150).contains(&read), "{read} of 150");
    check_database(&file);
}

proptest::proptest! {
    #[test]
    fn any_pages_are_read_within_bounds(bytes in proptest::collection::vec(0_u8..20, 0..9_000)) {
        check_database(&file_of_pages(&bytes));
    }
}
