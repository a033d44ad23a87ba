//! Changes recorded from the application: a file of the statements it runs, replayed before those that are made up.

use serde_json::Value;

use super::changes::{Change, TABLE};
use crate::error::Error;
use crate::plan::splice::{self, Cut};
use crate::source::{Catalogue, Relation, Statements};
use crate::sql_tree::ast;

/// One statement of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Its line.
    line: usize,
    sql: String,
    tree: Value,
}

/// Operations by the kind of the statement.
const KINDS: [(&str, &str); 5] = [
    ("InsertStmt", "INSERT"),
    ("UpdateStmt", "UPDATE"),
    ("DeleteStmt", "DELETE"),
    ("MergeStmt", "MERGE"),
    ("TruncateStmt", "TRUNCATE"),
];

/// Reads the file. Settings are kept, since actors come from them; transactions are passed over.
pub fn read(text: &str, file: &str) -> Result<Vec<Recorded>, Error> {
    let mut all = vec![];
    for piece in Statements::new(text) {
        let line = text[..piece.start].matches('\n').count() + 1;
        let refuse = |why: String| {
            Error::usage(
                format!("{file}, line {line}: {why}"),
                "Record INSERT, UPDATE, DELETE, MERGE and TRUNCATE with their values, and SET for what the trigger reads.",
            )
        };
        let trees = ast::parse(piece.text).map_err(refuse)?;
        let Some(tree) = trees.into_iter().next() else { continue };
        match ast::kind(&tree) {
            "TransactionStmt" => {}
            "VariableSetStmt" => all.push(Recorded { line, sql: piece.text.to_owned(), tree }),
            kind if KINDS.iter().any(|(k, _)| *k == kind) => {
                all.push(Recorded { line, sql: piece.text.to_owned(), tree });
            }
            kind => return Err(refuse(format!("{} is no change of a table", kind.trim_end_matches("Stmt")))),
        }
    }
    Ok(all)
}

impl Recorded {
    /// Why it changes no table of this database, if it does not.
    pub fn astray(&self, catalogue: &Catalogue) -> Option<String> {
        let target = self.targets().into_iter().find(|t| resolve(t, catalogue).is_none())?;
        let name = [ast::text(target, "schemaname"), ast::text(target, "relname")];
        let name: Vec<&str> = name.into_iter().filter(|n| !n.is_empty()).collect();
        Some(format!("recorded, line {}: there is no table {}", self.line, name.join(".")))
    }

    /// The tables that it changes, by name; none for a SET.
    fn targets(&self) -> Vec<&Value> {
        let Some(statement) = ast::node(&self.tree, ast::kind(&self.tree)) else { return vec![] };
        let listed = ast::list(statement, "relations").iter().filter_map(|r| ast::node(r, "RangeVar"));
        statement.get("relation").into_iter().chain(listed).collect()
    }

    /// The statement as a change of this table; none if it changes another.
    pub fn change(&self, table: &Relation, catalogue: &Catalogue) -> Option<Change> {
        let what = format!("recorded, line {}", self.line);
        let kind = ast::kind(&self.tree);
        if kind == "VariableSetStmt" {
            return Some(Change { what, operation: "SET", no_op: true, sql: self.sql.clone() });
        }
        let operation = KINDS.iter().find(|(k, _)| *k == kind)?.1;
        let means = |range: &Value| resolve(range, catalogue).is_some_and(|r| r.oid == table.oid);
        if !self.targets().into_iter().any(means) {
            return None;
        }
        let mut places: Vec<usize> = vec![];
        ranges(&self.tree, &mut |range| {
            places.extend(range.get("location").and_then(Value::as_u64).filter(|_| means(range)).map(|n| n as usize));
        });
        let cuts = places.into_iter().filter_map(|at| {
            let name = name_at(&self.sql, at)?;
            Some(Cut { start: name.start, end: name.end, text: TABLE.to_owned() })
        });
        Some(Change { what, operation, no_op: false, sql: splice::apply(&self.sql, cuts.collect()).ok()? })
    }
}

/// The table that is meant by a name.
fn resolve<'a>(range: &Value, catalogue: &'a Catalogue) -> Option<&'a Relation> {
    let (schema, name) = (ast::text(range, "schemaname"), ast::text(range, "relname"));
    catalogue.resolve_relation(schema, name, &catalogue.search_path)
}

/// Every table that a tree names; some fields hold one bare.
fn ranges(tree: &Value, see: &mut impl FnMut(&Value)) {
    match tree {
        Value::Object(map) => {
            if map.contains_key("relname") {
                see(tree);
            }
            map.values().for_each(|v| ranges(v, see));
        }
        Value::Array(items) => items.iter().for_each(|i| ranges(i, see)),
        _ => {}
    }
}

/// A name with its schema.
fn name_at(sql: &str, at: usize) -> Option<std::ops::Range<usize>> {
    let scan = pg_query::scan(sql).ok()?;
    let mut words =
        scan.tokens.iter().map(|t| t.start as usize..t.end as usize).skip_while(|w| w.start < at).peekable();
    let mut name = words.next()?;
    while words.peek().is_some_and(|w| sql.get(w.clone()) == Some(".")) {
        words.next();
        name.end = words.next()?.end;
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::from_sql;

    #[test]
    fn a_recorded_change_is_one_of_the_copy() {
        let (catalogue, _) = from_sql([("t.sql", "create table users (id int); create table \"Other\" (id int);")]);
        let users = catalogue.relations.iter().find(|r| r.name == "users").unwrap();
        let text = "begin;\nset app.user_id = '7';\nupdate public . users u set id = 2 where exists (select from users);\n\
                    delete from \"Other\" where id in (select id from users);\ncommit;";
        let changes: Vec<Change> =
            read(text, "f").unwrap().iter().filter_map(|r| r.change(users, &catalogue)).collect();
        let told: Vec<(&str, &str)> = changes.iter().map(|c| (c.operation, c.sql.as_str())).collect();
        assert_eq!(
            told,
            [
                ("SET", "set app.user_id = '7'"),
                ("UPDATE", "update __table__ u set id = 2 where exists (select from __table__)"),
            ]
        );
        assert_eq!(changes[1].what, "recorded, line 3");
        let text =
            "set a.b = 'c';\nupdate users set id = 1;\ntruncate users, gone.orders;\ninsert into nowhere values (1)";
        let astray: Vec<String> = read(text, "f").unwrap().iter().filter_map(|r| r.astray(&catalogue)).collect();
        assert_eq!(
            astray,
            ["recorded, line 3: there is no table gone.orders", "recorded, line 4: there is no table nowhere"]
        );
        for wrong in ["select 1;", "update users set;", "drop table users;"] {
            assert!(read(wrong, "f").is_err(), "{wrong}");
        }
    }
}
