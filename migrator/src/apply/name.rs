//! Names of tables that come out of a file.

use crate::error::Error;
use crate::sql_tree::ast;
use domain_events_sql::quote::quote_ident;

/// Refuses what is not one name, with its schema or without: names of a plan file or of the journal stand in statements.
pub fn expect_name(name: &str) -> Result<(), Error> {
    let sql = format!("lock table {name} in access share mode");
    let trees = ast::parse(&sql).unwrap_or_default();
    let only =
        trees.len() == 1 && ast::node(&trees[0], "LockStmt").is_some_and(|l| ast::list(l, "relations").len() == 1);
    let range = trees.first().map(|tree| ast::find(tree, "RangeVar")).unwrap_or_default();
    let spelt = range.first().is_some_and(|range| {
        let parts = [ast::text(range, "catalogname"), ast::text(range, "schemaname"), ast::text(range, "relname")];
        let quoted: Vec<String> = parts.into_iter().filter(|p| !p.is_empty()).map(quote_ident).collect();
        let canonical = format!("lock table {} in access share mode", quoted.join("."));
        ast::parse(&canonical)
            .is_ok_and(|other| other.first().map(ast::without_positions) == trees.first().map(ast::without_positions))
    });
    if only && spelt {
        return Ok(());
    }
    Err(Error::refused("42602", format!("{name} is not the name of a table"), "Make the plan again."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_name() {
        for name in ["t", "a.t", "\"a b\".\"t;--\"", "\"a.b\"", "é.\"x\"\"y\""] {
            assert!(expect_name(name).is_ok(), "{name}");
        }
        for name in [
            "",
            "t, u",
            "t in share mode; select 1 --",
            "only t",
            "t in exclusive mode nowait --",
            "t; select 1",
            "a.t /*",
            "1",
        ] {
            assert!(expect_name(name).is_err(), "{name}");
        }
    }
}
