//! The table of constructs in docs/from-mysql.md is what translation says of the examples.

use std::fs;

use domain_events_mysql::translate::constructs;
use domain_events_tests::repository;

#[test]
fn the_page_shows_what_is_kept_declared_and_refused() {
    let page = fs::read_to_string(repository().join("docs/from-mysql.md")).expect("the page");
    let table = constructs::table().expect("every example is read");
    assert!(page.contains(&table), "docs/from-mysql.md lacks this table, or has another:\n{table}");
}
