use std::borrow::Cow;

use super::*;

#[test]
fn what_undoes_is_blanked_out_and_lines_stay() {
    let text = "-- migrate:up\na;\n-- migrate:down\nb;\nc;\n-- migrate:up transaction:false\nd;\n";
    assert_eq!(up_section(text), "-- migrate:up\na;\n\n\n\n-- migrate:up transaction:false\nd;\n");
    assert_eq!(
        up_section("-- +goose Up\n-- +goose StatementBegin\na;\n-- +goose Down\nb;\n"),
        "-- +goose Up\n-- +goose StatementBegin\na;\n\n\n"
    );
    assert!(matches!(up_section("a;\nb;"), Cow::Borrowed(_)));
}

const MADE: &str = "create table bill (id int);\ncreate function told() returns trigger language plpgsql as $$ begin\n---\nreturn new; end $$;\n\
    create trigger told after update on bill for each row execute function told();\n";

/// The line that divides a text, and whether that is sure.
fn at(text: &str) -> Option<(usize, bool)> {
    let found = divided(text, Dialect::Postgres);
    if !text.contains("$$") {
        assert_eq!(found, divided(text, Dialect::MySql), "{text}");
    }
    found.map(|d| (d.line, d.sure))
}

#[test]
fn what_drops_all_that_was_made_takes_it_back() {
    for line in ["---", "-- ------", "-- down", "-- Rollback:", "--- migrate down ---", "//@UNDO", "-- revert"] {
        for back in [
            "drop trigger told on bill;\ndrop function told();\ndrop table bill;",
            "drop table if exists public.bill cascade;",
            "begin; drop function told() cascade; delete from kind where name = 'x'; drop table bill; commit;",
        ] {
            assert_eq!(at(&format!("{MADE}{line}\n{back}\n")), Some((6, true)), "{line} {back}");
        }
    }
    let (text, doubt) = forward("create table a (b int);\n---\n\ndrop table a;\n", Dialect::MySql);
    assert_eq!((&*text, doubt), ("create table a (b int);\n\n\n\n", None));
    assert_eq!(at("alter table a add b int;\n-- down\nalter table a drop b;\n"), Some((2, true)));
}

#[test]
fn a_word_may_bring_the_earlier_definition_back() {
    let changed = "create or replace function f() returns int language sql as 'select 2';\n-- undo changes\n";
    assert_eq!(
        at(&format!("{changed}drop function f();\ncreate function f() returns int language sql as 'select 1';")),
        Some((2, true))
    );
    assert_eq!(
        at(&format!("{changed}create or replace function f() returns int language sql as 'select 1';")),
        Some((2, true))
    );
    assert_eq!(at(&format!("{changed}drop function f();\ncreate table other (id int);")), Some((2, false)));
    assert_eq!(
        at("drop table a;\ncreate table b (c int);\n-- down\ndrop table b;\ncreate table a (c int);\n"),
        Some((3, true))
    );
}

#[test]
fn where_it_is_not_sure_it_is_told() {
    for back in ["drop trigger told on bill;", "drop table bill; create table other (id int);"] {
        assert_eq!(at(&format!("{MADE}---\n{back}\n")), Some((6, false)), "{back}");
    }
    let (_, doubt) = forward("create table a (b int);\n---\ndrop table a;\ncreate table c (b int);\n", Dialect::MySql);
    assert_eq!(doubt, Some(Doubt { line: 2 }));
}

#[test]
fn a_line_that_only_looks_so_divides_nothing() {
    for text in [
        // a rule for the eye; a helper that has done its work; a table of the session
        "create table a (b int);\n---\ncreate table c (d int);\n---\ndrop table e;\n",
        "create table a (b int);\ncreate function f() returns int language sql as 'select 1';\nselect f();\n---\ndrop function f();\n",
        "create temporary table a (b int);\n---\ndrop table a;\n",
        // made, dropped and made again; a sentence; within a comment; something else is undone
        "create table a (b int);\ndrop table a;\n---\ndrop table if exists a;\ncreate table a (b int);\n",
        "create table a (b int);\n-- the count goes down from here to zero\ndrop table b;\n",
        "create table a (b int);\n/*\n-- down\ndrop table a;\n*/\n",
        "create table a (b int);\n-- revert the other change\ndrop table b;\n",
        "create table a (b int);\n-- down\n",
    ] {
        assert_eq!(at(text), None, "{text}");
    }
}
