use super::*;

fn texts(text: &str) -> Vec<&str> {
    Statements::new(text).map(|p| p.text).collect()
}

#[test]
fn statements_end_where_the_server_would_end_them() {
    let text = "\\restrict x\ncreate table a (b text default ';'); -- c;\n/* ; /* ; */ */ select $a$ ; $b$ $a$, E'\\';', \"x;\";\
                create function f() returns int begin atomic select case when true then 1 end; select 2; end;\nselect $1;";
    assert_eq!(
        texts(text),
        [
            "create table a (b text default ';')",
            "select $a$ ; $b$ $a$, E'\\';', \"x;\"",
            "create function f() returns int begin atomic select case when true then 1 end; select 2; end",
            "select $1"
        ]
    );
}

#[test]
fn what_psql_alone_understands_is_passed_over() {
    let text =
        "copy t (a) from stdin;\n1;'\n\\.\nselect 1;\n\\connect x\nselect 'a' \\gexec\n-- migrate:down\ndrop table t;";
    assert_eq!(texts(text), ["copy t (a) from stdin", "select 1", "select 'a'"]);
}

#[test]
fn words_on_lines_of_their_own_separate_statements() {
    let text = "create table a (b int)\nGO\ncreate table c (d int)\n  go  \nselect go\n from x;\ncomment on table a is 'x'\n/\nselect 1 /\n2;";
    assert_eq!(
        texts(text),
        [
            "create table a (b int)",
            "create table c (d int)",
            "select go\n from x",
            "comment on table a is 'x'",
            "select 1 /\n2"
        ]
    );
}

#[test]
fn programs_of_other_servers_are_whole() {
    let oracle = "create or replace trigger t after update on a for each row\nbegin\n  insert into b values (:new.id);\n  null;\nend;\n/\ncreate table x (y int);\ncreate trigger u before insert on a for each row begin set new.b = 1; end;\ncreate table z (y int);";
    let found = texts(oracle);
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[0].ends_with("end;") && found[2].ends_with("end"), "{found:?}");
    assert_eq!(found[1], "create table x (y int)");
}

#[test]
fn commands_of_psql_that_matter_are_given() {
    let text = "\\set schema app\n\\echo hello\n\\ir tables/a.sql\nselect format('create %s', 1) \\gexec\nselect 1;";
    let found: Vec<_> = Statements::and_commands(text).map(|p| (p.text, p.psql)).collect();
    assert_eq!(
        found,
        [
            ("\\set schema app", Psql::Command),
            ("\\ir tables/a.sql", Psql::Command),
            ("select format('create %s', 1)", Psql::Runs),
            ("select 1", Psql::No)
        ]
    );
}

#[test]
fn something_broken_does_not_stop_the_rest() {
    let text = "create table a (b text default 'oops);\ncreate table c (d int);\nselect 1;\n";
    let pieces: Vec<_> = Statements::new(text).collect();
    assert_eq!(pieces[0].open, Some("a quote without end"));
    assert_eq!(pieces[1..].iter().map(|p| p.text).collect::<Vec<_>>(), ["create table c (d int)", "select 1"]);
}
