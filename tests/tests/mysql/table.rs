//! The README's table of constructs is what translation says of the examples.

use std::fs;

use domain_events::mysql::translate::constructs;
use domain_events_tests::repository;

#[test]
fn the_readme_shows_what_is_kept_declared_and_refused() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("README.md");
    let table = constructs::table().expect("every example is read");
    assert!(readme.contains(&table), "README.md lacks this table, or has another:\n{table}");
}
